"""Drawing on the field under work: brush, eraser, taking objects away, classes of one's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import field_covering, nearest_level
from napari_pathseg.gui.counts import object_at
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.field import field_in_view
from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.tools import PAINTING, Tool
from napari_pathseg.gui.work import FieldWork, State
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.prompts import PointPrompt

if TYPE_CHECKING:
    from napari_pathseg.gui.editing import Editing, Host

OWN_CLASS = "object"
MAX_DRAWN_PX = 16_000_000


class Drawing:
    """What a person draws: every stroke is saved the moment it ends."""

    def __init__(self, host: Host, editing: Editing) -> None:
        self._host = host
        self._editing = editing

    def hold(self, desk: Desk, tool: Tool) -> None:
        """Make the field's layer ready for a tool; RegionError when there is nothing to draw on."""
        if tool in PAINTING:
            if desk.work is None:
                self._begin_empty(desk)
            layer = desk.field_layer
            assert layer is not None
            self._host.viewer.layers.selection.active = layer
            chosen = desk.classes.named(self._host.selected or "")
            if chosen is not None:
                layer.selected_label = chosen.value
            layer.mode = "paint" if tool is Tool.BRUSH else "erase"
        elif desk.field_layer is not None:
            desk.field_layer.mode = "pan_zoom"

    def _begin_empty(self, desk: Desk) -> None:
        """An empty field over the view, to draw in."""
        viewer = self._host.viewer
        region = field_in_view(viewer, desk.slide.shape, desk.mpp)
        level0_per_screen_px = 1 / float(viewer.scene.camera.zoom) / (desk.mpp or (1.0, 1.0))[0]
        level = nearest_level([x.downsample for x in desk.slide.levels], level0_per_screen_px)
        found = desk.slide.levels[level]
        field = field_covering(region, level, found.downsample, found.shape)
        if field.height * field.width > MAX_DRAWN_PX:
            raise RegionError(
                f"This view has {field.height * field.width / 1e6:.0f} million pixels.",
                "Zoom in to draw.",
            )
        name = self._host.selected or OWN_CLASS
        desk.classes = desk.classes.with_class(name, None, self._host.vocabulary.color(name))
        self._host.selected = name
        record = replace(self._editing.new_record(desk, field), classes=desk.classes)
        state = State(Draft.empty(field.shape))
        desk.work = FieldWork(record, region, state, desk.classes)
        self._editing.show_and_save(desk)

    def pressed(self, y: float, x: float) -> None:
        """A painting tool came down: in another stored field that one is taken up."""
        desk = self._host.desk
        if desk is None or desk.work is None or desk.work.record.field.region.contains(y, x):
            return
        if self._editing.go_to_field_at(desk, y, x):
            self._host.say(Message("This field can be changed now."))
        else:
            text = "This place is outside the field that can be changed. Segment it first (Enter)."
            self._host.say(Message(text, "warning"))

    def takes_away(self, desk: Desk, point: PointPrompt) -> bool:
        """Remove the kept object under a "not this"; False when the model is to be asked."""
        if point.positive:
            return False
        self._editing.go_to_field_at(desk, point.y, point.x)
        work = desk.work
        if work is None or not work.record.field.region.contains(point.y, point.x):
            self._host.say(Message("There is nothing to take away here.", "warning"))
            return True
        place = work.record.field.from_level0(point.y, point.x)
        height, width = work.mask.shape
        y, x = min(int(place[0]), height - 1), min(int(place[1]), width - 1)
        if work.pending is not None and work.state.draft.kept[y, x] == 0:
            return False
        gone = object_at(work.mask, y, x)
        if not gone.any():
            self._host.say(Message("There is nothing to take away here.", "warning"))
            return True
        self._painted(desk, np.where(gone, 0, work.mask).astype(np.uint16))
        self._host.say(Message("Taken away. Ctrl+Z brings it back."))
        return True

    def stroke_ended(self, desk: Desk) -> bool:
        """A stroke on the field's layer ended; False when no pixel is different."""
        if desk.work is None or desk.field_layer is None:
            return False
        return self._painted(desk, desk.field_layer.data.astype(np.uint16))

    def _painted(self, desk: Desk, painted: Mask) -> bool:
        work = desk.work
        assert work is not None
        shown = work.mask
        if np.array_equal(shown, painted):
            return False
        self._name_values(desk, painted)
        work.push(replace(work.state, draft=work.state.draft.with_stroke(shown, painted)))
        self._host.saving.stroke(desk, work.record, shown, painted)
        work.record = work.record.with_status("corrected")
        self._editing.show(desk)
        return True

    def _name_values(self, desk: Desk, painted: Mask) -> None:
        """Give a name to every value drawn, such as one picked in napari's own controls."""
        known = {c.value for c in desk.classes}
        new = [v for v in np.unique(painted).tolist() if v and v not in known]
        for value in new:
            name = f"class {value}"
            label_class = LabelClass(value, name, None, self._host.vocabulary.color(name))
            desk.classes = ClassList((*desk.classes, label_class))
        if new:
            self.classes_changed(desk)

    def classes_changed(self, desk: Desk) -> None:
        """The slide has more classes: its field under work may hold them too."""
        work = desk.work
        self._host.stage.recolor(desk)
        if work is None or not set(desk.classes) - set(work.record.classes):
            return
        work.classes = desk.classes
        known = {c.value for c in work.record.classes}
        more = [c for c in desk.classes if c.value not in known]
        work.record = replace(work.record, classes=ClassList((*work.record.classes, *more)))
        work.push(work.state)
        self._host.saving.field(desk, work.record, work.mask)
