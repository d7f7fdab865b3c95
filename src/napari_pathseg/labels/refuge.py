"""Where labels go that can not be kept in their folder, so that they are never in memory only."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import StoreError
from napari_pathseg.labels.copies import newest, put_aside
from napari_pathseg.labels.journal import LabelStore, default_folder, store_path
from napari_pathseg.labels.lock import is_held
from napari_pathseg.labels.record import FieldRecord

Fields = Sequence[tuple[FieldRecord, npt.NDArray[np.integer]]]


def refuges() -> tuple[Path, Path]:
    """The folders in question, the better first: the second does not outlive every restart."""
    return default_folder() / "kept-aside", Path(tempfile.gettempdir()) / "napari-pathseg-labels"


def move(
    fields: Fields, old: LabelStore | None, identity: str, name: str, folder: Path
) -> LabelStore:
    """A store in another folder that has the given fields; the old one is left as it is.

    They go there with their whole history where the old store can still be read and none of this
    slide is there. Where one is, fields that are newer than there replace those.

    Parameters
    ----------
    fields : sequence of (FieldRecord, integer array (height, width))
        All of the slide, as they are now.
    old : LabelStore or None
    identity, name : str
        Of the slide.
    folder : Path

    Raises
    ------
    StoreError
        When they can not be kept there either.
    """
    path = store_path(identity, folder)
    there = path.exists()
    if old is not None and not there:
        with contextlib.suppress(StoreError, OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            old.checkpoint(path)
    store = LabelStore.open(identity, name, folder)
    try:
        if store.read_only:
            raise StoreError(f"{folder} can not be written.", "Choose another folder.")
        known = {record.id: record.updated for record in store.fields()}
        newer = [f for f in fields if f[0].id not in known or f[0].updated > known[f[0].id]]
        store.save_fields(newer)
    except BaseException:
        store.close()
        if not there:
            path.unlink(missing_ok=True)
        raise
    return store


def take_refuge(fields: Fields, old: LabelStore | None, identity: str, name: str) -> LabelStore:
    """The same in the first of :func:`refuges` that takes them.

    Raises
    ------
    StoreError
        When none does.
    """
    better, other = refuges()
    try:
        return move(fields, old, identity, name, better)
    except StoreError:
        return move(fields, old, identity, name, other)


def in_refuge(path: Path) -> bool:
    """Whether a store lies in one of :func:`refuges`."""
    return path.parent in refuges()


def refuge_of(identity: str, name: str) -> Path | None:
    """The store of a slide that lies in a refuge, the newest of several; None where none does.

    One that is open in another window, or damaged, is not counted.
    """
    found: list[Path] = []
    for path in (store_path(identity, folder) for folder in refuges()):
        if not path.exists():
            continue
        with contextlib.suppress(StoreError), LabelStore.open(identity, name, path.parent) as store:
            # Closing it writes its log into the file, which is then all there is to copy.
            found += [] if store.read_only else [path]
    return newest(identity, found)


def held_in_refuge(identity: str) -> Path | None:
    """The store in a refuge in which another window works on a slide; None where none does."""
    there = (store_path(identity, folder) for folder in refuges())
    return next((path for path in there if path.exists() and is_held(path)), None)


def leave_refuge(path: Path) -> None:
    """What was in a refuge is in its folder again: keep it under another name."""
    with contextlib.suppress(OSError):
        put_aside(path, "moved")
