"""Levels as sliceable sources: those that are stored, and those that the file lacks."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Shape
from napari_pathseg.slide.base import RGB, Slide

CHUNK_PX = 1024
"""Largest chunk side: two to four stored tiles; smaller chunks make graphs of 100,000 tasks."""

SMALLEST_CHUNK_PX = 512
OVERVIEW_PX = 1024
"""Levels are added until the longer side is at most this."""

STEP = 2
MIN_LEVEL_PX = 16
"""Stored levels thinner than this are left out: a level of 1 x 1 pixels shows nothing."""

CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class LevelSource:
    """One stored level that dask can slice; pickles with its slide, by path."""

    slide: Slide
    index: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3)."""
        return (*self.slide.levels[self.index].shape, 3)

    @property
    def name(self) -> str:
        """Stable name, so that dask hashes no pixels."""
        return f"{self.slide.metadata.identity[:16]}-{id(self.slide):x}-{self.index}"

    @property
    def chunk(self) -> Shape:
        """Chunk shape: whole stored tiles."""
        tile = self.slide.levels[self.index].tile
        return _chunk_side(tile[0]), _chunk_side(tile[1])

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __getitem__(self, key: tuple[slice, ...]) -> RGB:
        y, x, height, width, channels = _window(key, self.shape)
        downsample = self.slide.levels[self.index].downsample
        return self.slide.read(Field(self.index, y, x, height, width, downsample))[..., channels]


class ChunkCache:
    """The chunks used last, bounded by bytes; safe under threads."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self._chunks: OrderedDict[tuple[int, int, int], RGB] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ChunkCache], tuple[int]]:
        return type(self), (self.max_bytes,)

    def get(self, key: tuple[int, int, int]) -> RGB | None:
        """The chunk (depth, row, column) if it is held."""
        with self._lock:
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def put(self, key: tuple[int, int, int], chunk: RGB) -> None:
        """Hold a chunk and let go of the oldest."""
        with self._lock:
            if key in self._chunks:
                return
            self._chunks[key] = chunk
            self._bytes += chunk.nbytes
            while self._bytes > self.max_bytes and len(self._chunks) > 1:
                self._bytes -= self._chunks.popitem(last=False)[1].nbytes


@dataclass(frozen=True, slots=True)
class AveragedSource:
    """A level that is not stored: each pixel is the mean of 2 x 2 pixels of the finer level.

    Its chunks are computed when they are first seen and held in a bounded cache, so the
    finer levels are read once, however often the user zooms out.
    """

    finer: LevelSource | AveragedSource
    depth: int
    cache: ChunkCache = field(compare=False)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, 3): half the finer level's, rounded up."""
        height, width, channels = self.finer.shape
        return math.ceil(height / STEP), math.ceil(width / STEP), channels

    @property
    def name(self) -> str:
        """Stable name, so that dask hashes no pixels."""
        return f"{self.finer.name}-half"

    @property
    def chunk(self) -> Shape:
        """Chunk shape."""
        return SMALLEST_CHUNK_PX, SMALLEST_CHUNK_PX

    dtype = np.dtype(np.uint8)
    ndim = 3

    def __getitem__(self, key: tuple[slice, ...]) -> RGB:
        y, x, height, width, channels = _window(key, self.shape)
        side = SMALLEST_CHUNK_PX
        out = np.empty((height, width, 3), dtype=np.uint8)
        for row in range(y // side, math.ceil((y + height) / side)):
            for column in range(x // side, math.ceil((x + width) / side)):
                chunk = self._chunk(row, column)
                top, left = max(y, row * side), max(x, column * side)
                bottom = min(y + height, row * side + chunk.shape[0])
                right = min(x + width, column * side + chunk.shape[1])
                out[top - y : bottom - y, left - x : right - x] = chunk[
                    top - row * side : bottom - row * side,
                    left - column * side : right - column * side,
                ]
        return out[..., channels]

    def _chunk(self, row: int, column: int) -> RGB:
        key = (self.depth, row, column)
        held = self.cache.get(key)
        if held is not None:
            return held
        side = SMALLEST_CHUNK_PX * STEP
        y, x = row * side, column * side
        height = min(side, self.finer.shape[0] - y)
        width = min(side, self.finer.shape[1] - x)
        fine = self.finer[slice(y, y + height), slice(x, x + width), slice(None)]
        chunk = halved(fine)
        self.cache.put(key, chunk)
        return chunk


def halved(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Means of 2 x 2 pixels; an odd last row or column is the mean of itself.

    Parameters
    ----------
    pixels : uint8 array (height, width, channels)

    Returns
    -------
    uint8 array (ceil(height / 2), ceil(width / 2), channels)
    """
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    wide = pixels.astype(np.uint16)
    rows = wide[0::2] + wide[1::2]
    return ((rows[:, 0::2] + rows[:, 1::2] + 2) >> 2).astype(np.uint8)


def added_levels(
    coarsest: LevelSource, cache_bytes: int = CACHE_BYTES, *, longest_px: int = OVERVIEW_PX
) -> list[AveragedSource]:
    """The levels to add below the coarsest stored one until an overview is reached.

    Parameters
    ----------
    coarsest : LevelSource
    cache_bytes : int
        Memory for averaged chunks, shared by all of them.
    longest_px : int
        Longer side of the overview.
    """
    cache = ChunkCache(cache_bytes)
    added: list[AveragedSource] = []
    finer: LevelSource | AveragedSource = coarsest
    while max(finer.shape[:2]) > longest_px and min(finer.shape[:2]) >= MIN_LEVEL_PX * STEP:
        finer = AveragedSource(finer, len(added) + 1, cache)
        added.append(finer)
    return added


def _chunk_side(tile: int) -> int:
    """The largest multiple of the stored tile up to `CHUNK_PX`, at least half of it."""
    side = tile * max(CHUNK_PX // max(tile, 1), 1)
    return side if SMALLEST_CHUNK_PX <= side <= CHUNK_PX else CHUNK_PX


def _window(key: tuple[slice, ...], shape: tuple[int, int, int]) -> tuple[int, int, int, int, Any]:
    """(y, x, height, width, channel slice) of the slices that dask asks for."""
    rows, columns = key[0], key[1]
    channels = key[2] if len(key) > 2 else slice(None)
    y0, y1, _ = rows.indices(shape[0])
    x0, x1, _ = columns.indices(shape[1])
    return y0, x0, y1 - y0, x1 - x0, channels
