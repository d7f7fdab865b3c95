"""What lies around a tile: read from the slide, twice as wide, at a quarter of the resolution."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from napari_pathseg.geometry import Field, nearest_level
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.models.base import EDGE_SHADE
from napari_pathseg.models.context import COARSER, WIDER
from napari_pathseg.slide.base import RGB, Slide


def read_around(slide: Slide, field: Field, shape: tuple[int, int], tile: Tile) -> RGB:
    """The context of a tile (height / 2, width / 2, 3); bare glass beyond the slide's edge.

    Parameters
    ----------
    field, shape
        What the whole picture shows, and its size in model pixels.
    tile : Tile
        Model pixels of the picture.
    """
    # Level-0 pixels per model pixel, and where the context starts.
    scale = [n * d / s for n, d, s in zip(field.shape, field.downsample, shape, strict=True)]
    sides = tile.height, tile.width
    starts = [
        origin + (corner - side * (WIDER - 1) / 2) * each
        for origin, corner, side, each in zip(
            field.origin, (tile.y, tile.x), sides, scale, strict=True
        )
    ]
    index = nearest_level([level.downsample for level in slide.levels], COARSER * min(scale))
    level = slide.levels[index]
    rows, columns = (
        _Span(start / d, COARSER * each / d, side * WIDER // COARSER, length)
        for start, each, side, d, length in zip(
            starts, scale, sides, level.downsample, level.shape, strict=True
        )
    )
    around = np.full((rows.count, columns.count, 3), EDGE_SHADE, dtype=np.uint8)
    if rows.is_empty or columns.is_empty:
        return around
    pixels = slide.read(
        Field(index, rows.read, columns.read, rows.length, columns.length, level.downsample)
    )
    box_xy = (columns.low, rows.low, columns.high, rows.high)
    size_xy = (columns.stop - columns.start, rows.stop - rows.start)
    seen = Image.fromarray(pixels).resize(size_xy, Image.Resampling.BILINEAR, box=box_xy)
    around[rows.start : rows.stop, columns.start : columns.stop] = np.asarray(seen)
    return around


class _Span:
    """One axis of a context: which of its pixels lie on the slide, and where these are read.

    Parameters
    ----------
    first, step : float
        Where the context starts and how far its pixels are apart, level pixels.
    count : int
        Pixels of the context.
    length : int
        Of the level.

    Attributes
    ----------
    start, stop : int
        The first pixel of the context that lies on the slide, and one past the last.
    read, length : int
        Level pixels that are read.
    low, high : float
        Where the pixels from `start` to `stop` lie in what is read.
    """

    def __init__(self, first: float, step: float, count: int, length: int) -> None:
        self.count = count
        self.start = min(max(round(-first / step), 0), count)
        self.stop = max(min(round((length - first) / step), count), self.start)
        low = max(first + self.start * step, 0.0)
        high = min(first + self.stop * step, float(length))
        margin = math.ceil(step) + 1  # what resampling takes into account beside a pixel
        self.read = max(math.floor(low) - margin, 0)
        self.length = min(math.ceil(high) + margin, length) - self.read
        self.low, self.high = low - self.read, high - self.read

    @property
    def is_empty(self) -> bool:
        """Whether nothing of it lies on the slide."""
        return self.stop <= self.start
