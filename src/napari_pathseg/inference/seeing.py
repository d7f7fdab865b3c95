"""What the model sees of a tile, read from the slide."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from napari_pathseg.geometry import Field
from napari_pathseg.inference.context import read_around
from napari_pathseg.inference.plan import Plan
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.models.base import padded
from napari_pathseg.slide.base import RGB, Slide


def read_seen(slide: Slide, plan: Plan, tile: Tile) -> tuple[RGB, ...]:
    """What the model sees of a tile: its pixels, and its context where the plan says so."""
    pixels = read_tile(slide, plan, tile)
    if not plan.context:
        return (pixels,)
    return pixels, read_around(slide, plan.field, plan.shape, tile)


def read_tile(slide: Slide, plan: Plan, tile: Tile) -> RGB:
    """Pixels of a tile (height, width, 3) of a plan.

    They are what the whole picture, resized to the plan's shape, would have there, whatever the
    tile: bilinear and antialiased, corner on corner. Beyond the edge is bare glass.
    """
    field, shape = plan.field, plan.shape
    scale = field.height / shape[0], field.width / shape[1]
    stop_y, stop_x = min(tile.y + tile.height, shape[0]), min(tile.x + tile.width, shape[1])
    top, height = _with_margin(tile.y * scale[0], stop_y * scale[0], scale[0], field.height)
    left, width = _with_margin(tile.x * scale[1], stop_x * scale[1], scale[1], field.width)
    pixels = slide.read(
        Field(field.level, field.y + top, field.x + left, height, width, field.downsample)
    )
    box_xy = (
        tile.x * scale[1] - left,
        tile.y * scale[0] - top,
        min(stop_x * scale[1] - left, width),
        min(stop_y * scale[0] - top, height),
    )
    part = _resized(pixels, (stop_y - tile.y, stop_x - tile.x), box_xy)
    return padded(part, (tile.height, tile.width))


def _with_margin(start: float, stop: float, scale: float, length: int) -> tuple[int, int]:
    """First pixel and number of pixels that resampling needs between two places."""
    margin = math.ceil(max(scale, 1.0)) + 1
    first = max(math.floor(start) - margin, 0)
    return first, min(math.ceil(stop) + margin, length) - first


def _resized(pixels: RGB, shape: tuple[int, int], box_xy: tuple[float, float, float, float]) -> RGB:
    exact = (0.0, 0.0, float(shape[1]), float(shape[0]))
    if all(abs(a - b) < 1e-9 for a, b in zip(box_xy, exact, strict=True)):
        return pixels[: shape[0], : shape[1]]
    picture = Image.fromarray(pixels)
    size_xy = (shape[1], shape[0])
    # Pillow's resampling takes what lies around the box into account, as the whole picture's does.
    return np.asarray(picture.resize(size_xy, Image.Resampling.BILINEAR, box=box_xy))
