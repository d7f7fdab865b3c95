"""Why the proposal is as it is: its maps over the field, and the objects that matter."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from psygnal import Signal

from napari_pathseg.errors import StoreError
from napari_pathseg.geometry import Region
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.map_layer import MapLayer
from napari_pathseg.gui.messages import Message, of_error, tell_failure
from napari_pathseg.gui.pointing import Pointing, level0_rings
from napari_pathseg.inference.segmentation import Logits, Segmentation
from napari_pathseg.labels.raster import outlines
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback
from napari_pathseg.prompts import TextPrompt

if TYPE_CHECKING:
    from napari_pathseg.inference.explaining import Importance, ObjectImportance
    from napari_pathseg.inference.session import Session

NOTHING = "There is no proposal of words to explain. Ask for a term first."


class Shown(StrEnum):
    """What is shown of a proposal."""

    MASK = "mask"
    PROBABILITY = "probability"
    UNCERTAINTY = "uncertainty"


class Explaining:
    """Follows the proposal of the slide in work; nothing of it is stored.

    Parameters
    ----------
    host : Host
    runner : Runner
        The one that asks the model: two at once would only wait for each other.

    Attributes
    ----------
    changed : Signal()
        What is shown, the objects, or whether they are being weighed.
    progressed : Signal(Progress)
    """

    changed = Signal()
    progressed = Signal(object)

    def __init__(self, host: Host, runner: Runner) -> None:
        self._host = host
        self._runner = runner
        self._map = MapLayer(host.viewer)
        self._pointing = Pointing(host.viewer, host.desks)
        self._drawn: tuple[object, ...] = ()
        self._drawn_of: Logits | None = None
        self._token: CancelToken | None = None
        self._generation = 0
        self._found: tuple[Segmentation, Importance] | None = None
        known = host.remembered.shown_map
        self.shown = Shown(known) if known in set(Shown) else Shown.MASK
        self.weighing = False
        host.changed.connect(self.follow)
        host.busy_changed.connect(self._asked)

    # Maps.

    def show(self, shown: Shown) -> None:
        """Show mask, probability or uncertainty from now on; remembered."""
        self.shown = shown
        self.follow()
        self.changed.emit()
        try:
            self._host.remembered.set_shown_map(shown.value)
        except StoreError as error:
            self._host.say(of_error(error))

    def show_next(self) -> None:
        """Show the next of them."""
        every = list(Shown)
        self.show(every[(every.index(self.shown) + 1) % len(every)])

    def follow(self) -> None:
        """Show the map of the proposal as it is now, or none."""
        pending = self._pending
        if self._found is not None and not _same(self._found[0], pending):
            self._forget()
        desk = self._host.desk
        if desk is None or pending is None or self.shown is Shown.MASK:
            if self._drawn_of is not None:
                self._drawn_of = None
                self._map.hide()
                self._host.stage.outline(self._host.desks, self._host.outlined)
            return
        index = self._class_index(desk, pending)
        drawn = self.shown, index, pending.field, desk.mpp, desk.field_layer
        same = self._drawn_of is pending.logits and drawn == self._drawn
        if same or desk.field_layer is None or not desk.is_shown:  # it is about to be
            return
        if self._drawn_of is None:
            # The mask stays as an outline: where the threshold lies in the map.
            self._host.stage.outline(self._host.desks, True)
        self._drawn_of, self._drawn = pending.logits, drawn
        name, values = self._values(pending, index)
        title = f"{desk.name} {self.shown.value} of {name}"
        self._map.show(title, values, pending.field, desk.mpp, desk.field_layer)

    def _values(self, pending: Segmentation, index: int | None) -> tuple[str, Logits]:
        from napari_pathseg.inference.explaining import highest_probability, uncertainty

        classes = list(pending.classes)
        every = " or ".join(c.name for c in classes)
        if self.shown is Shown.UNCERTAINTY:
            return every, uncertainty(pending)
        if index is None:
            return every, highest_probability(pending)
        return classes[index].name, pending.probability(classes[index].value)

    def _class_index(self, desk: Desk, pending: Segmentation) -> int | None:
        """The selected class among those of the proposal; None where it is another one."""
        chosen = desk.classes.named(self._host.selected or "")
        if chosen is None or desk.work is None or len(pending.classes) == 1:
            return None
        values = desk.work.state.draft.values
        return values.index(chosen.value) if chosen.value in values else None

    @property
    def _pending(self) -> Segmentation | None:
        desk = self._host.desk
        return None if desk is None or desk.work is None else desk.work.pending

    # Objects.

    @property
    def objects(self) -> tuple[ObjectImportance, ...]:
        """The objects of the proposal that were weighed, the most important first."""
        return () if self._found is None else self._found[1].objects

    @property
    def can_weigh(self) -> bool:
        """Whether there is a proposal of words."""
        desk, pending = self._host.desk, self._pending
        if desk is None or desk.session is None or pending is None:
            return False
        return any(isinstance(prompt, TextPrompt) for prompt in pending.prompts)

    def weigh(self) -> None:
        """Find out which objects matter, in the background."""
        desk, pending = self._host.desk, self._pending
        if not self.can_weigh or desk is None or desk.work is None or pending is None:
            self._host.say(Message(NOTHING, "warning"))
            return
        session, region = desk.session, desk.work.region
        assert session is not None
        self.cancel()
        self._generation += 1
        generation = self._generation

        def work(report: ProgressCallback, cancel: CancelToken) -> Importance:
            return _importance(session, pending, region, report, cancel)

        self._set_weighing(True)
        token = self._runner.submit(
            Job(
                "Which objects matter",
                work,
                lambda found: self._weighed(generation, pending, found),
                lambda error: self._failed(generation, error),
                lambda progress: self._report(generation, progress),
            )
        )
        # A runner without a background has already answered.
        self._token = token if self.weighing else None

    def cancel(self) -> None:
        """Stop weighing."""
        if self.weighing:
            self._generation += 1
            if self._token is not None:
                self._token.cancel()
            self._set_weighing(False)

    def point_at(self, one: ObjectImportance) -> None:
        """Bring an object into the middle of the view, outlined."""
        desk = self._host.desk
        if desk is None or self._found is None:
            return
        pending, importance = self._found
        rows, columns = np.nonzero(importance.instances == one.label)
        top, left = int(rows.min()), int(columns.min())
        height, width = int(rows.max()) + 1 - top, int(columns.max()) + 1 - left
        box = pending.field.cropped(top, left, height, width)
        inside = importance.instances[top : top + height, left : left + width] == one.label
        (traced,) = outlines(inside.astype(np.uint8))
        self._pointing.at_object(desk, box.region)
        self._pointing.outline(desk, level0_rings(box, traced))

    def _weighed(self, generation: int, pending: Segmentation, found: Importance) -> None:
        if generation != self._generation:
            return
        if _same(pending, self._pending):
            self._found = pending, found
            self._host.say(_said(found))
        self._set_weighing(False)

    def _failed(self, generation: int, error: BaseException) -> None:
        if generation != self._generation:
            return
        self._set_weighing(False)
        tell_failure(error, self._host.say, "Cancelled.")

    def _report(self, generation: int, progress: Progress) -> None:
        if generation == self._generation:
            self.progressed.emit(progress)

    def _asked(self, busy: bool) -> None:
        if busy:
            self.cancel()

    def _forget(self) -> None:
        self._found = None
        self._pointing.clear()
        self.changed.emit()

    def _set_weighing(self, weighing: bool) -> None:
        self._token = None
        self.weighing = weighing
        self.changed.emit()

    def close(self) -> None:
        """Leave the viewer as it was."""
        self._host.changed.disconnect(self.follow)
        self._host.busy_changed.disconnect(self._asked)
        self._generation += 1
        if self._token is not None:
            self._token.cancel()
        self._map.hide()
        self._pointing.clear()


def _importance(
    session: Session,
    pending: Segmentation,
    region: Region,
    report: ProgressCallback,
    cancel: CancelToken,
) -> Importance:
    """In the background, where torch may be loaded."""
    from napari_pathseg.inference.explaining import object_importance

    return object_importance(session, pending, region, progress=report, cancel=cancel)


def _same(one: Segmentation, other: Segmentation | None) -> bool:
    """Whether two are the same answer, cut at whichever threshold."""
    return other is not None and one.logits is other.logits


def _said(found: Importance) -> Message:
    if not found.objects:
        return Message("There is no object to weigh: nothing was found here.", "warning")
    many = len(found.objects)
    text = f"{many} object{'s' if many > 1 else ''} weighed. Click a row to see it."
    return Message(text, "good")
