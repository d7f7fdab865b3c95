"""Going through the review queue: the next field, at the right place and zoom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.pointing import Pointing
from napari_pathseg.gui.review import QueuedField, after, queue
from napari_pathseg.labels.record import FieldRecord

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController

NOTHING = "Nothing waits for review. Segment a field, or open a slide that has some."


class Reviewing:
    """The queue of one viewer.

    Attributes
    ----------
    goes_on : bool
        Accepting shows the next field, where the settings want that; true while the tab is open.
    reviewed_too : bool
        The queue holds reviewed fields as well.
    """

    def __init__(self, controller: PathsegController) -> None:
        self._controller = controller
        self._pointing = Pointing(controller.viewer, controller.desks)
        self.goes_on = False
        self.reviewed_too = False
        controller.accepted.connect(self._accepted)

    def records(self, desk: Desk) -> Iterator[FieldRecord]:
        """The records of all fields of a slide as they are now."""
        for field_id in desk.stored.ids():
            yield desk.records[field_id]
        if desk.work is not None:
            yield desk.work.record

    def fields(self, desk: Desk) -> list[QueuedField]:
        """All fields of a slide, without those of which everything was undone."""
        undone = {i for i in desk.stored.ids() if not (desk.objects_in(i) or _is_done(desk, i))}
        records = (r for r in self.records(desk) if r.id not in undone)
        return [QueuedField(desk.identity, desk.name, r) for r in records]

    def queue(self) -> tuple[QueuedField, ...]:
        """What is to be looked at, on all open slides."""
        everything = (f for desk in self._controller.desks for f in self.fields(desk))
        return queue(everything, reviewed_too=self.reviewed_too)

    @property
    def present(self) -> str | None:
        """The field that is in work."""
        desk = self._controller.desk
        return desk.work.record.id if desk is not None and desk.work is not None else None

    def step(self, step: int = 1) -> None:
        """Show the field that many places further on in the queue."""
        found = after(self.queue(), self.present, step)
        if found is None:
            self._controller.say(Message(NOTHING))
        else:
            self.show(found)

    def show(self, wanted: QueuedField) -> None:
        """Make a field the one in work and fill the view with it."""
        desk = next((d for d in self._controller.desks if d.identity == wanted.identity), None)
        if desk is None or not self._controller.fields.go_to(desk, wanted.record.id):
            self._controller.say(Message("This field is no longer there.", "warning"))
            return
        self._pointing.at_field(desk, wanted.record.field.region)
        ids = [f.record.id for f in self.queue()]
        place = (
            f"{ids.index(wanted.record.id) + 1} of {len(ids)}: " if wanted.record.id in ids else ""
        )
        sure = f"sure {wanted.sureness:.2f}, " if wanted.record.scores else ""
        text = f"{place}{wanted.what} in {wanted.slide_name}, {sure}{wanted.record.status}."
        self._controller.say(Message(text))
        self._controller.changed.emit()

    def _accepted(self, _desk: Desk) -> None:
        if self.goes_on and self._controller.settings.value.go_on and self.queue():
            self.step()


def _is_done(desk: Desk, field_id: str) -> bool:
    """Whether a person has looked at a field."""
    return desk.records[field_id].status != "proposed"
