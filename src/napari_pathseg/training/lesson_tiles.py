"""Fields as the base model sees them: tiles encoded once, with their targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_pathseg.classes import Term
from napari_pathseg.config import SegmentConfig
from napari_pathseg.geometry import Shape
from napari_pathseg.models.adapted import features_of
from napari_pathseg.models.base import (
    OUTPUT_STRIDE,
    FloatMap,
    Segmenter,
    TileQuery,
    gated,
    padded,
)
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.slide.scale import unscaled_downsample
from napari_pathseg.training.augment import jitter_stain, turn
from napari_pathseg.training.lesson import LessonField, LessonProgress

TILE_PX = SegmentConfig().tile_px
LEAST_PX = 16  # a narrower rest at a picture's edge is no tile of its own
MAX_SIDE_TILES = 6

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One tile as it is or turned and recoloured; h, w are a quarter of its sides.

    Attributes
    ----------
    tokens, pixels : half Tensor (256, h / 4, w / 4), (64, h, w)
    base : float Tensor (h, w)
        What the base says of the term; zero for a new one.
    target, valid : float Tensor (h, w)
        The share of each pixel that is the term; 1 where the tile lies in its field.
    """

    tokens: Tensor
    pixels: Tensor
    base: Tensor
    target: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class LessonTile:
    """A tile of a field: first as it is, then its variants.

    Attributes
    ----------
    field : int
        Which of the fields.
    y, x : int
        Its first pixel in the field's picture, in quarters of model pixels.
    """

    field: int
    y: int
    x: int
    views: tuple[View, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """A tile before it is encoded."""

    field: int
    y: int
    x: int
    image: RGB
    target: Tensor
    valid: Tensor


def model_shape(field: LessonField, working_mpp: float) -> Shape:
    """Height and width of a field's picture on model pixels, as a session shows it."""
    height, width = field.target.shape
    if field.mpp is not None:
        scale = field.mpp[0] / working_mpp, field.mpp[1] / working_mpp
    else:
        down = field.downsample
        wanted = unscaled_downsample(max(height * down[0], width * down[1]), working_mpp)
        scale = down[0] / wanted, down[1] / wanted
    return max(round(height * scale[0]), 1), max(round(width * scale[1]), 1)


def cut_field(
    index: int, field: LessonField, working_mpp: float, most: int, seed: int
) -> list[Cut]:
    """Tiles of a field; of more than `most`, those with the term first, then any."""
    shape = model_shape(field, working_mpp)
    picture = _resized(torch.from_numpy(field.read().transpose(2, 0, 1).copy()), shape)
    target = _resized(torch.from_numpy(field.target[None].astype(np.float32)), shape)[0]
    pixels = picture.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()
    cuts = [_cut(index, pixels, target, y, x) for y in _starts(shape[0]) for x in _starts(shape[1])]
    if len(cuts) <= most:
        return cuts
    order = np.random.default_rng(seed).permutation(len(cuts)).tolist()
    order.sort(key=lambda i: not bool((cuts[i].target > 0.5).any()))
    # A quarter is kept for tiles without the term, where there are such.
    without = [i for i in order if not bool((cuts[i].target > 0.5).any())][: most // 4]
    with_term = [i for i in order if i not in without][: most - len(without)]
    return [cuts[i] for i in sorted(with_term + without)]


def encode_cut(
    cut: Cut, segmenter: Segmenter, asked: Term | None, variants: int, rng: np.random.Generator
) -> LessonTile:
    """Encode a tile and some variants of it.

    Parameters
    ----------
    asked : Term or None
        What the base is asked too; None for a term that it does not know.
    """
    views = [_view(cut, segmenter, asked)]
    for _ in range(variants):
        turns, flip = int(rng.integers(4)), bool(rng.random() < 0.5)
        color = jitter_stain(cut.image.astype(np.float32), rng, strength=0.2)
        image = turn(torch.from_numpy(color.transpose(2, 0, 1).copy()), turns, flip)
        pixels = image.round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
        turned = replace(
            cut,
            image=pixels,
            target=turn(cut.target, turns, flip),
            valid=turn(cut.valid, turns, flip),
        )
        views.append(_view(turned, segmenter, asked))
    return LessonTile(cut.field, cut.y, cut.x, tuple(views))


def encode_all(
    cuts: Sequence[Cut],
    segmenter: Segmenter,
    asked: Term | None,
    variants: int,
    seed: int,
    progress: ProgressCallback,
    cancel: CancelToken,
) -> list[LessonTile]:
    """Encode tiles one by one; CancelledError between two."""
    rng = np.random.default_rng(seed)
    tiles = []
    for i, cut in enumerate(cuts):
        cancel.raise_if_cancelled()
        progress(LessonProgress(i, len(cuts), f"Looking at tile {i + 1} of {len(cuts)}"))
        tiles.append(encode_cut(cut, segmenter, asked, variants, rng))
    return tiles


def _view(cut: Cut, segmenter: Segmenter, asked: Term | None) -> View:
    embedding = segmenter.encode(cut.image)
    tokens, pixels = features_of(embedding)
    base: FloatMap = np.zeros(cut.target.shape, dtype=np.float32)
    if asked is not None:
        [answer] = segmenter.decode(embedding, [TileQuery(term=asked)])
        base = gated(answer, segmenter.card.presence_gate)
    return View(
        tokens[0].detach().cpu().half().clone(),
        pixels[0].detach().cpu().half().clone(),
        torch.from_numpy(base.astype(np.float32)),
        cut.target,
        cut.valid,
    )


def _starts(length: int) -> list[int]:
    """Where tiles start along an axis: evenly, overlapping rather than hanging over the edge."""
    count = math.ceil(max(length - LEAST_PX, 1) / TILE_PX)
    room = max(math.ceil((length - TILE_PX) / OUTPUT_STRIDE), 0)
    return [i * room // max(count - 1, 1) * OUTPUT_STRIDE for i in range(count)]


def _cut(index: int, pixels: RGB, target: Tensor, y: int, x: int) -> Cut:
    """A tile that may reach over the picture's edge, where nothing is known."""
    image = pixels[y : y + TILE_PX, x : x + TILE_PX]
    height, width = image.shape[:2]
    below, right = TILE_PX - height, TILE_PX - width
    inside = target[y : y + TILE_PX, x : x + TILE_PX][None, None]
    known = functional.pad(torch.ones_like(inside), (0, right, 0, below))
    small = [
        functional.avg_pool2d(part, OUTPUT_STRIDE)[0, 0]
        for part in (functional.pad(inside, (0, right, 0, below)), known)
    ]
    valid = (small[1] > 0.5).float()
    row, column = y // OUTPUT_STRIDE, x // OUTPUT_STRIDE
    return Cut(index, row, column, padded(image, (TILE_PX, TILE_PX)), small[0] * valid, valid)


def _resized(tensor: Tensor, shape: Shape) -> Tensor:
    """A picture (C, H, W) on another grid, corner on corner, antialiased."""
    if tuple(tensor.shape[1:]) == shape:
        return tensor.float()
    return functional.interpolate(
        tensor[None].float(), shape, mode="bilinear", antialias=True, align_corners=False
    )[0]


def most_tiles(field_count: int, total: int) -> int:
    """How many tiles a field may have, so that all fit."""
    return max(1, min(total // max(field_count, 1), MAX_SIDE_TILES**2))


def variants_for(tiles: int, encodings: int) -> int:
    """How many variants of each tile there is time for, one to three."""
    return int(np.clip(math.floor(encodings / max(tiles, 1)) - 1, 1, 3))
