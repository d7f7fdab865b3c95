"""Levels as numpy slices them: nothing is read before its pixels are asked for.

Also what a viewer holds. To import dask takes a third of a second, and to plan and run even a
single task of it some milliseconds, as long as the pixels take: so dask comes in when something
of it is asked for, see :mod:`napari_pathseg.slide.level_array`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.indexing import Block, Key

if TYPE_CHECKING:
    from napari_pathseg.slide.level_array import LevelArray

SMALL = 3 * 512 * 512
"""What has no more values is read by one thread, and is one task for dask."""

MOST_AT_ONCE = 3 * 2048 * 2048
"""The same where the source has threads of its own."""


class Sliceable(Protocol):
    """What a level shows."""

    @property
    def shape(self) -> tuple[int, ...]:
        """([t,] [z,] height, width[, 3])."""
        ...

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        ...

    def __getitem__(self, key: Key) -> Pixels:
        """A part, which whoever asks may write to."""
        ...


@dataclass(frozen=True, slots=True)
class LazyLevel:
    """What all parts of a level share.

    Attributes
    ----------
    source : Sliceable
        What is shown; safe under threads.
    chunks : tuple of int
        Shape of what is read together.
    name : str
        The same for the same pixels.
    at_once : int
        Values of several chunks that are read in one piece.
    drawn : callable or None
        Gives a part to whoever draws it, and None to whoever else asks; without it all wait for
        what they get.
    """

    source: Sliceable
    chunks: tuple[int, ...]
    name: str
    at_once: int = SMALL
    drawn: Callable[[Block], Pixels | None] | None = None

    @property
    def view(self) -> LevelView:
        """All of it."""
        whole = tuple(slice(0, length) for length in self.source.shape)
        return LevelView(self, whole, frozenset())

    def read(self, part: Block) -> Pixels:
        """All pixels of a part, whoever has to wait for them."""
        sides = zip(part, self.chunks, strict=True)
        blocks = list(product(*(_cut(axis, side) for axis, side in sides)))
        shape = tuple(axis.stop - axis.start for axis in part)
        size = math.prod(shape)
        if len(blocks) == 1 or size <= self.at_once:
            return self.source[part]
        out = np.empty(shape, dtype=self.source.dtype)

        def read(block: Block) -> None:
            pairs = zip(block, part, strict=True)
            place = tuple(slice(b.start - p.start, b.stop - p.start) for b, p in pairs)
            out[place] = self.source[block]

        for _done in (map if size <= SMALL else _threads().map)(read, blocks):
            pass
        return out


class LevelView(NDArrayOperatorsMixin):
    """A level, or a part of it: numpy gets its pixels, all else is done by its dask array.

    Parameters
    ----------
    level : LazyLevel
    part : tuple of slice
        One for each axis of the level.
    numbers : frozenset of int
        Axes that were indexed by a number: they have a length of 1 and are left out.

    Attributes
    ----------
    shape : tuple of int
        ([t,] [z,] height, width[, 3]), without what was indexed by a number.
    """

    def __init__(self, level: LazyLevel, part: Block, numbers: frozenset[int]) -> None:
        self.level, self.part, self.numbers = level, part, numbers
        self._axes = [axis for axis in range(len(part)) if axis not in numbers]
        sides = [axis.stop - axis.start for axis in part]
        self.shape: tuple[int, ...] = tuple([sides[axis] for axis in self._axes])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.level.source.dtype

    @property
    def ndim(self) -> int:
        """How many axes it has."""
        return len(self.part) - len(self.numbers)

    @property
    def size(self) -> int:
        """How many values it has."""
        return math.prod(self.shape)

    @property
    def name(self) -> str:
        """The same for all parts of a level."""
        return self.level.name

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of what is read together, as zarr tells it."""
        return tuple(self.level.chunks[axis] for axis in self._axes)

    def __repr__(self) -> str:
        return f"LevelView({self.shape}, {self.dtype}, read in pieces of {self.chunks})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> Any:
        found = self.inside(index)
        return self.to_dask_array()[index] if found is None else found

    def inside(self, index: Any) -> LevelView | None:
        """A part that is not empty, by numbers and slices of whole steps; None for all else."""
        index = index if isinstance(index, tuple) else (index,)
        if len(index) > self.ndim:
            return None
        part, dropped = list(self.part), []
        for axis, wanted in zip(self._axes, index, strict=False):
            if isinstance(wanted, slice):
                if wanted.step not in (None, 1):
                    return None
            elif isinstance(wanted, int | np.integer):
                dropped.append(axis)
            else:
                return None
            part[axis] = inner = _within(part[axis], wanted)
            if inner.stop <= inner.start:
                return None
        return LevelView(self.level, tuple(part), self.numbers.union(dropped))

    def __array__(self, dtype: Any = None, copy: Any = None) -> Pixels:
        drawn = self.level.drawn
        pixels = None if drawn is None else drawn(self.part)
        if pixels is None:
            pixels = self.level.read(self.part)
        return np.asarray(pixels, dtype=dtype).reshape(self.shape)

    def to_dask_array(self) -> LevelArray:
        """The same for dask, which knows this method."""
        from napari_pathseg.slide.level_array import LevelArray

        return LevelArray.of(self)

    def __getattr__(self, name: str) -> Any:
        # Not what begins with "_": who looks whether this is something of dask, has its answer.
        if name.startswith("_"):
            raise AttributeError(f"A level has no {name!r}.")
        return getattr(self.to_dask_array(), name)

    def __array_function__(self, function: Any, _types: Any, arguments: Any, options: Any) -> Any:
        return function(*_for_dask(arguments), **options)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return getattr(ufunc, method)(*_for_dask(inputs), **options)

    def __reduce__(self) -> Any:
        return self.to_dask_array().__reduce__()  # type: ignore[no-untyped-call]


def _for_dask(arguments: Iterable[Any]) -> list[Any]:
    """Levels as dask arrays, also those in lists; all else as it is."""
    return [
        a.to_dask_array()
        if isinstance(a, LevelView)
        else _for_dask(a)
        if isinstance(a, list | tuple)
        else a
        for a in arguments
    ]


def _within(outer: slice, index: Any) -> slice:
    """What a slice or a number takes of a part of an axis; nothing where it lies outside."""
    length = outer.stop - outer.start
    if isinstance(index, slice):
        start, stop, _ = index.indices(length)
    else:
        start = int(index) + (length if index < 0 else 0)
        stop = min(start + 1, length) if start >= 0 else start
    return slice(outer.start + start, outer.start + stop)


def _cut(part: slice, side: int) -> list[slice]:
    """A slice along one axis, cut where chunks of `side` begin."""
    starts = range(part.start // side * side, part.stop, side)
    return [slice(max(part.start, start), min(part.stop, start + side)) for start in starts]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="pathseg-view")
