"""Levels as sliceable sources: those that are stored, those that the file lacks, and stacks."""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.geometry import Field, Shape
from napari_pathseg.slide.base import Pixels, Plane, Slide
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.damage import Damage
from napari_pathseg.slide.indexing import Block, Key, corners, indexed
from napari_pathseg.slide.pixels import BLANK

CHUNK_PX = 1024
"""Largest chunk side: two to four stored tiles; smaller chunks make graphs of 100,000 tasks."""

SMALLEST_CHUNK_PX = 512
OVERVIEW_PX = 1024
"""Levels are added until the longer side is at most this."""

WIDE_PX = 2048
"""Tiles that are wider, and less high than a chunk, are strips: they are read whole."""

STEP = 2
MIN_LEVEL_PX = 16
"""Stored levels thinner than this are left out: a level of 1 x 1 pixels shows nothing."""

CACHE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class LevelSource:
    """One plane of a stored level that dask can slice; pickles with its slide, by path.

    Whole chunks are held in the cache, so a pan decodes only what comes into view. A part of
    a chunk is read as it is asked for.
    """

    slide: Slide
    index: int
    plane: Plane | None
    """None: colours, as :meth:`Slide.read` shows them."""

    cache: ChunkCache = field(compare=False)
    token: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    """Of this opening of the slide, so that neither dask nor the cache mixes two."""

    damage: Damage | None = field(default=None, compare=False)
    """Where broken tiles are grey: what is told of them; None raises the error."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(height, width, 3) in colours, (height, width) for one channel."""
        shape = self.slide.levels[self.index].shape
        return (*shape, 3) if self._in_colors else shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return np.dtype(np.uint8 if self._in_colors else self.slide.stack.dtype)

    @property
    def ndim(self) -> int:
        """3 in colours, 2 for one channel."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """Stable name, so that dask hashes no pixels."""
        plane = self.plane
        where = f"{self.index}"
        if plane is not None:
            where += f"-{plane.z}-{plane.t}-{plane.channel}"
        if self.damage is not None and self.damage.is_found:
            where += "-grey"  # who is to get an error gets nothing grey out of the cache
        return f"{self.slide.metadata.identity[:16]}-{self.token}-{where}"

    @property
    def lasting_name(self) -> str:
        """The same whenever this slide is opened in the same colours."""
        plane = self.plane or Plane()
        where = f"{self.index}-{plane.z}-{plane.t}-{plane.channel}"
        return f"{self.slide.metadata.identity[:32]}-{type(self.slide).__name__}-{where}"

    @property
    def tile(self) -> Shape:
        """What is stored together."""
        return self.slide.levels[self.index].tile

    @property
    def chunk(self) -> Shape:
        """Chunk shape: whole stored tiles, and whole strips of them where they are wide."""
        height, width = self.tile
        if is_wide(self.tile):
            return height * max(CHUNK_PX * CHUNK_PX // (height * width), 1), width
        return _chunk_side(height), _chunk_side(width)

    @property
    def _in_colors(self) -> bool:
        return self.plane is None or self.plane.channel is None

    def __getitem__(self, key: Key) -> Pixels:
        return indexed(self.shape, key, self._own)

    def _own(self, part: Block) -> Pixels:
        """Pixels of a part that are nobody else's."""
        pixels, is_held = self._window(*corners(part))
        return pixels.copy() if is_held else pixels

    def window(self, y: int, x: int, height: int, width: int) -> Pixels:
        """Pixels of a window inside the level; they must not be written to."""
        return self._window(y, x, height, width)[0]

    def _window(self, y: int, x: int, height: int, width: int) -> tuple[Pixels, bool]:
        """Pixels of a window, and whether the cache holds them too."""
        row, column = y // self.chunk[0], x // self.chunk[1]
        top, left = row * self.chunk[0], column * self.chunk[1]
        # Where the chunk ends, as the level does before a whole chunk.
        bottom = min(top + self.chunk[0], self.shape[0])
        right = min(left + self.chunk[1], self.shape[1])
        one_chunk = y + height <= bottom and x + width <= right
        held = self.cache.get((self.name, row, column)) if one_chunk else None
        if held is not None:
            return held[y - top : y - top + height, x - left : x - left + width], True
        try:
            pixels = self._read(y, x, height, width)
        except DamagedSlideError:
            if self.damage is None:
                raise
            pixels = self._without_damage(self.damage, y, x, height, width)
        is_whole = (y, x, y + height, x + width) == (top, left, bottom, right)
        return pixels, is_whole and self.cache.put((self.name, row, column), pixels)

    def _read(self, y: int, x: int, height: int, width: int) -> Pixels:
        downsample = self.slide.levels[self.index].downsample
        where = Field(self.index, y, x, height, width, downsample)
        if self.plane is None:
            return self.slide.read(where)
        return self.slide.read_plane(where, self.plane)

    def _without_damage(self, damage: Damage, y: int, x: int, height: int, width: int) -> Pixels:
        """A window tile by tile; those that can not be read are grey."""
        empty = BLANK if self._in_colors else 0
        out = np.full((height, width, *self.shape[2:]), empty, dtype=self.dtype)
        down, across = self.tile
        for row in range(y // down, math.ceil((y + height) / down)):
            for column in range(x // across, math.ceil((x + width) / across)):
                top, left = max(y, row * down), max(x, column * across)
                bottom = min(y + height, (row + 1) * down)
                right = min(x + width, (column + 1) * across)
                try:
                    pixels = self._read(top, left, bottom - top, right - left)
                except DamagedSlideError as error:
                    damage.add(error)
                else:
                    out[top - y : bottom - y, left - x : right - x] = pixels
        return out


@dataclass(frozen=True, slots=True)
class AveragedSource:
    """A level that is not stored: each pixel is the mean of 2 x 2 pixels of the finer level.

    Its chunks are computed when they are first seen and held in a bounded cache, so the
    finer levels are read once, however often the user zooms out.
    """

    finer: LevelSource | AveragedSource
    cache: ChunkCache = field(compare=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Half the finer level's height and width, rounded up."""
        height, width, *channels = self.finer.shape
        return (math.ceil(height / STEP), math.ceil(width / STEP), *channels)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.finer.dtype

    @property
    def ndim(self) -> int:
        """3 in colours, 2 for one channel."""
        return len(self.shape)

    @property
    def name(self) -> str:
        """Stable name, so that dask hashes no pixels."""
        return f"{self.finer.name}-half"

    @property
    def chunk(self) -> Shape:
        """Chunk shape; of strips two, made half as wide and half as high."""
        height, width = self.finer.chunk
        if width <= WIDE_PX:
            return SMALLEST_CHUNK_PX, SMALLEST_CHUNK_PX
        return height, -(-width // STEP)

    def __getitem__(self, key: Key) -> Pixels:
        return indexed(self.shape, key, lambda part: self.window(*corners(part)))

    def window(self, y: int, x: int, height: int, width: int) -> Pixels:
        """Pixels of a window inside the level."""
        down, across = self.chunk
        out = np.empty((height, width, *self.shape[2:]), dtype=self.dtype)
        for row in range(y // down, math.ceil((y + height) / down)):
            for column in range(x // across, math.ceil((x + width) / across)):
                chunk = self.chunk_at(row, column)
                top, left = max(y, row * down), max(x, column * across)
                bottom = min(y + height, row * down + chunk.shape[0])
                right = min(x + width, column * across + chunk.shape[1])
                out[top - y : bottom - y, left - x : right - x] = chunk[
                    top - row * down : bottom - row * down,
                    left - column * across : right - column * across,
                ]
        return out

    def chunk_at(self, row: int, column: int) -> Pixels:
        """One chunk, (up to `chunk`, ...); it must not be written to."""
        held = self.cache.get((self.name, row, column))
        if held is not None:
            return held
        down, across = (side * STEP for side in self.chunk)
        y, x = row * down, column * across
        height = min(down, self.finer.shape[0] - y)
        width = min(across, self.finer.shape[1] - x)
        chunk = halved(self.finer.window(y, x, height, width))
        self.cache.put((self.name, row, column), chunk)
        return chunk


Source = LevelSource | AveragedSource


@dataclass(frozen=True, slots=True)
class StackSource:
    """The same level of several planes, behind the axes that number them.

    Attributes
    ----------
    planes : tuple of Source
        In the order of the axes, the last one fastest.
    lengths : tuple of int
        Of the leading axes, such as (time points, focal planes).
    """

    planes: tuple[Source, ...]
    lengths: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the leading axes, then height and width."""
        return (*self.lengths, *self.planes[0].shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""
        return self.planes[0].dtype

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def __getitem__(self, key: Key) -> Pixels:
        return indexed(self.shape, key, self._block)

    def _block(self, part: tuple[slice, ...]) -> Pixels:
        lead, rest = part[: len(self.lengths)], corners(part[len(self.lengths) :])
        wanted = np.arange(len(self.planes)).reshape(self.lengths)[lead]
        pixels = [self.planes[index].window(*rest) for index in wanted.ravel()]
        return np.stack(pixels).reshape(*wanted.shape, *pixels[0].shape)


def halved(pixels: Pixels) -> Pixels:
    """Means of 2 x 2 pixels; an odd last row or column is the mean of itself.

    Parameters
    ----------
    pixels : array (height, width) or (height, width, channels)
        Numbers of any type; whole numbers are rounded half up.

    Returns
    -------
    array (ceil(height / 2), ceil(width / 2), ...) of the same type
    """
    height, width = pixels.shape[:2]
    if height % 2 or width % 2:
        around = [(0, height % 2), (0, width % 2), *[(0, 0)] * (pixels.ndim - 2)]
        pixels = np.pad(pixels, around, mode="edge")
    if pixels.dtype == np.bool_:
        return halved(pixels.astype(np.uint8)).astype(np.bool_)
    if pixels.dtype.kind == "f":
        return (_fours(pixels, np.float64) / 4).astype(pixels.dtype)
    wide = np.uint16 if pixels.dtype == np.uint8 else np.int64
    return ((_fours(pixels, wide) + 2) >> 2).astype(pixels.dtype)


def _fours(pixels: Pixels, wide: npt.DTypeLike) -> Pixels:
    """Sums of 2 x 2 pixels, of a type that holds them."""
    rows = np.add(pixels[0::2], pixels[1::2], dtype=wide)
    sums: Pixels = rows[:, 0::2] + rows[:, 1::2]
    return sums


def added_levels(
    coarsest: LevelSource, cache: ChunkCache, *, longest_px: int = OVERVIEW_PX
) -> list[AveragedSource]:
    """The levels to add below the coarsest stored one until an overview is reached.

    Parameters
    ----------
    coarsest : LevelSource
    cache : ChunkCache
        Shared by all of them.
    longest_px : int
        Longer side of the overview.
    """
    added: list[AveragedSource] = []
    finer: Source = coarsest
    while max(finer.shape[:2]) > longest_px and min(finer.shape[:2]) >= MIN_LEVEL_PX * STEP:
        finer = AveragedSource(finer, cache)
        added.append(finer)
    return added


def level_sources(slide: Slide, plane: Plane | None, cache: ChunkCache) -> list[Source]:
    """Every level of one plane, stored and added, finest first."""
    token = uuid.uuid4().hex[:12]
    stored = [
        LevelSource(slide, index, plane, cache, token)
        for index, level in enumerate(slide.levels)
        if index == 0 or min(level.shape) >= MIN_LEVEL_PX
    ]
    return [*stored, *added_levels(stored[-1], cache)]


def drawn_levels(sources: Sequence[Source], damage: Damage) -> list[Source]:
    """The same levels for who draws them: what can not be read is grey."""
    return [_drawn(source, damage) for source in sources]


def _drawn(source: Source, damage: Damage) -> Source:
    if isinstance(source, LevelSource):
        return replace(source, damage=damage)
    return replace(source, finer=_drawn(source.finer, damage))


def stacked(planes: Sequence[Sequence[Source]], lengths: tuple[int, ...]) -> list[StackSource]:
    """One stack a level out of the levels of each plane."""
    return [StackSource(level, lengths) for level in zip(*planes, strict=True)]


def is_wide(tile: Shape) -> bool:
    """Whether tiles are strips, of which a part costs as much as the whole."""
    return tile[1] > WIDE_PX and tile[0] < CHUNK_PX


def _chunk_side(tile: int) -> int:
    """The largest multiple of the stored tile up to `CHUNK_PX`, at least half of it."""
    side = tile * max(CHUNK_PX // max(tile, 1), 1)
    return side if SMALLEST_CHUNK_PX <= side <= CHUNK_PX else CHUNK_PX
