"""Rows of the label store that tell touching objects apart, by the step that brought them."""

from __future__ import annotations

import json
import sqlite3

import numpy as np

from napari_pathseg.labels.masks import pack, regridded, unpack
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.rows import GRID, FieldRow

TABLE = """
CREATE TABLE IF NOT EXISTS numbers (
    field TEXT NOT NULL,
    step INTEGER NOT NULL,
    pixels BLOB NOT NULL,
    PRIMARY KEY (field, step),
    FOREIGN KEY (field, step) REFERENCES steps (field, number) ON DELETE CASCADE
) WITHOUT ROWID;
"""
"""Beside the tables of a store's first version: who does not know it loses nothing."""


def write_numbers(connection: sqlite3.Connection, row: FieldRow, numbers: Instances) -> None:
    """Keep numbers as those of the field's present step."""
    connection.execute(TABLE)
    connection.execute(
        "INSERT OR REPLACE INTO numbers VALUES (?, ?, ?)", (row.id, row.position, pack(numbers))
    )


def read_numbers(connection: sqlite3.Connection, row: FieldRow) -> Instances | None:
    """The numbers that hold for the present mask: 0 where a later step changed it.

    None where none were kept.
    """
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name='numbers'").fetchone():
        return None
    found = connection.execute(
        "SELECT step, pixels, record_after FROM numbers JOIN steps"
        " ON steps.field = numbers.field AND steps.number = step"
        " WHERE numbers.field=? AND step<=? ORDER BY step DESC LIMIT 1",
        (row.id, row.position),
    ).fetchone()
    if found is None:
        return None
    step, pixels, record = found
    numbers = unpack(pixels, _record(record).field.shape, "uint32").astype(np.uint32)
    later = connection.execute(
        "SELECT kind, y, x, height, width, before, after, record_before, record_after FROM steps"
        " WHERE field=? AND number>? AND number<=? ORDER BY number",
        (row.id, step, row.position),
    )
    for kind, y, x, height, width, before, after, was, now in later:
        if kind == GRID:
            numbers = regridded(numbers, _record(was).field, _record(now).field)
            continue
        shape = height, width
        changed = unpack(before, shape, row.dtype) != unpack(after, shape, row.dtype)
        numbers[y : y + height, x : x + width][changed] = 0
    return numbers


def _record(text: str) -> FieldRecord:
    return FieldRecord.from_json(json.loads(text))
