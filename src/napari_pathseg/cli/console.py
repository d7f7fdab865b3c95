"""What the commands print: results on stdout, notes and progress on stderr."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import click

from napari_pathseg.progress import Progress, ProgressCallback

_told_to_end: list[int] = []
"""The signals that came since the command began."""


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


def answer(facts: Any, as_json: bool, show: Callable[[Any], None]) -> None:
    """Print what a command found, as JSON or as `show` does, and what it warns of."""
    for warning in facts["warnings"]:
        note(warning)
    if as_json:
        print_json(facts)
    else:
        show(facts)


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Remember that the user interrupted: a callback of a library can swallow the exception.

    A queue or a system that shuts down sends SIGTERM, which ends a command as Ctrl-C does.
    """
    _told_to_end.clear()
    if threading.current_thread() is not threading.main_thread():
        yield  # where no signal arrives
        return

    def remember(number: int, _frame: FrameType | None) -> None:
        _told_to_end.append(number)
        raise KeyboardInterrupt

    before = {each: signal.signal(each, remember) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler or signal.SIG_DFL)


def interrupted_code() -> int:
    """Exit code, 128 + the signal: what shells expect of an interrupted command."""
    return 128 + (_told_to_end[0] if _told_to_end else signal.SIGINT)


def _raise_interrupt(_progress: Progress | None = None) -> None:
    if _told_to_end:
        raise KeyboardInterrupt


@contextmanager
def progress_line() -> Iterator[ProgressCallback]:
    """One line on stderr that follows the work; nothing when stderr is not a terminal.

    Raises
    ------
    KeyboardInterrupt
        When there was one before, at each step and at the end.
    """
    stream = sys.stderr
    if not stream.isatty():
        yield _raise_interrupt
        _raise_interrupt()
        return
    longest = 0

    def show(progress: Progress) -> None:
        nonlocal longest
        _raise_interrupt()
        text = f"[{progress.done}/{progress.total}] {progress.message}"
        stream.write("\r" + text.ljust(longest))
        stream.flush()
        longest = max(longest, len(text))

    try:
        yield show
        _raise_interrupt()
    finally:
        if longest:
            stream.write("\r" + " " * longest + "\r")
            stream.flush()
