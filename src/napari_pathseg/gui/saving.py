"""Writes of the desk to the label store: in order, off the GUI thread where they are long."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import PathsegError
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.rows import Change


class Saving:
    """Keeps a field on the disk in step with what is shown.

    Parameters
    ----------
    writer : Runner
        Of its own, so that a stroke never waits for the model.
    failed : callable
        Told when something was not saved; it is then still in memory, and the whole field is
        written with its next change.
    """

    def __init__(self, writer: Runner, failed: Callable[[Desk, PathsegError], None]) -> None:
        self._writer = writer
        self._failed = failed
        self._unsaved: set[str] = set()

    @property
    def unsaved(self) -> bool:
        """Whether something is in memory only."""
        return bool(self._unsaved)

    def field(self, desk: Desk, record: FieldRecord, mask: Mask) -> None:
        """Save a whole field as one step; returns at once."""
        store = desk.store
        if store is None:
            self._unsaved.add(record.id)
            return
        self._writer.submit(
            Job(
                "Saving labels",
                lambda _report, _cancel: store.save_field(record, mask),
                lambda _none: self._unsaved.discard(record.id),
                lambda error: self._not_saved(desk, record.id, error),
            )
        )

    def stroke(self, desk: Desk, record: FieldRecord, before: Mask, after: Mask) -> None:
        """Save a stroke; it is on the disk when this returns."""
        self._writer.flush()
        if desk.store is None or record.id in self._unsaved:
            self.field(desk, record, after)
            return
        window = changed_window(before != after)
        if window is None:
            return
        rows, columns = window
        try:
            desk.store.record_stroke(
                record.id, rows.start, columns.start, before[window], after[window]
            )
        except PathsegError as error:
            self._not_saved(desk, record.id, error)

    def walk(
        self, desk: Desk, field_id: str, forward: bool, done: Callable[[Change | None], None]
    ) -> None:
        """Undo or redo the last step of a field; `done` gets what changed."""
        store = desk.store
        assert store is not None
        step = store.redo if forward else store.undo
        self._writer.submit(
            Job(
                "Undoing",
                lambda _report, _cancel: step(field_id),
                done,
                lambda error: self._not_saved(desk, field_id, error),
            )
        )

    def in_step(self, desk: Desk, field_id: str) -> bool:
        """Whether the store has what is shown, so that undo may ask it."""
        return desk.store is not None and field_id not in self._unsaved

    def delete(self, desk: Desk, field_id: str) -> None:
        """Delete a field in which nothing is."""
        store = desk.store
        if store is not None and field_id not in self._unsaved:
            self._writer.submit(
                Job(
                    "Saving labels",
                    lambda _report, _cancel: store.delete(field_id),
                    lambda _none: None,
                    lambda error: self._not_saved(desk, field_id, error),
                )
            )

    def flush(self) -> None:
        """Wait until all that was asked for is on the disk."""
        self._writer.flush()

    def _not_saved(self, desk: Desk, field_id: str, error: BaseException) -> None:
        if not isinstance(error, PathsegError):
            raise error
        self._unsaved.add(field_id)
        self._failed(desk, error)


def changed_window(changed: npt.NDArray[np.bool_]) -> tuple[slice, slice] | None:
    """The smallest window (rows, columns) that holds all True pixels."""
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if rows.size == 0:
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
