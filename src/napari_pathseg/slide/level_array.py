"""Lazy arrays of levels, parts of which numpy gets without a graph and a scheduler.

Dask takes some milliseconds to plan and run even a single task, as long as the pixels take. It
plans still where something is computed from a part before it is looked at.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import count, product
from operator import getitem
from typing import Any, Protocol

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.indexing import Block, Key

SMALL = 3 * 512 * 512
"""What has no more values is read by one thread, and is one task for dask."""

MOST_AT_ONCE = 3 * 2048 * 2048
"""The same where the source has threads of its own."""


_numbers = count()


class Sliceable(Protocol):
    """What a lazy array shows."""

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


class LevelArray(da.Array):
    """A dask array of a level; a copy that was pickled is a plain one.

    Attributes
    ----------
    source : Sliceable
        What is shown; safe under threads.
    at_once : int
        Values of several chunks that are read in one piece.
    drawn : callable or None
        Gives a part to whoever draws it, and None to whoever else asks; without it all wait for
        what they get.
    """

    source: Sliceable
    at_once: int = 0
    drawn: Callable[[Block], Pixels | None] | None = None

    @classmethod
    def of(cls, source: Sliceable, chunks: tuple[int, ...], name: str) -> LevelArray:
        """A lazy array of `source` in chunks of the shape `chunks`; nothing is read."""
        plain = da.from_array(  # type: ignore[no-untyped-call]
            source,
            chunks=chunks,
            name=name,
            inline_array=True,
            asarray=False,
            lock=False,
            meta=np.empty((0,) * len(source.shape), dtype=source.dtype),
        )
        array: LevelArray = cls(plain.dask, plain.name, plain.chunks, meta=plain._meta)
        array.source = source
        return array

    def __getitem__(self, index: Any) -> da.Array:
        part, has_numbers = self._plain(index)
        most = max(SMALL, self.at_once)
        if part is None or has_numbers or math.prod(_shape(part)) > most:
            plain: da.Array = super().__getitem__(index)  # type: ignore[no-untyped-call]
            if part is None:
                return plain
            return _Part.of(self, part, plain.dask, plain.name, plain.chunks)
        name = f"{self.name}-part-{next(_numbers)}"
        task = {(name, *[0] * len(part)): (getitem, self.source, part)}
        graph = HighLevelGraph({name: MaterializedLayer(task)}, {name: set()})
        return _Part.of(self, part, graph, name, tuple((length,) for length in _shape(part)))

    def __array__(self, dtype: Any = None, copy: Any = None, **kwargs: Any) -> Pixels:
        # To run a graph dask would look for a cluster first, and import what makes one.
        return np.asarray(self[tuple(slice(None) for _ in self.shape)], dtype=dtype)

    def _plain(self, index: Any) -> tuple[Block | None, bool]:
        """Slices of whole steps, one an axis, that are not empty; None for all else.

        And whether some of the axes are numbers, which are left out of what is asked for.
        """
        index = index if isinstance(index, tuple) else (index,)
        missing = self.ndim - len(index)
        numbers = [isinstance(i, int | np.integer) for i in index]
        known = (
            n or (isinstance(i, slice) and i.step in (None, 1))
            for n, i in zip(numbers, index, strict=True)
        )
        if missing < 0 or not all(known):
            return None, False
        whole = (*index, *[slice(None)] * missing)
        part = tuple(_slice(i, length) for i, length in zip(whole, self.shape, strict=True))
        return (part if all(i.stop > i.start for i in part) else None), any(numbers)


class _Part(da.Array):
    """A part of a level: a graph for dask, and none for numpy."""

    level: LevelArray
    part: Block

    @classmethod
    def of(cls, level: LevelArray, part: Block, graph: Any, name: str, chunks: Any) -> _Part:
        array: _Part = cls(graph, name, chunks, meta=level._meta)
        array.level, array.part = level, part
        return array

    def __array__(self, dtype: Any = None, copy: Any = None, **kwargs: Any) -> Pixels:
        drawn = self.level.drawn
        pixels = None if drawn is None else drawn(self.part)
        if pixels is None:
            pixels = self._read()
        return np.asarray(pixels, dtype=dtype).reshape(self.shape)

    def _read(self) -> Pixels:
        """All of its pixels, whoever has to wait for them."""
        source = self.level.source
        sides = zip(self.part, self.level.chunksize, strict=True)
        blocks = list(product(*(_cut(part, int(side)) for part, side in sides)))
        if len(blocks) == 1 or self.size <= self.level.at_once:
            return source[self.part]
        out = np.empty(_shape(self.part), dtype=self.dtype)

        def read(block: Block) -> None:
            pairs = zip(block, self.part, strict=True)
            out[tuple(slice(b.start - p.start, b.stop - p.start) for b, p in pairs)] = source[block]

        for _done in (map if out.size <= SMALL else _threads().map)(read, blocks):
            pass
        return out


def _shape(part: Block) -> tuple[int, ...]:
    return tuple(each.stop - each.start for each in part)


def _slice(index: Any, length: int) -> slice:
    """What a slice or a number takes of an axis; nothing where it lies outside."""
    if isinstance(index, slice):
        return slice(*index.indices(length)[:2])
    start = int(index) + (length if index < 0 else 0)
    return slice(start, min(start + 1, length) if start >= 0 else start)


def _cut(part: slice, side: int) -> list[slice]:
    """A slice along one axis, cut where chunks of `side` begin."""
    starts = range(part.start // side * side, part.stop, side)
    return [slice(max(part.start, start), min(part.stop, start + side)) for start in starts]


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="pathseg-view")
