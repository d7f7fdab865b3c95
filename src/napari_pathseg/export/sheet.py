"""A table as CSV, as spreadsheets read it."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from napari_pathseg.export.atomic import whole_file

Cell = str | float
FORMULA = ("=", "+", "-", "@", "\t", "\r")


def write_sheet(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> int:
    """Write a table; numbers in full, so that reading them gives the same numbers.

    A text that a spreadsheet would take for a formula begins with an apostrophe.

    Parameters
    ----------
    path : Path
        Replaced at once when all is written. UTF-8 with a mark, as spreadsheets want it.
    columns : sequence of str
    rows : iterable of sequences
        Each as long as `columns`.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ExportError
        When the file can not be written; an older one stays as it was.
    """
    count = 0
    with (
        whole_file(path) as part,
        part.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(columns)
        for row in rows:
            writer.writerow([plain(cell) for cell in row])
            count += 1
    return count


def plain(cell: Cell) -> Cell:
    """A cell that no spreadsheet computes."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA) else cell
