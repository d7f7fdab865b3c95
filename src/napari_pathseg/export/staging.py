"""Results that appear together: they are made in a hidden folder and moved to their places at
the end, all of them; what an interrupted export has made is found again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pathseg.errors import CancelledError
from napari_pathseg.export.atomic import flush, os_errors

FOLDER = ".pathseg-export"


class Stage:
    """The hidden folder of one export.

    Attributes
    ----------
    folder : Path
        Where results are made, named as they will be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.folder = path / "new"

    def done(self, unit: str) -> bool:
        """Whether a part of the work was done, now or before an interruption."""
        return self._mark(unit).exists()

    def mark(self, unit: str) -> None:
        """A part of the work is done: its files are written."""
        self._mark(unit).touch()

    def kept(self, unit: str) -> Path:
        """A file for what was made of a part; it goes with the stage."""
        return self._mark(unit).with_suffix(".part")

    def _mark(self, unit: str) -> Path:
        return self._path / "done" / hashlib.sha256(unit.encode()).hexdigest()[:32]


@contextmanager
def stage(out: Path, key: str) -> Iterator[Stage]:
    """Give a stage whose results take their places in `out` when the block ends well.

    Files and folders of `out` with the same names are replaced. When the block is cancelled, or
    the program dies, the stage stays, and the next one with the same key goes on with it; after
    an error it is removed. A program that dies while results take their places has the rest
    moved by the next export into the folder.

    Parameters
    ----------
    out : Path
        Made when missing.
    key : str
        What is exported and how; a stage of another key is thrown away.

    Raises
    ------
    ExportError
        When it can not be written; `out` is then as it was.
    """
    out = out.resolve()
    path = out / FOLDER
    with os_errors(path):
        made = not out.exists()
        out.mkdir(parents=True, exist_ok=True)
        recover_set(out)
        keep = False
        try:
            begun = _begin(path, key)
            yield begun
            _commit(out, path, begun.folder)
        except (CancelledError, KeyboardInterrupt):
            keep = True
            raise
        finally:
            if not keep:
                shutil.rmtree(path, ignore_errors=True)
                if made and not any(out.iterdir()):
                    out.rmdir()


def recover_set(out: Path) -> None:
    """Finish what a program that died was moving into place."""
    path = out / FOLDER
    if (path / "commit.json").exists():
        with os_errors(path):
            _move(out, path, json.loads((path / "commit.json").read_bytes()))
            shutil.rmtree(path)


def _begin(path: Path, key: str) -> Stage:
    found = path / "key"
    if not (found.is_file() and found.read_text(encoding="utf-8") == key):
        shutil.rmtree(path, ignore_errors=True)
        for name in ("new", "done", "old"):
            (path / name).mkdir(parents=True)
        found.write_text(key, encoding="utf-8")
    return Stage(path)


def _commit(out: Path, path: Path, folder: Path) -> None:
    for file in folder.rglob("*"):
        # A file with two links is an old one.
        if file.is_file() and file.stat().st_nlink == 1:
            flush(file)
    names = sorted(entry.name for entry in folder.iterdir())
    part = path / "commit.part"
    part.write_text(json.dumps(names), encoding="utf-8")
    flush(part)
    part.replace(path / "commit.json")
    try:
        _move(out, path, names)
    except OSError:
        _move_back(out, path, names)
        raise


def _move(out: Path, path: Path, names: list[str]) -> None:
    for name in names:
        new, old, place = path / "new" / name, path / "old" / name, out / name
        if not new.exists():
            continue  # it was moved before
        if place.exists() and not old.exists():
            place.rename(old)
        new.rename(place)


def _move_back(out: Path, path: Path, names: list[str]) -> None:
    """Undo a part of :func:`_move`, such as when another program has a file open."""
    (path / "commit.json").unlink()
    for name in names:
        new, old, place = path / "new" / name, path / "old" / name, out / name
        if place.exists() and not new.exists():
            place.rename(new)
        if old.exists():
            old.rename(place)
