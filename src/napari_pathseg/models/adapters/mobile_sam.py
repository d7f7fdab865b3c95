"""MobileSAM as published: clicks and boxes, no words; the yardstick of our own clicks.

Source: MobileSAM (arXiv 2306.14289), weights Apache-2.0. Inputs are enlarged to 1024 pixels, as
it was trained.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from segment_anything.modeling import MaskDecoder, TwoWayTransformer
from segment_anything.modeling import PromptEncoder as SamPromptEncoder
from torch import Tensor, nn
from torch.nn import functional

from napari_pathseg.classes import Term
from napari_pathseg.errors import PromptError
from napari_pathseg.models.base import (
    OUTPUT_STRIDE,
    ModelCard,
    TileAnswer,
    TileEmbedding,
    TileQuery,
)
from napari_pathseg.models.image_encoder import STRIDE, ImageEncoder
from napari_pathseg.models.sources import fetch_mobile_sam
from napari_pathseg.models.weights import MOBILE_SAM_SHA256, load_matching, read_mobile_sam

FRAME = 1024
NAME = "mobile-sam"
CARD = ModelCard(
    name=NAME,
    version="1",
    sha256=MOBILE_SAM_SHA256,
    license="Apache-2.0",
    research_only=False,
    summary="MobileSAM's original weights: clicks and boxes on anything, trained on photographs. "
    "It knows no words.",
    objects=(),
    regions=(),
    working_mpp={},
    presence_gate=0.0,
    figures=(),
)


@dataclass(frozen=True, slots=True)
class SamEmbedding:
    """A tile's tokens, and how much it was enlarged."""

    shape: tuple[int, int]
    scale: float
    tokens: Tensor


class _Network(nn.Module):
    """The parts of SAM under the names that `read_mobile_sam` gives its weights."""

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder()
        grid = FRAME // STRIDE
        self.prompt_encoder = nn.ModuleDict(
            {"sam": SamPromptEncoder(256, (grid, grid), (FRAME, FRAME), 16)}
        )
        transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
        self.mask_decoder = nn.ModuleDict(
            {"sam": MaskDecoder(transformer_dim=256, transformer=transformer)}
        )


class MobileSamSegmenter:
    """Segmenter over MobileSAM's original weights; fetched by name when first asked for.

    Raises
    ------
    FetchError
        When the weights can not be had.
    """

    def __init__(self, device: str = "cpu") -> None:
        path = fetch_mobile_sam()
        self._network = _Network()
        load_matching(self._network, read_mobile_sam(path), path)
        self._network.eval().to(device)
        self._device = device
        self._passes = 0
        self._lock = threading.Lock()

    @property
    def card(self) -> ModelCard:
        """What the model is."""
        return CARD

    @property
    def encoder_passes(self) -> int:
        """How many tiles were encoded since it was loaded."""
        return self._passes

    def knows(self, term: Term) -> bool:
        """It knows no words."""
        return False

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> SamEmbedding:
        """Encode an sRGB tile (height, width, 3), enlarged so that its long side is 1024."""
        height, width = image.shape[:2]
        scale = FRAME / max(height, width)
        pixels = torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))[None].float()
        size = (round(height * scale), round(width * scale))
        large = functional.interpolate(pixels, size, mode="bilinear", align_corners=False)
        mean = self._network.image_encoder.mean.cpu().expand(1, 3, FRAME, FRAME).clone()
        mean[..., : size[0], : size[1]] = large  # the mean becomes SAM's zero padding
        with self._lock, torch.inference_mode():
            tokens = self._network.image_encoder(mean.to(self._device)).tokens
            self._passes += 1
        return SamEmbedding((height, width), scale, tokens)

    def pack(self, embedding: TileEmbedding) -> bytes:
        """An embedding as bytes, to be kept."""
        own = _own(embedding)
        return save({"tokens": own.tokens.cpu().half(), "shape": torch.tensor(own.shape)})

    def unpack(self, data: bytes) -> SamEmbedding:
        """The embedding of :meth:`pack`; ValueError when the bytes are damaged."""
        try:
            maps = load(data)
            height, width = maps["shape"].tolist()
            tokens = maps["tokens"].float().to(self._device)
        except (SafetensorError, KeyError) as error:
            raise ValueError(f"no embedding: {error!r}") from error
        return SamEmbedding((height, width), FRAME / max(height, width), tokens)

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        """Answer points, boxes and masks one by one.

        Raises
        ------
        PromptError
            For words.
        """
        own = _own(embedding)
        if any(q.term is not None for q in queries):
            raise PromptError(f"{NAME} knows no words.", "Click, draw a box, or take our model.")
        with self._lock, torch.inference_mode():
            return [self._answer(own, query) for query in queries]

    def _answer(self, embedding: SamEmbedding, query: TileQuery) -> TileAnswer:
        prompts: nn.Module = self._network.prompt_encoder["sam"]
        decoder: nn.Module = self._network.mask_decoder["sam"]
        sparse, dense = prompts(
            self._points(embedding, query),
            self._box(embedding, query),
            self._mask(embedding, query.mask),
        )
        masks, quality = decoder(
            image_embeddings=embedding.tokens,
            image_pe=prompts.get_dense_pe(),  # type: ignore[operator]
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=_is_ambiguous(query),
        )
        order = torch.argsort(-quality[0])
        maps = self._shrink(masks[:, order], embedding)
        score = float(quality[0, order[0]].clamp(0, 1))
        return TileAnswer(maps[0], maps, score, 1.0)

    def _points(self, embedding: SamEmbedding, query: TileQuery) -> tuple[Tensor, Tensor] | None:
        if not query.points:
            return None
        xy = [[x, y] for y, x, _ in query.points]
        labels = [[int(positive) for _, _, positive in query.points]]
        return self._framed(embedding, [xy]), torch.tensor(labels, device=self._device)

    def _box(self, embedding: SamEmbedding, query: TileQuery) -> Tensor | None:
        if query.box is None:
            return None
        y0, x0, y1, x1 = query.box
        return self._framed(embedding, [[x0, y0, x1, y1]])

    def _framed(self, embedding: SamEmbedding, places: object) -> Tensor:
        """Tile pixels in SAM's frame; SAM adds half a pixel, which ours have already."""
        table = torch.tensor(places, dtype=torch.float32, device=self._device)
        return table * embedding.scale - 0.5

    def _mask(self, embedding: SamEmbedding, mask: npt.NDArray[np.float32] | None) -> Tensor | None:
        if mask is None:
            return None
        grid = FRAME // OUTPUT_STRIDE
        size = [round(side * embedding.scale) for side in mask.shape]
        large = functional.interpolate(
            torch.from_numpy(mask)[None, None], size, mode="bilinear", align_corners=False
        )
        full = torch.full((1, 1, grid, grid), -10.0)
        full[..., : size[0], : size[1]] = large[..., :grid, :grid]
        return full.to(self._device)

    @staticmethod
    def _shrink(masks: Tensor, embedding: SamEmbedding) -> npt.NDArray[np.float32]:
        """Masks (1, K, 256, 256) of the frame on a quarter of the tile's grid (K, h/4, w/4)."""
        height, width = embedding.shape
        inside = [round(side * embedding.scale) // OUTPUT_STRIDE for side in (height, width)]
        cut = masks[..., : inside[0], : inside[1]].cpu()
        size = (height // OUTPUT_STRIDE, width // OUTPUT_STRIDE)
        small = functional.interpolate(cut, size, mode="bilinear", antialias=True)
        out: npt.NDArray[np.float32] = small[0].numpy()
        return out


def _own(embedding: TileEmbedding) -> SamEmbedding:
    if not isinstance(embedding, SamEmbedding):
        raise TypeError("the embedding was made by another segmenter")
    return embedding


def _is_ambiguous(query: TileQuery) -> bool:
    return len(query.points) == 1 and query.box is None and query.mask is None
