"""Coarse levels of a slide that stores none: guessed at once, exact as they are made.

A large picture of one level has to be read from end to end before any overview of it is exact.
So a few of its tiles are read first, whose mean colours, blended into each other, stand for the
whole; then a thread makes the levels piece by piece, what was looked at last first, and whoever
looks again sees more. What is done is kept in files.
"""

from __future__ import annotations

import atexit
import logging
import math
import tempfile
import threading
import time
import weakref
from collections import deque
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Shape
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.coarse_guess import Guess
from napari_pathseg.slide.coarse_store import CoarseStore, default_folder, make_room
from napari_pathseg.slide.indexing import Key, corners, indexed
from napari_pathseg.slide.sources import AveragedSource, LevelSource, halved, is_wide

FIRST = 2
"""The second of the added levels, a quarter of the stored one, is the finest that is made here:
a view of the one before it touches few enough tiles to be read as it is looked at."""

LARGE_PIXELS = 16_000_000
"""A level of fewer is read through in less than half a second."""

WAIT_S = 0.05
"""Between two looks at a picture that is decoded as a whole."""

LAYER_S = 0.8
"""So long the first guess stays as it is unless somebody waits for all: the layer that shows it is
being made, and would get half of Python's time."""

PIECE_PX = 256
MOST_WANTED = 300
"""Pieces in view that are made before others; a view of more is the whole slide."""

_log = logging.getLogger(__name__)


class CoarseLevels:
    """What :class:`CoarseSource` shows; a thread fills it while anybody holds it.

    Parameters
    ----------
    exact : list of AveragedSource
        All added levels of one plane.
    folder : Path or None
        Where the levels are kept; None keeps them only as long as this object lives.

    Attributes
    ----------
    changes : int
        Counts what became better since the first look.
    errors : tuple of DamagedSlideError
        Places that can not be read; they keep their guess.

    Raises
    ------
    OSError
        When no files can be made.
    """

    def __init__(self, exact: list[AveragedSource], folder: Path | None) -> None:
        self.levels = exact[FIRST - 1 :]
        stored = exact[0].finer
        assert isinstance(stored, LevelSource)
        # Each pixel is read once: what is in view stays in the memory for decoded chunks.
        self._stored = replace(stored, cache=ChunkCache(0))
        shapes = [level.shape for level in self.levels]
        if folder is None:
            temporary = tempfile.TemporaryDirectory(prefix="pathseg-", ignore_cleanup_errors=True)
            weakref.finalize(self, temporary.cleanup)
            folder = Path(temporary.name) / "levels"
        self.store = CoarseStore(folder, shapes, exact[0].dtype, _piece(stored, len(shapes)))
        self.changes = 0
        self.errors: tuple[DamagedSlideError, ...] = ()
        self._tried = self.store.done.copy()
        self._wanted: deque[tuple[int, int]] = deque(maxlen=MOST_WANTED)
        self._guess = Guess(self._stored)
        self._glimpsed: Pixels | None = None
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._started = False
        self._begun_s = -math.inf
        self._is_awaited = threading.Event()
        if self._tried.all():
            self._ended.set()

    @property
    def pieces(self) -> int:
        """How many pieces there are."""
        return int(self._tried.size)

    @property
    def pieces_done(self) -> int:
        """How many of them are exact, or can not be read."""
        return int(self._tried.sum())

    @property
    def ended(self) -> bool:
        """Whether nothing more will change."""
        return self._ended.is_set()

    @property
    def is_blank(self) -> bool:
        """Whether some of it is grey because the picture is still being decoded as a whole."""
        glimpse = self._stored.slide.glimpse()
        return glimpse is not None and not glimpse.final

    def wait(self, cancel: CancelToken | None = None) -> bool:
        """Until all is exact; False when it was stopped before.

        Raises
        ------
        CancelledError
        DamagedSlideError
            When a place can not be read.
        """
        self._is_awaited.set()
        self._start()
        while not self._ended.wait(0.1):
            if cancel is not None:
                cancel.raise_if_cancelled()
        if self.errors:
            raise self.errors[0]
        return bool(self.store.done.all())

    def stop(self) -> None:
        """Make no more pieces; what is not done stays guessed."""
        self._ended.set()

    def window(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """Pixels of a window inside one of `levels`: exact where they are made, else guessed.

        Raises
        ------
        DamagedSlideError
            When nothing at all of the slide can be read.
        """
        down, across = (side >> level for side in self.store.piece)
        rows = range(y // down, -(-(y + height) // down))
        columns = range(x // across, -(-(x + width) // across))
        # A copy: what the thread does meanwhile is not read yet.
        done = self.store.done[rows.start : rows.stop, columns.start : columns.stop].copy()
        if done.all():
            return self.store.read(level, y, x, height, width)
        out = self._guess.window(self.levels[level].shape, y, x, height, width)
        self._want([(row, column) for row in rows for column in columns])
        if done.any():
            exact = self.store.read(level, y, x, height, width)
            of_row = np.repeat(done, down, axis=0)[y - rows.start * down :][:height]
            where = np.repeat(of_row, across, axis=1)[:, x - columns.start * across :][:, :width]
            out[where] = exact[where]
        return out

    def _want(self, pieces: list[tuple[int, int]]) -> None:
        if len(pieces) <= MOST_WANTED:
            with self._lock:
                self._wanted.extend(p for p in reversed(pieces) if not self._tried[p])
        self._start()

    def _start(self) -> None:
        with self._lock:
            if self._started or self._ended.is_set():
                return
            self._started = True
            self._begun_s = time.monotonic()
        # A thread that holds nothing of this between two pieces: it ends when nobody looks.
        thread = threading.Thread(
            target=_work, args=(weakref.ref(self),), name="pathseg-coarse", daemon=True
        )
        thread.start()
        _working[self] = thread

    def step(self) -> bool:
        """Make the guess better, or one piece exact; False when nothing is left to do."""
        if self._ended.is_set() or self._is_waited_for() or self._is_early():
            return not self._ended.is_set()
        try:
            if not self._guess.finished:
                self._guess.improve()
            elif (piece := self._next()) is not None:
                self._make(*piece)
        except SlideError as error:
            # Not of a place: the slide was closed, is gone, or can not be read at all.
            _log.info("Coarse levels are not finished: %s", error)
            if isinstance(error, DamagedSlideError):
                self.errors = (*self.errors, error)
            self._ended.set()
        except OSError as error:
            _log.warning("Coarse levels can not be kept: %s", error)
            self._ended.set()
        self.changes += 1
        if self._tried.all():
            self._ended.set()
        return not self._ended.is_set()

    def _is_waited_for(self) -> bool:
        """Whether no pixel can be read yet; after a moment, or when more of them is known."""
        glimpse = self._stored.slide.glimpse()
        if glimpse is None or glimpse.final:
            return False
        if glimpse.pixels is self._glimpsed:
            self._ended.wait(WAIT_S)
        else:
            self._glimpsed = glimpse.pixels
            self.changes += 1
        return True

    def _is_early(self) -> bool:
        """Whether a layer is still being made, and nobody waits for anything exact."""
        left_s = self._begun_s + LAYER_S - time.monotonic()
        return left_s > 0 and not self._is_awaited.wait(min(left_s, WAIT_S))

    def _next(self) -> tuple[int, int] | None:
        with self._lock:
            while self._wanted:
                piece = self._wanted.pop()
                if not self._tried[piece]:
                    return piece
        left = np.argwhere(~self._tried)
        return (int(left[0, 0]), int(left[0, 1])) if len(left) else None

    def _make(self, row: int, column: int) -> None:
        """Average one piece of all levels, exactly as :class:`AveragedSource` does."""
        down, across = self.store.piece
        top, left = row * down, column * across
        height, width = self._stored.shape[:2]
        y, x = top << FIRST, left << FIRST
        try:
            pixels = self._stored.window(
                y, x, min(down << FIRST, height - y), min(across << FIRST, width - x)
            )
        except DamagedSlideError as error:
            self.errors = (*self.errors, error)
            self._tried[row, column] = True
            return
        for _ in range(FIRST):
            pixels = halved(pixels)
        for level in range(len(self.levels)):
            self.store.write(level, top >> level, left >> level, pixels)
            pixels = halved(pixels)
        self.store.finish(row, column)
        self._tried[row, column] = True


@dataclass(frozen=True, slots=True)
class CoarseSource:
    """One of the levels that dask can slice; in another process it is the exact one."""

    coarse: CoarseLevels
    level: int

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.exact,)

    @property
    def exact(self) -> AveragedSource:
        """The same level without a guess."""
        return self.coarse.levels[self.level]

    @property
    def shape(self) -> tuple[int, ...]:
        """As that of the exact level."""
        return self.exact.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.exact.dtype

    @property
    def ndim(self) -> int:
        """3 in colours, 2 for one channel."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """Stable name, so that dask hashes no pixels."""
        return f"{self.exact.name}-now"

    @property
    def chunk(self) -> Shape:
        """Chunk shape."""
        return self.exact.chunk

    def __getitem__(self, key: Key) -> Pixels:
        return indexed(self.shape, key, lambda part: self.window(*corners(part)))

    def window(self, y: int, x: int, height: int, width: int) -> Pixels:
        """Pixels of a window inside the level."""
        return self.coarse.window(self.level, y, x, height, width)


def coarse_levels(exact: list[AveragedSource], keep_bytes: int) -> CoarseLevels | None:
    """The levels as they are made, None where the exact ones are quick enough or have no place.

    Parameters
    ----------
    exact : list of AveragedSource
        All added levels of one plane.
    keep_bytes : int
        What the levels of all slides may take on the disk; 0 keeps none.
    """
    stored = exact[0].finer if len(exact) >= FIRST else None
    if not isinstance(stored, LevelSource):
        return None
    if stored.shape[0] * stored.shape[1] <= LARGE_PIXELS:
        return None
    with _lock:
        live = _live.get(stored.lasting_name)
        if live is not None and (not live.ended or live.pieces_done == live.pieces):
            return live
        folder = default_folder() / stored.lasting_name if keep_bytes else None
        try:
            live = _live[stored.lasting_name] = CoarseLevels(exact, folder)
            if folder is not None:
                make_room(folder.parent, keep_bytes, folder)
        except OSError as error:
            _log.warning("Coarse levels can not be kept: %s", error)
            return None
        return live


def made_levels(exact: list[AveragedSource]) -> CoarseLevels | None:
    """Levels that are at work in this process, or were kept when they were done; None without."""
    stored = exact[0].finer if len(exact) >= FIRST else None
    if not isinstance(stored, LevelSource):
        return None
    with _lock:
        live = _live.get(stored.lasting_name)
    if live is not None:
        return live
    folder = default_folder() / stored.lasting_name
    if not folder.is_dir():
        return None
    try:
        kept = CoarseLevels(exact, folder)
    except OSError:
        return None
    return kept if kept.ended else None


_live: weakref.WeakValueDictionary[str, CoarseLevels] = weakref.WeakValueDictionary()
_lock = threading.Lock()
_working: weakref.WeakKeyDictionary[CoarseLevels, threading.Thread] = weakref.WeakKeyDictionary()


@atexit.register
def _leave() -> None:
    """A thread that still reads while the interpreter is taken down can crash it."""
    for levels, thread in list(_working.items()):
        levels.stop()
        thread.join()


def _work(reference: weakref.ref[CoarseLevels]) -> None:
    """In a thread of its own."""
    while True:
        coarse = reference()
        if coarse is None or not coarse.step():
            return
        del coarse


def _piece(stored: LevelSource, levels: int) -> Shape:
    """Pixels of the finest level that are made together: whole strips where tiles are wide."""
    # Pieces begin on whole pixels of the coarsest level.
    step = 1 << (levels - 1)
    if not is_wide(stored.tile):
        return max(PIECE_PX, step), max(PIECE_PX, step)
    width = -(-stored.shape[1] // (step << FIRST)) * step
    height = max(PIECE_PX * PIECE_PX // width, stored.tile[0] >> FIRST, 1)
    return -(-height // step) * step, width


def _itself(source: AveragedSource) -> AveragedSource:
    return source
