"""The slides in the viewer: each comes to the desk when its layer does and leaves with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from napari_pathseg.geometry import Pair
from napari_pathseg.gui.desk import Desk, Opened, open_desk, release
from napari_pathseg.gui.garbage import search_again
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.layer_slide import LayerSlide, plane_of
from napari_pathseg.gui.layers import KEY
from napari_pathseg.gui.messages import (
    OPEN_FIRST,
    Action,
    Message,
    of_error,
    scales_differ,
    tell_failure,
)
from napari_pathseg.gui.prompt_layers import Ring
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.saving import Saving
from napari_pathseg.gui.sources import open_source
from napari_pathseg.gui.stage import Stage, slide_path
from napari_pathseg.labels.refuge import in_refuge
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.slide.base import Slide

if TYPE_CHECKING:
    from napari.layers import Image, Layer


class Desks:
    """Opens and closes desks as layers come and go.

    Parameters
    ----------
    stage : Stage
    runner : Runner
        Opens slides in the background.
    saving : Saving
        Writes what a desk has left before it closes.
    remembered : Remembered
        Has the scales that a person gave.
    labels_folder : Path or None
        Of the label stores; None for the user's own.
    say : callable
        Shows a message.
    changed : callable
        Called when a desk came, left or became the current one.
    put_on_stage : callable
        Called with a new desk, to show and bind what it has.
    give_scale : callable
        Gives a desk a scale that a person chose.
    places : callable
        What can be done where the labels of a desk can not be kept.
    """

    def __init__(
        self,
        stage: Stage,
        runner: Runner,
        saving: Saving,
        remembered: Remembered,
        labels_folder: Path | None,
        say: Callable[[Message], None],
        changed: Callable[[], None],
        put_on_stage: Callable[[Desk], None],
        give_scale: Callable[[Desk, Pair], None],
        places: Callable[[Desk], tuple[Action, ...]],
    ) -> None:
        self._stage = stage
        self._runner = runner
        self._saving = saving
        self._remembered = remembered
        self.labels_folder = labels_folder
        self._say = say
        self._changed = changed
        self._put_on_stage = put_on_stage
        self._give_scale = give_scale
        self._places = places
        self._desks: dict[Layer, Desk] = {}
        self._opening: set[Layer] = set()
        self._arrived: WeakSet[Layer] = WeakSet()
        self._latest: Desk | None = None
        layers = stage.viewer.layers
        layers.events.inserted.connect(self._inserted)
        layers.events.removed.connect(self._removed)
        layers.selection.events.active.connect(self._activated)
        stage.viewer.dims.events.current_step.connect(self._plane_changed)
        for layer in list(layers):
            self._consider(layer)

    def __iter__(self) -> Any:
        return iter(list(self._desks.values()))

    @property
    def opening(self) -> bool:
        """Whether a slide is being opened."""
        return bool(self._opening)

    @property
    def current(self) -> Desk | None:
        """The desk of the active layer, else the one used last."""
        active = self._stage.viewer.layers.selection.active
        for desk in self:
            if active is not None and active in tuple(desk.layers()):
                self._latest = desk
        return self._latest

    def bring_forward(self, desk: Desk) -> None:
        """Slides lie on top of each other: only this one and what belongs to it is shown."""
        others = [other for other in self if other is not desk]
        for other in others:
            self._stage.set_seen(other, False)
        if others:
            self._stage.set_seen(desk, True)
        if not self.on_plane(desk):
            self._stage.set_work_seen(desk, False)
        selection = self._stage.viewer.layers.selection
        if selection.active is None or selection.active not in tuple(desk.layers()):
            selection.active = desk.field_layer or desk.layer

    def go_to(self, desk: Desk) -> None:
        """Bring a slide forward, where it was looked at last; all of it the first time."""
        self._leave_view(desk)
        self.bring_forward(desk)
        if desk.view is None:
            self._stage.look_at_all(desk)
        else:
            self._stage.look_again(desk.view)

    def point(self, desk: Desk | None, rings: Sequence[Ring] = ()) -> None:
        """Outline an object of a slide, and none of the others."""
        for each in self:
            now = tuple(rings) if each is desk else ()
            if each.pointed or now:
                each.pointed = now
                self._stage.show_prompts(each, seen=each.layer.visible)

    def _leave_view(self, other: Desk | None) -> None:
        """Remember where the slide in work is looked at, before another one is."""
        current = self.current
        if current is not None and current is not other:
            current.view = self._stage.view

    def close(self) -> None:
        """Leave the viewer alone and release all slides."""
        search_again()
        layers = self._stage.viewer.layers
        layers.events.inserted.disconnect(self._inserted)
        layers.events.removed.disconnect(self._removed)
        layers.selection.events.active.disconnect(self._activated)
        self._stage.viewer.dims.events.current_step.disconnect(self._plane_changed)
        for desk in self:
            self._saving.leave(desk)
        self._desks.clear()
        self._latest = None

    def reopen(self, layer: Image, *, fresh: bool = False, take_newer: bool = False) -> None:
        """Open a slide again, such as with a new label store or on another plane."""
        desk = self._desks.pop(layer, None)
        if desk is not None:
            self._leave(desk)
        self._consider(layer, fresh=fresh, take_newer=take_newer)

    def on_plane(self, desk: Desk) -> bool:
        """Whether the viewer shows the plane that a desk works on."""
        return desk.plane == plane_of(desk.layer, self._stage.viewer.dims.current_step)

    def _plane_changed(self, _event: Any) -> None:
        for desk in self:
            if desk.plane:
                self._stage.set_work_seen(desk, self.on_plane(desk))
        self._changed()

    def _inserted(self, event: Any) -> None:
        if slide_path(event.value) is not None:
            self._arrived.add(event.value)
            self._leave_view(None)
        self._consider(event.value)

    def _activated(self, _event: Any) -> None:
        """A slide that is hidden behind others comes forward when one of its layers is chosen."""
        active = self._stage.viewer.layers.selection.active
        for desk in self:
            if active in tuple(desk.layers()) and not (active.visible or desk.layer.visible):
                self.bring_forward(desk)
        self._changed()

    def _consider(self, layer: Layer, *, fresh: bool = False, take_newer: bool = False) -> None:
        """Open a desk for a layer that shows a slide or any other picture, whoever read it."""
        if layer in self._desks or layer in self._opening:
            return
        source = self._source_of(layer)
        if source is None:
            return
        plane, make = source
        self._opening.add(layer)
        self._say(Message(f"Opening {layer.name}…", "busy"))

        def work(_report: ProgressCallback, _cancel: CancelToken) -> Opened:
            self._saving.flush()  # what closes the same labels comes first
            return open_desk(make(), self.labels_folder, fresh=fresh, take_newer=take_newer)

        self._runner.submit(
            Job(
                f"Opening {layer.name}",
                work,
                lambda opened: self._opened(layer, plane, opened),
                lambda error: self._not_opened(layer, error),
                dropped=release,
            )
        )
        self._changed()

    def _source_of(self, layer: Layer) -> tuple[tuple[int, ...], Callable[[], Slide]] | None:
        """The plane of a layer and what opens its pixels; None for what is no picture."""
        if type(layer).__name__ != "Image" or (KEY in layer.metadata and not slide_path(layer)):
            return None
        path = slide_path(layer) or _picture_path(layer)
        if path is not None and layer.ndim == 2:
            scene = layer.metadata.get(KEY, {}).get("scene")
            return (), lambda: open_source(Path(path), scene)
        plane = plane_of(layer, self._stage.viewer.dims.current_step)
        return plane, lambda: LayerSlide(layer, plane)

    def _opened(self, layer: Image, plane: tuple[int, ...], opened: Opened) -> None:
        self._opening.discard(layer)
        closed = layer not in self._stage.viewer.layers
        if closed or not _same_pixels(layer, opened):
            release(opened)
            other = "shows other pixels than its file: open it again"
            self._say(Message(f"{layer.name} {'was closed' if closed else other}."))
            self._changed()
            return
        identity = opened.slide.metadata.identity
        mpp = opened.slide.metadata.mpp or self._remembered.scale(identity)
        if not plane and opened.slide.path.exists():
            known = layer.metadata.get(KEY, {})
            layer.metadata = dict(layer.metadata) | {
                KEY: known | {"path": str(opened.slide.path), "identity": identity}
            }
        desk = Desk(layer, opened.slide, opened.store, mpp, plane, opened.copy)
        self._desks[layer] = self._latest = desk
        self._stage.place(layer, mpp)
        self._bring_back(desk, opened)
        self._put_on_stage(desk)
        if layer in self._arrived and len(self._desks) > 1:
            self.go_to(desk)
        self._arrived.discard(layer)
        self._report(desk, opened)
        self._changed()

    def _bring_back(self, desk: Desk, opened: Opened) -> None:
        """All stored fields: the one changed last can be edited, the others are shown."""
        for stored in opened.fields:
            desk.add_record(stored.record)
            desk.stored.put(stored.record.id, stored.placed)
            desk.counted(stored.record.id, stored.placed.mask, stored.counts)
        latest = max(opened.fields, key=lambda s: s.record.updated, default=None)
        if latest is not None:
            work = desk.take_out(latest.record.id)
            desk.counted(work.id, work.mask, latest.counts)

    def _report(self, desk: Desk, opened: Opened) -> None:
        if opened.trouble is not None:
            fresh = Action("Start fresh", lambda: self.reopen(desk.layer, fresh=True))
            damaged = "damaged" in opened.trouble.what
            actions = (fresh,) if damaged else self._places(desk)
            self._say(_with_place(of_error(opened.trouble, actions), desk))
        elif desk.store is not None and desk.store.read_only:
            self._say(self.why_read_only(desk))
        elif opened.newer is not None:
            take = Action("Use it", lambda: self.reopen(desk.layer, take_newer=True))
            text = f"The labels beside {desk.name} are newer than those on this computer."
            if in_refuge(opened.newer):
                text = f"Newer labels of {desk.name} were kept in {opened.newer.parent}."
            self._say(Message(f"{text} Yours are kept aside if you use them.", "warning", (take,)))
        elif (mixed := self._scales_differ(desk)) is not None:
            self._say(mixed)
        elif opened.fields:
            many = "field is" if len(opened.fields) == 1 else "fields are"
            self._say(Message(f"{len(opened.fields)} {many} back as you left them."))
        else:
            self._say(Message("Type what to look for and press Enter, or click on one."))

    def _scales_differ(self, desk: Desk) -> Message | None:
        """What to say where a slide without a scale lies beside one with: napari has no unit."""
        other = next((d for d in self if (d.mpp is None) is not (desk.mpp is None)), None)
        if other is None:
            return None
        without, known = (desk, other) if desk.mpp is None else (other, desk)
        return scales_differ(without.name, known.name, lambda mpp: self._give_scale(without, mpp))

    def why_read_only(self, desk: Desk) -> Message:
        """Why nothing may be changed on a desk, and what can be done."""
        text = f"Labels of {desk.name} are read-only here: {desk.read_only}."
        again = Action("Try again", lambda: self.reopen(desk.layer), "When it is closed there")
        elsewhere: tuple[Action, ...] = ()
        if desk.store is not None and not os.access(desk.store.path.parent, os.W_OK):
            elsewhere = self._places(desk)[1:]  # it is no other window that keeps them
        return Message(f"{text} You can look, not change.", "warning", (again, *elsewhere))

    def _not_opened(self, layer: Layer, error: BaseException) -> None:
        self._opening.discard(layer)
        self._changed()
        tell_failure(error, self._say, f"{layer.name} was not opened.")

    def _removed(self, event: Any) -> None:
        search_again()
        layer = event.value
        desk = self._desks.pop(layer, None)
        if desk is not None:
            self._leave(desk)
            return
        for other in self:
            if layer is other.overview:
                other.overview = None
            if layer is other.hand_layer:
                other.hand_layer = None
            if layer is other.field_layer:
                other.field_layer = None
                other.put_away()
                self._stage.show_stored(other)
                self._changed()

    def _leave(self, desk: Desk) -> None:
        if self._latest is desk:
            self._latest = next(iter(self._desks.values()), None)
        layers = self._stage.viewer.layers
        desk.put_away()
        self._stage.drop_prompts(desk)
        for layer in desk.label_layers():
            if layer in layers:
                layers.remove(layer)
        self._saving.leave(desk)
        if self._latest is None:
            self._say(Message(OPEN_FIRST))
        self._changed()


def _with_place(message: Message, desk: Desk) -> Message:
    """What went wrong, and where the labels are that were kept elsewhere meanwhile."""
    if desk.store is None:
        return message
    return replace(message, text=f"{message.text} You see those kept in {desk.store.path.parent}.")


def _picture_path(layer: Layer) -> str | None:
    """The file of a colour picture that another reader opened."""
    if type(layer).__name__ == "Image" and getattr(layer, "rgb", False):
        path = layer.source.path
        return str(path) if path is not None else None
    return None


def _same_pixels(layer: Image, opened: Opened) -> bool:
    """Whether a layer shows level 0 of the slide, so that places agree."""
    finest = layer.data[0] if layer.multiscale else layer.data
    last = layer.ndim
    return tuple(int(n) for n in finest.shape[last - 2 : last]) == opened.slide.shape
