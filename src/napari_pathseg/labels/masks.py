"""Masks as the label store keeps them: 16 or 32 bits, on their field's grid, packed, moved."""

from __future__ import annotations

import zlib
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import StoreError
from napari_pathseg.geometry import Field, Shape

LabelArray = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
Values = TypeVar("Values", bound=np.generic)


def pack(pixels: npt.NDArray[np.generic]) -> bytes:
    """Pixels as compressed little-endian bytes, row by row, with zlib's own checksum."""
    little = np.ascontiguousarray(pixels, dtype=pixels.dtype.newbyteorder("<"))
    return zlib.compress(little.tobytes(), level=1)


def unpack(data: bytes, shape: Shape, dtype: str) -> LabelArray:
    """The inverse of :func:`pack`; zlib.error when the bytes are broken."""
    raw = zlib.decompress(data)
    wanted = np.dtype(dtype).newbyteorder("<")
    if len(raw) != shape[0] * shape[1] * wanted.itemsize:
        raise zlib.error("stored pixels of the wrong size")
    pixels: LabelArray = np.frombuffer(raw, wanted).reshape(shape).astype(dtype)
    return pixels


def as_stored(mask: npt.NDArray[np.integer], shape: Shape) -> LabelArray:
    """A field's mask in the type it is stored in; StoreError when it does not fit."""
    if mask.shape != shape:
        raise StoreError(f"A mask of shape {mask.shape} does not belong to a field of {shape}.")
    return _as_dtype(mask, "uint32" if mask.dtype == np.uint32 else "uint16")


def as_window(
    pixels: npt.NDArray[np.integer], y: int, x: int, shape: Shape, dtype: str
) -> LabelArray:
    """A window at (y, x) of a field of `shape`, as stored; StoreError when it does not fit."""
    height, width = pixels.shape
    if y < 0 or x < 0 or y + height > shape[0] or x + width > shape[1]:
        raise StoreError(
            f"A stroke at {y}, {x} of {height} x {width} pixels leaves its field of {shape}."
        )
    return _as_dtype(pixels, dtype)


def check_same_grid(pixels: LabelArray, shape: Shape, dtype: str, field_id: str) -> None:
    """StoreError when a mask is not of the shape and type that its field was made with."""
    if pixels.shape != shape or str(pixels.dtype) != dtype:
        raise StoreError(
            f"The field {field_id} is stored as {dtype} {shape},"
            f" not as {pixels.dtype} {pixels.shape}.",
            "Give a changed field a new id.",
        )


def _as_dtype(mask: npt.NDArray[np.integer], dtype: str) -> LabelArray:
    limit = np.iinfo(dtype).max
    if mask.size and (int(mask.min()) < 0 or int(mask.max()) > limit):
        raise StoreError(f"A mask may hold values from 0 to {limit} only.")
    stored: LabelArray = mask.astype(dtype)
    return stored


def changed_window(
    before: LabelArray, after: LabelArray
) -> tuple[int, int, LabelArray, LabelArray]:
    """The smallest window that holds all differences: y, x and its values in both masks.

    The windows are (0, 0) where nothing differs.
    """
    different = before != after
    rows, columns = np.flatnonzero(different.any(1)), np.flatnonzero(different.any(0))
    if not rows.size:
        return 0, 0, before[:0, :0], after[:0, :0]
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return int(rows[0]), int(columns[0]), before[window], after[window]


def regridded(mask: npt.NDArray[Values], source: Field, target: Field) -> npt.NDArray[Values]:
    """A mask on the grid of another field: each pixel takes the value under its centre.

    Where `target` reaches over `source` it is 0.
    """
    rows, inside_y = _pixels_under(source, target, axis=0)
    columns, inside_x = _pixels_under(source, target, axis=1)
    out = np.zeros(target.shape, dtype=mask.dtype)
    out[np.ix_(inside_y, inside_x)] = mask[np.ix_(rows[inside_y], columns[inside_x])]
    return out


def resampled(mask: npt.NDArray[Values], shape: Shape) -> npt.NDArray[Values]:
    """The same extent in another number of pixels: each takes the value under its centre."""
    rows, columns = map(under_centers, mask.shape, shape)
    found: npt.NDArray[Values] = mask[np.ix_(rows, columns)]
    return found


def under_centers(length: int, count: int) -> npt.NDArray[np.intp]:
    """Which of `length` pixels lie under the centres of `count` over the same extent."""
    return ((np.arange(count) + 0.5) * length / count).astype(np.intp)


def _pixels_under(
    source: Field, target: Field, axis: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
    """The source pixel under the centre of each target pixel, and whether there is one."""
    centers = np.arange(target.shape[axis]) + 0.5 + (target.y, target.x)[axis]
    level0 = centers * target.downsample[axis]
    start = (source.y, source.x)[axis]
    at = np.floor(level0 / source.downsample[axis]).astype(np.intp) - start
    return at, (at >= 0) & (at < source.shape[axis])
