"""Cut a picture into overlapping tiles, and blend what comes back, on logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from napari_pathseg.geometry import Field, Shape

START_STEP = 16  # the tokens of all tiles lie on one grid
MARGIN_PX = 16  # of a tile, where it is not looked at alone

OUTSIDE = np.float32(-20.0)  # logits of what is out for certain

FloatMap = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of model pixels; it may reach over the picture's edge, where it is padded.

    Attributes
    ----------
    y, x, height, width : int
    late_y, late_x : int
        So much of its start is the affair of the tile before it alone.
    """

    y: int
    x: int
    height: int
    width: int
    late_y: int = 0
    late_x: int = 0

    def inside(self, shape: Shape) -> tuple[slice, slice]:
        """The part of a picture of `shape` it covers."""
        stop_y, stop_x = min(self.y + self.height, shape[0]), min(self.x + self.width, shape[1])
        return slice(self.y, stop_y), slice(self.x, stop_x)


@dataclass(frozen=True, slots=True)
class Starts:
    """Where tiles start along one axis: every `step` pixels from `first`, but for the one that
    starts at `last`, which may be nearer to the one before.

    As much nearer as it is, as much it is :meth:`late`: what two tiles share counts the same
    wherever they are, and the last one adds only what nobody else shows.
    """

    first: int
    step: int
    last: int

    def __len__(self) -> int:
        return math.ceil((self.last - self.first) / self.step) + 1

    def __iter__(self) -> Iterator[int]:
        return (min(self.first + i * self.step, self.last) for i in range(len(self)))

    def late(self, start: int) -> int:
        """How much of the tile at `start` is the affair of the one before it alone."""
        return -start % self.step


def tile_starts(
    length: int, tile_px: int, overlap_px: int, low: float = 0.0, high: float = math.inf
) -> Starts:
    """The tiles of a picture's side that show the pixels from `low` to `high`.

    All stand on one grid from the picture's first pixel, whatever is asked, neighbours sharing at
    least `overlap_px`; the last ends with the picture. As many are taken as show every pixel
    `MARGIN_PX` from their edges, or where the picture ends, and where it is their affair.
    """
    step = max((tile_px - overlap_px) // START_STEP, 1) * START_STEP
    last = max(math.ceil((length - tile_px) / START_STEP), 0) * START_STEP
    end = math.ceil(last / step)  # the number of the last tile
    first = min(max(math.floor((low - MARGIN_PX) / step), 0), end)
    wanted = min(high, float(length)) + MARGIN_PX - tile_px
    stop = min(max(math.ceil(wanted / step), first), end)
    return Starts(min(first * step, last), step, min(stop * step, last))


def one_start(center: float, length: int, side: int) -> Starts:
    """One tile around a place of a picture's side, and in it as far as it can be."""
    at = min(max(round(center - side / 2), 0), max(length - side, 0))
    return Starts(at, 1, at)


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
    y = (y - source.origin[0]) / (source.height * source.downsample[0])
    x = (x - source.origin[1]) / (source.width * source.downsample[1])
    above, below, share = _neighbours(y, values.shape[0])
    rows = torch.from_numpy(values)
    rows = torch.lerp(rows.index_select(0, above), rows.index_select(0, below), share[:, None])
    left, right, share = _neighbours(x, values.shape[1])
    placed = torch.lerp(rows.index_select(1, left), rows.index_select(1, right), share)
    out: FloatMap = placed.numpy()
    out[np.abs(y - 0.5) > 0.5 + 1 / source.height] = OUTSIDE
    out[:, np.abs(x - 0.5) > 0.5 + 1 / source.width] = OUTSIDE
    return out


def _neighbours(places: npt.NDArray[np.float64], length: int) -> tuple[Tensor, Tensor, Tensor]:
    """The pixels of an axis on both sides of places along it, 0 to 1, and how far each place is
    from the first to the second.
    """
    at = np.clip(places * length - 0.5, 0, length - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, length - 1)
    return torch.from_numpy(low), torch.from_numpy(high), torch.from_numpy(at - low).float()


def _target_places(count: int, origin: float, downsample: float) -> npt.NDArray[np.float64]:
    """Level-0 centres of pixels along one axis."""
    centers = np.arange(count, dtype=np.float64) + 0.5
    return centers * downsample + origin
