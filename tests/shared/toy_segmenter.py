"""A segmenter whose embedding says the colour of each place, so that learning takes seconds."""

from __future__ import annotations

import pickle
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_pathseg.classes import Term
from napari_pathseg.models.base import ModelCard, TileAnswer, TileEmbedding, TileQuery

GLAND = Term("unspecified", "tissue", "gland")
_rng = np.random.default_rng(7)
_TO_PIXELS = torch.from_numpy(_rng.normal(size=(64, 3)).astype(np.float32))
_TO_TOKENS = torch.from_numpy(_rng.normal(size=(256, 3)).astype(np.float32))


@dataclass(frozen=True)
class ToyEmbedding:
    shape: tuple[int, int]
    tokens: Tensor
    pixels: Tensor
    color: Tensor


class ToySegmenter:
    """Calls gland whatever is red; a click means what has the colour under it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.encoder_passes = 0
        self.seconds = seconds
        self.card = ModelCard(
            name="toy",
            version="0",
            sha256="a" * 64,
            license="BSD-3-Clause",
            research_only=False,
            summary="Sees colours.",
            objects=(("tissue", "gland"),),
            regions=(),
            working_mpp={"gland": 1.0},
            presence_gate=0.3,
            figures=(),
        )

    def knows(self, term: Term) -> bool:
        return term.without_region == GLAND

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> ToyEmbedding:
        self.encoder_passes += 1
        time.sleep(self.seconds)
        color = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))[None] / 127.5 - 1
        fine = functional.avg_pool2d(color, 4)
        coarse = functional.avg_pool2d(color, 16)
        pixels = torch.einsum("kc,bchw->bkhw", _TO_PIXELS, fine).half()
        tokens = torch.einsum("kc,bchw->bkhw", _TO_TOKENS, coarse).half()
        return ToyEmbedding(image.shape[:2], tokens, pixels, fine[0])

    def pack(self, embedding: TileEmbedding) -> bytes:
        return pickle.dumps(embedding)

    def unpack(self, data: bytes) -> TileEmbedding:
        return pickle.loads(data)

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        assert isinstance(embedding, ToyEmbedding)
        return [self._answer(embedding.color, query) for query in queries]

    def _answer(self, color: Tensor, query: TileQuery) -> TileAnswer:
        if query.mask is not None:
            logits = query.mask.copy()
            for y, x, positive in query.points:
                logits[int(y) // 4, int(x) // 4] = 9.0 if positive else -9.0
        elif query.term is not None:
            if query.term.without_region != GLAND:
                raise ValueError(f"{query.term} was not taught")
            logits = (8 * (color[0] - color[2]) - 2).numpy()
        else:
            y, x, _ = query.points[0]
            here = color[:, int(y) // 4, int(x) // 4]
            logits = (2 - 8 * (color - here[:, None, None]).abs().amax(0)).numpy()
        presence = 0.95 if (logits > 0).any() else 0.05
        return TileAnswer(logits, np.stack([logits] * 3), 0.8, presence)
