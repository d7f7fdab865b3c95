"""Where labelled fields come from: a slide with its labels, or a training bundle."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from napari_pathseg.errors import ExportError
from napari_pathseg.export.bundle import read_bundle_field, read_bundle_lines
from napari_pathseg.geometry import Field, Pair, Shape, nearest_level
from napari_pathseg.labels.apart import objects_apart
from napari_pathseg.labels.masks import LabelArray
from napari_pathseg.labels.raster import Instances, Ints
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.slide.base import RGB, Slide


class Source(Protocol):
    """The labelled fields of one slide; pixels are read when they are asked for."""

    @property
    def name(self) -> str:
        """File name of the slide, for people."""

    @property
    def identity(self) -> str:
        """Hash of the slide's content."""

    @property
    def levels(self) -> tuple[tuple[Shape, Pair], ...]:
        """Shape and downsample of each pyramid level; empty where the slide is not at hand."""

    def records(self) -> tuple[FieldRecord, ...]:
        """All fields, in the order they were made."""

    def masks(self, field_id: str) -> tuple[Ints, Ints | None]:
        """Class mask and, where they are kept, instances of a field."""

    def before(self, field_id: str) -> Ints | None:
        """The class mask before the first correction, where it is known."""

    def image(self, field_id: str, grid: Field) -> RGB:
        """Pixels of a grid that lies inside the field; its downsample may be any."""


class Labels(Protocol):
    """The labels of one slide: a LabelStore, or fields in memory."""

    def fields(self) -> tuple[FieldRecord, ...]:
        """All records, in the order they were made."""

    def load(self, field_id: str) -> tuple[FieldRecord, LabelArray]:
        """Record and class mask of a field."""

    def numbers(self, field_id: str) -> Instances | None:
        """What is known of the objects its pixels belong to, where touching ones are apart."""

    def proposal(self, field_id: str) -> LabelArray | None:
        """The class mask before the first correction."""


@dataclass(frozen=True, slots=True, eq=False)
class SlideSource:
    """A slide and its labels."""

    slide: Slide
    labels: Labels

    @property
    def name(self) -> str:
        """File name of the slide."""
        return self.slide.path.name

    @property
    def identity(self) -> str:
        """Hash of the slide's content."""
        return self.slide.metadata.identity

    @property
    def levels(self) -> tuple[tuple[Shape, Pair], ...]:
        """Shape and downsample of each level."""
        return tuple((level.shape, level.downsample) for level in self.slide.levels)

    def records(self) -> tuple[FieldRecord, ...]:
        """All fields."""
        return self.labels.fields()

    def masks(self, field_id: str) -> tuple[Ints, Ints | None]:
        """Class mask and instances."""
        mask = self.labels.load(field_id)[1]
        return mask, objects_apart(mask, self.labels.numbers(field_id))

    def before(self, field_id: str) -> Ints | None:
        """The class mask before the first correction."""
        return self.labels.proposal(field_id)

    def image(self, field_id: str, grid: Field) -> RGB:
        """Pixels of the slide, from the level of that downsample or the next finer one."""
        del field_id  # the slide has all of them
        return read_grid(self.slide, grid)


class BundleSource:
    """The fields of one slide in a training bundle.

    Raises
    ------
    ExportError
        When the folder is no bundle or is damaged.
    """

    levels: tuple[tuple[Shape, Pair], ...] = ()

    def __init__(self, path: Path, identity: str) -> None:
        self._path = path
        lines = [v for v in read_bundle_lines(path) if v["slide"]["identity"] == identity]
        self._lines = {line["id"]: line for line in lines}
        self.identity = identity
        self.name = str(lines[0]["slide"]["name"])

    def records(self) -> tuple[FieldRecord, ...]:
        """All fields of the slide, in the order of their ids."""
        return tuple(FieldRecord.from_json(line) for line in self._lines.values())

    def masks(self, field_id: str) -> tuple[Ints, Ints | None]:
        """Class mask and instances as they were written."""
        field = read_bundle_field(self._path, self._lines[field_id], image=False)
        return field.mask, field.instances

    def before(self, field_id: str) -> Ints | None:
        """The class mask before the first correction."""
        return read_bundle_field(self._path, self._lines[field_id], image=False).before

    def image(self, field_id: str, grid: Field) -> RGB:
        """Pixels from the bundle's picture of the field."""
        field = read_bundle_field(self._path, self._lines[field_id])
        return resampled_image(field.pixels(), field.record.field, grid)


def bundle_sources(path: Path) -> tuple[BundleSource, ...]:
    """One source for each slide of a bundle, in the order of their hashes."""
    identities = {line["slide"]["identity"] for line in read_bundle_lines(path)}
    return tuple(BundleSource(path, identity) for identity in sorted(identities))


def grid_of(
    field: Field, downsample: Pair, levels: Sequence[tuple[Shape, Pair]] = ()
) -> Field | None:
    """The pixels of another downsample whose centres lie in a field; None when there are none.

    `level` is that of the pyramid which such pixels are read from.
    """
    starts, sizes = [], []
    for first, count, down, wanted in zip(
        (field.y, field.x), field.shape, field.downsample, downsample, strict=True
    ):
        # 1e-9: a centre that falls on the edge by rounding belongs to the later pixel.
        start = math.ceil(first * down / wanted - 0.5 - 1e-9)
        starts.append(start)
        sizes.append(math.ceil((first + count) * down / wanted - 0.5 - 1e-9) - start)
    if min(sizes) < 1:
        return None
    level = field.level
    if levels:
        downs = [down for _, down in levels]
        level = nearest_level(downs, math.sqrt(downsample[0] * downsample[1]), tolerance=1.0001)
    return Field(level, starts[0], starts[1], sizes[0], sizes[1], downsample)


def read_grid(slide: Slide, grid: Field) -> RGB:
    """Pixels of a grid of any downsample, shrunk or grown from the level that suits it best."""
    level = slide.levels[grid.level] if grid.level < len(slide.levels) else None
    if level is not None and level.downsample == grid.downsample:
        return slide.read(grid)
    downs = [level.downsample for level in slide.levels]
    index = nearest_level(downs, math.sqrt(grid.downsample[0] * grid.downsample[1]), 1.0001)
    down = downs[index]
    y0, x0, y1, x1 = _box(grid, down)
    around = Field(
        index,
        math.floor(y0) - 2,
        math.floor(x0) - 2,
        math.ceil(y1) - math.floor(y0) + 4,
        math.ceil(x1) - math.floor(x0) + 4,
        down,
    )
    return resampled_image(slide.read(around), around, grid)


def resampled_image(image: RGB, field: Field, grid: Field) -> RGB:
    """A field's picture on another grid, filtered; the grid lies inside the field."""
    if grid == field:
        return image
    y0, x0, y1, x1 = _box(grid, field.downsample)
    top, left, bottom, right = y0 - field.y, x0 - field.x, y1 - field.y, x1 - field.x
    slack = 1.0  # a centre inside lets the pixel's corner lie half a pixel outside
    if min(top, left) < -slack or bottom > field.height + slack or right > field.width + slack:
        raise ExportError(f"{grid} does not lie in {field}.")
    if grid.downsample == field.downsample:
        y, x = grid.y - field.y, grid.x - field.x
        return np.ascontiguousarray(image[y : y + grid.height, x : x + grid.width])
    box = max(left, 0), max(top, 0), min(right, field.width), min(bottom, field.height)
    smaller = Image.fromarray(image).resize(
        (grid.width, grid.height), Image.Resampling.BICUBIC, box=box
    )
    return np.asarray(smaller)


def _box(grid: Field, downsample: Pair) -> tuple[float, float, float, float]:
    """Edges (y0, x0, y1, x1) of a grid in pixels of a level of that downsample."""
    (top, left), (down_y, down_x) = grid.origin, grid.downsample
    bottom, right = top + grid.height * down_y, left + grid.width * down_x
    return (
        top / downsample[0],
        left / downsample[1],
        bottom / downsample[0],
        right / downsample[1],
    )
