"""Levels as a viewer draws them: what is there now, and the rest when it has been read.

A view waits a moment for its pieces. Those that take longer are read on in other threads, and
until they are there a coarser level stands for them. Only what asks to be drawn gets such
answers: whoever else reads a level waits, and gets its pixels.
"""

from __future__ import annotations

import math
import os
import threading
import weakref
from collections.abc import Callable, Container
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import cache as once
from itertools import product

import numpy as np

from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Shape
from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.coarse import CoarseSource
from napari_pathseg.slide.damage import Damage
from napari_pathseg.slide.indexing import Block, corners
from napari_pathseg.slide.sources import LevelSource, Source, is_wide

PIECE_PX = 512
"""Pieces are whole stored tiles of at least so many pixels a side."""

HURRY = 5
"""A view of a slide whose last one came late waits so many times less."""

THREADS = 4
"""At least: a picture that is still unpacked keeps those waiting that read it."""

Piece = tuple[int, int, int]
"""Level, row, column."""


class LateLevels:
    """All levels of one plane, of which a viewer draws what there is.

    Parameters
    ----------
    sources : list of Source or CoarseSource
        Finest first; the last is small enough to be read at once.
    cache : ChunkCache
        Holds pieces that were read.
    patience : callable
        Seconds that whoever asks now will wait before it is given less than all; None for who
        is not to get less.
    damage : Damage
        Of the sources.

    Attributes
    ----------
    on_late : callable
        Called, in the thread that draws, when something that it draws has not been read.
    """

    def __init__(
        self,
        sources: list[Source | CoarseSource],
        cache: ChunkCache,
        patience: Callable[[], float | None],
        damage: Damage,
    ) -> None:
        self._sources, self._cache, self._patience = sources, cache, patience
        self._damage = damage
        self._reading: dict[Piece, Future[Pixels]] = {}
        self._is_slow = False
        self._owed: tuple[Future[Pixels], ...] = ()
        self._lock = threading.Lock()
        self.on_late: Callable[[], None] = _nobody

    @property
    def waiting(self) -> bool:
        """Whether something of the last view is owed."""
        return bool(self._owed)

    @property
    def news(self) -> bool:
        """Whether some of it is there now, so that drawing again shows more."""
        return any(future.done() for future in self._owed)

    def is_late(self, level: int) -> bool:
        """Whether views of a level may be answered before all of it is read."""
        coarsest = level == len(self._sources) - 1
        return not coarsest and not isinstance(self._sources[level], CoarseSource)

    def side(self, level: int) -> Shape:
        """Height and width of the pieces of a level: what is read at once."""
        source = self._sources[level]
        if not isinstance(source, LevelSource) or is_wide(source.tile):
            return source.chunk
        down, across = (tile * math.ceil(PIECE_PX / tile) for tile in source.tile)
        return min(down, source.chunk[0]), min(across, source.chunk[1])

    def draw(self, level: int, part: Block) -> Pixels | None:
        """Pixels of a part of a level, as far as they are there; None for who reads them all.

        Parameters
        ----------
        level : int
            One that is not :meth:`is_late` is read at once.
        part : tuple of slice
            One for each axis, not empty.

        Returns
        -------
        array (height, width[, 3]) or None
            The caller's own.

        Raises
        ------
        SlideError
            When nothing of the slide can be read, as where it was closed; damage is grey.
        """
        patience_s = self._patience()
        if patience_s is None:
            return None
        where = corners(part)
        if self.is_late(level):
            pixels = self._soon(level, where, patience_s)
        else:
            pixels = self._sources[level].window(*where).copy()
        self._damage.tell()
        return pixels if part[2:] == () else pixels[(slice(None), slice(None), *part[2:])]

    def _soon(self, level: int, where: tuple[int, int, int, int], patience_s: float) -> Pixels:
        """A window as far as it is there after a moment; nobody else's."""
        y, x, height, width = where
        pieces = self._pieces(level, y, x, height, width)
        held = self._want(pieces, patience_s)
        if len(held) < len(pieces):
            out = self._coarser(level, y, x, height, width)
            self.on_late()
        else:
            source = self._sources[level]
            out = np.empty((height, width, *source.shape[2:]), dtype=source.dtype)
        for piece, pixels in held.items():
            self._lay(out, (y, x), piece, pixels)
        return out

    def leave(self) -> None:
        """Nobody looks at these levels any more: what is not begun is not read."""
        with self._lock:
            self._forget([])
        self._owed = ()

    def _forget(self, wanted: Container[Piece]) -> None:
        """Do not begin other pieces than these."""
        for old in [piece for piece in self._reading if piece not in wanted]:
            if self._reading[old].cancel() or self._reading[old].done():
                del self._reading[old]

    def _want(self, pieces: list[Piece], patience_s: float) -> dict[Piece, Pixels]:
        """Those of the pieces that are there after a moment; the others are read on."""
        held = {piece: self._held(piece) for piece in pieces}
        missing = [piece for piece, pixels in held.items() if pixels is None]
        with self._lock:
            self._forget(held)  # they have moved out of view
            fresh = [piece for piece in missing if piece not in self._reading]
            for piece in _from_the_middle(fresh):
                self._reading[piece] = _threads().submit(_read, weakref.ref(self), piece)
            futures = {piece: self._reading[piece] for piece in missing}
        # Who has waited for them once is not kept waiting again.
        if futures and (fresh or patience_s == math.inf):
            seconds = patience_s / HURRY if self._is_slow else patience_s
            wait(futures.values(), None if patience_s == math.inf else seconds)
        self._owed = tuple(future for future in futures.values() if not future.done())
        if fresh:
            self._is_slow = bool(self._owed)
        there = {piece: pixels for piece, pixels in held.items() if pixels is not None}
        for piece, future in futures.items():
            if future in self._owed:
                continue
            if future.exception() is not None:
                with self._lock:
                    self._reading.pop(piece, None)
            there[piece] = future.result()
        return there

    def reader(self, piece: Piece) -> Callable[[], Pixels]:
        """What reads a piece, without these levels; its pixels must not be written to."""
        source, where = self._sources[piece[0]], self._place(piece)
        cache, key = self._cache, self._key(piece)

        def read() -> Pixels:
            pixels = source.window(*where)
            cache.put(key, pixels)
            return pixels

        return read

    def _held(self, piece: Piece) -> Pixels | None:
        return self._cache.get(self._key(piece))

    def _key(self, piece: Piece) -> tuple[object, ...]:
        level, row, column = piece
        source = self._sources[level]
        if self.side(level) == source.chunk:
            return source.name, row, column
        return source.name, "piece", row, column

    def _pieces(self, level: int, y: int, x: int, height: int, width: int) -> list[Piece]:
        down, across = self.side(level)
        rows = range(y // down, -(-(y + height) // down))
        columns = range(x // across, -(-(x + width) // across))
        return [(level, row, column) for row, column in product(rows, columns)]

    def _place(self, piece: Piece) -> tuple[int, int, int, int]:
        """(y, x, height, width) of a piece; the last ones end with the level."""
        level, row, column = piece
        (down, across), shape = self.side(level), self._sources[level].shape
        y, x = row * down, column * across
        return y, x, min(down, shape[0] - y), min(across, shape[1] - x)

    def _lay(self, out: Pixels, origin: tuple[int, int], piece: Piece, pixels: Pixels) -> None:
        """Copy what of a piece lies in a window that begins at `origin`."""
        y, x, height, width = self._place(piece)
        top, left = max(y, origin[0]), max(x, origin[1])
        stop_y = min(y + height, origin[0] + out.shape[0])
        stop_x = min(x + width, origin[1] + out.shape[1])
        out[top - origin[0] : stop_y - origin[0], left - origin[1] : stop_x - origin[1]] = pixels[
            top - y : stop_y - y, left - x : stop_x - x
        ]

    def _coarser(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """A window of a level as the finest of the coarser ones shows it that is there."""
        shape = self._sources[level].shape
        for other in range(level + 1, len(self._sources)):
            coarse = self._sources[other].shape
            rows = _under(y, height, shape[0], coarse[0])
            columns = _under(x, width, shape[1], coarse[1])
            top, left = int(rows[0]), int(columns[0])
            sides = int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left
            pixels = self._at_once(other, top, left, *sides)
            if pixels is not None:
                break
        assert pixels is not None  # the coarsest level is there at once
        stretched: Pixels = pixels[rows - top].take(columns - left, axis=1)
        return stretched

    def _at_once(self, level: int, y: int, x: int, height: int, width: int) -> Pixels | None:
        """A window of a level, None where that would have to wait."""
        source = self._sources[level]
        if not self.is_late(level):
            return source.window(y, x, height, width)
        out = np.empty((height, width, *source.shape[2:]), dtype=source.dtype)
        for piece in self._pieces(level, y, x, height, width):
            held = self._held(piece)
            if held is None:
                return None
            self._lay(out, (y, x), piece, held)
        return out


def _under(start: int, count: int, length: int, coarse: int) -> Pixels:
    """Which pixels of a coarser axis lie under `count` pixels of a finer one."""
    places = (np.arange(start, start + count) + 0.5) * (coarse / length)
    return np.minimum(places.astype(np.intp), coarse - 1)


def _read(reference: weakref.ref[LateLevels], piece: Piece) -> Pixels:
    """In a thread of its own; nothing is read for a slide that nobody shows any more."""
    levels = reference()
    if levels is None:
        raise CancelledError("The slide is not shown any more.")
    read = levels.reader(piece)
    del levels  # else threads at work would keep each other at it
    return read()


def _from_the_middle(pieces: list[Piece]) -> list[Piece]:
    """The order in which pieces are read: what is looked at is oftener in the middle."""
    if not pieces:
        return []
    rows, columns = ([piece[axis] for piece in pieces] for axis in (1, 2))
    row, column = (min(rows) + max(rows)) / 2, (min(columns) + max(columns)) / 2
    return sorted(pieces, key=lambda piece: (piece[1] - row) ** 2 + (piece[2] - column) ** 2)


def _nobody() -> None:
    """Nobody is told."""


@once
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(os.cpu_count() or 1, THREADS), thread_name_prefix="pathseg-late")
