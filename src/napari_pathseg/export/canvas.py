"""Labels of many fields as one picture: composed window by window, never held as a whole."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.config import ExportConfig
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.merging import merge_classes
from napari_pathseg.export.selecting import Piece
from napari_pathseg.geometry import Field, Pair, Region, Shape, field_covering
from napari_pathseg.labels.record import FieldRecord

TILE_PX = 512
_CACHE_BYTES = 256 << 20

Pixels = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
Centers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CanvasLevel:
    """One level: pixel i shows pixel i * scale + scale // 2 of the grid."""

    scale: int
    shape: Shape


@dataclass(frozen=True, slots=True, eq=False)
class _Masks:
    classes: npt.NDArray[np.uint16]
    instances: npt.NDArray[np.uint32]


class Loadable(Protocol):
    """A field whose pixels can be had: a Piece, or :class:`Loaded`."""

    @property
    def record(self) -> FieldRecord:
        """Its place, scale and classes."""

    def load(self) -> ExportField:
        """Its pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A field whose pixels are at hand."""

    record: FieldRecord
    field: ExportField

    def load(self) -> ExportField:
        """The field."""
        return self.field


class Canvas:
    """Class and instance mask of pieces of one slide; a later piece covers an earlier one.

    Parameters
    ----------
    pieces : sequence of Loadable
        Of one slide.
    grid : Field
        What is shown, at the scale of the finest level.

    Attributes
    ----------
    classes : ClassList
        Of all pieces; a class keeps its value where that is free.
    mpp : (float, float) or None
        Micrometres per pixel of `grid`.
    """

    def __init__(self, pieces: Sequence[Loadable], grid: Field) -> None:
        self.pieces, self.grid = tuple(pieces), grid
        self.classes = ClassList()
        self._tables = []
        for piece in pieces:
            self.classes, table = merge_classes(self.classes, piece.record.classes)
            self._tables.append(table)
        self._first: dict[int, int] = {}  # the number before a piece's first object
        self._count = 0
        self._cache: OrderedDict[int, _Masks] = OrderedDict()
        self.mpp = _mpp_of(self.pieces[0].record, grid)

    @property
    def record(self) -> FieldRecord:
        """The record of a single field; of a larger canvas, what holds for all of it."""
        first = self.pieces[0].record
        if first.field == self.grid:
            return first
        return replace(
            first,
            field=self.grid,
            mpp=self.mpp,
            classes=self.classes,
            prompts=(),
            asked_as=(),
            presence=(),
            scores=(),
        )

    def levels(self) -> list[CanvasLevel]:
        """The grid and its halves, down to one tile."""
        height, width = self.grid.shape
        found = [CanvasLevel(1, (height, width))]
        while max(found[-1].shape) > TILE_PX:
            scale = found[-1].scale * 2
            found.append(CanvasLevel(scale, (-(-height // scale), -(-width // scale))))
        return found

    def tiles(self, level: CanvasLevel, name: str) -> Iterator[Pixels]:
        """Tiles of a level in reading order, those at the edges filled with background.

        Parameters
        ----------
        level : CanvasLevel
            One of :meth:`levels`.
        name : "classes" or "instances"
        """
        height, width = level.shape
        for y in range(0, height, TILE_PX):
            for x in range(0, width, TILE_PX):
                tile = self.window(level, y, x, TILE_PX, TILE_PX, name)
                padded = np.zeros((TILE_PX, TILE_PX), dtype=tile.dtype)
                padded[: tile.shape[0], : tile.shape[1]] = tile
                yield padded

    def window(
        self, level: CanvasLevel, y: int, x: int, height: int, width: int, name: str
    ) -> Pixels:
        """Values of a window of a level, cut to it: those at the middle of each pixel."""
        rows = self._sampled(level, y, height, axis=0)
        columns = self._sampled(level, x, width, axis=1)
        shown = np.zeros((rows.size, columns.size), np.uint16 if name == "classes" else np.uint32)
        for number, piece in enumerate(self.pieces):
            at_y, inside_y = _in_field(rows, piece.record.field, axis=0)
            at_x, inside_x = _in_field(columns, piece.record.field, axis=1)
            if not (inside_y.any() and inside_x.any()):
                continue
            loaded = self._loaded(number)
            values = loaded.classes if name == "classes" else loaded.instances
            part = values[np.ix_(at_y[inside_y], at_x[inside_x])]
            target = np.ix_(inside_y, inside_x)
            shown[target] = np.where(part > 0, part, shown[target])
        return shown

    def _sampled(self, level: CanvasLevel, first: int, count: int, axis: int) -> Centers:
        """Level-0 places of the grid's pixels that a level shows."""
        pixels: npt.NDArray[np.int64] = np.arange(first, min(first + count, level.shape[axis]))
        pixels = np.minimum(pixels * level.scale + level.scale // 2, self.grid.shape[axis] - 1)
        start = (self.grid.y, self.grid.x)[axis]
        down = self.grid.downsample[axis]
        centers: Centers = (pixels.astype(np.float64) + (start + 0.5)) * down
        return centers

    def _loaded(self, number: int) -> _Masks:
        if number in self._cache:
            self._cache.move_to_end(number)
            return self._cache[number]
        field = self.pieces[number].load()
        objects = field.classed_objects()
        _, inverse = np.unique(objects, return_inverse=True)
        own = inverse.reshape(objects.shape).astype(np.uint32)
        if objects.size and not (objects == 0).any():
            own += 1  # unique gave the first object the number of the background
        if number not in self._first:
            self._first[number] = self._count
            self._count += int(own.max(initial=0))
        own[own > 0] += np.uint32(self._first[number])
        found = _Masks(self._tables[number][field.mask], own)
        self._cache[number] = found
        while len(self._cache) > 1 and self._held() > _CACHE_BYTES:
            self._cache.popitem(last=False)
        return found

    def _held(self) -> int:
        return sum(f.classes.nbytes + f.instances.nbytes for f in self._cache.values())


def slide_canvas(pieces: Sequence[Piece], config: ExportConfig) -> Canvas:
    """All pieces of a slide on the whole slide, or on the chosen region of it.

    The scale is that of the finest piece. A bundle does not know its slides' sizes: there the
    canvas holds all pieces.
    """
    finest = min((p.record.field for p in pieces), key=lambda f: math.prod(f.downsample))
    down = finest.downsample
    region, shape = config.region, None
    for level_shape, level_down in pieces[0].source.levels:
        if level_down == (1.0, 1.0):
            region = region or Region.whole(level_shape)
        if level_down == down:
            shape = level_shape
    if region is None:
        regions = [p.record.field.region for p in pieces]
        region = Region.from_corners(
            min(r.y for r in regions),
            min(r.x for r in regions),
            max(r.stop_y for r in regions),
            max(r.stop_x for r in regions),
        )
    whole = shape or (math.ceil(region.stop_y / down[0]), math.ceil(region.stop_x / down[1]))
    return Canvas(pieces, field_covering(region, finest.level, down, whole))


def _in_field(
    centers: Centers, field: Field, axis: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Field pixel at each level-0 place, and whether there is one."""
    at = np.floor(centers / field.downsample[axis] + 1e-9).astype(np.int64)
    at -= (field.y, field.x)[axis]
    return at, (at >= 0) & (at < field.shape[axis])


def _mpp_of(record: FieldRecord, grid: Field) -> Pair | None:
    if record.mpp is None:
        return None
    own, down = record.field.downsample, grid.downsample
    return record.mpp[0] / own[0] * down[0], record.mpp[1] / own[1] * down[1]
