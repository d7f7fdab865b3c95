"""Turning stored pixels into the one form that every backend gives: uint8 RGB on white."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Shape
from napari_pathseg.slide.base import RGB

BLANK = 200
"""Grey of what of a slide is not there: darker than glass, lighter than most tissue."""

ReadInside = Callable[[int, int, int, int], npt.NDArray[Any]]


def read_on_white(field: Field, level_shape: Shape, read: ReadInside) -> RGB:
    """A field that may hang over the slide's edge: what lies outside is white.

    Parameters
    ----------
    field : Field
        What is wanted.
    level_shape : (int, int)
        Height and width of the field's level.
    read : callable
        Takes y, x, height, width in level pixels, wholly inside the level.

    Returns
    -------
    uint8 array (height, width, 3)
    """
    return inside_of(field, level_shape, read, None)


def inside_of(
    field: Field, level_shape: Shape, read: ReadInside, around: npt.NDArray[Any] | None
) -> npt.NDArray[Any]:
    """What `read` gives of a field inside its level, laid on `around` (None: white)."""
    y0, x0 = max(field.y, 0), max(field.x, 0)
    y1 = min(field.y + field.height, level_shape[0])
    x1 = min(field.x + field.width, level_shape[1])
    if (y1 - y0, x1 - x0) == field.shape:
        return read(y0, x0, field.height, field.width)
    out = np.full((*field.shape, 3), 255, dtype=np.uint8) if around is None else around
    if y1 > y0 and x1 > x0:
        inside = read(y0, x0, y1 - y0, x1 - x0)
        out[y0 - field.y : y1 - field.y, x0 - field.x : x1 - field.x] = inside
    return out


def alpha_on_white(rgba: npt.NDArray[np.uint8]) -> RGB:
    """Composite straight (not premultiplied) alpha on white.

    Parameters
    ----------
    rgba : uint8 array (height, width, 4)

    Returns
    -------
    uint8 array (height, width, 3)
        C contiguous.
    """
    alpha = rgba[..., 3]
    if alpha.min(initial=255) == 255:
        return np.ascontiguousarray(rgba[..., :3])
    weight = alpha[..., None].astype(np.uint16)
    mixed = rgba[..., :3] * weight + 255 * (255 - weight) + 127
    return (mixed // 255).astype(np.uint8)


def to_uint8(
    values: npt.NDArray[Any], window: tuple[float, float] | None = None
) -> npt.NDArray[np.uint8]:
    """Map numbers of any type to 0..255.

    Parameters
    ----------
    values : array of bool, integers or floats
    window : (float, float), optional
        Values shown as 0 and as 255; the type's whole range when not given
        (0 to 1 for floats).

    Returns
    -------
    uint8 array of the same shape
    """
    if values.dtype == np.uint8 and window is None:
        return values
    if window is None:
        window = _type_range(values.dtype)
    low, high = window
    factor = 255 / max(high - low, 1e-30)
    scaled = np.subtract(values, low, dtype=np.float32) * np.float32(factor)
    if values.dtype.kind == "f":
        scaled = np.nan_to_num(scaled, copy=False, nan=0.0, posinf=255.0, neginf=0.0)
    rounded: npt.NDArray[np.uint8] = (np.clip(scaled, 0, 255) + 0.5).astype(np.uint8)
    return rounded


def _type_range(dtype: np.dtype[Any]) -> tuple[float, float]:
    if dtype.kind in "iu":
        info = np.iinfo(dtype)
        return float(info.min), float(info.max)
    return 0.0, 1.0
