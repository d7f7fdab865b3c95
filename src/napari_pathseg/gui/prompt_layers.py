"""Layers of clicks, boxes and lines: what was asked, and what is being drawn."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pathseg.geometry import Pair, level0_to_world
from napari_pathseg.gui.layers import KEY, units
from napari_pathseg.prompts import BoxPrompt, LassoPrompt, PointPrompt, Prompt, ScribblePrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Points, Shapes

POSITIVE, NEGATIVE = "#00e676", "#ff3030"
CORE = "#ffffff"
POINT_PX, OUTLINE_PX = 11, 2
"""On the screen, at every zoom."""
RIM = 0.4
"""Of a point's size. Its rim has the colour: where limits hold its size on the screen, vispy gives
each point a wide rim, also one that should have none."""
Outlined = BoxPrompt | ScribblePrompt | LassoPrompt


class PromptLayers:
    """The two layers of one slide, which stay and are hidden when there is nothing more to show.

    They are made before they are needed, and seen though they are empty: napari takes long to
    add a layer, longer to draw it for the first time, and longest to remove it.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    name : str
        Of the slide.
    """

    def __init__(self, viewer: ViewerModel, name: str) -> None:
        self._viewer = viewer
        self._name = name

    def make_next(self, mpp: Pair | None, above: Layer | None) -> bool:
        """Make one of the layers that are not there, empty; False when both are."""
        for name, make in ((self._points_name, _points), (self._shapes_name, _shapes)):
            if self._named(name) is None:
                self._insert(make(name, mpp), above)
                return True
        return False

    def show(
        self,
        prompts: Iterable[Prompt],
        mpp: Pair | None,
        above: Layer | None,
        drawn: Sequence[Prompt] = (),
    ) -> None:
        """Show clicks as rings and crosses, boxes and lines as outlines, also the one being drawn.

        Parameters
        ----------
        prompts, drawn : of Prompt
            Level-0 pixels.
        mpp : (float, float) or None
        above : Layer or None
            The topmost layer of the slide, over which a new one comes.
        """
        known = [*prompts, *drawn]
        points = [p for p in known if isinstance(p, PointPrompt)]
        shapes = [p for p in known if isinstance(p, Outlined)]
        if points or self._named(self._points_name) is not None:
            self._show_points(points, mpp, above)
        if shapes or self._named(self._shapes_name) is not None:
            self._show_shapes(shapes, mpp, above)

    def rescale(self, mpp: Pair | None) -> None:
        """Units as those of the slide; places come with the next :meth:`show`."""
        for layer in (self._named(self._points_name), self._named(self._shapes_name)):
            if layer is not None:
                layer.units = units(mpp)

    def set_seen(self, seen: bool) -> None:
        """Hide the layers, or show what they have."""
        for name in (self._points_name, self._shapes_name):
            layer = self._named(name)
            if layer is not None:
                layer.visible = seen and len(layer.data) > 0

    def drop(self) -> None:
        """Take the layers away."""
        for name in (self._points_name, self._shapes_name):
            layer = self._named(name)
            if layer is not None:
                self._viewer.layers.remove(layer)

    @property
    def _points_name(self) -> str:
        return f"{self._name} points"

    @property
    def _shapes_name(self) -> str:
        return f"{self._name} boxes"

    def _named(self, name: str) -> Any:
        found = (x for x in self._viewer.layers if x.name == name)
        return next((x for x in found if x.metadata.get(KEY) == "prompts"), None)

    def _insert(self, layer: Layer, above: Layer | None) -> None:
        """Add a layer; another one stays active."""
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(len(layers) if above is None else layers.index(above) + 1, layer)
        layers.selection.active = active

    def _show_points(
        self, points: list[PointPrompt], mpp: Pair | None, above: Layer | None
    ) -> None:
        layer: Points | None = self._named(self._points_name)
        if layer is None:
            layer = _points(self._points_name, mpp)
            self._insert(layer, above)
        if not _is_new(layer, points, mpp):
            return
        layer.visible = bool(points)
        if not points:
            return
        layer.data = np.array([level0_to_world(p.y, p.x, mpp) for p in points])
        symbols = ["disc" if p.positive else "x" for p in points]
        if [str(symbol) for symbol in layer.symbol] != symbols:
            layer.symbol = symbols
        colors = [POSITIVE if p.positive else NEGATIVE for p in points]
        if layer.metadata.get("colors") != colors:
            layer.border_color = colors
            layer.metadata["colors"] = colors

    def _show_shapes(self, shapes: list[Outlined], mpp: Pair | None, above: Layer | None) -> None:
        layer: Shapes | None = self._named(self._shapes_name)
        if layer is None:
            layer = _shapes(self._shapes_name, mpp)
            self._insert(layer, above)
        if not _is_new(layer, shapes, mpp):
            return
        layer.visible = bool(shapes)
        if not shapes:
            return
        outlines = [_outline(shape) for shape in shapes]
        layer.data = [
            (np.array([level0_to_world(*place, mpp) for place in places]), kind)
            for places, kind, _ in outlines
        ]
        layer.edge_width = OUTLINE_PX / float(self._viewer.scene.camera.zoom)
        layer.edge_color = [POSITIVE if adds else NEGATIVE for _, _, adds in outlines]


def _points(name: str, mpp: Pair | None) -> Points:
    from napari.layers import Points

    layer = Points(
        ndim=2,
        name=name,
        size=1,
        border_width=RIM,
        border_color=POSITIVE,
        face_color=CORE,
        units=units(mpp),
        metadata={KEY: "prompts"},
    )
    layer.canvas_size_limits = (POINT_PX, POINT_PX)
    layer.editable = False
    return layer


def _shapes(name: str, mpp: Pair | None) -> Shapes:
    from napari.layers import Shapes

    layer = Shapes(
        ndim=2,
        name=name,
        face_color="transparent",
        units=units(mpp),
        metadata={KEY: "prompts"},
    )
    layer.editable = False
    return layer


def _is_new(layer: Points | Shapes, prompts: Sequence[Prompt], mpp: Pair | None) -> bool:
    """Whether a layer shows other prompts than these, or the same with another scale."""
    shown = (tuple(prompts), mpp)
    if layer.metadata.get("shown", ((), mpp)) == shown:
        return False
    layer.metadata["shown"] = shown
    return True


def _outline(shape: Outlined) -> tuple[tuple[Pair, ...], str, bool]:
    """Level-0 places of a prompt, napari's name for its shape, and whether it adds."""
    match shape:
        case BoxPrompt(y0, x0, y1, x1):
            return ((y0, x0), (y1, x1)), "rectangle", True
        case ScribblePrompt(path, positive):
            return (path if len(path) > 1 else path * 2), "path", positive
        case LassoPrompt(outline, positive):
            return outline, "polygon", positive
