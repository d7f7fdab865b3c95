"""Drawing on the field under work: brush, eraser, fill, polygon, cutting, joining, taking away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import Pair, nearest_level
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.field import field_in_view
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.messages import Message, of_error
from napari_pathseg.gui.tools import NAPARI_MODES, PAINTING, Tool
from napari_pathseg.gui.work import FieldWork, State
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.cleanup import cut_along, join_along, object_at, split_at_waist
from napari_pathseg.labels.masks import LabelArray, changed_window
from napari_pathseg.labels.scan import fill
from napari_pathseg.prompts import LassoPrompt, PointPrompt

if TYPE_CHECKING:
    from napari.layers import Labels

OWN_CLASS = "object"
BRUSH_SCREEN_PX = 18.0
NOTHING_HERE = "There is nothing to take away here."


class Drawing:
    """What a person draws: every stroke is saved the moment it ends."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._brush_px = BRUSH_SCREEN_PX
        self._fitted: WeakSet[Labels] = WeakSet()
        self._desk: Desk | None = None
        host.changed.connect(self._follow)

    def _follow(self) -> None:
        """The tool, its class and the size of its brush come along to another slide."""
        desk = self._host.desk
        if desk is self._desk:
            return
        self._desk = desk
        if desk is not None and desk.field_layer is not None:
            self._fitted.discard(desk.field_layer)
            if desk.work is not None:
                self._give(desk, desk.field_layer, self._host.tool)

    def remember_brush(self, layer: Labels) -> None:
        """The brush has another size: so large it is, on the screen, on the next slide too."""
        if layer in self._fitted:
            zoom = float(self._host.viewer.scene.camera.zoom)
            self._brush_px = float(layer.brush_size) * zoom * float(layer.scale[-1])

    def _fit_brush(self, layer: Labels) -> None:
        if layer not in self._fitted:
            zoom = float(self._host.viewer.scene.camera.zoom)
            layer.brush_size = max(round(self._brush_px / zoom / float(layer.scale[-1])), 1)
            self._fitted.add(layer)

    def hold(self, desk: Desk, tool: Tool) -> None:
        """Make the field's layer ready for a tool; RegionError when there is nothing to draw on."""
        if tool in PAINTING and desk.work is None:
            self._begin_empty(desk)
        if desk.field_layer is not None:
            if tool in PAINTING:
                self._host.viewer.layers.selection.active = desk.field_layer
            self._give(desk, desk.field_layer, tool)

    def _give(self, desk: Desk, layer: Labels, tool: Tool) -> None:
        """Give a field's layer the tool in hand, the class to draw, and the brush."""
        if tool in PAINTING:
            chosen = desk.classes.named(self._host.selected or "")
            if chosen is not None:
                layer.selected_label = chosen.value
            self._fit_brush(layer)
        layer.mode = NAPARI_MODES.get(tool, "pan_zoom")

    def _begin_empty(self, desk: Desk) -> None:
        """An empty field over the view, to draw in."""
        viewer = self._host.viewer
        region = field_in_view(viewer, desk.slide.shape, desk.mpp)
        level0_per_screen_px = 1 / float(viewer.scene.camera.zoom) / (desk.mpp or (1.0, 1.0))[0]
        level = nearest_level([x.downsample for x in desk.slide.levels], level0_per_screen_px)
        field = self._host.fields.on_level(desk, region, level)
        name = self._host.selected or OWN_CLASS
        self._host.classing.include(desk, name)
        self._host.selected = name
        record = replace(self._host.fields.new_record(desk, field), classes=desk.classes)
        state = State(Draft.empty(field.shape), record)
        desk.work = FieldWork(region, state, desk.classes, frozenset(desk.locked))
        self._host.editing.show_and_save(desk)

    def pressed(self, y: float, x: float) -> None:
        """A painting tool came down: in another stored field that one is taken up."""
        desk, active = self._host.desk, self._host.viewer.layers.selection.active
        if desk is None or active is None or active not in tuple(desk.layers()):
            return
        if not self._host.may_change(desk) or not self._is_in_hand(desk):
            return
        if desk.work is None or desk.work.record.field.region.contains(y, x):
            return
        if self._host.fields.go_to_at(desk, y, x):
            self._host.say(Message("This field can be changed now."))
        else:
            text = "This place is outside the field that can be changed. Segment it first (Enter)."
            self._host.say(Message(text, "warning"))

    def _is_in_hand(self, desk: Desk) -> bool:
        """Make the tool and the class that were taken in hand on another slide ready here."""
        host, layer = self._host, desk.field_layer
        knows = host.tool is Tool.ERASER or host.selected in {c.name for c in desk.listed()}
        if knows and desk.work is not None and host.viewer.layers.selection.active is layer:
            return True
        if not knows:
            host.selected = host.selected or OWN_CLASS
            host.classing.include(desk, host.selected)
        try:
            self.hold(desk, self._host.tool)
        except RegionError as error:
            self._host.say(of_error(error))
            return False
        return True

    # Taking away, cutting, joining.

    def takes_away(self, desk: Desk, point: PointPrompt) -> bool:
        """Remove the kept object under a "not this"; False when the model is to be asked."""
        if point.positive:
            return False
        place = self._place(desk, (point.y, point.x), NOTHING_HERE)
        if place is None:
            return True
        work, (y, x) = place
        if work.pending is not None and work.state.draft.kept[y, x] == 0:
            return False
        gone = object_at(work.mask, y, x)
        if not gone.any():
            self._host.say(Message(NOTHING_HERE, "warning"))
        elif self.painted(desk, np.where(gone, 0, work.mask).astype(np.uint16)):
            self._host.say(Message("Taken away. Ctrl+Z brings it back."))
        return True

    def clears(self, desk: Desk, lasso: LassoPrompt) -> bool:
        """Erase inside a "nothing in here"; False when the model is to be asked."""
        if lasso.positive:
            return False
        work = desk.work
        if work is not None and work.pending is not None:
            return False
        place = self._place(desk, lasso.outline[0], NOTHING_HERE)
        if place is not None:
            work = place[0]
            ring = np.array([work.record.field.from_level0(*p) for p in lasso.outline])
            inside = fill(work.mask.shape, [[ring]], [1]) > 0
            if self.painted(desk, np.where(inside, 0, work.mask).astype(np.uint16)):
                self._host.say(Message("Cleared. Ctrl+Z brings it back."))
            else:
                self._host.say(Message(NOTHING_HERE, "warning"))
        return True

    def split(self, path: Sequence[Pair]) -> None:
        """Cut objects along a line; where it is one place, cut the object there at its waists."""

        def change(mask: Mask, places: list[Pair]) -> Mask:
            if len(places) > 1:
                return cut_along(mask, places)
            return split_at_waist(mask, int(places[0][0]), int(places[0][1]))

        self._along(path, change, "Cut.", "Nothing to cut: click an object with a waist, or drag.")

    def join(self, path: Sequence[Pair]) -> None:
        """Make the objects that a line touches one."""
        nothing = "Nothing to join: drag from one object to another."
        self._along(path, join_along, "Joined.", nothing)

    def _along(
        self,
        path: Sequence[Pair],
        change: Callable[[Mask, list[Pair]], Mask],
        said: str,
        otherwise: str,
    ) -> None:
        desk = self._host.desk
        if desk is None:
            return
        # A line may begin beside the field, such as to cut what lies at its edge.
        region = None if desk.work is None else desk.work.record.field.region
        inside = (at for at in path if region is not None and region.contains(*at))
        place = self._place(desk, next(inside, path[0]), otherwise)
        if place is None:
            return
        work = place[0]
        places = [work.record.field.from_level0(*p) for p in path]
        height, width = work.mask.shape
        places = [(min(max(y, 0), height - 1), min(max(x, 0), width - 1)) for y, x in places]
        if self.painted(desk, change(work.mask, places)):
            self._host.say(Message(f"{said} Ctrl+Z goes back."))
        else:
            self._host.say(Message(otherwise, "warning"))

    def _place(
        self, desk: Desk, at: Pair, otherwise: str
    ) -> tuple[FieldWork, tuple[int, int]] | None:
        """The field under work at a level-0 place and its pixel there; says why there is none."""
        self._host.fields.go_to_at(desk, *at)
        work = desk.work
        if work is None or not work.record.field.region.contains(*at):
            self._host.say(Message(otherwise, "warning"))
            return None
        y, x = work.record.field.from_level0(*at)
        height, width = work.mask.shape
        return work, (min(max(int(y), 0), height - 1), min(max(int(x), 0), width - 1))

    # Strokes.

    def stroke_ended(self, desk: Desk) -> bool:
        """A stroke on the field's layer ended; False when no pixel is different."""
        if desk.work is None or desk.field_layer is None:
            return False
        work, before, told = desk.work, desk.work.state, self._host.message
        changed = self.painted(desk, desk.field_layer.data.astype(np.uint16))
        untroubled = self._host.message is told and not self._host.saving.unsaved
        if work.state is not before and untroubled:
            erased = self._host.tool is Tool.ERASER
            done = "Erased." if erased else f"Drawn: {self._host.selected}."
            self._host.say(Message(f"{done} Ctrl+Z takes it back."))
        return changed

    def painted(self, desk: Desk, painted: Mask) -> bool:
        """Take over and save a mask that a person changed; False when no pixel is different.

        Pixels of locked classes stay as they were, and nothing is drawn in a locked class.
        """
        work = desk.work
        assert work is not None
        shown = work.mask
        y, x, old, new = changed_window(shown, painted)
        if not new.size:
            return False
        if not self._host.may_change(desk):
            self._host.stage.show_work(desk)
            return True
        window = slice(y, y + new.shape[0]), slice(x, x + new.shape[1])
        if work.locked:
            held = np.isin(old, list(work.locked)) | np.isin(new, list(work.locked))
            painted = painted.copy()
            painted[window] = new = np.where(held, old, new)
            if np.array_equal(old, new):
                self._host.stage.show_work(desk)
                text = "This class is locked. Open its lock in the list."
                self._host.say(Message(text, "warning"))
                return True
        self._name_values(desk, new)
        draft = work.state.draft.with_stroke(shown, painted, window)
        record = work.record.with_status("corrected")
        work.push(replace(work.state, draft=draft, record=record), painted)
        self._host.saving.stroke(desk, record, painted, (y, x), old, new)
        self._host.editing.show(desk)
        return True

    def _name_values(self, desk: Desk, painted: LabelArray) -> None:
        """Give a name to every value drawn, such as one picked in napari's own controls."""
        known = {c.value for c in desk.classes}
        new = [v for v in np.unique(painted).tolist() if v and v not in known]
        for value in new:
            name = f"class {value}"
            label_class = LabelClass(value, name, None, self._host.vocabulary.color(name))
            desk.classes = ClassList((*desk.classes, label_class))
        if new:
            self._host.classing.changed(desk)
