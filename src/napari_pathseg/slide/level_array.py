"""Levels as dask arrays, parts of which numpy gets without a graph and a scheduler."""

from __future__ import annotations

from itertools import count
from operator import getitem
from typing import Any

import dask.array as da
import numpy as np
from dask.highlevelgraph import HighLevelGraph, MaterializedLayer

from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.level_view import LevelView

_numbers = count()


class LevelArray(da.Array):
    """A dask array of a level or of a part of it; a copy that was pickled is a plain one.

    Dask plans still where something is computed from it before it is looked at.

    Attributes
    ----------
    shows : LevelView
        The same pixels for numpy.
    """

    shows: LevelView

    @classmethod
    def of(cls, view: LevelView) -> LevelArray:
        """A lazy array of what a view shows; nothing is read."""
        level = view.level
        plain = da.from_array(  # type: ignore[no-untyped-call]
            level.source,
            chunks=level.chunks,
            name=level.name,
            inline_array=True,
            asarray=False,
            lock=False,
            meta=np.empty((0,) * len(level.source.shape), dtype=level.source.dtype),
        )
        whole = cls._made(level.view, plain.dask, plain.name, plain.chunks, plain._meta)
        return whole._part(view, _index(view))

    @classmethod
    def _made(cls, view: LevelView, graph: Any, name: str, chunks: Any, meta: Any) -> LevelArray:
        array: LevelArray = cls(graph, name, chunks, meta=meta)
        array.shows = view
        return array

    def __getitem__(self, index: Any) -> da.Array:
        part = self.shows.inside(index)
        if part is None:
            plain: da.Array = super().__getitem__(index)  # type: ignore[no-untyped-call]
            return plain
        return self._part(part, index)

    def _part(self, part: LevelView, index: Any) -> LevelArray:
        """What `index` takes of this array, which is what `part` shows."""
        if part.shape == self.shape:
            return self
        if part.numbers or part.size > part.level.at_once:
            plain = super().__getitem__(index)  # type: ignore[no-untyped-call]
            return self._made(part, plain.dask, plain.name, plain.chunks, plain._meta)
        name = f"{part.name}-part-{next(_numbers)}"
        task = {(name, *[0] * part.ndim): (getitem, part.level.source, part.part)}
        graph = HighLevelGraph({name: MaterializedLayer(task)}, {name: set()})
        chunks = tuple((length,) for length in part.shape)
        return self._made(part, graph, name, chunks, self._meta)

    def __array__(self, dtype: Any = None, copy: Any = None, **kwargs: Any) -> Pixels:
        # To run a graph dask would look for a cluster first, and import what makes one.
        pixels = self.shows.level.read(self.shows.part)
        return np.asarray(pixels, dtype=dtype).reshape(self.shape)


def _index(view: LevelView) -> tuple[Any, ...]:
    """What of its level a view takes."""
    return tuple(
        part.start if axis in view.numbers else part for axis, part in enumerate(view.part)
    )
