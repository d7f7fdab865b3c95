"""Rows of the label store: fields, tiles of the present masks, steps and what they change."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Shape
from napari_pathseg.labels.masks import LabelArray, pack, regridded, unpack
from napari_pathseg.labels.record import FieldRecord

TILE = 256
MODEL, STROKE, RECORD, GRID = "model", "stroke", "record", "grid"
"""Kinds of step: a model's result, a person's stroke, no pixels, another level."""
Window = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FieldRow:
    """A field as stored: `position` is the number of the last step that is in the mask."""

    id: str
    shape: Shape
    dtype: str
    position: int


@dataclass(frozen=True, slots=True, eq=False)
class Step:
    """A change of a window of the mask, of the record, or of both.

    `record_before` is None for the step that made the field. In a step of kind "grid" the whole
    mask goes to the grid of another level, and `before` and `after` differ in shape.
    """

    number: int
    kind: str
    y: int
    x: int
    before: LabelArray
    after: LabelArray
    record_before: FieldRecord | None
    record_after: FieldRecord

    def reversed(self) -> Step:
        """The step that takes this one back."""
        return replace(
            self,
            before=self.after,
            after=self.before,
            record_before=self.record_after,
            record_after=self.record_before or self.record_after,
        )


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """What an undo or redo did, for the layer that shows the field.

    Attributes
    ----------
    y, x : int
        Field pixels of the first changed pixel.
    pixels : uint16 or uint32 array (height, width)
        The mask's values now in that window; (0, 0) when only the record changed.
    record : FieldRecord
        As it is now.
    kind : {"model", "stroke", "record", "grid"}
        Of the step that was undone or done again; after "grid" the mask has another shape.
    """

    y: int
    x: int
    pixels: LabelArray
    record: FieldRecord
    kind: str


def insert_field(connection: sqlite3.Connection, row: FieldRow, record: FieldRecord) -> None:
    """Add a field whose mask is all background."""
    connection.execute(
        "INSERT INTO fields VALUES (?, ?, ?, ?, ?, ?)",
        (row.id, json.dumps(record.to_json()), *row.shape, row.dtype, row.position),
    )


def read_field_row(connection: sqlite3.Connection, field_id: str) -> FieldRow | None:
    """The field's row, or None."""
    found = connection.execute(
        "SELECT height, width, dtype, position FROM fields WHERE id=?", (field_id,)
    ).fetchone()
    if found is None:
        return None
    height, width, dtype, position = found
    return FieldRow(field_id, (height, width), dtype, position)


def read_record(connection: sqlite3.Connection, field_id: str) -> FieldRecord:
    """The record of a field that is known to exist."""
    (text,) = connection.execute("SELECT record FROM fields WHERE id=?", (field_id,)).fetchone()
    return FieldRecord.from_json(json.loads(text))


def read_records(connection: sqlite3.Connection) -> tuple[FieldRecord, ...]:
    """All records in the order of their making."""
    rows = connection.execute("SELECT record FROM fields ORDER BY rowid")
    return tuple(FieldRecord.from_json(json.loads(text)) for (text,) in rows)


def write_record(connection: sqlite3.Connection, row: FieldRow, record: FieldRecord) -> None:
    """Store the record and the position of a field."""
    connection.execute(
        "UPDATE fields SET record=?, position=? WHERE id=?",
        (json.dumps(record.to_json()), row.position, row.id),
    )


def read_mask(
    connection: sqlite3.Connection, row: FieldRow, window: Window | None = None
) -> LabelArray:
    """The present mask, or the (y, x, height, width) of it in field pixels."""
    y, x, height, width = window or (0, 0, *row.shape)
    mask: LabelArray = np.zeros((height, width), dtype=row.dtype)
    for tile_y, tile_x in _tiles_of((y, x, height, width)):
        tile = _read_tile(connection, row, tile_y, tile_x)
        if tile is not None:
            inside, outside = _overlap((y, x, height, width), tile_y, tile_x, tile.shape)
            mask[outside] = tile[inside]
    return mask


def write_tiles(
    connection: sqlite3.Connection, row: FieldRow, y: int, x: int, pixels: LabelArray
) -> None:
    """Write a window of the present mask into its tiles; tiles without labels are not kept."""
    window = (y, x, *pixels.shape)
    for tile_y, tile_x in _tiles_of(window):
        tile = _read_tile(connection, row, tile_y, tile_x)
        if tile is None:
            tile = np.zeros(_tile_shape(row, tile_y, tile_x), dtype=row.dtype)
        inside, outside = _overlap(window, tile_y, tile_x, tile.shape)
        tile[inside] = pixels[outside]
        if tile.any():
            connection.execute(
                "INSERT OR REPLACE INTO tiles VALUES (?, ?, ?, ?)",
                (row.id, tile_y, tile_x, pack(tile)),
            )
        else:
            connection.execute(
                "DELETE FROM tiles WHERE field=? AND y=? AND x=?", (row.id, tile_y, tile_x)
            )


def delete_steps_after(connection: sqlite3.Connection, row: FieldRow) -> None:
    """Drop the steps that were undone."""
    connection.execute("DELETE FROM steps WHERE field=? AND number>?", (row.id, row.position))


def append_step(connection: sqlite3.Connection, row: FieldRow, step: Step) -> None:
    """Store a step under the number `row.position`."""
    before = step.record_before
    connection.execute(
        "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.id,
            row.position,
            step.kind,
            step.y,
            step.x,
            *step.after.shape,
            pack(step.before),
            pack(step.after),
            None if before is None else json.dumps(before.to_json()),
            json.dumps(step.record_after.to_json()),
        ),
    )


def read_step(connection: sqlite3.Connection, row: FieldRow, number: int) -> Step | None:
    """The step with this number, or None."""
    found = connection.execute(
        "SELECT kind, y, x, height, width, before, after, record_before, record_after"
        " FROM steps WHERE field=? AND number=?",
        (row.id, number),
    ).fetchone()
    if found is None:
        return None
    kind, y, x, height, width, before, after, text_before, text_after = found
    record_before = None if text_before is None else FieldRecord.from_json(json.loads(text_before))
    was = height, width
    if kind == GRID and record_before is not None:
        was = record_before.field.shape
    return Step(
        number,
        kind,
        y,
        x,
        unpack(before, was, row.dtype),
        unpack(after, (height, width), row.dtype),
        record_before,
        FieldRecord.from_json(json.loads(text_after)),
    )


def apply_step(connection: sqlite3.Connection, row: FieldRow, step: Step) -> None:
    """Make the mask, the record and the position what they are after `step`."""
    if step.kind == GRID:
        row = replace(row, shape=(step.after.shape[0], step.after.shape[1]))
        connection.execute("DELETE FROM tiles WHERE field=?", (row.id,))
        connection.execute("UPDATE fields SET height=?, width=? WHERE id=?", (*row.shape, row.id))
    write_tiles(connection, row, step.y, step.x, step.after)
    write_record(connection, row, step.record_after)


def read_before(connection: sqlite3.Connection, row: FieldRow, number: int) -> LabelArray:
    """The mask as it was before step `number`, on the present grid."""
    mask: LabelArray = np.zeros(row.shape, dtype=row.dtype)
    first = True
    steps = connection.execute(
        "SELECT number, kind, y, x, height, width, after, record_before, record_after FROM steps"
        " WHERE field=? AND number<=? ORDER BY number",
        (row.id, row.position),
    )
    for at, kind, y, x, height, width, after, was, now in steps:
        if first:
            mask = np.zeros(_field(was or now).shape, dtype=row.dtype)
            first = False
        if kind == GRID:
            moved: LabelArray = regridded(mask, _field(was), _field(now)).astype(row.dtype)
            mask = moved
        if at < number:
            mask[y : y + height, x : x + width] = unpack(after, (height, width), row.dtype)
    return mask


def read_corrected(connection: sqlite3.Connection, row: FieldRow) -> npt.NDArray[np.bool_]:
    """Where the strokes that are in the mask changed it, on the present grid."""
    touched = np.zeros(row.shape, dtype=np.bool_)
    first = True
    steps = connection.execute(
        "SELECT kind, y, x, height, width, before, after, record_before, record_after FROM steps"
        " WHERE field=? AND number<=? AND kind IN (?, ?) ORDER BY number",
        (row.id, row.position, STROKE, GRID),
    )
    for kind, y, x, height, width, before, after, was, now in steps:
        if first:
            touched = np.zeros(_field(was or now).shape, dtype=np.bool_)
            first = False
        if kind == GRID:
            touched = regridded(touched, _field(was), _field(now))
            continue
        shape = height, width
        changed = unpack(before, shape, row.dtype) != unpack(after, shape, row.dtype)
        touched[y : y + height, x : x + width] |= changed
    return touched


def read_last_changed(connection: sqlite3.Connection) -> str | None:
    """The field whose present step was made last of all, None when nothing can be undone."""
    found = connection.execute(
        "SELECT steps.field FROM steps JOIN fields ON fields.id = steps.field"
        " WHERE steps.number <= fields.position ORDER BY steps.rowid DESC LIMIT 1"
    ).fetchone()
    return None if found is None else str(found[0])


def read_next_undone(connection: sqlite3.Connection) -> str | None:
    """The field whose next undone step was made first of all, None when nothing can be redone."""
    found = connection.execute(
        "SELECT steps.field FROM steps JOIN fields ON fields.id = steps.field"
        " WHERE steps.number > fields.position ORDER BY steps.rowid LIMIT 1"
    ).fetchone()
    return None if found is None else str(found[0])


def _field(record: str) -> Field:
    return FieldRecord.from_json(json.loads(record)).field


def _tiles_of(window: Window) -> Iterator[tuple[int, int]]:
    y, x, height, width = window
    for tile_y in range(y // TILE * TILE, y + height, TILE):
        for tile_x in range(x // TILE * TILE, x + width, TILE):
            yield tile_y, tile_x


def _tile_shape(row: FieldRow, tile_y: int, tile_x: int) -> Shape:
    return min(TILE, row.shape[0] - tile_y), min(TILE, row.shape[1] - tile_x)


def _read_tile(
    connection: sqlite3.Connection, row: FieldRow, tile_y: int, tile_x: int
) -> LabelArray | None:
    found = connection.execute(
        "SELECT pixels FROM tiles WHERE field=? AND y=? AND x=?", (row.id, tile_y, tile_x)
    ).fetchone()
    if found is None:
        return None
    return unpack(found[0], _tile_shape(row, tile_y, tile_x), row.dtype)


def _overlap(
    window: Window, tile_y: int, tile_x: int, shape: Shape
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Slices of the common part, in the tile and in the window."""
    y, x, height, width = window
    y0, y1 = max(y, tile_y), min(y + height, tile_y + shape[0])
    x0, x1 = max(x, tile_x), min(x + width, tile_x + shape[1])
    return (
        (slice(y0 - tile_y, y1 - tile_y), slice(x0 - tile_x, x1 - tile_x)),
        (slice(y0 - y, y1 - y), slice(x0 - x, x1 - x)),
    )
