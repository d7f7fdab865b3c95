"""What happens to the field under work: answers, strokes, accept, reject, undo."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field
from napari_pathseg.gui.ask import Answered, Request
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.drawing import Drawing
from napari_pathseg.gui.messages import Message, read_and_found
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.saving import Saving
from napari_pathseg.gui.stage import Stage
from napari_pathseg.gui.tools import PAINTING, Tool
from napari_pathseg.gui.work import FieldWork, State, answered, author
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.rows import Change
from napari_pathseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

BRUSH_SCREEN_PX = 18
NO_MORE = ("There is nothing more to undo.", "There is nothing more to redo.")


class Host(Protocol):
    """What editing needs of the controller."""

    viewer: ViewerModel
    vocabulary: Vocabulary
    model: SharedModel
    stage: Stage
    saving: Saving
    changed: Any
    field_shown: Any
    tool: Tool
    threshold: float
    selected: str | None

    @property
    def desk(self) -> Desk | None:
        """The slide in work."""

    def say(self, message: Message) -> None:
        """Show a message."""


class Editing:
    """Changes the field under work and keeps layer, store and counts in step."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._moving_slider = False
        self.drawing = Drawing(host, self)

    # Answers of the model.

    def apply(self, desk: Desk, request: Request, found: Answered) -> None:
        """Show and save the model's answer."""
        desk.classes = found.classes
        if not found.same_field or desk.work is None:
            self.leave_field(desk)
            record = self.new_record(desk, found.segmentation.field)
            desk.work = FieldWork(
                record, request.region, State(Draft.empty(record.field.shape)), desk.classes
            )
        work = desk.work
        work.classes = desk.classes
        card = getattr(self._host.model.loaded, "card", None)
        work.record = answered(
            work.record,
            found.segmentation,
            found.values,
            desk.classes,
            getattr(card, "sha256", ""),
            getattr(card, "license", ""),
        )
        work.push(found.state, found.mask)
        desk.counted(work.record.id, found.mask, found.counts)
        self.show_and_save(desk)
        self._host.stage.show_prompts(desk)

    def set_threshold(self, threshold: float, final: bool) -> None:
        """Cut the pending proposal at another probability; saved when `final`."""
        self._host.threshold = threshold
        desk = self._host.desk
        if desk is None or desk.work is None or desk.work.pending is None:
            return
        work = desk.work
        state = replace(work.state, draft=work.state.draft.with_threshold(threshold))
        if self._moving_slider:
            work.state = state
        else:
            work.push(state)
        self._moving_slider = not final
        if final:
            self.show_and_save(desk)
            assert work.pending is not None
            self._host.say(read_and_found(work.pending))
        else:
            self.show(desk)

    def accept(self) -> None:
        """Keep what is proposed."""
        desk = self._host.desk
        if desk is None or desk.work is None:
            self._host.say(Message("There is nothing to accept yet."))
            return
        work = desk.work
        work.push(State(work.state.draft.accepted(work.classes)))
        work.record = work.record.with_status("accepted")
        self.show_and_save(desk)
        self._host.stage.show_prompts(desk)
        self._host.say(Message("Accepted. Go on to the next field, or type another word.", "good"))

    def reject(self) -> None:
        """Throw the proposal away; what was kept or drawn stays."""
        desk = self._host.desk
        if desk is None or desk.work is None or desk.work.pending is None:
            self._host.say(Message("There is no proposal to reject."))
            return
        work = desk.work
        work.push(State(work.state.draft.rejected()))
        work.record = work.record.with_status("corrected" if work.mask.any() else "proposed")
        self.show_and_save(desk)
        self._host.stage.show_prompts(desk)
        self._host.say(Message("Rejected. Ctrl+Z brings it back."))

    # Undo.

    def undo(self) -> None:
        """Take back the last step on the field under work, whatever it was."""
        self._walk(forward=False)

    def redo(self) -> None:
        """Do again what was taken back."""
        self._walk(forward=True)

    def _walk(self, *, forward: bool) -> None:
        desk = self._host.desk
        if desk is None or desk.work is None:
            self._host.say(Message("There is nothing to undo yet."))
            return
        work = desk.work
        if self._host.saving.in_step(desk, work.record.id):
            self._host.saving.walk(
                desk,
                work.record.id,
                forward,
                lambda change: self._walked(desk, work, change, forward),
            )
            return
        if not (work.can_redo if forward else work.can_undo):
            self._host.say(Message(NO_MORE[forward]))
            return
        (work.forward if forward else work.back)(work.mask)
        self._after_walk(desk, forward)

    def _walked(self, desk: Desk, work: FieldWork, change: Change | None, forward: bool) -> None:
        if change is None:
            self._host.say(Message(NO_MORE[forward]))
            return
        stored = work.mask.copy()
        height, width = change.pixels.shape
        stored[change.y : change.y + height, change.x : change.x + width] = change.pixels
        (work.forward if forward else work.back)(stored)
        if not np.array_equal(work.mask, stored):
            work.state = State(Draft.of_mask(stored))
        work.record = change.record
        if desk.work is work:
            self._after_walk(desk, forward)

    def _after_walk(self, desk: Desk, forward: bool) -> None:
        assert desk.work is not None
        if desk.work.pending is not None:
            self._host.threshold = desk.work.pending.threshold
        self.show(desk)
        self._host.stage.show_prompts(desk)
        self._host.say(Message("Done again." if forward else "Undone. Ctrl+Shift+Z does it again."))

    # Fields.

    def go_to_field_at(self, desk: Desk, y: float, x: float) -> bool:
        """Make the stored field at a level-0 place the one under work; False without one."""
        work = desk.work
        if work is not None and work.record.field.region.contains(y, x):
            return False
        field_id = desk.stored.at(y, x)
        if field_id is None:
            return False
        placed, record = desk.stored.get(field_id), desk.records[field_id]
        self.leave_field(desk)
        desk.stored.remove(field_id)
        state = State(Draft.of_mask(placed.mask))
        desk.work = FieldWork(record, record.field.region, state, desk.classes)
        self._host.stage.show_stored(desk)
        self.show(desk)
        self.drawing.hold(desk, self._host.tool)
        return True

    def leave_field(self, desk: Desk) -> None:
        """Put the field under work with the stored ones; an empty proposal is deleted.

        Its layer stays for the next field.
        """
        work = desk.work
        if work is None:
            return
        placed = desk.put_away()
        if placed is not None and not placed.mask.any() and work.record.status == "proposed":
            desk.forget(work.record.id)
            self._host.saving.delete(desk, work.record.id)
        self._host.stage.show_stored(desk)
        self._host.stage.show_prompts(desk)

    def save_again(self, desk: Desk) -> None:
        """Write the field under work as a whole, after a failure."""
        if desk.work is not None:
            self._host.saving.field(desk, desk.work.record, desk.work.mask)

    def new_record(self, desk: Desk, field: Field) -> FieldRecord:
        """A record for a field that is begun now."""
        return FieldRecord.new(
            field,
            ClassList(),
            slide_identity=desk.identity,
            slide_name=desk.name,
            mpp=field.mpp(desk.mpp),
            author=author(),
        )

    # In step.

    def show(self, desk: Desk) -> None:
        """Show the field under work and count its objects."""
        work = desk.work
        if work is None:
            return
        layer = self._host.stage.show_work(desk)
        if layer is not None:
            zoom = float(self._host.viewer.scene.camera.zoom)
            layer.brush_size = max(round(BRUSH_SCREEN_PX / zoom / float(layer.scale[-1])), 1)
            self._listen(desk, layer)
            self.drawing.hold(desk, self._host.tool)
            self._host.field_shown.emit(layer)
        desk.recount(work.record.id, work.mask, work.record.field)
        self._host.changed.emit()

    def show_and_save(self, desk: Desk) -> None:
        """Show the field under work and save it as one step."""
        work = desk.work
        assert work is not None
        known = {c.value for c in work.record.classes}
        more = [c for c in desk.classes if c.value not in known]
        work.record = replace(work.record, classes=ClassList((*work.record.classes, *more)))
        desk.add_record(work.record)
        self._host.saving.field(desk, work.record, work.mask)
        self.show(desk)

    def bound(self, layer: Layer) -> None:
        """A slide's layer came: the keys work on it too."""
        self._host.field_shown.emit(layer)

    def _listen(self, desk: Desk, layer: Layer) -> None:
        announced = False

        def stroke_ended(_event: Any) -> None:
            # A dragged stroke is announced after its last dab, a fill before its pixels change.
            nonlocal announced
            if layer is desk.field_layer:
                announced = not self.drawing.stroke_ended(desk)

        def pixels_changed(_event: Any) -> None:
            nonlocal announced
            if announced and layer is desk.field_layer:
                announced = False
                self.drawing.stroke_ended(desk)

        def mode_changed(event: Any) -> None:
            if layer is desk.field_layer:
                self._mode_changed(str(event.mode))

        layer.events.paint.connect(stroke_ended)
        layer.events.labels_update.connect(pixels_changed)
        layer.events.mode.connect(mode_changed)

    def _mode_changed(self, mode: str) -> None:
        """Napari's own buttons changed the mode."""
        host = self._host
        tool = {"paint": Tool.BRUSH, "erase": Tool.ERASER}.get(mode)
        if tool is None and host.tool in PAINTING and mode != "pan_zoom":
            tool = Tool.PAN
        if tool is not None and tool is not host.tool:
            host.tool = tool
            host.changed.emit()
