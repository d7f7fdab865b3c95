"""Writes of the desk to the label store: in order, off the GUI thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from napari_pathseg.errors import PathsegError, StoreError
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Bool
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.masks import LabelArray
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.refuge import take_refuge
from napari_pathseg.labels.rows import Change

COPY_EVERY_S = 300.0

T = TypeVar("T")


class Saving:
    """Keeps the fields on the disk in step with what is shown.

    A stroke is on its way to the disk the moment it ends: one thread writes all of them in their
    order, so that neither a slow disk nor a large field holds the viewer up.

    Parameters
    ----------
    writer : Runner
        Of its own, so that a stroke never waits for the model.
    failed : callable
        Told when something was not saved; it is then still in memory, and the whole field is
        written with its next change, with :meth:`again`, or elsewhere when its desk is left.
    not_copied : callable
        Told when no copy could be written beside the slide.
    """

    def __init__(
        self,
        writer: Runner,
        failed: Callable[[Desk, PathsegError], None],
        not_copied: Callable[[Desk, PathsegError], None],
    ) -> None:
        self._writer = writer
        self._failed = failed
        self._not_copied = not_copied
        self._unsaved: dict[str, Desk] = {}

    @property
    def unsaved(self) -> bool:
        """Whether something is in memory only."""
        return bool(self._unsaved)

    @property
    def unsaved_desks(self) -> tuple[Desk, ...]:
        """Those of which something is in memory only, also when they were left."""
        return tuple(dict.fromkeys(self._unsaved.values()))

    def kept(self, desk: Desk) -> None:
        """All of a desk was saved in another way."""
        self._unsaved = {i: each for i, each in self._unsaved.items() if each is not desk}

    def field(self, desk: Desk, record: FieldRecord, mask: Mask) -> None:
        """Save a whole field as one step; returns at once."""

        def whole() -> None:
            _store(desk).save_field(record, mask)
            self._unsaved.pop(record.id, None)

        self._submit(desk, record.id, whole)

    def stroke(
        self,
        desk: Desk,
        record: FieldRecord,
        mask: Mask,
        at: tuple[int, int],
        old: LabelArray,
        new: LabelArray,
    ) -> None:
        """Save a stroke; returns at once.

        Parameters
        ----------
        desk : Desk
        record : FieldRecord
        mask : uint16 array (height, width)
            After the stroke.
        at : (int, int)
            First pixel (y, x) of the window that holds all that is different.
        old, new : integer array (rows, columns)
            The window before and after.
        """
        if desk.store is None or record.id in self._unsaved:
            self.field(desk, record, mask)
            return
        y, x, old, new = *at, old.copy(), new.copy()
        self._submit(desk, record.id, lambda: _store(desk).record_stroke(record.id, y, x, old, new))

    def _submit(self, desk: Desk, field_id: str, work: Callable[[], None]) -> None:
        self._writer.submit(
            Job(
                "Saving labels",
                lambda _report, _cancel: self._noted(desk, field_id, work),
                lambda _none: self._saved(desk),
                lambda error: self._failed(desk, _expected(error)),
            )
        )

    def _noted(self, desk: Desk, field_id: str, work: Callable[[], T]) -> T:
        """Do something with the store, and note at once what it did not take: the desk may be
        left before anybody is told.
        """
        try:
            return work()
        except BaseException:
            self._unsaved[field_id] = desk
            raise

    def walk(
        self,
        desk: Desk,
        field_id: str,
        forward: bool,
        done: Callable[[Change | None, Bool | None, Mask | None], None],
        *,
        with_hand: bool,
        shown: Callable[[], Mask | None],
    ) -> None:
        """Undo or redo the last step of a field.

        `done` gets what changed, which pixels a person drew then where that is asked for, and
        the outcome of `shown`, which is called in the background.
        """

        def work() -> tuple[Change | None, Bool | None, Mask | None]:
            store = _store(desk)
            change = store.redo(field_id) if forward else store.undo(field_id)
            hand = store.corrected(field_id) if with_hand and change is not None else None
            return change, hand, None if change is None else shown()

        self._writer.submit(
            Job(
                "Undoing",
                lambda _report, _cancel: self._noted(desk, field_id, work),
                lambda found: done(*found),
                lambda error: self._failed(desk, _expected(error)),
            )
        )

    def last_changed(self, desk: Desk, done: Callable[[str | None], None]) -> None:
        """Find the field that was changed last of all; `done` gets it."""
        self._find(desk, LabelStore.last_changed, done)

    def next_undone(self, desk: Desk, done: Callable[[str | None], None]) -> None:
        """Find the field where the next step of redo is; `done` gets it."""
        self._find(desk, LabelStore.next_undone, done)

    def _find(
        self,
        desk: Desk,
        which: Callable[[LabelStore], str | None],
        done: Callable[[str | None], None],
    ) -> None:
        self._writer.submit(
            Job(
                "Looking for a change",
                lambda _report, _cancel: which(_store(desk)),
                done,
                lambda error: self._failed(desk, _expected(error)),
            )
        )

    def in_step(self, desk: Desk, field_id: str) -> bool:
        """Whether the store has what is shown, so that undo may ask it."""
        store = desk.store
        return store is not None and not store.read_only and field_id not in self._unsaved

    def delete(self, desk: Desk, field_id: str) -> None:
        """Delete a field in which nothing is."""
        if desk.store is not None and self._unsaved.pop(field_id, None) is None:
            self._submit(desk, field_id, lambda: _store(desk).delete(field_id))

    def again(self) -> None:
        """Write everything that is in memory only."""
        for field_id, desk in list(self._unsaved.items()):
            found = desk.present(field_id)
            if found is None:
                self._unsaved.pop(field_id, None)
            else:
                self.field(desk, *found)

    def flush(self) -> None:
        """Wait until all that was asked for is on the disk."""
        self._writer.flush()

    def leave(self, desk: Desk) -> None:
        """Write the copy beside the slide and release the desk, when all is on the disk.

        What its folder does not take is kept elsewhere.
        """

        def work() -> None:
            try:
                self._save_rest(desk)
                if desk.copy is not None and desk.uncopied and desk.store is not None:
                    desk.store.checkpoint(desk.copy)
            finally:
                desk.close()

        self._writer.submit(
            Job(
                "Closing the labels",
                lambda _report, _cancel: work(),
                lambda _none: None,
                lambda error: self._not_copied(desk, _expected(error)),
            )
        )

    def _save_rest(self, desk: Desk) -> None:
        """What is in memory only, as a desk is left; in the thread that writes."""
        rest = [field_id for field_id, each in list(self._unsaved.items()) if each is desk]
        fields = [found for found in map(desk.present, rest) if found is not None]
        try:
            if fields:
                _store(desk).save_fields(fields)
        except StoreError:
            take_refuge(desk.fields(), desk.store, desk.identity, desk.name).close()
        for field_id in rest:
            self._unsaved.pop(field_id, None)

    def _saved(self, desk: Desk) -> None:
        desk.uncopied = True
        if any(each.store is not None for each in self._unsaved.values()):
            self.again()
        if desk.copy is not None and time.monotonic() - desk.copied_at > COPY_EVERY_S:
            self._copy(desk)

    def _copy(self, desk: Desk) -> None:
        copy = desk.copy
        assert copy is not None
        desk.copied_at, desk.uncopied = time.monotonic(), False
        self._writer.submit(
            Job(
                "Copying the labels",
                lambda _report, _cancel: _store(desk).checkpoint(copy),
                lambda _none: None,
                lambda error: self._not_copied(desk, _expected(error)),
            )
        )


def _store(desk: Desk) -> LabelStore:
    if desk.store is None:
        raise StoreError(f"There is no place for the labels of {desk.name}.", "Choose a folder.")
    return desk.store


def _expected(error: BaseException) -> PathsegError:
    if not isinstance(error, PathsegError):
        raise error
    return error
