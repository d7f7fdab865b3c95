"""Cut a picture into overlapping tiles, and blend what comes back, on logits."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from napari_pathseg.geometry import Field, Shape
from napari_pathseg.models.base import padded

START_STEP = 16  # the tokens of all tiles lie on one grid

OUTSIDE = np.float32(-20.0)  # logits of what is out for certain

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of model pixels; it may reach over the picture's edge, where it is padded."""

    y: int
    x: int
    height: int
    width: int

    def inside(self, shape: Shape) -> tuple[slice, slice]:
        """The part of a picture of `shape` it covers."""
        stop_y, stop_x = min(self.y + self.height, shape[0]), min(self.x + self.width, shape[1])
        return slice(self.y, stop_y), slice(self.x, stop_x)


def plan_tiles(shape: Shape, tile_px: int, overlap_px: int) -> tuple[Tile, ...]:
    """Squares of `tile_px` that cover a picture, neighbours sharing at least `overlap_px`.

    They stand on one grid from the picture's first pixel, whatever its size, but for the last row
    and column, which end with it.
    """
    starts_y, starts_x = (_starts(side, tile_px, overlap_px) for side in shape)
    return tuple(Tile(y, x, tile_px, tile_px) for y in starts_y for x in starts_x)


def count_tiles(shape: Shape, tile_px: int, overlap_px: int) -> int:
    """How many tiles :func:`plan_tiles` would give, at no cost however many there are."""
    return _count(shape[0], tile_px, overlap_px) * _count(shape[1], tile_px, overlap_px)


def _count(length: int, tile_px: int, overlap_px: int) -> int:
    return max(1, math.ceil((length - tile_px) / _step(tile_px, overlap_px)) + 1)


def _starts(length: int, tile_px: int, overlap_px: int) -> list[int]:
    step = _step(tile_px, overlap_px)
    last = max(math.ceil((length - tile_px) / START_STEP), 0) * START_STEP
    return [min(i * step, last) for i in range(_count(length, tile_px, overlap_px))]


def _step(tile_px: int, overlap_px: int) -> int:
    return max((tile_px - overlap_px) // START_STEP, 1) * START_STEP


def cut(picture: npt.NDArray[np.uint8], tile: Tile) -> npt.NDArray[np.uint8]:
    """Pixels of a tile (height, width, 3); bare glass over the edge, as in training."""
    return padded(picture[tile.inside(picture.shape[:2])], (tile.height, tile.width))


class Blend:
    """Weighted mean of overlapping tiles, with weights that fall to the tiles' edges.

    Parameters
    ----------
    shape : (int, int)
        Of the whole picture.
    ramp_px : int
        Width of the fall at each edge.
    """

    def __init__(self, shape: Shape, ramp_px: int) -> None:
        self._sum = np.zeros(shape, dtype=np.float32)
        self._weight = np.zeros(shape, dtype=np.float32)
        self._ramp = max(ramp_px, 1)

    def add(self, tile: Tile, values: FloatMap) -> None:
        """Add a tile's map (height, width)."""
        where = tile.inside(self._sum.shape)
        height, width = (s.stop - s.start for s in where)
        weight = np.minimum.outer(self._fall(tile.height), self._fall(tile.width))[:height, :width]
        self._sum[where] += values[:height, :width] * weight
        self._weight[where] += weight

    def result(self) -> FloatMap:
        """The blended map (height, width)."""
        mean: FloatMap = (self._sum / np.maximum(self._weight, 1e-6)).astype(np.float32)
        return mean

    def _fall(self, length: int) -> FloatMap:
        distance = np.minimum(np.arange(length) + 1, np.arange(length, 0, -1))
        fall: FloatMap = np.minimum(distance / self._ramp, 1.0).astype(np.float32)
        return fall


def resize_map(values: FloatMap, shape: Shape) -> FloatMap:
    """A soft map on another grid, corner on corner, bilinear."""
    if values.shape == shape:
        return values
    tensor = torch.from_numpy(np.ascontiguousarray(values))[None, None]
    smaller = shape[0] < values.shape[0]
    resized = functional.interpolate(
        tensor, shape, mode="bilinear", align_corners=False, antialias=smaller
    )
    out: FloatMap = resized[0, 0].numpy()
    return out


def resize_picture(picture: npt.NDArray[np.uint8], shape: Shape) -> npt.NDArray[np.uint8]:
    """Pixels (H, W, 3) in sRGB on another grid, corner on corner, antialiased."""
    if picture.shape[:2] == shape:
        return picture
    tensor = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    resized = functional.interpolate(
        tensor, shape, mode="bilinear", align_corners=False, antialias=True
    )
    out: npt.NDArray[np.uint8] = resized[0].numpy().transpose(1, 2, 0)
    return out


def place_map(values: FloatMap, source: Field, target: Field) -> FloatMap:
    """A soft map that covers `source`, on the pixels of `target`.

    Every target pixel takes the value at its own place, whatever the levels, so that nothing
    shifts. Where it lies a whole source pixel or more outside `source`, it is `OUTSIDE`.

    Parameters
    ----------
    values : float32 array (h, w)
        Any grid laid corner on corner over `source`.

    Returns
    -------
    float32 array of `target.shape`
    """
    if source == target:
        return resize_map(values, target.shape)
    y = _target_places(target.height, target.origin[0], target.downsample[0])
    x = _target_places(target.width, target.origin[1], target.downsample[1])
    y = (y - source.origin[0]) / (source.height * source.downsample[0]) * 2 - 1
    x = (x - source.origin[1]) / (source.width * source.downsample[1]) * 2 - 1
    grid = torch.from_numpy(np.stack(np.meshgrid(x, y), axis=-1).astype(np.float32))[None]
    placed = functional.grid_sample(
        torch.from_numpy(values)[None, None],
        grid,
        mode="bilinear",
        padding_mode="border",
        align_corners=False,
    )
    out: FloatMap = placed[0, 0].numpy()
    out[np.abs(y) > 1 + 2 / source.height] = OUTSIDE
    out[:, np.abs(x) > 1 + 2 / source.width] = OUTSIDE
    return out


def _target_places(count: int, origin: float, downsample: float) -> npt.NDArray[np.float64]:
    """Level-0 centres of pixels along one axis."""
    centers = np.arange(count, dtype=np.float64) + 0.5
    return centers * downsample + origin
