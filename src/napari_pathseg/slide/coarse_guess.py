"""What a large picture looks like from afar, from a few of its tiles."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.sources import LevelSource

FIRST_GUESS_S = 0.2
GRIDS = (8, 16, 32, 64)
"""Places down and across at which tiles are read for the guess, one after the other."""

SHARE = 8
"""One in so many tiles may be read for the guess alone."""

SAMPLE_PX = 256

WAITED_FOR = 8
"""Tiles that are read side by side while somebody waits: a slow disk mostly lets one wait."""


class Guess:
    """Mean colours at a grid of places, blended into each other; safe under threads.

    Parameters
    ----------
    stored : LevelSource
        The level of which some tiles are read.
    """

    def __init__(self, stored: LevelSource) -> None:
        self._stored = stored
        self._grids = list(GRIDS)
        self._means: npt.NDArray[np.float32] | None = None
        self._lock = threading.Lock()

    @property
    def finished(self) -> bool:
        """Whether a finer grid would take too long."""
        return not self._grids

    def improve(self) -> None:
        """Read tiles at the next finer grid of places; one, where a glimpse tells more than they.

        Raises
        ------
        DamagedSlideError
            When none of them can be read.
        """
        with self._lock:
            if self._stored.slide.glimpse() is not None:
                self._mean(0.5, 0.5)
                self._grids = []
            elif self._grids:
                self._read_grid(1)

    def window(self, full: tuple[int, ...], y: int, x: int, height: int, width: int) -> Pixels:
        """A window of a level of the shape `full`; the first one waits for the first colours.

        Raises
        ------
        DamagedSlideError
            When nothing at all of the slide can be read.
        """
        glimpse = self._stored.slide.glimpse()
        means: npt.NDArray[Any] | None = self._means if glimpse is None else glimpse.pixels
        if means is None:
            with self._lock:
                self._begin()
            means = self._means
        assert means is not None
        colors = means.reshape(*means.shape[:2], -1)
        across = _blended(colors, 1, _places(x, width, full[1], means.shape[1]))
        blended = _blended(across, 0, _places(y, height, full[0], means.shape[0]))
        if self._stored.dtype.kind in "iu":
            blended += 0.5
        found: Pixels = blended.reshape(height, width, *full[2:]).astype(self._stored.dtype)
        return found

    def _begin(self) -> None:
        begun = time.perf_counter()
        # The next grid has four times as many places.
        while self._means is None or (time.perf_counter() - begun) * 4 < FIRST_GUESS_S:
            if not self._grids:
                return
            self._read_grid(WAITED_FOR)

    def _read_grid(self, at_once: int) -> None:
        """Read tiles at a grid of places; what was read for the grid before is not used again."""
        grid = self._grids[0]
        height, width = self._stored.shape[:2]
        down, across = min(grid, height), min(grid, width)
        means = np.zeros((down, across, *self._stored.shape[2:]), dtype=np.float32)

        def read(place: tuple[int, int]) -> DamagedSlideError | None:
            row, column = place
            try:
                means[place] = self._mean((row + 0.5) / down, (column + 0.5) / across)
            except DamagedSlideError as error:
                means[place] = 255 if self._stored.ndim == 3 else 0
                return error
            return None

        with ThreadPoolExecutor(at_once, thread_name_prefix="pathseg-guess") as threads:
            errors = list(threads.map(read, product(range(down), range(across))))
        if (first := errors[0]) is not None and None not in errors:
            raise first
        self._means = means
        self._grids = [finer for finer in self._grids[1:] if self._is_worth(finer)]

    def _is_worth(self, grid: int) -> bool:
        """Whether a grid touches few of the stored tiles, so that the rest is not kept waiting."""
        (height, width), (tile_h, tile_w) = self._stored.shape[:2], self._stored.tile
        down, across = -(-height // tile_h), -(-width // tile_w)
        return min(grid, down) * min(grid, across) * SHARE <= down * across

    def _mean(self, at_y: float, at_x: float) -> Any:
        """Mean of the stored tile, or a part of it, at a place between 0 and 1."""
        height, width = self._stored.shape[:2]
        tile_h, tile_w = self._stored.tile
        y, x = int(at_y * height) // tile_h * tile_h, int(at_x * width)
        x = x // tile_w * tile_w if tile_w <= SAMPLE_PX else max(x - SAMPLE_PX // 2, 0)
        pixels = self._stored.window(
            y, x, min(tile_h, SAMPLE_PX, height - y), min(tile_w, SAMPLE_PX, width - x)
        )
        return pixels.mean(axis=(0, 1), dtype=np.float32)


def _places(start: int, count: int, length: int, samples: int) -> npt.NDArray[np.float32]:
    """Where `count` pixels of an axis of `length` lie between the samples along it."""
    places = (np.arange(start, start + count) + 0.5) * samples / length - 0.5
    return np.clip(places, 0, samples - 1).astype(np.float32)


def _blended(
    samples: npt.NDArray[Any], axis: int, places: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """Samples blended into each other along an axis."""
    before = places.astype(np.intp)
    after = np.minimum(before + 1, samples.shape[axis] - 1)
    share = np.expand_dims(places - before, tuple(i for i in range(samples.ndim) if i != axis))
    first = samples.take(before, axis=axis).astype(np.float32)
    blended: npt.NDArray[np.float32] = first + share * (samples.take(after, axis=axis) - first)
    return blended
