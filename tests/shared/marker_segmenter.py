"""A segmenter that finds planted colours exactly, so that places can be compared with truth."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import Term
from napari_pathseg.models.base import ModelCard, TileAnswer, TileQuery

RGB = npt.NDArray[np.uint8]
MARKERS = {"gland": (255, 0, 0), "nucleus": (0, 0, 255)}
FAR = 60.0


@dataclass(frozen=True)
class Embedding:
    image: RGB

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape[0], self.image.shape[1]


class MarkerSegmenter:
    """Glands are red, nuclei blue; a click finds all of the colour under it; `seconds` a tile."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.encoder_passes = 0
        self.card = ModelCard(
            name="marker",
            version="0",
            sha256="0" * 64,
            license="BSD-3-Clause",
            research_only=False,
            summary="Finds planted colours.",
            objects=(("tissue", "gland"), ("nuclei", "nucleus")),
            regions=(),
            working_mpp={"gland": 1.0, "nucleus": 0.5},
            presence_gate=0.001,
            figures=(),
        )

    def knows(self, term: Term) -> bool:
        return term.object in MARKERS

    def encode(self, image: RGB) -> Embedding:
        self.encoder_passes += 1
        end = time.perf_counter() + self.seconds
        while time.perf_counter() < end:  # busy, as a model is, without the interpreter's lock
            np.linalg.svd(np.random.default_rng(0).random((60, 60)))
        return Embedding(image)

    def pack(self, embedding: Embedding) -> bytes:
        kept = io.BytesIO()
        np.save(kept, embedding.image)
        return kept.getvalue()

    def unpack(self, data: bytes) -> Embedding:
        return Embedding(np.load(io.BytesIO(data)))

    def decode(self, embedding: Embedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        return [self._answer(embedding.image, query) for query in queries]

    def _answer(self, image: RGB, query: TileQuery) -> TileAnswer:
        if query.term is not None:
            color = MARKERS[query.term.object]
        elif query.points:
            y, x, _ = query.points[0]
            color = tuple(int(c) for c in image[int(y), int(x)])
        else:
            color = MARKERS["gland"]
        distance = np.abs(image.astype(np.float32) - np.array(color, np.float32)).max(axis=-1)
        logits = np.clip((FAR - distance) / 4, -4, 4)
        height, width = logits.shape
        small = logits.reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3)).astype(np.float32)
        found = float((small > 0).any())
        presence = 0.98 if found else 0.03
        return TileAnswer(small, self._candidates(small, query), 0.9, presence)

    def _candidates(self, small: np.ndarray, query: TileQuery) -> np.ndarray:
        """The whole marker, its left half as seen from the click, and a dot under the click."""
        if query.term is not None or not query.points:
            return small[None][:0]
        y, x = (int(v / 4) for v in query.points[0][:2])
        rows, columns = np.ogrid[: small.shape[0], : small.shape[1]]
        left = np.where(columns <= x, small, -4)
        dot = np.where((abs(rows - y) < 2) & (abs(columns - x) < 2), small, -4)
        return np.stack([small, left, dot]).astype(np.float32)
