"""What of a desk is on the viewer's stage: its field, its stored labels, its colours."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import (
    Field,
    Pair,
    Shape,
    exact_downsample,
    world_scale,
    world_translate,
)
from napari_pathseg.gui.desk import Desk, View
from napari_pathseg.gui.layers import (
    FIELD_OPACITY,
    KEY,
    channels_of,
    display_dtype,
    hatched,
    make_field_layer,
    make_hand_layer,
    mask_colormap,
    objects_of,
    place_field,
    place_slide,
    show_mask,
    units,
    whole_slide_of,
)
from napari_pathseg.gui.overview import stored_pyramid
from napari_pathseg.gui.prompt_layers import PromptLayers
from napari_pathseg.prompts import Prompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

OUTLINE_PX, OUTLINE_OPACITY = 2, 0.9
CLOSE_UP = 1.0
"""Screen pixels per level-0 pixel from which stored labels are outlined."""


def slide_path(layer: object) -> str | None:
    """Path of the slide that a layer shows, None for any other layer."""
    found = getattr(layer, "metadata", {}).get(KEY)
    return found.get("path") if isinstance(found, dict) else None


class Stage:
    """Puts desks on the stage of one viewer."""

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self._opacity = FIELD_OPACITY
        self._outline_px = OUTLINE_PX
        self._outlined = False
        self._hand_shown = True

    def show_work(self, desk: Desk) -> bool:
        """Show the field under work; returns whether it is the first in its layer."""
        work = desk.work
        if work is None:
            return False
        layer = desk.field_layer or self._make_field_layer(desk)
        begins = not desk.is_shown
        if begins:  # first: what listens to it finds nothing shown yet, and adds no layer
            self.viewer.layers.selection.active = layer
        # One layer for one field after the other: napari takes long to add and remove them.
        self._color(layer, desk)
        place_field(layer, work.record.field, desk.mpp)
        show_mask(layer, work.mask, desk.classes)
        self._show_hand(desk)
        return begins

    def prepare_next(self, desk: Desk) -> bool:
        """Make one of the layers that the first prompt needs, empty; False when all are there.

        napari takes long to add a layer and to draw it first: done one by one, while nobody waits.
        Of a slide that came hidden, as a further scene of a file, they are hidden with it.
        """
        if desk.field_layer is None:
            self._make_field_layer(desk).visible = desk.layer.visible
            return True
        made = self._prompts(desk).make_next(desk.mpp, self._topmost(desk))
        if made and not desk.layer.visible:
            self._prompts(desk).set_seen(False)
        return made

    def _make_field_layer(self, desk: Desk) -> Labels:
        layer = desk.field_layer = make_field_layer(desk.name, desk.mpp)
        self._dress(layer)
        self._insert(layer, desk.overview or desk.layer)
        return layer

    def _insert(self, layer: Layer, above: Layer) -> None:
        """Add a layer over another one; the active one stays so."""
        layers = self.viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(above) + 1, layer)
        layers.selection.active = active

    def _topmost(self, desk: Desk) -> Layer | None:
        """The uppermost layer of a desk, over which its prompts come."""
        layers = self.viewer.layers
        return max((x for x in desk.layers() if x in layers), key=layers.index, default=None)

    def _prompts(self, desk: Desk) -> PromptLayers:
        return PromptLayers(self.viewer, desk.name)

    def _show_hand(self, desk: Desk) -> None:
        """Hatch the pixels of the field under work that the model may not change."""
        layer, work = desk.hand_layer, desk.work
        if layer is None or work is None:
            return
        by_hand = work.state.draft.by_hand
        if layer.metadata.get("shown") is by_hand:
            return
        layer.metadata["shown"] = by_hand
        if self._hand_shown and by_hand.any():
            place_field(layer, work.record.field, desk.mpp)
            _put(layer, hatched(by_hand))
        elif layer.data.any():  # emptied, not hidden: napari lays out its canvas anew for that
            _put(layer, np.zeros((1, 1), np.uint8))

    def show_hand(self, desks: Iterable[Desk], shown: bool) -> None:
        """Show which pixels were corrected, or not."""
        self._hand_shown = shown
        for desk in desks:
            if desk.hand_layer is not None:
                desk.hand_layer.metadata["shown"] = None
                self._show_hand(desk)

    def drop_field(self, desk: Desk) -> None:
        """Take the field's layer away; its mask is with the stored ones."""
        layer, desk.field_layer = desk.field_layer, None
        if layer is not None and layer in self.viewer.layers:
            self.viewer.layers.remove(layer)

    def show_stored(self, desk: Desk) -> None:
        """Show the stored fields as one read-only pyramid over the slide.

        Its layer is made with the desk, when nobody works yet: napari takes long to add one.
        """
        if desk.overview is not None:
            self._color(desk.overview, desk)
            desk.overview.refresh()
            return
        from napari_pathseg.gui.outlined_labels import Labels

        shape = desk.slide.shape
        shapes = _level_shapes(desk)
        levels = [(s, exact_downsample(shape, s)) for s in shapes]
        layer = Labels(
            stored_pyramid(desk.stored, levels, display_dtype(desk.classes)),
            multiscale=len(levels) > 1,
            name=f"{desk.name} labels",
            opacity=FIELD_OPACITY,
            metadata={KEY: "labels"},
            scale=world_scale((1.0, 1.0), desk.mpp),
            units=units(desk.mpp),
        )
        layer.editable = False
        self._dress(layer, close_up=self._is_close_up(desk))
        desk.overview, desk.hand_layer = layer, make_hand_layer(desk.name, desk.mpp)
        self._insert(layer, desk.layer)
        self._insert(desk.hand_layer, layer)
        self.recolor(desk)

    def show_prompts(self, desk: Desk, drawn: Sequence[Prompt] = (), *, seen: bool = True) -> None:
        """Show the clicks and boxes of the pending proposal, the one being drawn, and the object
        that is pointed at.
        """
        prompts = desk.work.state.prompts if desk.work is not None else ()
        above = self._topmost(desk)
        self._prompts(desk).show(prompts, desk.mpp, above, drawn, desk.pointed)
        if not seen:
            self._prompts(desk).set_seen(False)

    def drop_prompts(self, desk: Desk) -> None:
        """Take the layers of clicks and boxes away."""
        self._prompts(desk).drop()

    def recolor(self, desk: Desk) -> None:
        """Class colours, without those that are hidden; nothing is done where they are shown."""
        for layer in (desk.field_layer, desk.overview):
            if layer is not None:
                self._color(layer, desk)

    def _color(self, layer: Labels, desk: Desk) -> None:
        wanted = (desk.classes, frozenset(desk.hidden))
        if layer.metadata.get("colors") != wanted:
            layer.colormap = mask_colormap(*wanted)
            layer.metadata["colors"] = wanted

    def place(self, slide_layer: Image, mpp: Pair | None) -> None:
        """Give a slide its scale in all of its channels."""
        for layer in (slide_layer, *channels_of(self.viewer, slide_layer)):
            place_slide(layer, mpp)

    def rescale(self, desk: Desk, mpp: Pair | None, *, follow: bool = True) -> None:
        """Another scale for every layer of the slide; to `follow` keeps the view on its place."""
        before = desk.layer.scale[-2:].copy()
        self.place(desk.layer, mpp)
        for layer in objects_of(self.viewer, desk.slide.path.name):
            layer.data = layer.data * (desk.layer.scale[-2:] / before)
            layer.units = units(mpp)
        for layer in whole_slide_of(self.viewer, desk.slide):
            ratio = desk.layer.scale[-2:] / before
            layer.scale, layer.translate = layer.scale * ratio, layer.translate * ratio
            layer.units = units(mpp)
        if desk.overview is not None:
            place_slide(desk.overview, mpp)
        if desk.hand_layer is not None:
            desk.hand_layer.units = units(mpp)
            desk.hand_layer.metadata["shown"] = None
            self._show_hand(desk)
        if desk.field_layer is not None and desk.work is not None:
            place_field(desk.field_layer, desk.work.record.field, mpp)
        self._prompts(desk).rescale(mpp)
        self.show_prompts(desk)
        if not follow:
            return
        ratio = float(desk.layer.scale[-2] / before[0])
        camera = self.viewer.scene.camera
        camera.center = tuple(float(c) * ratio for c in camera.center)
        camera.zoom = float(camera.zoom) / ratio

    def show_only_tissue(self, desk: Desk, only: bool) -> None:
        """Hide the masks to look underneath, or show them again."""
        for layer in (*desk.label_layers(), *whole_slide_of(self.viewer, desk.slide)):
            layer.visible = not only

    def set_work_seen(self, desk: Desk, seen: bool) -> None:
        """Hide masks and prompts where another plane is looked at, or show them again."""
        self.show_only_tissue(desk, not seen)
        self._prompts(desk).set_seen(seen)

    def set_seen(self, desk: Desk, seen: bool) -> None:
        """Show a slide with all that belongs to it, or nothing of it."""
        if desk.layer.visible != seen:
            desk.layer.visible = seen
            self._set_channels_seen(desk, seen)
        if desk.field_layer is not None:
            # napari takes up the tool that the layer had when it was hidden; another is in hand.
            with desk.field_layer.events.mode.blocker():
                desk.field_layer.visible = seen
        self.set_work_seen(desk, seen)
        for layer in objects_of(self.viewer, desk.slide.path.name):
            layer.visible = seen

    def _set_channels_seen(self, desk: Desk, seen: bool) -> None:
        """Hide the other channels, or show those that were seen before, of a new slide all."""
        for layer in channels_of(self.viewer, desk.layer):
            known = layer.metadata[KEY]
            if not seen:
                known["was_seen"] = layer.visible
            layer.visible = seen and known.get("was_seen", True)

    def outline(self, desks: Iterable[Desk], outlined: bool) -> None:
        """Show masks as outlines, or filled."""
        self._outlined = outlined
        self._dress_all(desks)

    def set_look(self, desks: Iterable[Desk], opacity: float, outline_px: int) -> None:
        """Another opacity for filled masks, another width for outlines (mask pixels)."""
        self._opacity, self._outline_px = opacity, outline_px
        self._dress_all(desks)

    def zoomed(self, desks: Iterable[Desk]) -> None:
        """The zoom is another one: stored labels are outlined where single pixels are seen."""
        for desk in desks:
            if desk.overview is not None:
                self._dress(desk.overview, close_up=self._is_close_up(desk))

    def _is_close_up(self, desk: Desk) -> bool:
        um = (desk.mpp or (1.0, 1.0))[0]
        return float(self.viewer.scene.camera.zoom) * um >= CLOSE_UP

    def _dress_all(self, desks: Iterable[Desk]) -> None:
        for desk in desks:
            if desk.field_layer is not None:
                self._dress(desk.field_layer)
        self.zoomed(desks)

    def _dress(self, layer: Labels, *, close_up: bool = False) -> None:
        outlined = self._outlined or close_up
        contour = self._outline_px if outlined else 0
        if layer.contour != contour:
            layer.contour = contour
        opacity = OUTLINE_OPACITY if outlined else self._opacity
        if layer.opacity != opacity:  # napari draws the thumbnail anew
            layer.opacity = opacity

    def look_at(self, field: Field, mpp: Pair | None) -> None:
        """Move the camera so that a field fills the canvas."""
        scale = world_scale(field.downsample, mpp)
        self._look(world_translate(field, mpp), (field.height * scale[0], field.width * scale[1]))

    @property
    def view(self) -> View:
        """Where the camera looks: its centre and its zoom."""
        camera = self.viewer.scene.camera
        return tuple(float(at) for at in camera.center), float(camera.zoom)

    def look_again(self, view: View) -> None:
        """Move the camera to where it looked."""
        self.viewer.scene.camera.center, self.viewer.scene.camera.zoom = view

    def look_at_all(self, desk: Desk) -> None:
        """Move the camera so that a slide fills the canvas."""
        (height, width), scale = desk.slide.shape, world_scale((1.0, 1.0), desk.mpp)
        self._look((0.0, 0.0), (height * scale[0], width * scale[1]))

    def _look(self, first: Pair, extent: Pair) -> None:
        """Move the camera so that a part of the world fills the canvas."""
        (top, left), (tall, wide) = first, extent
        height, width = self.viewer.canvas.size
        self.viewer.scene.camera.center = (0.0, top + tall / 2, left + wide / 2)
        self.viewer.scene.camera.zoom = 0.95 * min(height / tall, width / wide)


def _put(layer: Labels, data: npt.NDArray[np.uint8]) -> None:
    """Other labels of a layer; in place where they fit, which is much faster."""
    if layer.data.shape == data.shape:
        layer.data[...] = data
        layer.refresh(extent=False)
    else:
        layer.data = data


def _level_shapes(desk: Desk) -> list[Shape]:
    """The levels that the slide's layer shows, which may be more than the file has."""
    if desk.plane or not desk.layer.multiscale:
        return [level.shape for level in desk.slide.levels]
    return [(int(level.shape[0]), int(level.shape[1])) for level in desk.layer.data]
