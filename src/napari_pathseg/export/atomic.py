"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_pathseg.errors import ExportError, os_reason

_NO_SPACE = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`, which takes its place when the block ends well.

    Raises
    ------
    ExportError
        When it can not be written; `path` is then as it was.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    with os_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield part
            flush(part)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)


def flush(path: Path) -> None:
    """Wait until a written file is on the disk."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


@contextmanager
def os_errors(path: Path) -> Iterator[None]:
    """Turn an OSError into an ExportError that names the place and the way out."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_SPACE:
            raise ExportError(
                f"Not exported: no space in {path.parent}.",
                "Nothing was written. Free some space or choose another folder.",
            ) from error
        raise ExportError(
            f"Not exported: {path}: {os_reason(error)}.", "Choose a folder that may be written."
        ) from error
