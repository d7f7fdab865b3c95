"""What the commands print: results on stdout, notes and progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from napari_pathseg.progress import Progress, ProgressCallback, no_progress


def print_json(value: Any) -> None:
    """Print a value as JSON, in ASCII so that every pipe and console can carry it."""
    click.echo(json.dumps(value, indent=2))


def note(text: str) -> None:
    """Tell the user something that is not the result."""
    click.echo(f"pathseg: {text}", err=True)


def print_table(rows: Sequence[Sequence[str]], indent: str = "") -> None:
    """Print rows of text with columns aligned; the last column is not padded."""
    if not rows:
        return
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        click.echo((indent + "  ".join([*cells, row[-1]])).rstrip())


@contextmanager
def progress_line() -> Iterator[ProgressCallback]:
    """One line on stderr that follows the work; nothing when stderr is not a terminal."""
    stream = sys.stderr
    if not stream.isatty():
        yield no_progress
        return
    longest = 0

    def show(progress: Progress) -> None:
        nonlocal longest
        text = f"[{progress.done}/{progress.total}] {progress.message}"
        stream.write("\r" + text.ljust(longest))
        stream.flush()
        longest = max(longest, len(text))

    try:
        yield show
    finally:
        if longest:
            stream.write("\r" + " " * longest + "\r")
            stream.flush()
