"""The SQLite file under a label store: schema, safe settings and plain words for its errors."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pathseg.errors import ReadOnlyStoreError, StoreError, os_reason

APPLICATION_ID = 0x50415453  # "PATS"
SCHEMA_VERSION = 1

_SCHEMA = """
CREATE TABLE slide (identity TEXT NOT NULL, name TEXT NOT NULL);
CREATE TABLE fields (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    dtype TEXT NOT NULL,
    position INTEGER NOT NULL
);
CREATE TABLE tiles (
    field TEXT NOT NULL REFERENCES fields ON DELETE CASCADE,
    y INTEGER NOT NULL,
    x INTEGER NOT NULL,
    pixels BLOB NOT NULL,
    PRIMARY KEY (field, y, x)
) WITHOUT ROWID;
CREATE TABLE steps (
    field TEXT NOT NULL REFERENCES fields ON DELETE CASCADE,
    number INTEGER NOT NULL,
    kind TEXT NOT NULL,
    y INTEGER NOT NULL,
    x INTEGER NOT NULL,
    height INTEGER NOT NULL,
    width INTEGER NOT NULL,
    before BLOB NOT NULL,
    after BLOB NOT NULL,
    record_before TEXT,
    record_after TEXT,
    PRIMARY KEY (field, number)
);
"""


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """Open a store's database, made when missing and writable.

    Every commit is on the disk when it returns (write-ahead log, synchronous=FULL).

    Raises
    ------
    sqlite3.Error
        Translate it with :func:`plain_errors`.
    StoreError
        When the file is a database of something else or of a newer version.
    """
    mode = "ro" if read_only else "rwc"
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    if read_only and not path.with_name(path.name + "-wal").exists():
        uri += "&immutable=1"  # nobody writes, and the folder may not take the log's files
    connection = sqlite3.connect(
        uri, uri=True, timeout=10, isolation_level=None, check_same_thread=False
    )
    try:
        empty = _check(connection, path)
        connection.execute("PRAGMA foreign_keys=ON")
        if not read_only:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA fullfsync=ON")
            if empty:
                _create(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def begin(connection: sqlite3.Connection, path: Path) -> None:
    """Begin to write; StoreError where the file is gone, which SQLite itself does not notice."""
    if not path.exists():
        raise StoreError(
            f"Not saved: {path} is gone.",
            "Bring its folder back and try again, or choose another folder.",
        )
    connection.execute("BEGIN IMMEDIATE")


def _check(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether the database is empty; StoreError when it is not ours. Changes nothing."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and application != APPLICATION_ID:
        raise StoreError(f"{path} is not a label store.", "Move it away or choose another folder.")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer version of napari-pathseg.",
            "Update napari-pathseg to open it.",
        )
    return not tables


def _create(connection: sqlite3.Connection) -> None:
    connection.executescript(
        f"BEGIN IMMEDIATE; {_SCHEMA} PRAGMA application_id={APPLICATION_ID};"
        f" PRAGMA user_version={SCHEMA_VERSION}; COMMIT;"
    )


@contextmanager
def plain_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn the errors of SQLite and of the disk into a StoreError with the way out.

    Parameters
    ----------
    path : Path
        Of the database.
    doing : {"Not saved", "Not opened", "Not read"}
        What did not happen, the first words of the message.
    """
    try:
        yield
    except zlib.error as error:
        raise damaged(path, doing, error) from error
    except sqlite3.Error as error:
        raise _translate(error, path, doing) from error
    except OSError as error:
        raise StoreError(
            f"{doing}: {path.parent}: {os_reason(error)}.", "Choose another folder for the labels."
        ) from error


def damaged(path: Path, doing: str, error: Exception) -> StoreError:
    """The error for a database whose content is broken."""
    return StoreError(
        f"{doing}: the label store {path} is damaged ({error}).",
        "Start a fresh one; the damaged file stays beside it.",
    )


def _translate(error: sqlite3.Error, path: Path, doing: str) -> StoreError:
    # The low byte is the primary code: https://www.sqlite.org/rescode.html
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    kept = "What was saved before is safe."
    if code == sqlite3.SQLITE_FULL:
        return StoreError(
            f"{doing}: no space in {path.parent}.",
            f"{kept} Free some space and try again, or choose another folder.",
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return ReadOnlyStoreError(
            f"{doing}: {path} can not be written.", f"{kept} Choose another folder for the labels."
        )
    if code == sqlite3.SQLITE_CANTOPEN:
        return StoreError(
            f"{doing}: {path} can not be opened or made.",
            "Check that the folder may be written, or choose another one.",
        )
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return damaged(path, doing, error)
    return StoreError(f"{doing}: {path}: {error}.", f"{kept} Try again or choose another folder.")


def name_slide(connection: sqlite3.Connection, identity: str, name: str) -> None:
    """Store whose labels these are."""
    # A file name may hold bytes that are no text, which SQLite does not take.
    name = name.encode("utf-8", "backslashreplace").decode()
    found = connection.execute("SELECT identity, name FROM slide").fetchone()
    if found is None:
        connection.execute("INSERT INTO slide VALUES (?, ?)", (identity, name))
    elif found != (identity, name):
        connection.execute("UPDATE slide SET identity=?, name=?", (identity, name))
