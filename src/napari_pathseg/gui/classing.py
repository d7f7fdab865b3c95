"""The classes of a slide: select, add, show, lock, rename, recolour, remove."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from napari_pathseg.classes import ClassList, Color, LabelClass
from napari_pathseg.gui.counts import Count
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.messages import OPEN_FIRST, Action, Message
from napari_pathseg.gui.overview import PlacedMask
from napari_pathseg.gui.work import State
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.record import FieldRecord

Counts = dict[int, Count]
Before = list[tuple[FieldRecord, Mask, Counts | None]]


class Classing:
    """Changes classes while they are in use, in every field that has them."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def select(self, name: str) -> None:
        """The class that is drawn, and that a click without words belongs to."""
        self._host.selected = name
        if self._host.desk is not None:
            self._host.drawing.hold(self._host.desk, self._host.tool)
        self._host.changed.emit()

    def select_number(self, number: int) -> None:
        """Select a class by its place in the list, from 1."""
        desk = self._host.desk
        shown = () if desk is None else desk.listed()
        if 0 < number <= len(shown):
            self.select(shown[number - 1].name)

    def add(self, name: str) -> None:
        """Add a class of one's own, or a term of the vocabulary, and select it."""
        desk, name = self._host.desk, name.strip()
        if desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
        if desk is None or not name:
            return
        self.include(desk, name)
        self.select(name)

    def of_name(self, desk: Desk, name: str) -> LabelClass:
        """The class of a name as a slide has it, or would get it."""
        return self._with(desk, name)[1]

    def include(self, desk: Desk, name: str) -> None:
        """Give a slide a class, of a term of the vocabulary where it is one's name."""
        desk.classes, found = self._with(desk, name)
        desk.removed.discard(found.value)
        desk.made.add(found.value)
        self.changed(desk)

    def _with(self, desk: Desk, name: str) -> tuple[ClassList, LabelClass]:
        known = next((e for e in self._host.vocabulary.entries if e.name == name), None)
        term = known.term if known is not None else None
        classes = desk.classes.with_class(name, term, self._host.vocabulary.color(name))
        found = classes.named(name)
        assert found is not None
        return classes, found

    def show(self, label_class: LabelClass, shown: bool) -> None:
        """The eye of a class."""
        desk = self._host.desk
        if desk is not None:
            (desk.hidden.discard if shown else desk.hidden.add)(label_class.value)
            self._host.stage.recolor(desk)
            self._host.changed.emit()

    def lock(self, label_class: LabelClass, locked: bool) -> None:
        """The lock of a class: neither the model nor a stroke changes its pixels."""
        desk, value = self._host.desk, label_class.value
        if desk is None:
            return
        (desk.locked.add if locked else desk.locked.discard)(value)
        work = desk.work
        if work is not None:
            if locked:
                held = work.state.draft.holding(value, work.mask)
                work.put(replace(work.state, draft=held))
            work.locked = frozenset(desk.locked)
            self._host.editing.show(desk)
        state = "locked: nothing changes it" if locked else "open: it can be changed"
        self._host.say(Message(f"{label_class.name} is {state}."))
        self._host.changed.emit()

    def rename(self, label_class: LabelClass, name: str) -> None:
        """Another name for a class, in every field; its term stays."""
        desk, name = self._host.desk, name.strip()
        if desk is None or not name or name == label_class.name:
            return
        if desk.classes.named(name) is not None:
            text = f"There is a class called {name} already. Choose another name."
            self._host.say(Message(text, "warning"))
            self._host.changed.emit()
        elif self._host.may_change(desk):
            self._alter(desk, replace(desk.classes[label_class.value], name=name))
            if self._host.selected == label_class.name:
                self._host.selected = name
            self._host.say(Message(f"{label_class.name} is called {name} now.", "good"))
            self._host.changed.emit()

    def recolor(self, label_class: LabelClass, color: Color) -> None:
        """Another colour for a class, in every field, and wherever its name comes again."""
        desk = self._host.desk
        if desk is not None and self._host.may_change(desk):
            self._alter(desk, replace(desk.classes[label_class.value], color=color))
            self._host.words.set_color(label_class.name, color)
            self._host.changed.emit()

    def remove(self, label_class: LabelClass) -> None:
        """Take a class and its pixels out of every field; can be brought back."""
        desk, value = self._host.desk, label_class.value
        if desk is None or not self._host.may_change(desk):
            return
        before = [
            (record, mask, _counts(desk, record, mask))
            for record, mask in self._with_class(desk, value)
        ]
        objects = desk.counts().get(value)
        desk.removed.add(value)
        for record, mask, counts in before:
            gone = np.where(mask == value, 0, mask).astype(np.uint16)
            left = None if counts is None else {v: c for v, c in counts.items() if v != value}
            self._put(desk, record.without_class(value), gone, left)
        if self._host.selected == label_class.name:
            self._host.selected = next((c.name for c in desk.listed()), None)
            self._host.drawing.hold(desk, self._host.tool)
        self._shown(desk)
        many = 0 if objects is None else objects.objects
        back = Action("Bring it back", lambda: self._bring_back(desk, label_class, before))
        its = "its object" if many == 1 else f"its {many:,} objects"
        text = f"{label_class.name} and {its} are removed."
        self._host.say(Message(text, actions=(back,)))

    def changed(self, desk: Desk) -> None:
        """The slide has more classes: its field under work may hold them too."""
        work = desk.work
        self._host.stage.recolor(desk)
        if work is None or not set(desk.classes) - set(work.record.classes):
            return
        mask = work.mask
        work.classes = desk.classes
        work.put(work.state, mask)
        known = {c.value for c in work.record.classes}
        more = [c for c in desk.listed() if c.value not in known]
        if more:
            classes = ClassList((*work.record.classes, *more))
            work.push(replace(work.state, record=replace(work.record, classes=classes)), mask)
            self._host.saving.field(desk, work.record, work.mask)

    def _alter(self, desk: Desk, changed: LabelClass) -> None:
        desk.classes = desk.classes.with_changed(changed)
        for record, mask in self._with_class(desk, changed.value):
            renamed = record.with_class_changed(changed)
            desk.records[record.id] = renamed
            work = desk.work
            if work is not None and work.id == record.id:
                work.classes = desk.classes
                work.push(replace(work.state, record=renamed), mask)
            self._host.saving.field(desk, renamed, mask)
        self._host.stage.recolor(desk)

    def _with_class(self, desk: Desk, value: int) -> Iterator[tuple[FieldRecord, Mask]]:
        fields = desk.fields()
        return (pair for pair in fields if value in {c.value for c in pair[0].classes})

    def _put(self, desk: Desk, record: FieldRecord, mask: Mask, counts: Counts | None) -> None:
        """Another mask for a field, under work or stored, saved as one step.

        `counts` is what is in it; None for the field under work, which is counted when shown.
        """
        work = desk.work
        if work is not None and work.id == record.id:
            by_hand = work.state.draft.by_hand
            work.push(State(Draft(mask, by_hand), record), mask)
        else:
            by_hand = desk.stored.get(record.id).by_hand
            placed = PlacedMask.of(record.field, mask, by_hand, desk.classes)
            desk.stored.put(record.id, placed)
        desk.records[record.id] = record
        if counts is not None:
            desk.counted(record.id, mask, counts)
        self._host.saving.field(desk, record, mask)

    def _bring_back(self, desk: Desk, label_class: LabelClass, before: Before) -> None:
        desk.removed.discard(label_class.value)
        for record, mask, counts in before:
            if desk.present(record.id) is not None:
                self._put(desk, record, mask, counts)
        self._shown(desk)
        self._host.say(Message(f"{label_class.name} is back.", "good"))

    def _shown(self, desk: Desk) -> None:
        self._host.stage.show_stored(desk)
        self._host.stage.show_prompts(desk)
        self._host.editing.show(desk)
        self._host.changed.emit()


def _counts(desk: Desk, record: FieldRecord, mask: Mask) -> Counts | None:
    """What is in a field; None where the one under work is still being counted."""
    work = desk.work
    if work is not None and work.id == record.id and not desk.is_counted(record.id, mask):
        return None
    return desk.counts_in(record.id)
