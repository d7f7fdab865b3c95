"""Folders that change in one move: a copy beside is changed, then takes the folder's place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pathseg.export.atomic import flush, os_errors


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
                shutil.copytree(path, part, copy_function=_link)
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


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
