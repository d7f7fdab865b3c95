"""The segmenter that ships with the plugin: the network behind the Segmenter protocol."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from scipy.special import expit
from torch import Tensor

from napari_pathseg.classes import Term
from napari_pathseg.models.base import (
    OUTPUT_STRIDE,
    ModelCard,
    Segmenter,
    TileAnswer,
    TileEmbedding,
    TileQuery,
)
from napari_pathseg.models.compiled import (
    COMPILED_TILE_PX,
    FOR_WORDS,
    CompiledEncoder,
    compile_encoder,
)
from napari_pathseg.models.image_encoder import STRIDE
from napari_pathseg.models.mask_decoder import CANDIDATES, DecodedMasks
from napari_pathseg.models.network import ImageEmbedding, PathsegNetwork
from napari_pathseg.models.prompt_encoder import (
    BOX_START,
    BOX_STOP,
    MAX_POINTS,
    NEGATIVE,
    PADDING,
    POSITIVE,
    PromptBatch,
)

ROWS_AT_ONCE = 8
TILES_AT_ONCE = 4
"""Tiles that are encoded at the same time: each takes memory of its own."""


@dataclass(frozen=True, slots=True)
class StoredEmbedding:
    """An embedding of one tile in half precision, 18 MB for 1024 x 1024 pixels; `sharp` is None
    where words alone are asked.
    """

    shape: tuple[int, int]
    tokens: Tensor
    sharp: tuple[Tensor, Tensor] | None
    pixels: Tensor


class PathsegSegmenter:
    """Segmenter over :class:`PathsegNetwork`; safe to call from several threads.

    Parameters
    ----------
    network : PathsegNetwork
    card : ModelCard
    device : str
        "cpu", "cuda" or "mps".
    words_only : bool
        Compile the encoder for words alone, by :meth:`for_words`; here torch encodes.
    """

    def __init__(
        self,
        network: PathsegNetwork,
        card: ModelCard,
        device: str = "cpu",
        *,
        words_only: bool = False,
    ) -> None:
        self._network = network.eval().to(device)
        compiles = device == "cpu" and not words_only
        self._compiled = compile_encoder(network, card.sha256) if compiles else None
        self._compiles_words = device == "cpu" and (words_only or self._compiled is not None)
        self._card = card
        self._device = device
        self._passes = 0
        self._lock: AbstractContextManager[object] = threading.Lock()
        # Answers change nothing; a GPU takes them one after the other.
        self._answering = contextlib.nullcontext() if device == "cpu" else self._lock
        self._beside: _ForWords | None = None

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return self._card

    @property
    def encoder_passes(self) -> int:
        """How many tiles were encoded since it was loaded."""
        return self._passes

    def knows(self, term: Term) -> bool:
        """Whether the term's object was taught in its structure, and well enough to be asked."""
        return term.without_region in self._card.taught

    def for_words(self) -> tuple[Segmenter, int]:
        """The same model for words alone, and from how many threads it is best asked at once."""
        at_once = min(torch.get_num_threads(), TILES_AT_ONCE)
        with self._lock:
            if self._compiles_words and (self._beside is None or self._beside.at_once != at_once):
                self._beside = self._compiled_for_words(at_once)
            return (self, 1) if self._beside is None else (self._beside, at_once)

    def _compiled_for_words(self, at_once: int) -> _ForWords | None:
        own = self._network, self._card.sha256
        encoder = compile_encoder(*own, outputs=FOR_WORDS, at_once=at_once)
        self._compiles_words = encoder is not None  # it is not tried for each slide again
        return None if encoder is None else _ForWords(self, encoder)

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> StoredEmbedding:
        """Encode an sRGB tile (height, width, 3); sides are multiples of 32."""
        shape = (image.shape[0], image.shape[1])
        with self._lock, torch.inference_mode():
            self._passes += 1
            if self._compiled is not None and shape == (COMPILED_TILE_PX, COMPILED_TILE_PX):
                tokens, middle, early, fine = self._compiled(image, around)
                return StoredEmbedding(shape, tokens, (middle, early), fine)
            made = self._network.embed(
                self._tensor(image), None if around is None else self._tensor(around)
            )
            sharp = (made.sharp[0].half(), made.sharp[1].half())
            return StoredEmbedding(shape, made.tokens.half(), sharp, made.pixels.half())

    def _tensor(self, image: npt.NDArray[np.uint8]) -> Tensor:
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
        return pixels[None].float().to(self._device)

    def pack(self, embedding: TileEmbedding) -> bytes:
        """An embedding as bytes, to be kept."""
        stored = _own(embedding)
        middle, early = _sharp(stored)
        maps = {"tokens": stored.tokens, "middle": middle, "early": early, "pixels": stored.pixels}
        return save({name: value.cpu().contiguous() for name, value in maps.items()})

    def unpack(self, data: bytes) -> StoredEmbedding:
        """The embedding of :meth:`pack`; ValueError when the bytes are damaged."""
        try:
            maps = {name: value.to(self._device) for name, value in load(data).items()}
            height, width = maps["tokens"].shape[2:]
            return StoredEmbedding(
                shape=(height * STRIDE, width * STRIDE),
                tokens=maps["tokens"],
                sharp=(maps["middle"], maps["early"]),
                pixels=maps["pixels"],
            )
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"no embedding: {error!r}") from error

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        """Answer queries, each independent of the others; no encoder pass."""
        stored = _own(embedding)
        worded = [i for i, q in enumerate(queries) if q.term is not None and q.mask is None]
        with self._answering, torch.inference_mode():
            words = dict(zip(worded, self._ask(stored, [queries[i] for i in worded]), strict=True))
            answers = {i: a for i, a in words.items() if _is_words_alone(queries[i])}
            prompted = [
                (i, replace(q, mask=words[i].logits) if i in words else q)
                for i, q in enumerate(queries)
                if i not in answers
            ]
            answers |= self._prompted(stored, prompted) if prompted else {}
        return [answers[i] for i in range(len(queries))]

    def _prompted(
        self, stored: StoredEmbedding, prompted: Sequence[tuple[int, TileQuery]]
    ) -> dict[int, TileAnswer]:
        """Answers to places and masks, with or without words, under the numbers they come with."""
        full = self._unpack(stored)
        answers = {}
        for rows in _alike([_padded_points(q) for _, q in prompted]):
            own = [prompted[row] for row in rows]
            decoded = self._network.decode(full, self._batch([q for _, q in own], stored.shape))
            answers.update({i: _answer(decoded, k, q) for k, (i, q) in enumerate(own)})
        return answers

    def _ask(self, stored: StoredEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        """Answers to the words of queries alone, which read the tokens and the pixels only."""
        if not queries:
            return []
        terms = torch.cat([self._term_row(q.term) for q in queries]).to(self._device)
        image = torch.zeros(len(queries), dtype=torch.int64, device=self._device)
        masks = self._network.ask(stored.tokens.float(), stored.pixels.float(), terms, image)
        offsets, shifts = (
            np.array([own.get(q.term.object, 0.0) if q.term else 0.0 for q in queries], np.float32)
            for own in (self._card.offsets, self._card.presence_offsets)
        )
        presence = expit(masks.presence.cpu().numpy() + shifts).tolist()
        quality = masks.quality.clamp(0, 1).tolist()
        none = np.empty((0, *masks.logits.shape[1:]), dtype=np.float32)
        # Each array is new: answers are kept, and a view would keep the masks of all alive.
        return [
            TileAnswer(logits.cpu().numpy() + offset, none, quality[k], presence[k])
            for k, (logits, offset) in enumerate(zip(masks.logits, offsets, strict=True))
        ]

    def _unpack(self, stored: StoredEmbedding) -> ImageEmbedding:
        tokens = stored.tokens.float()
        origin = torch.zeros(1, 2, device=tokens.device)
        height, width = tokens.shape[2:]
        position = self._network.prompt_encoder.grid_position(height, width, origin)
        middle, early = _sharp(stored)
        sharp = (middle.float(), early.float())
        return ImageEmbedding(tokens, position, sharp, stored.pixels.float())

    def _batch(self, queries: Sequence[TileQuery], shape: tuple[int, int]) -> PromptBatch:
        points = [_padded_points(q) for q in queries]
        table = torch.tensor(points, dtype=torch.float32)  # (N, K, 3)
        small = (shape[0] // OUTPUT_STRIDE, shape[1] // OUTPUT_STRIDE)
        masks = [np.zeros(small, np.float32) if q.mask is None else q.mask for q in queries]
        batch = PromptBatch(
            image=torch.zeros(len(queries), dtype=torch.int64),
            term=torch.cat([self._term_row(q.term) for q in queries]),
            points_xy=table[..., :2],
            labels=table[..., 2].long(),
            mask=torch.from_numpy(np.stack(masks)[:, None]),
            has_mask=torch.tensor([q.mask is not None for q in queries]),
        )
        parts = (getattr(batch, name).to(self._device) for name in batch.__slots__)
        return PromptBatch(*parts)

    def _term_row(self, term: Term | None) -> Tensor:
        if term is None:
            return torch.full((1, 3), -1, dtype=torch.int64)
        return self._network.term_encoder.indices([term])


class _ForWords:
    """A segmenter for words alone, asked from several threads at the same time: each tile has
    threads of its own.

    It answers as the segmenter that it stands beside; encoding leaves out what only clicks need.
    """

    def __init__(self, own: PathsegSegmenter, encoder: CompiledEncoder) -> None:
        self._own, self._encoder, self.at_once = own, encoder, encoder.at_once
        self._counting = threading.Lock()
        self.card, self.knows = own.card, own.knows
        self.decode, self.pack, self.unpack = own.decode, own.pack, own.unpack

    @property
    def encoder_passes(self) -> int:
        """Of both."""
        return self._own.encoder_passes

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> StoredEmbedding:
        """As the segmenter that it stands beside; what clicks need is left out."""
        shape = (image.shape[0], image.shape[1])
        if shape != (COMPILED_TILE_PX, COMPILED_TILE_PX):
            return self._own.encode(image, around)
        with self._counting:
            self._own._passes += 1
        tokens, pixels = self._encoder(image, around)
        return StoredEmbedding(shape, tokens, None, pixels)


def _own(embedding: TileEmbedding) -> StoredEmbedding:
    if not isinstance(embedding, StoredEmbedding):
        raise TypeError("the embedding was made by another segmenter")
    return embedding


def _sharp(embedding: StoredEmbedding) -> tuple[Tensor, Tensor]:
    if embedding.sharp is None:
        raise TypeError("the embedding was made for words alone")
    return embedding.sharp


def _padded_points(query: TileQuery) -> list[tuple[float, float, float]]:
    """(x, y, SAM label) of a query's points and box corners, padded as in training.

    The padding depends on the query alone, so that what it is asked beside changes nothing.
    """
    points = [(x, y, float(POSITIVE if positive else NEGATIVE)) for y, x, positive in query.points]
    if query.box is not None:
        y0, x0, y1, x1 = query.box
        points += [(x0, y0, float(BOX_START)), (x1, y1, float(BOX_STOP))]
    return points + [(0.0, 0.0, float(PADDING))] * (MAX_POINTS - len(points))


def _alike(points: Sequence[Sequence[object]]) -> list[list[int]]:
    """Positions of queries with equally many points, in batches of at most `ROWS_AT_ONCE`."""
    by_count: dict[int, list[int]] = {}
    for i, own in enumerate(points):
        by_count.setdefault(len(own), []).append(i)
    return [
        rows[start : start + ROWS_AT_ONCE]
        for rows in by_count.values()
        for start in range(0, len(rows), ROWS_AT_ONCE)
    ]


def _is_words_alone(query: TileQuery) -> bool:
    """Whether the words' own mask is the answer, and not what places then correct."""
    return query.term is not None and not query.points and query.box is None and query.mask is None


def _answer(decoded: DecodedMasks, row: int, query: TileQuery) -> TileAnswer:
    """Pick the masks that fit the kind of query."""
    clicks = decoded.clicks[row].cpu().numpy()  # (4, h, w)
    quality = decoded.quality[row].clamp(0, 1).cpu().numpy()
    order = np.argsort(-quality[1 : 1 + CANDIDATES])
    candidates = clicks[1 : 1 + CANDIDATES][order]
    if query.term is not None:
        text = decoded.text[row].cpu().numpy().copy()
        return TileAnswer(text, candidates[:0].copy(), float(quality[4]), 1.0)
    if len(query.points) == 1 and query.box is None and query.mask is None:
        return TileAnswer(candidates[0], candidates, float(quality[1:4].max()), 1.0)
    return TileAnswer(clicks[0], candidates, float(quality[0]), 1.0)
