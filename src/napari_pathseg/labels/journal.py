"""LabelStore: the masks of one slide, every stroke kept on the disk the moment it happens.

One SQLite file a slide, named by the slide's identity, so that a moved or renamed slide finds
its labels again. Each field has its present mask (compressed tiles) and the steps that led to
it, model results and strokes alike; undo and redo walk over them and survive a restart.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from napari_pathseg.closing import Closing
from napari_pathseg.errors import ReadOnlyStoreError, StoreError
from napari_pathseg.labels.copies import SUFFIX, put_aside, write_copy
from napari_pathseg.labels.database import begin, connect, name_slide, plain_errors
from napari_pathseg.labels.lock import WriterLock, take_lock
from napari_pathseg.labels.masks import (
    LabelArray,
    as_stored,
    as_window,
    changed_window,
    check_same_grid,
)
from napari_pathseg.labels.number_rows import read_numbers, write_numbers
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.rows import (
    GRID,
    MODEL,
    RECORD,
    STROKE,
    Change,
    FieldRow,
    Step,
    append_step,
    apply_step,
    delete_steps_after,
    insert_field,
    read_before,
    read_corrected,
    read_field_row,
    read_last_changed,
    read_mask,
    read_next_undone,
    read_record,
    read_records,
    read_step,
)


def default_folder() -> Path:
    """The user's data folder for labels."""
    return platformdirs.user_data_path("napari-pathseg", appauthor=False) / "labels"


def store_path(identity: str, folder: Path | None = None) -> Path:
    """The file that holds the labels of the slide with this identity."""
    safe = re.fullmatch(r"[A-Za-z0-9_-]{1,100}", identity)
    name = identity if safe else hashlib.sha256(identity.encode()).hexdigest()
    return (folder or default_folder()) / (name + SUFFIX)


class LabelStore(Closing):
    """The labels of one slide. Open it with :meth:`open`; safe to use from several threads.

    A call that returns has its change on the disk. A call that raises has changed nothing.

    Attributes
    ----------
    path : Path
        The database.
    read_only : bool
        Whether writing raises ReadOnlyStoreError.
    reason : str
        Why it is read-only, "" when it is not.
    """

    def __init__(
        self, path: Path, connection: sqlite3.Connection, lock: WriterLock | None, reason: str
    ) -> None:
        self.path = path
        self.read_only = lock is None
        self.reason = reason
        self._connection = connection
        self._lock = lock
        self._mutex = threading.RLock()
        self._closed = False

    @classmethod
    def open(cls, identity: str, slide_name: str, folder: Path | None = None) -> LabelStore:
        """Open the labels of a slide, made when there are none yet.

        Parameters
        ----------
        identity : str
            Hash of the slide's content, `SlideMetadata.identity`.
        slide_name : str
            File name, kept for people.
        folder : Path, optional
            Where the stores are; the user's data folder by default.

        Returns
        -------
        LabelStore
            Read-only when another window has the slide, or when the folder may not be written.

        Raises
        ------
        StoreError
            When it can neither be opened nor made, or is damaged: see :meth:`start_fresh`.
        """
        path = store_path(identity, folder)
        lock, reason = take_lock(path)
        try:
            with plain_errors(path, "Not opened"):
                connection = connect(path, read_only=lock is None)
                if lock is not None:
                    name_slide(connection, identity, slide_name)
        except BaseException:
            if lock is not None:
                lock.release()
            raise
        return cls(path, connection, lock, reason)

    @classmethod
    def start_fresh(cls, identity: str, slide_name: str, folder: Path | None = None) -> LabelStore:
        """Put a damaged store aside, as "<name>.damaged-<time>", and open a new one.

        Raises
        ------
        StoreError
            When the damaged file can not be renamed; ReadOnlyStoreError when a window has it.
        """
        path = store_path(identity, folder)
        lock, reason = take_lock(path)
        if lock is None:
            raise ReadOnlyStoreError(f"{path} can not be replaced: {reason}.", "Close it there.")
        try:
            with plain_errors(path, "Not opened"):
                put_aside(path, "damaged")
        finally:
            lock.release()
        return cls.open(identity, slide_name, folder)

    def save_field(self, record: FieldRecord, mask: npt.NDArray[np.integer]) -> None:
        """Store a model's result, or a change of the record: :meth:`save_fields` with one."""
        self.save_fields([(record, mask)])

    def save_fields(
        self,
        fields: Sequence[tuple[FieldRecord, npt.NDArray[np.integer]]],
        numbers: Mapping[str, Instances] | None = None,
    ) -> None:
        """Store fields, all of them or none, each as one step that can be undone.

        Parameters
        ----------
        fields : sequence of (FieldRecord, integer array (height, width))
            A new id adds a field, a known id replaces it, also on another level's grid. Kept as
            uint16, or uint32 where it is.
        numbers : mapping of field id to uint32 array (height, width), optional
            As :func:`~napari_pathseg.labels.apart.told_apart` gives them, where it does.

        Raises
        ------
        StoreError
            When a shape is not the field's, values do not fit, or it can not be saved.
        """
        with self._writing():
            for record, mask in fields:
                self._save(record, as_stored(mask, record.field.shape))
                if numbers and record.id in numbers:
                    write_numbers(self._connection, self._row(record.id), numbers[record.id])

    def _save(self, record: FieldRecord, pixels: LabelArray) -> None:
        row = read_field_row(self._connection, record.id)
        if row is None:
            row = FieldRow(record.id, pixels.shape, str(pixels.dtype), 0)
            insert_field(self._connection, row, record)
            before: LabelArray = np.zeros_like(pixels)
            record_before = None
        else:
            record_before = read_record(self._connection, record.id)
            before = read_mask(self._connection, row)
            if record_before.field != record.field:
                after = pixels.astype(row.dtype)
                self._do(row, Step(0, GRID, 0, 0, before, after, record_before, record))
                return
            check_same_grid(pixels, row.shape, row.dtype, row.id)
        y, x, old, new = changed_window(before, pixels)
        kind = MODEL if old.size else RECORD
        if old.size or record_before not in (None, record):
            self._do(row, Step(0, kind, y, x, old, new, record_before, record))

    def record_stroke(
        self,
        field_id: str,
        y: int,
        x: int,
        before: npt.NDArray[np.integer],
        after: npt.NDArray[np.integer],
    ) -> None:
        """Store a stroke, one transaction; the field becomes "corrected".

        Parameters
        ----------
        field_id : str
        y, x : int
            Field pixels of the window's first pixel.
        before, after : integer array (height, width)
            The window's values before and after the stroke. Where `before` is not what the store
            holds, the difference is stored first, as a step of its own, so that an edit the
            caller did not report is neither lost nor mixed with this one.

        Raises
        ------
        StoreError
            When the window leaves the field, or it can not be saved.
        """
        with self._writing():
            row = self._row(field_id)
            old = as_window(before, y, x, row.shape, row.dtype)
            new = as_window(after, y, x, row.shape, row.dtype)
            record = read_record(self._connection, field_id)
            touched = replace(record, updated=datetime.now(UTC), status="corrected")
            stored = read_mask(self._connection, row, (y, x, *old.shape))
            if not np.array_equal(stored, old):
                row = self._do(row, Step(0, STROKE, y, x, stored, old, record, touched))
                record = touched
            self._do(row, Step(0, STROKE, y, x, old, new, record, touched))

    def undo(self, field_id: str) -> Change | None:
        """Take the last step back; None when there is none."""
        with self._writing():
            row = self._row(field_id)
            step = read_step(self._connection, row, row.position)
            if step is None:
                return None
            return self._walk(row, step.reversed(), row.position - 1)

    def redo(self, field_id: str) -> Change | None:
        """Do the next undone step again; None when there is none."""
        with self._writing():
            row = self._row(field_id)
            step = read_step(self._connection, row, row.position + 1)
            return None if step is None else self._walk(row, step, row.position + 1)

    def load(self, field_id: str) -> tuple[FieldRecord, LabelArray]:
        """Record and present mask of a field; StoreError when there is no such field."""
        with self._reading():
            row = self._row(field_id)
            return read_record(self._connection, field_id), read_mask(self._connection, row)

    def proposal(self, field_id: str) -> LabelArray:
        """The mask before the first correction; the present one when nothing was corrected."""
        with self._reading():
            row = self._row(field_id)
            found = self._connection.execute(
                "SELECT min(number) FROM steps WHERE field=? AND kind=? AND number<=?",
                (field_id, STROKE, row.position),
            ).fetchone()
            if found[0] is None:
                return read_mask(self._connection, row)
            return read_before(self._connection, row, found[0])

    def corrected(self, field_id: str) -> npt.NDArray[np.bool_]:
        """Where strokes changed the mask, undone ones left out: pixels a model must not touch.

        Returns
        -------
        bool array (height, width)
            On the field's grid.
        """
        with self._reading():
            return read_corrected(self._connection, self._row(field_id))

    def numbers(self, field_id: str) -> Instances | None:
        """What is known of the objects its pixels belong to, None where nothing is.

        Use it with :func:`~napari_pathseg.labels.apart.objects_apart`.
        """
        with self._reading():
            row = read_field_row(self._connection, field_id)
            return None if row is None else read_numbers(self._connection, row)

    def fields(self) -> tuple[FieldRecord, ...]:
        """The records of all fields, in the order they were made."""
        with self._reading():
            return read_records(self._connection)

    def last_changed(self) -> str | None:
        """The field whose last step is the latest of all; None when nothing can be undone."""
        with self._reading():
            return read_last_changed(self._connection)

    def next_undone(self) -> str | None:
        """The field whose next undone step was made before those of all others; None when nothing
        can be redone.
        """
        with self._reading():
            return read_next_undone(self._connection)

    def delete(self, field_id: str) -> None:
        """Remove a field with its history, for good."""
        with self._writing():
            self._row(field_id)
            self._connection.execute("DELETE FROM fields WHERE id=?", (field_id,))

    def checkpoint(self, path: Path) -> None:
        """Write a copy of the whole store to `path`, such as beside the slide; replaces it at once.

        Raises
        ------
        StoreError
            When it can not be written; an older copy stays as it was.
        """
        with self._reading(), plain_errors(path, "Not saved"):
            write_copy(self._connection, path)

    def close(self) -> None:
        """Close the file and let others write; does nothing the second time."""
        with self._mutex:
            if not self._closed:
                self._closed = True
                self._connection.close()
                if self._lock is not None:
                    self._lock.release()

    def _do(self, row: FieldRow, step: Step) -> FieldRow:
        """Append a step after the present one, drop what was undone, and apply it."""
        delete_steps_after(self._connection, row)
        row = replace(row, position=row.position + 1)
        append_step(self._connection, row, step)
        apply_step(self._connection, row, step)
        return row

    def _walk(self, row: FieldRow, step: Step, position: int) -> Change:
        row = replace(row, position=position)
        apply_step(self._connection, row, step)
        record = read_record(self._connection, row.id)
        return Change(step.y, step.x, step.after, record, step.kind)

    def _row(self, field_id: str) -> FieldRow:
        row = read_field_row(self._connection, field_id)
        if row is None:
            raise StoreError(f"{self.path} has no field {field_id}.", "Open the slide again.")
        return row

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._mutex:
            self._check_open()
            with plain_errors(self.path, "Not read"):
                yield

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it is kept, or nothing."""
        with self._mutex:
            self._check_open()
            if self.read_only:
                raise ReadOnlyStoreError(
                    f"Not saved: {self.path} is open read-only: {self.reason}.",
                    "Close it there and open the slide again.",
                )
            with plain_errors(self.path, "Not saved"):
                begin(self._connection, self.path)
                try:
                    yield
                    self._connection.execute("COMMIT")
                except BaseException:
                    if self._connection.in_transaction:
                        self._connection.execute("ROLLBACK")
                    raise

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"The label store {self.path} is closed.", "Open the slide again.")
