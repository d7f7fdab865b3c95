"""One run at a time in a folder of results, and one process at a slide: two would write over each
other's work.

The operating system gives a lock back when its process dies. Where the file system knows no locks
nobody is kept out.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from napari_pathseg.batch.settings import UNFINISHED, SlideJob
from napari_pathseg.errors import ExportError, StoreError
from napari_pathseg.labels.lock import WriterLock
from napari_pathseg.progress import CancelToken

LOCK = "run.lock"
LOOK_EVERY_S = 0.2
PATIENCE_S = 120.0
"""A worker at the end of its time has up to half a minute."""


@contextlib.contextmanager
def only_run_in(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder of results, which is made when missing.

    Raises
    ------
    ExportError
        When another run is at work there.
    OSError
        When the folder can not be written.
    """
    with _held(out / UNFINISHED, out, "Wait until it has ended, or choose another folder."):
        yield


@contextlib.contextmanager
def only_one_at(job: SlideJob, cancel: CancelToken | None = None) -> Iterator[None]:
    """Keep other processes from a slide: a worker that nobody listens to any more ends its slide,
    and one that was told to end takes its time. It is waited for.

    Raises
    ------
    ExportError
        When another process is at work on it for longer than `PATIENCE_S`.
    OSError
        When the folder can not be written.
    CancelledError
    """
    remedy = "Wait until it has ended, and go on then."
    with _held(job.folder, job.path, remedy, PATIENCE_S, cancel):
        yield


def forget_unfinished(out: Path) -> None:
    """Throw away what stopped runs into a folder left, for a run that begins anew."""
    folder = out / UNFINISHED
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            with contextlib.suppress(ExportError), _held(path, path, ""):
                shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink()


@contextlib.contextmanager
def _held(
    folder: Path,
    what: Path,
    remedy: str,
    patience_s: float = 0.0,
    cancel: CancelToken | None = None,
) -> Iterator[None]:
    """Hold a folder of unfinished work, made when missing and removed when it ends up empty."""
    lock, end = WriterLock(folder / LOCK), time.monotonic() + patience_s
    with contextlib.suppress(StoreError):
        while not _taken(lock):
            if time.monotonic() >= end:
                raise ExportError(f"{what}: {lock.holder()} is at work there.", remedy)
            if cancel is not None:
                cancel.raise_if_cancelled()
            time.sleep(LOOK_EVERY_S)
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # what was stopped in its midst is kept
            lock.path.unlink(missing_ok=True)
            folder.rmdir()


def _taken(lock: WriterLock) -> bool:
    lock.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        return lock.take()
    except FileNotFoundError:  # who held it removed the folder meanwhile
        return False
