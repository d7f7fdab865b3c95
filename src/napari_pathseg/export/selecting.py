"""What goes out: the pieces of labelled fields that an export writes, and a count of them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from napari_pathseg.classes import ClassList
from napari_pathseg.config import ExportConfig
from napari_pathseg.errors import ExportError
from napari_pathseg.export.fields import ExportField, hidden_name
from napari_pathseg.export.sources import Source, grid_of
from napari_pathseg.geometry import Field, Pair, Region
from napari_pathseg.labels.masks import regridded
from napari_pathseg.labels.raster import Instances, Ints, instances_of
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

T = TypeVar("T")
Window = tuple[int, int, int, int]


class Arrays:
    """Masks of fields; those of the last one are kept: its tiles come one after the other."""

    def __init__(self) -> None:
        self._last: tuple[Source, FieldRecord, Field, tuple[Ints, Instances]] | None = None

    def of(self, source: Source, record: FieldRecord, grid: Field) -> tuple[Ints, Instances]:
        """Class and instance mask of all of a field on a grid."""
        last = self._last
        if last is not None and last[0] is source and last[1] is record and last[2] == grid:
            return last[3]
        self._last = None  # one field at a time
        mask, instances = source.masks(record.id)
        objects = instances_of(mask) if instances is None else instances.astype(np.uint32)
        found = (
            on_grid(mask, record.field, grid),
            on_grid(objects, record.field, grid).astype(np.uint32, copy=False),
        )
        self._last = source, record, grid, found
        return found


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A part of a field that goes out; its pixels are loaded when they are written.

    Attributes
    ----------
    record : FieldRecord
        As it goes out: its own id, place, scale and classes.
    source : Source
    of : FieldRecord
        The field it was taken from.
    grid : Field
        All of that field, at the scale that goes out.
    window : (y, x, height, width)
        Of the piece in `grid`.
    objects : int
        Objects with a pixel in it.
    arrays : Arrays
        Loads its masks.
    """

    record: FieldRecord
    source: Source
    of: FieldRecord
    grid: Field
    window: Window
    objects: int
    arrays: Arrays

    def load(self, *, image: bool = False, before: bool = False) -> ExportField:
        """The piece with its pixels."""
        mask, instances = self.arrays.of(self.source, self.of, self.grid)
        values = tuple(c.value for c in self.record.classes)
        kept = _only(_cut(mask, self.window), values)
        own = np.where(kept > 0, _cut(instances, self.window), 0).astype(np.uint32)
        old = self.source.before(self.of.id) if before else None
        if old is not None:
            old = _only(_cut(on_grid(old, self.of.field, self.grid), self.window), values)
        picture = self.source.image(self.of.id, self.record.field) if image else None
        return ExportField(self.record, kept, picture, own, old)


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Everything that goes out.

    Attributes
    ----------
    whole : tuple of Piece
        One for each field.
    tiles : tuple of Piece
        The same fields cut into tiles, empty ones thinned; the same as `whole` without tiles.
    stems : mapping of str to str
        The beginning of file names for each slide, by its identity.
    left_out : mapping of str to int
        Fields that do not go out, by the reason; tiles under "background tiles".
    """

    whole: tuple[Piece, ...]
    tiles: tuple[Piece, ...]
    stems: Mapping[str, str]
    left_out: Mapping[str, int]

    @property
    def slides(self) -> int:
        """Slides with a field that goes out."""
        return len({p.of.slide_identity for p in self.whole})

    @property
    def objects(self) -> int:
        """Objects of all fields, each once."""
        return sum(p.objects for p in self.whole)


def select(
    sources: Sequence[Source],
    config: ExportConfig,
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Selection:
    """Choose what goes out; masks are looked through, pictures are not read.

    Raises
    ------
    ExportError
        When a level or scale is not there, or nothing is left to write.
    CancelledError
    """
    stems = _stems(sources, config)
    arrays = Arrays()
    whole: list[Piece] = []
    tiles: list[Piece] = []
    left_out: Counter[str] = Counter()
    fields = [(source, record) for source in sources for record in source.records()]
    for done, (source, record) in enumerate(fields):
        if cancel is not None:
            cancel.raise_if_cancelled()
        progress(Progress(done, len(fields), f"Looking at field {done + 1} of {len(fields)}"))
        reason = _refused(record, config)
        piece = None if reason else _piece(source, record, config, arrays)
        if piece is None:
            left_out[reason or "outside the region"] += 1
            continue
        whole.append(piece)
        tiles += _tiles(piece, config)
    thinned = _thinned(tiles, config.background_ratio)
    left_out["background tiles"] = len(tiles) - len(thinned)
    if not whole:
        raise ExportError(
            f"Nothing is left to export: {_why(left_out)}.", "Choose more, or label a field first."
        )
    return Selection(tuple(whole), thinned, stems, +left_out)


def _why(left_out: Mapping[str, int]) -> str:
    reasons = [f"{n} fields {reason}" for reason, n in left_out.items() if n]
    return ", ".join(reasons) or "no field is labelled"


def _refused(record: FieldRecord, config: ExportConfig) -> str:
    """Why a field stays, "" when it goes out."""
    if config.fields and record.id not in config.fields:
        return "not chosen"
    if config.reviewed_only and record.status == "proposed":
        return "not reviewed"
    if config.classes and not any(c.name in config.classes for c in record.classes):
        return "without a chosen class"
    return ""


def _piece(
    source: Source, record: FieldRecord, config: ExportConfig, arrays: Arrays
) -> Piece | None:
    """A field as it goes out, None when nothing of it does."""
    grid = _grid(source, record, config)
    if grid is None:
        return None
    window = _inside(grid, config.region)
    if window is None:
        return None
    out = _with_classes(record, config.classes)
    if config.hide_names:
        out = replace(out, slide_name=hidden_name(record.slide_identity))
    return _made(source, record, out, grid, window, arrays)


def _grid(source: Source, record: FieldRecord, config: ExportConfig) -> Field | None:
    field = record.field
    if config.level is None and config.mpp is None:
        return field
    if config.level is not None:
        if not source.levels:
            raise ExportError(
                "A bundle does not know its slides' levels.", "Give micrometres per pixel instead."
            )
        if not 0 <= config.level < len(source.levels):
            raise ExportError(
                f"{source.name} has no level {config.level}.",
                f"Its levels are 0 to {len(source.levels) - 1}.",
            )
        down = source.levels[config.level][1]
        return field if down == field.downsample else grid_of(field, down, source.levels)
    if record.mpp is None or config.mpp is None:
        raise ExportError(
            f"{source.name} does not say its scale.", "Set its scale in the panel, or give a level."
        )
    down = tuple(  # type: ignore[assignment]
        config.mpp / (um / own) for um, own in zip(record.mpp, field.downsample, strict=True)
    )
    return grid_of(field, down, source.levels)


def _inside(grid: Field, region: Region | None) -> Window | None:
    """The window of pixels whose centres lie in a region."""
    if region is None:
        return 0, 0, *grid.shape
    asked = Field(0, region.y, region.x, region.height, region.width, (1.0, 1.0))
    part = grid_of(asked, grid.downsample)
    if part is None:
        return None
    y0, x0 = max(part.y - grid.y, 0), max(part.x - grid.x, 0)
    y1 = min(part.y - grid.y + part.height, grid.height)
    x1 = min(part.x - grid.x + part.width, grid.width)
    return (y0, x0, y1 - y0, x1 - x0) if y1 > y0 and x1 > x0 else None


def _with_classes(record: FieldRecord, names: Sequence[str]) -> FieldRecord:
    """The record with the named classes only, their answers kept beside them."""
    if not names:
        return record
    keep = [i for i, c in enumerate(record.classes) if c.name in names]

    def kept(values: tuple[T, ...]) -> tuple[T, ...]:
        return tuple(values[i] for i in keep if i < len(values))

    return replace(
        record,
        classes=ClassList(tuple(record.classes.classes[i] for i in keep)),
        asked_as=kept(record.asked_as),
        presence=kept(record.presence),
        scores=kept(record.scores),
    )


def _made(
    source: Source,
    of: FieldRecord,
    record: FieldRecord,
    grid: Field,
    window: Window,
    arrays: Arrays,
) -> Piece:
    """A piece with the id, place and scale of its window, and its objects counted."""
    place = grid.cropped(*window)
    own_id = of.id
    if place != of.field:
        own_id = f"{of.id}_{place.y}_{place.x}"
        if grid.downsample != of.field.downsample:
            own_id += f"_{round(grid.downsample[0] * 1000)}"
    mpp = _scaled(of.mpp, of.field.downsample, grid.downsample)
    mask, instances = arrays.of(source, of, grid)
    shown = np.isin(_cut(mask, window), [c.value for c in record.classes])
    present = np.unique(_cut(instances, window)[shown])
    objects = int(np.count_nonzero(present))
    record = replace(record, id=own_id, field=place, mpp=mpp)
    return Piece(record, source, of, grid, window, objects, arrays)


def _scaled(mpp: Pair | None, down: Pair, wanted: Pair) -> Pair | None:
    if mpp is None or down == wanted:
        return mpp
    return mpp[0] / down[0] * wanted[0], mpp[1] / down[1] * wanted[1]


def _tiles(piece: Piece, config: ExportConfig) -> Iterator[Piece]:
    """The piece, or its tiles in reading order; the last ones end with the field."""
    tile = config.tile_px
    y, x, height, width = piece.window
    if tile is None or (height <= tile and width <= tile):
        yield piece
        return
    for top in starts(height, tile, config.overlap_px):
        for left in starts(width, tile, config.overlap_px):
            window = y + top, x + left, min(tile, height), min(tile, width)
            yield _made(piece.source, piece.of, piece.record, piece.grid, window, piece.arrays)


def starts(length: int, tile: int, overlap: int) -> list[int]:
    """Where tiles begin that cover a length; the last one ends with it."""
    if length <= tile:
        return [0]
    found = list(range(0, length - tile, tile - overlap))
    return [*found, length - tile]


def _thinned(tiles: Sequence[Piece], ratio: float | None) -> tuple[Piece, ...]:
    """Without the empty pieces above the ratio; which ones stay follows from their ids."""
    empty = [p for p in tiles if not p.objects]
    if ratio is None:
        return tuple(tiles)
    allowed = int(ratio * (len(tiles) - len(empty)))
    empty.sort(key=lambda p: hashlib.sha256(p.record.id.encode()).digest())
    dropped = {p.record.id for p in empty[allowed:]}
    return tuple(p for p in tiles if p.record.id not in dropped)


def _stems(sources: Sequence[Source], config: ExportConfig) -> dict[str, str]:
    """A file name without suffix for each slide, each once."""
    found: dict[str, str] = {}
    for source in sources:
        if source.identity in found:
            raise ExportError(f"{source.name} is given twice.", "Give each slide once.")
        stem = hidden_name(source.identity) if config.hide_names else _stem(source.name)
        count, plain = 1, stem
        while stem in found.values():
            count += 1
            stem = f"{plain}-{count}"
        found[source.identity] = stem
    return found


def _stem(name: str) -> str:
    return name.rsplit(".", 1)[0].removesuffix(".ome") or name


def on_grid(mask: Ints, field: Field, grid: Field) -> Ints:
    """A field's mask on another grid; itself on its own."""
    return mask if grid == field else regridded(mask, field, grid)


def _cut(array: Ints, window: Window) -> Ints:
    y, x, height, width = window
    return array[y : y + height, x : x + width]


def _only(mask: Ints, values: Sequence[int]) -> Ints:
    """The mask without all other values."""
    keep = np.zeros(int(mask.max(initial=0)) + 1, dtype=mask.dtype)
    for value in values:
        if value < len(keep):
            keep[value] = value
    found: Ints = keep[mask]
    return found
