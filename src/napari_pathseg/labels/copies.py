"""Copies of a label store: written beside its slide, taken up where the store is missing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from napari_pathseg.errors import StoreError
from napari_pathseg.labels.database import connect, plain_errors
from napari_pathseg.labels.lock import take_lock
from napari_pathseg.labels.rows import read_records

SUFFIX = ".pathseg.sqlite"
IDENTITY_DIGITS = 8


def copy_path(slide: Path, identity: str, *, own: bool = False) -> Path:
    """Where the copy of a slide's labels lies: beside it, named as it is.

    Parameters
    ----------
    slide : Path
        File or folder of the slide.
    identity : str
    own : bool
        Another name, for where the usual one holds the labels of another slide of that name, or
        newer ones of this slide that were not taken up.
    """
    mark = f".{identity[:IDENTITY_DIGITS]}" if own else ""
    return slide.with_name(f"{slide.name}{mark}{SUFFIX}")


def write_copy(connection: sqlite3.Connection, path: Path) -> None:
    """Copy an open store to `path`, which may lie on a network share; replaced at once.

    The copy is made on the local disk first: SQLite's own locks do not hold on every share.

    Raises
    ------
    sqlite3.Error, OSError
        Translate them with `plain_errors`; an older copy stays as it was.
    """
    part = path.with_name(path.name + ".part")
    with tempfile.TemporaryDirectory(prefix="pathseg-") as folder:
        local = Path(folder) / "copy.sqlite"
        copy = sqlite3.connect(local)
        try:
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
        finally:
            copy.close()
        try:
            _copy_durably(local, part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def take_up(copy: Path, path: Path, identity: str, *, instead: bool = False) -> bool:
    """Make a slide's store from its copy, where there is none yet.

    Parameters
    ----------
    copy, path : Path
        Of the copy beside the slide and of the store.
    identity : str
        Of the slide; a copy of another slide is left alone.
    instead : bool
        Also where there is a store, which is put aside.

    Returns
    -------
    bool
        Whether the store is now what the copy was.

    Raises
    ------
    StoreError
        When the copy is damaged or can not be read.
    """
    if not copy.is_file() or (path.exists() and not instead):
        return False
    with plain_errors(copy, "Not read"):
        connection = connect(copy, read_only=True)
        try:
            found = connection.execute("SELECT identity FROM slide").fetchone()
        finally:
            connection.close()
    if found != (identity,):
        return False
    lock, _ = take_lock(path)
    if lock is None:
        return False
    part = path.with_name(path.name + ".part")
    try:
        with plain_errors(copy, "Not read"):
            _copy_durably(copy, part)
            if instead:
                put_aside(path, "older")
            part.replace(path)
    finally:
        lock.release()
        part.unlink(missing_ok=True)
    return True


def put_aside(path: Path, why: str) -> None:
    """Rename a store that is closed to "<name>.<why>-<time>"; OSError when that fails."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    for end in ("", "-wal", "-shm"):
        old = path.with_name(path.name + end)
        if old.exists():
            old.rename(path.with_name(f"{path.name}.{why}-{stamp}{end}"))


def last_change(path: Path, identity: str) -> datetime | None:
    """When a field of a copy was changed last; None where it is none of this slide's."""
    read = _read(path)
    return None if read is None or read[0] != identity else read[1]


def newest(identity: str, copies: Iterable[Path | None]) -> Path | None:
    """The copy of a slide's labels that was changed last; None where there is none."""
    there = (copy for copy in copies if copy is not None and copy.is_file())
    changed = ((last_change(copy, identity), copy) for copy in there)
    return max(((at, copy) for at, copy in changed if at is not None), default=(None, None))[1]


def is_of(path: Path, identity: str) -> bool:
    """Whether a file is a copy of this slide's labels, whole and readable."""
    read = _read(path)
    return read is not None and read[0] == identity


def _read(path: Path) -> tuple[str, datetime | None] | None:
    """The slide's identity in a copy and its last change, None when it can not be read."""
    try:
        with plain_errors(path, "Not read"):
            connection = connect(path, read_only=True)
            try:
                found = connection.execute("SELECT identity FROM slide").fetchone()
                records = read_records(connection)
            finally:
                connection.close()
    except StoreError:
        return None
    identity = "" if found is None else str(found[0])
    return identity, max((record.updated for record in records), default=None)


def _copy_durably(source: Path, target: Path) -> None:
    """Copy a file; on the disk when this returns."""
    with source.open("rb") as read, target.open("wb") as written:
        shutil.copyfileobj(read, written, 1 << 20)
        written.flush()
        os.fsync(written.fileno())
