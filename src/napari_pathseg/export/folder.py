"""Folders that change in one move: a copy beside is changed, then takes the folder's place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pathseg.errors import ExportError
from napari_pathseg.export.atomic import flush, os_errors


def check_ours(path: Path, is_ours: Callable[[Path], bool], what: str) -> None:
    """Refuse a folder of somebody else, before anything is written.

    Parameters
    ----------
    path : Path
        May be missing or empty.
    is_ours : callable
        Looks into a folder that holds something. What it lets out on odd content (OSError,
        ValueError, KeyError, TypeError) means no.
    what : str
        What such a folder should be, such as "no training bundle".

    Raises
    ------
    ExportError
    """
    if path.is_file():
        raise ExportError(f"{path} is a file.", "Name a folder.")
    with os_errors(path):
        if not path.exists() or not any(path.iterdir()):
            return
    try:
        ours = is_ours(path)
    except (OSError, ValueError, KeyError, TypeError):
        ours = False
    if not ours:
        raise ExportError(f"{path} holds files that are {what}.", "Choose a new or empty folder.")


def recover(path: Path) -> None:
    """Put a folder back that was moved aside when the program died in :func:`whole_folder`."""
    path = path.resolve()
    aside = _aside(path)
    if aside.exists():
        with os_errors(path):
            if path.exists():
                shutil.rmtree(aside)
            else:
                aside.rename(path)


@contextmanager
def whole_folder(path: Path, *, empty: bool = False) -> Iterator[Path]:
    """Give a copy of the folder, or an empty one, which takes its place when the block ends well.

    Files of the copy are hard links where the file system has them: replace them, never write
    into them.

    Raises
    ------
    ExportError
        When it can not be written; `path` is then as it was.
    """
    path = path.resolve()  # "." has no name to put beside, and a link must stay a link
    part = path.with_name(f".{path.name}.part")
    aside = _aside(path)
    with os_errors(path):
        try:
            shutil.rmtree(part, ignore_errors=True)
            part.parent.mkdir(parents=True, exist_ok=True)
            if path.exists() and not empty:
                link_tree(path, part)
            else:
                part.mkdir()
            yield part
            for file in part.rglob("*"):
                # A file with two links is an old one.
                if file.is_file() and file.stat().st_nlink == 1:
                    flush(file)
            if path.exists():
                path.rename(aside)
            try:
                part.rename(path)
            except OSError:
                if aside.exists():
                    aside.rename(path)
                raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(aside, ignore_errors=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.before")


def drop(path: Path) -> None:
    """Remove a folder, such that a program that dies leaves all of it under this name or none."""
    gone = path.with_name(f"{path.name}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    path.rename(gone)
    shutil.rmtree(gone)


def link_tree(source: Path, target: Path) -> None:
    """A copy of a folder, with hard links where the file system has them."""
    shutil.copytree(source, target, copy_function=_link)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
