"""Going from field to field: each place can be changed again, at its level or another one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import Field, Region, field_covering
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.messages import Message, of_error
from napari_pathseg.gui.work import State, author
from napari_pathseg.labels.record import FieldRecord

MAX_DRAWN_PX = 16_000_000


class Fields:
    """Puts one field of a desk under work and the others away."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def go_to_at(self, desk: Desk, y: float, x: float) -> bool:
        """Make the stored field at a level-0 place the one under work; False without one."""
        work = desk.work
        if work is not None and work.record.field.region.contains(y, x):
            return False
        field_id = desk.stored.at(y, x)
        return field_id is not None and self.go_to(desk, field_id)

    def go_to_view(self, desk: Desk, region: Region) -> bool:
        """Make the field of a view the one under work; False where there is none."""
        if desk.work is not None and desk.work.shows(region):
            return True
        field_id = desk.stored.showing(region)
        return field_id is not None and self.go_to(desk, field_id)

    def go_to(self, desk: Desk, field_id: str, *, look: bool = False) -> bool:
        """Make a field the one under work, and bring it into view; False when it is gone."""
        if desk.work is None or desk.work.id != field_id:
            if field_id not in desk.stored.ids():
                return False
            self._put_away(desk)
            desk.take_out(field_id)
            self._host.stage.show_stored(desk)
            self._host.stage.show_prompts(desk)
            self._host.editing.show(desk)
            self._host.drawing.hold(desk, self._host.tool)
        if look and desk.work is not None:
            self._host.stage.look_at(desk.work.record.field, desk.mpp)
        return True

    def leave(self, desk: Desk) -> None:
        """Put the field under work with the stored ones; an empty proposal is deleted.

        Its layer stays for the next field.
        """
        if self._put_away(desk):
            self._host.stage.show_stored(desk)
            self._host.stage.show_prompts(desk)

    def _put_away(self, desk: Desk) -> bool:
        """The same without showing it; False when no field is under work."""
        work, placed = desk.work, desk.put_away()
        if work is None or placed is None:
            return False
        # What was undone until nothing was left stays, with all that can be done again.
        rejected = work.can_undo and not work.can_redo and work.record.status == "proposed"
        if rejected and not placed.mask.any():
            desk.forget(work.id)
            self._host.saving.delete(desk, work.id)
        return True

    def go_to_last_change(self) -> None:
        """Bring the field into view that was changed last of all."""
        desk = self._host.desk
        if desk is None or desk.store is None:
            self._host.say(Message("Nothing was changed yet."))
            return

        def found(field_id: str | None) -> None:
            if field_id is None or not self.go_to(desk, field_id, look=True):
                self._host.say(Message("Nothing was changed yet."))
            else:
                self._host.say(Message("Here you changed something last."))

        self._host.saving.last_changed(desk, found)

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

    def on_level(self, desk: Desk, region: Region, level: int) -> Field:
        """The grid of a region on one level.

        Raises
        ------
        RegionError
            When it has too many pixels to draw on.
        """
        found = desk.slide.levels[level]
        field = field_covering(region, level, found.downsample, found.shape)
        if field.height * field.width > MAX_DRAWN_PX:
            raise RegionError(
                f"This would be {field.height * field.width / 1e6:.0f} million pixels.",
                "Zoom in, or take a coarser level.",
            )
        return field

    def change_level(self, level: int) -> None:
        """Work on the field's pixels on another level of the slide; undo brings the old back."""
        desk = self._host.desk
        if desk is None or desk.work is None or not self._host.may_change(desk):
            return
        work = desk.work
        record = work.record
        if level == record.field.level:
            return
        try:
            field = self.on_level(desk, record.field.region, level)
        except RegionError as error:
            self._host.say(of_error(error))
            return
        draft = work.state.draft.on_grid(record.field, field, work.mask)
        mpp = field.mpp(desk.mpp)
        record = replace(record, field=field, mpp=mpp, updated=datetime.now(UTC))
        work.push(State(draft, record))
        desk.add_record(record)
        self._host.saving.field(desk, record, work.mask)
        self._host.editing.show(desk)
        self._host.stage.show_prompts(desk)
        scale = f"{mpp[0]:.2g} µm/px" if mpp is not None else f"level {level}"
        self._host.say(Message(f"You change this field at {scale} now. Ctrl+Z goes back."))
