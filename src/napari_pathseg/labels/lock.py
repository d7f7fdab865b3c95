"""One writer a store: an operating system lock on a small file that says who holds it.

The lock ends with its process however that ends, so a file left by a crash locks nobody out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
from pathlib import Path

from napari_pathseg.errors import StoreError, os_reason
from napari_pathseg.labels.database import plain_errors

# The locked byte lies far behind the text: Windows lets nobody read a locked byte.
_LOCKED_BYTE = 1 << 30
_TAKEN = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}

if sys.platform == "win32":
    import msvcrt

    def _lock(handle: int) -> None:
        os.lseek(handle, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class WriterLock:
    """The right to write, while it is held.

    Parameters
    ----------
    path : Path
        The lock file; made when missing, left in place afterwards.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def take(self) -> bool:
        """Take the lock; False when another window or process has it.

        Raises
        ------
        OSError
            When the file can not be made (a read-only folder, no space).
        StoreError
            When the file system knows no locks.
        """
        handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
        except OSError as error:
            os.close(handle)
            if error.errno in _TAKEN:
                return False
            raise StoreError(
                f"The folder {self.path.parent} lies on a file system without locks.",
                "Choose a folder on a local disk.",
            ) from error
        self._handle = handle
        try:
            self._sign(handle)
        except OSError:
            self.release()
            raise
        return True

    def _sign(self, handle: int) -> None:
        who = {"pid": os.getpid(), "host": socket.gethostname()}
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, json.dumps(who).encode())

    def holder(self) -> str:
        """Who has the lock, in words."""
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            who = json.loads(self.path.read_text(encoding="utf-8"))
            here = who["host"] == socket.gethostname()
            if here and who["pid"] == os.getpid():
                return "another window of this napari"
            where = "this computer" if here else who["host"]
            return f"another program (process {who['pid']} on {where})"
        return "another program"

    def release(self) -> None:
        """Give the lock back; nothing happens when it is not held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def is_held(path: Path) -> bool:
    """Whether another window or process works in the store at `path`."""
    lock = WriterLock(_beside(path))
    try:
        free = lock.take()
    except (OSError, StoreError):
        return False
    lock.release()
    return not free


def take_lock(path: Path) -> tuple[WriterLock | None, str]:
    """The lock of the store at `path`, its folder made when missing; or None and why not.

    Raises
    ------
    StoreError
        When the folder may not be written and holds no such store yet.
    """
    lock = WriterLock(_beside(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if lock.take():
            return lock, ""
    except OSError as error:
        if not path.exists():
            with plain_errors(path, "Not opened"):
                raise
        return None, os_reason(error)
    return None, f"{lock.holder()} has it"


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".lock")
