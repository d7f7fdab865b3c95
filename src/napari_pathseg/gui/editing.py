"""What happens to the field under work: answers, accept, reject, undo, and its layer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathseg.classes import ClassList
from napari_pathseg.gui.ask import Answered, Request
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Bool, Draft
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.jobs import Job
from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.tools import NAPARI_MODES, PAINTING, Tool
from napari_pathseg.gui.work import FieldWork, State, answered
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.rows import GRID, Change

if TYPE_CHECKING:
    from napari.layers import Layer

BOUND = "pathseg-bound"
"""Marks a layer that the desk listens to."""


class Editing:
    """Changes the field under work and keeps layer, store and counts in step."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def apply(self, desk: Desk, request: Request, found: Answered) -> None:
        """Show and save the model's answer."""
        known = {c.value for c in desk.listed()}
        desk.classes = found.classes
        fields = self._host.fields
        if not found.same_field or desk.work is None:
            fields.leave(desk)
            record = fields.new_record(desk, found.segmentation.field)
            state = State(Draft.empty(record.field.shape), record)
            locked = frozenset(desk.locked)
            desk.work = FieldWork(request.region, state, desk.classes, locked)
        work = desk.work
        work.classes = desk.classes
        card = getattr(self._host.model.loaded, "card", None)
        record = answered(
            work.record,
            found.segmentation,
            found.values,
            desk.classes,
            getattr(card, "sha256", ""),
            getattr(card, "license", ""),
        )
        earlier = work.state.brought if work.pending is not None else frozenset()
        brought = earlier | (set(found.values) - known)
        work.push(State(found.draft, record, request.prompts, brought), found.mask)
        desk.counted(work.id, found.mask, found.counts)
        self.show_and_save(desk)
        self._host.stage.show_prompts(desk)

    def accept(self) -> None:
        """Keep what is proposed."""
        desk = self._host.desk
        if desk is None or desk.work is None:
            self._host.say(Message("There is nothing to accept yet."))
            return
        if not self._host.may_change(desk):
            return
        work = desk.work
        draft = Draft.of_mask(work.mask, work.state.draft.by_hand)
        work.push(State(draft, work.record.with_status("accepted")))
        self.show_and_save(desk)
        self._host.stage.show_prompts(desk)
        self._host.say(Message("Accepted. Go on: the next click begins another object.", "good"))
        self._host.accepted.emit(desk)

    def reject(self) -> None:
        """Throw the proposal away; what was kept or drawn stays.

        A class that came with the proposal, and of which nothing is left, goes with it.
        """
        desk = self._host.desk
        if desk is None or desk.work is None or desk.work.pending is None:
            self._host.say(Message("There is no proposal to reject."))
            return
        work = desk.work
        draft = work.state.draft.rejected()
        left = draft.mask(work.classes)
        record = work.record.with_status("corrected" if left.any() else "proposed")
        for value in work.state.brought - set(np.unique(left).tolist()):
            record = record.without_class(value)
        work.push(State(draft, record))
        self.show_and_save(desk)
        self._host.stage.show_prompts(desk)
        self._host.say(Message("Rejected. Ctrl+Z brings it back."))

    # Undo.

    def undo(self) -> None:
        """Take back the last step on the field under work, or go where the last one was made."""
        self._walk(forward=False)

    def redo(self) -> None:
        """Do again what was taken back."""
        self._walk(forward=True)

    def _walk(self, *, forward: bool) -> None:
        desk = self._host.desk
        if desk is None:
            self._host.say(Message("There is nothing to undo yet."))
        elif desk.work is None:
            self._go_on_elsewhere(desk, forward)
        elif self._host.may_change(desk):
            self._walk_on(desk, desk.work, forward)

    def _walk_on(self, desk: Desk, work: FieldWork, forward: bool) -> None:
        if self._host.saving.in_step(desk, work.id):
            aim, classes, locked = work.beside(forward=forward), work.classes, work.locked

            def walked(change: Change | None, hand: Bool | None, shown: Mask | None) -> None:
                known = aim if aim is work.beside(forward=forward) else None
                self._walked(desk, work, change, hand, shown if known else None, forward)

            self._host.saving.walk(
                desk,
                work.id,
                forward,
                walked,
                with_hand=aim is None,
                shown=lambda: None if aim is None else aim.draft.mask(classes, locked),
            )
        elif work.can_redo if forward else work.can_undo:
            (work.forward if forward else work.back)(work.state)
            self._after_walk(desk, forward)
        else:
            self._go_on_elsewhere(desk, forward)

    def _go_on_elsewhere(self, desk: Desk, forward: bool) -> None:
        """Nothing more to undo or redo here: show the field where the next such step is."""
        ended = Message(f"There is nothing more to {'redo' if forward else 'undo'}.")
        if desk.store is None:
            self._host.say(ended)
            return

        def found(field_id: str | None) -> None:
            here = desk.work is not None and desk.work.id == field_id
            if field_id is None or here or not self._host.fields.go_to(desk, field_id, look=True):
                self._host.say(ended)
            elif forward:
                text = "Nothing more to redo there. Here is the next: Ctrl+Shift+Z does it again."
                self._host.say(Message(text))
            else:
                text = "Nothing more to undo there. Here is the change before: Ctrl+Z undoes it."
                self._host.say(Message(text))

        saving = self._host.saving
        (saving.next_undone if forward else saving.last_changed)(desk, found)

    def _walked(
        self,
        desk: Desk,
        work: FieldWork,
        change: Change | None,
        hand: Bool | None,
        shown: Mask | None,
        forward: bool,
    ) -> None:
        """Show what a step of undo brought; `shown` is the mask of the state in memory."""
        if change is None:
            self._go_on_elsewhere(desk, forward)
            return
        stored = _changed(work.mask, change)
        if hand is None or hand.shape != stored.shape:
            hand = work.state.draft.by_hand
        hand = hand if hand.shape == stored.shape else np.zeros(stored.shape, bool)
        otherwise = State(Draft.of_mask(stored, hand), change.record)
        (work.forward if forward else work.back)(otherwise)
        if shown is not None:
            work.put(work.state, shown)
        if np.array_equal(work.mask, stored):
            work.put(replace(work.state, record=change.record), work.mask)
        else:
            work.put(otherwise)
        desk.records[work.id] = change.record
        if desk.work is work:
            self._after_walk(desk, forward)

    def _after_walk(self, desk: Desk, forward: bool) -> None:
        assert desk.work is not None
        desk.removed -= {c.value for c in desk.work.record.classes}  # its removal was undone
        if desk.work.pending is not None:
            self._host.threshold = desk.work.pending.threshold
        self.show(desk)
        self._host.stage.show_prompts(desk)
        self._host.say(Message("Done again." if forward else "Undone. Ctrl+Shift+Z does it again."))

    # In step.

    def show(self, desk: Desk) -> None:
        """Show the field under work and count its objects."""
        work = desk.work
        if work is None:
            return
        begins = self._host.stage.show_work(desk)
        self._bind_field(desk)
        if begins:
            self._host.drawing.hold(desk, self._host.tool)
        self._host.refining.recount(desk, work)
        self._host.changed.emit()

    def show_and_save(self, desk: Desk) -> None:
        """Show the field under work and save it as one step."""
        work = desk.work
        assert work is not None
        known = {c.value for c in work.record.classes}
        more = [c for c in desk.listed() if c.value not in known]
        if more:
            record = replace(work.record, classes=ClassList((*work.record.classes, *more)))
            work.put(replace(work.state, record=record), work.mask)
        desk.add_record(work.record)
        self._host.saving.field(desk, work.record, work.mask)
        self.show(desk)

    def prepare(self, desk: Desk) -> None:
        """Make the layers that the first prompt needs one by one, with other events between."""

        def next_layer(_none: None) -> None:
            if desk in tuple(self._host.desks) and self._host.stage.prepare_next(desk):
                self._bind_field(desk)
                self.prepare(desk)

        def failed(error: BaseException) -> None:
            raise error

        self._host.mender.submit(
            Job("Preparing", lambda _report, _cancel: None, next_layer, failed)
        )

    def bound(self, layer: Layer) -> None:
        """A slide's layer came: the keys work on it too."""
        self._host.field_shown.emit(layer)

    def _bind_field(self, desk: Desk) -> None:
        """Listen to a layer of the field that is new."""
        layer = desk.field_layer
        if layer is not None and not layer.metadata.get(BOUND):
            layer.metadata[BOUND] = True
            self._listen(desk, layer)
            self._host.field_shown.emit(layer)

    def _listen(self, desk: Desk, layer: Layer) -> None:
        drawing = self._host.drawing
        announced = False

        def stroke_ended(_event: Any) -> None:
            # A dragged stroke is announced after its last dab, a fill before its pixels change.
            nonlocal announced
            if layer is desk.field_layer:
                announced = not drawing.stroke_ended(desk)

        def pixels_changed(_event: Any) -> None:
            nonlocal announced
            if announced and layer is desk.field_layer:
                announced = False
                drawing.stroke_ended(desk)

        def mode_changed(event: Any) -> None:
            if layer is desk.field_layer:
                self._mode_changed(str(event.mode))

        def brush_changed(_event: Any) -> None:
            if layer is desk.field_layer:
                drawing.remember_brush(layer)

        layer.events.paint.connect(stroke_ended)
        layer.events.labels_update.connect(pixels_changed)
        layer.events.mode.connect(mode_changed)
        layer.events.brush_size.connect(brush_changed)

    def _mode_changed(self, mode: str) -> None:
        """Napari's own buttons changed the mode."""
        host = self._host
        tool = next((tool for tool, name in NAPARI_MODES.items() if name == mode), None)
        if tool is None and host.tool in PAINTING and mode != "pan_zoom":
            tool = Tool.PAN
        if tool is not None and tool is not host.tool:
            host.tool = tool
            host.changed.emit()


def _changed(mask: Mask, change: Change) -> Mask:
    """A mask after a change of the store."""
    if change.kind == GRID:
        return change.pixels.astype(np.uint16)
    stored = mask.copy()
    height, width = change.pixels.shape
    stored[change.y : change.y + height, change.x : change.x + width] = change.pixels
    return stored
