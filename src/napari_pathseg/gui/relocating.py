"""The labels of a slide go to another folder, such as when a disk is full or a share is gone."""

from __future__ import annotations

import contextlib
from pathlib import Path

from napari_pathseg.errors import PathsegError, StoreError
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import Message, of_error
from napari_pathseg.labels.journal import LabelStore, store_path


def relocate(host: Host, writer: Runner, desk: Desk, folder: Path) -> None:
    """Keep a desk's labels in another folder from now on; remembered.

    They go there with their whole history where the old store can still be read, and as they are
    shown otherwise.

    Parameters
    ----------
    writer : Runner
        That of the label store.
    """
    fields, old = desk.fields(), desk.store

    def work() -> tuple[LabelStore, bool]:
        path = store_path(desk.identity, folder)
        there = path.exists()
        if old is not None and not there:
            _copy(old, path)
        store = LabelStore.open(desk.identity, desk.name, folder)
        if store.read_only:
            store.close()
            raise StoreError(f"{folder} can not be written.", "Choose another folder.")
        known = {record.id for record in store.fields()}
        store.save_fields([pair for pair in fields if pair[0].id not in known])
        return store, there

    def done(found: tuple[LabelStore, bool]) -> None:
        store, there = found
        desk.store = store
        if old is not None:
            old.close()
        host.saving.again()
        host.desks.labels_folder = folder
        text = f"Labels are kept in {folder} now."
        if there:
            text += " There were labels of this slide already; yours are beside them."
        host.say(Message(text, "good"))
        try:
            host.remembered.set_labels_folder(folder)
        except StoreError as error:
            host.say(of_error(error))
        host.changed.emit()

    def failed(error: BaseException) -> None:
        if not isinstance(error, PathsegError):
            raise error
        host.say(of_error(error))

    writer.submit(Job("Moving the labels", lambda _report, _cancel: work(), done, failed))


def _copy(old: LabelStore, path: Path) -> None:
    """Copy a store with its history, if it can still be read."""
    with contextlib.suppress(StoreError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        old.checkpoint(path)
