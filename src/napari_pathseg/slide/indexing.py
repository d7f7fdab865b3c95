"""What dask asks of a lazy array, as blocks that a slide can read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.slide.base import Pixels

Key = tuple[Any, ...]
Block = tuple[slice, ...]


def corners(part: Block) -> tuple[int, int, int, int]:
    """(y, x, height, width) of the first two slices."""
    rows, columns = part[0], part[1]
    return rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start


def indexed(shape: tuple[int, ...], key: Key, read: Callable[[Block], Pixels]) -> Pixels:
    """What dask asks for: single numbers, slices with steps and lists, each on its own axis.

    Parameters
    ----------
    shape : tuple of int
        Of the whole source.
    key : tuple
        One entry an axis; axes that are left out are wanted whole.
    read : callable
        Gives a block: one slice of whole steps for each axis of `shape`, of which only the
        last, the colours, may be more than is asked for.
    """
    whole = (*key, *[slice(None)] * (len(shape) - len(key)))
    if all(isinstance(part, slice) and part.step in (None, 1) for part in whole):
        plain = tuple(slice(*part.indices(n)[:2]) for part, n in zip(whole, shape, strict=True))
        if all(part.stop > part.start for part in plain):
            block = read(plain)
            last = plain[-1].stop - plain[-1].start
            return block if block.shape[-1] == last else block[..., plain[-1]]
    places = [np.arange(n)[part] for n, part in zip(shape, whole, strict=True)]
    if any(place.size == 0 for place in places):
        return read(tuple(slice(0, 1) for _ in shape))[tuple(slice(0, 0) for _ in shape)].reshape(
            [place.size for place in places if place.ndim]
        )
    bounds = tuple(slice(int(place.min()), int(place.max()) + 1) for place in places)
    block = read(bounds)
    for axis in reversed(range(len(shape))):
        # Colours are read whole, so that they are not counted from their bound.
        first = bounds[axis].start if block.shape[axis] < shape[axis] else 0
        block = _taken(block, axis, places[axis] - first)
    return block


def _taken(block: Pixels, axis: int, places: npt.NDArray[np.intp]) -> Pixels:
    """Some places of one axis; a view where they are all of them in order."""
    length = block.shape[axis]
    if places.ndim and places.size == length and np.array_equal(places, np.arange(length)):
        return block
    return np.take(block, places, axis=axis)
