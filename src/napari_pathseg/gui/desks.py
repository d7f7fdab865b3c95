"""The slides in the viewer: each comes to the desk when its layer does and leaves with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.gui.desk import Desk, Opened, open_desk
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.layers import KEY, place_slide
from napari_pathseg.gui.messages import Action, Message, of_error
from napari_pathseg.gui.overview import PlacedMask
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.stage import Stage, slide_path
from napari_pathseg.gui.work import FieldWork, State

if TYPE_CHECKING:
    from napari.layers import Image, Layer


class Desks:
    """Opens and closes desks as layers come and go.

    Parameters
    ----------
    stage : Stage
    runner : Runner
        Opens slides in the background.
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
    """

    def __init__(
        self,
        stage: Stage,
        runner: Runner,
        remembered: Remembered,
        labels_folder: Path | None,
        say: Callable[[Message], None],
        changed: Callable[[], None],
        put_on_stage: Callable[[Desk], None],
    ) -> None:
        self._stage = stage
        self._runner = runner
        self._remembered = remembered
        self.labels_folder = labels_folder
        self._say = say
        self._changed = changed
        self._put_on_stage = put_on_stage
        self._desks: dict[Layer, Desk] = {}
        self._opening: set[Layer] = set()
        self._latest: Desk | None = None
        layers = stage.viewer.layers
        layers.events.inserted.connect(self._inserted)
        layers.events.removed.connect(self._removed)
        layers.selection.events.active.connect(self._activated)
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

    def close(self) -> None:
        """Leave the viewer alone and release all slides."""
        layers = self._stage.viewer.layers
        layers.events.inserted.disconnect(self._inserted)
        layers.events.removed.disconnect(self._removed)
        layers.selection.events.active.disconnect(self._activated)
        for desk in self:
            desk.close()
        self._desks.clear()
        self._latest = None

    def reopen(self, layer: Image, *, fresh: bool = False) -> None:
        """Open a slide again, such as with a new label store."""
        desk = self._desks.pop(layer, None)
        if desk is not None:
            self._leave(desk)
        self._consider(layer, fresh=fresh)

    def _inserted(self, event: Any) -> None:
        self._consider(event.value)

    def _activated(self, _event: Any) -> None:
        self._changed()

    def _consider(self, layer: Layer, *, fresh: bool = False) -> None:
        """Open a desk for a layer that shows a slide file, whoever read it."""
        path = slide_path(layer) or _picture_path(layer)
        if path is None or layer in self._desks or layer in self._opening:
            return
        self._opening.add(layer)
        self._runner.submit(
            Job(
                f"Opening {Path(path).name}",
                lambda _report, _cancel: open_desk(Path(path), self.labels_folder, fresh=fresh),
                lambda opened: self._opened(layer, opened),
                lambda error: self._not_opened(layer, error),
            )
        )
        self._changed()

    def _opened(self, layer: Image, opened: Opened) -> None:
        self._opening.discard(layer)
        if layer not in self._stage.viewer.layers or not _same_pixels(layer, opened):
            opened.slide.close()
            if opened.store is not None:
                opened.store.close()
            self._changed()
            return
        identity = opened.slide.metadata.identity
        mpp = opened.slide.metadata.mpp or self._remembered.scale(identity)
        layer.metadata = dict(layer.metadata) | {
            KEY: {"path": str(opened.slide.path), "identity": identity}
        }
        desk = Desk(layer, opened.slide, opened.store, mpp)
        self._desks[layer] = self._latest = desk
        place_slide(layer, mpp)
        self._bring_back(desk, opened)
        self._put_on_stage(desk)
        self._report(desk, opened)
        self._changed()

    def _bring_back(self, desk: Desk, opened: Opened) -> None:
        """All stored fields: the one changed last can be edited, the others are shown."""
        for record, mask in opened.fields:
            desk.add_record(record)
            desk.recount(record.id, mask, record.field)
        by_age = sorted(opened.fields, key=lambda pair: pair[0].updated)
        for record, mask in by_age[:-1]:
            desk.stored.put(record.id, PlacedMask(record.field, mask))
        for record, mask in by_age[-1:]:
            state = State(Draft.of_mask(mask))
            desk.work = FieldWork(record, record.field.region, state, desk.classes)

    def _report(self, desk: Desk, opened: Opened) -> None:
        if opened.trouble is not None:
            fresh = Action("Start fresh", lambda: self.reopen(desk.layer, fresh=True))
            actions = (fresh,) if "damaged" in opened.trouble.what else ()
            self._say(of_error(opened.trouble, actions))
        elif desk.store is not None and desk.store.read_only:
            text = f"Labels of {desk.name} are read-only here: {desk.store.reason}."
            self._say(Message(f"{text} What you draw now is not saved.", "warning"))
        elif opened.fields:
            many = "field is" if len(opened.fields) == 1 else "fields are"
            self._say(Message(f"{len(opened.fields)} {many} back as you left them."))
        else:
            self._say(Message("Type what to look for and press Enter, or click on one."))

    def _not_opened(self, layer: Layer, error: BaseException) -> None:
        self._opening.discard(layer)
        self._changed()
        if not isinstance(error, PathsegError):
            raise error
        if slide_path(layer) is not None:
            self._say(of_error(error))

    def _removed(self, event: Any) -> None:
        layer = event.value
        desk = self._desks.pop(layer, None)
        if desk is not None:
            self._leave(desk)
            return
        for other in self:
            if layer is other.overview:
                other.overview = None
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
        for layer in list(layers):
            mine = layer.name.startswith(desk.name) and layer.metadata.get(KEY) in (
                "field",
                "labels",
                "prompts",
            )
            if mine:
                layers.remove(layer)
        desk.close()
        self._changed()


def whole(desk: Desk) -> Region:
    """All of a desk's slide."""
    return Region.whole(desk.slide.shape)


def _picture_path(layer: Layer) -> str | None:
    """The file of a colour picture that another reader opened."""
    if type(layer).__name__ == "Image" and getattr(layer, "rgb", False):
        path = layer.source.path
        return str(path) if path is not None else None
    return None


def _same_pixels(layer: Image, opened: Opened) -> bool:
    """Whether a layer shows level 0 of the slide, so that places agree."""
    finest = layer.data[0] if layer.multiscale else layer.data
    return tuple(finest.shape[:2]) == opened.slide.shape
