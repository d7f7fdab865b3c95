"""Labels of other software come in: read and mapped in the background, looked at, then stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_pathseg.export.incoming.frame import Frame, Incoming, Where
from napari_pathseg.export.incoming.mapping import ASK, Mapped, propose, renamed
from napari_pathseg.export.incoming.meaning import Numbers
from napari_pathseg.export.incoming.reading import read_incoming
from napari_pathseg.export.incoming.storing import import_labels
from napari_pathseg.gui.counts import count_classes
from napari_pathseg.gui.desk import StoredField
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import OPEN_FIRST, Message, tell_failure
from napari_pathseg.gui.overview import PlacedMask
from napari_pathseg.gui.work import author
from napari_pathseg.labels.journal import LabelStore

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.gui.desk import Desk


class Importing:
    """What the tab Export does with files that are dropped on it, without Qt.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner

    Attributes
    ----------
    changed : Signal()
        A file was read, mapped in another way, taken in or put away.
    incoming : Incoming or None
        What waits to be taken in.
    mapping : tuple of Mapped
    """

    changed = Signal()

    def __init__(self, controller: PathsegController, runner: Runner) -> None:
        self._controller = controller
        self._runner = runner
        self._desk: Desk | None = None
        self._waiting: tuple[Path, Where] | None = None
        self._where = Where()
        self.incoming: Incoming | None = None
        self.mapping: tuple[Mapped, ...] = ()

    def read(self, path: Path, where: Where | None = None) -> None:
        """Read a file for the slide in work; waits for a slide that is being opened."""
        controller = self._controller
        desk = controller.desk
        if desk is None and controller.desks.opening:
            if self._waiting is None:
                controller.changed.connect(self._opened)
            self._waiting = path, where or Where()
            return
        if desk is None:
            controller.say(Message(OPEN_FIRST, "warning"))
            return
        if not controller.may_change(desk):
            return
        frame, classes, vocabulary = self._frame(desk), desk.classes, controller.vocabulary

        def work(*_: object) -> tuple[Incoming, tuple[Mapped, ...]]:
            incoming = read_incoming(path, frame, where)
            return incoming, propose(incoming, classes, vocabulary)

        def done(found: tuple[Incoming, tuple[Mapped, ...]]) -> None:
            self._desk, self._where = desk, where or Where()
            self.incoming, self.mapping = found
            text = f"{path.name}: look at its classes, then take them in."
            if any(m.why == ASK for m in self.mapping):
                text = f"{path.name} has objects: double click and say which class they are."
            if self.incoming.notes:
                text += f" Left out: {'; '.join(self.incoming.notes)}."
            controller.say(Message(text))
            self.changed.emit()

        self._submit(f"Reading {path.name}", work, done)

    def count_as(self, numbers: Numbers) -> None:
        """Read the file again, its numbers as classes or as objects."""
        if self.incoming is not None and numbers != self.incoming.numbers:
            self.read(self.incoming.path, replace(self._where, numbers=numbers))

    def rename(self, name: str, target: str) -> None:
        """Another class of the slide for a class of the file; "" leaves it out."""
        desk = self._desk
        if desk is None:
            return
        vocabulary = self._controller.vocabulary
        self.mapping = tuple(
            renamed(m, target, desk.classes, vocabulary) if m.source.name == name else m
            for m in self.mapping
        )
        self.changed.emit()

    def take_in(self, *, reviewed: bool) -> None:
        """Store what was read, all of it or nothing, and show it."""
        controller, desk, incoming = self._controller, self._desk, self.incoming
        if desk is None or incoming is None or desk not in list(controller.desks):
            self.put_away()
            return
        store = desk.store
        if store is None or not controller.may_change(desk):
            return
        frame, mapping, classes = self._frame(desk), self.mapping, desk.classes

        def work(*_: object) -> list[StoredField]:
            controller.saving.flush()
            imported = import_labels(
                incoming,
                mapping,
                store,
                frame,
                classes=classes,
                author=author(),
                reviewed=reviewed,
            )
            return [_stored(store, field_id) for field_id in imported.ids]

        def done(stored: list[StoredField]) -> None:
            self.put_away()
            self._show(desk, stored)
            many = "1 field" if len(stored) == 1 else f"{len(stored)} fields"
            controller.say(Message(f"{many} of {incoming.path.name} taken in.", "good"))

        self._submit("Taking in labels", work, done)

    def _show(self, desk: Desk, stored: list[StoredField]) -> None:
        """Put fields that are in the store on the desk, and go to the last one."""
        controller = self._controller
        if desk not in list(controller.desks):
            return
        controller.fields.leave(desk)
        for each in stored:
            desk.add_record(each.record)
            desk.stored.put(each.record.id, each.placed)
            desk.counted(each.record.id, each.placed.mask, each.counts)
        controller.stage.show_stored(desk)
        controller.fields.go_to(desk, stored[-1].record.id, look=True)
        controller.changed.emit()

    def refuse(self) -> None:
        """Do not take in what was read."""
        incoming = self.incoming
        self.put_away()
        if incoming is not None:
            self._controller.say(Message(f"{incoming.path.name} was not taken in."))

    def put_away(self) -> None:
        """Forget what was read."""
        self._desk, self.incoming, self.mapping = None, None, ()
        self.changed.emit()

    def close(self) -> None:
        """The panel goes."""
        self._runner.close()

    def _opened(self) -> None:
        """A slide has come to the desk, or will not."""
        waiting = self._waiting
        if waiting is not None and not self._controller.desks.opening:
            self._waiting = None
            self._controller.changed.disconnect(self._opened)
            self.read(*waiting)

    def _frame(self, desk: Desk) -> Frame:
        return Frame.of(desk.slide, desk.mpp)

    def _submit(self, title: str, work: Callable[..., object], done: Callable[..., None]) -> None:
        self._runner.submit(Job(title, work, done, self._failed))

    def _failed(self, error: BaseException) -> None:
        tell_failure(error, self._controller.say)


def _stored(store: LabelStore, field_id: str) -> StoredField:
    """A field as the desk shows it."""
    record, stored = store.load(field_id)
    mask = stored.astype(np.uint16)
    placed = PlacedMask.of(record.field, mask, store.corrected(field_id), record.classes)
    return StoredField(record, placed, count_classes(mask, record.mpp))
