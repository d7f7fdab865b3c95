"""One run at a time in a folder of results: two would write over each other's work."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from napari_pathseg.batch.settings import UNFINISHED
from napari_pathseg.errors import ExportError, StoreError
from napari_pathseg.labels.lock import WriterLock

LOCK = "run.lock"


@contextlib.contextmanager
def only_run_in(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder of results, which is made when missing.

    The operating system gives it back when the process dies. Where the file system knows no locks
    nobody is kept out.

    Raises
    ------
    ExportError
        When another run is at work there.
    OSError
        When the folder can not be written.
    """
    folder = out / UNFINISHED
    folder.mkdir(parents=True, exist_ok=True)
    lock = WriterLock(folder / LOCK)
    with contextlib.suppress(StoreError):
        if not lock.take():
            raise ExportError(
                f"{out}: {lock.holder()} is at work there.",
                "Wait until it has ended, or choose another folder.",
            )
    try:
        yield
    finally:
        lock.release()
        with contextlib.suppress(OSError):  # what a slide left that failed in its midst is kept
            lock.path.unlink()
            folder.rmdir()


def forget_unfinished(out: Path) -> None:
    """Throw away what stopped runs into a folder left, for a run that begins anew."""
    folder = out / UNFINISHED
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != LOCK:
            path.unlink()
