"""Layers of clicks, boxes and lines: what was asked, what is being drawn, what is pointed at."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Pair, level0_to_world
from napari_pathseg.gui.layers import KEY, units
from napari_pathseg.prompts import BoxPrompt, LassoPrompt, PointPrompt, Prompt, ScribblePrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer, Points, Shapes

POSITIVE, NEGATIVE = "#00e676", "#ff3030"
CORE, POINTED = "#ffffff", "#ffffff"
POINT_PX, OUTLINE_PX = 11, 2
"""On the screen, at every zoom."""
RIM = 0.4
"""Of a point's size. Its rim has the colour: where limits hold its size on the screen, vispy gives
each point a wide rim, also one that should have none."""
Outlined = BoxPrompt | ScribblePrompt | LassoPrompt
Ring = npt.NDArray[np.float64]
"""Closed, (points, 2), continuous level-0 pixels."""


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
        pointed: tuple[Ring, ...] = (),
    ) -> None:
        """Show clicks as rings and crosses, boxes and lines as outlines, also the one being drawn.

        Parameters
        ----------
        prompts, drawn : of Prompt
            Level-0 pixels.
        mpp : (float, float) or None
        above : Layer or None
            The topmost layer of the slide, over which a new one comes.
        pointed : tuple of Ring
            The object that was chosen in a list.
        """
        known = [*prompts, *drawn]
        points = [p for p in known if isinstance(p, PointPrompt)]
        shapes = [p for p in known if isinstance(p, Outlined)]
        if points or self._named(self._points_name) is not None:
            self._show_points(points, mpp, above)
        if shapes or pointed or self._named(self._shapes_name) is not None:
            self._show_shapes(shapes, pointed, mpp, above)

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
                _set_visible(layer, seen and layer.metadata.get("some", False))

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
        _set_visible(layer, bool(points))
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

    def _show_shapes(
        self,
        shapes: list[Outlined],
        pointed: tuple[Ring, ...],
        mpp: Pair | None,
        above: Layer | None,
    ) -> None:
        layer: Shapes | None = self._named(self._shapes_name)
        if layer is None:
            layer = _shapes(self._shapes_name, mpp)
            self._insert(layer, above)
        if not _is_new(layer, (*shapes, *(ring.tobytes() for ring in pointed)), mpp):
            return
        _set_visible(layer, bool(shapes or pointed))
        if not (shapes or pointed):
            return
        outlines = [
            *((np.array(ring), "path", POINTED) for ring in pointed),
            *map(_outline, shapes),
        ]
        layer.data = [
            (np.array([level0_to_world(y, x, mpp) for y, x in places.tolist()]), kind)
            for places, kind, _ in outlines
        ]
        layer.edge_width = OUTLINE_PX / float(self._viewer.scene.camera.zoom)
        layer.edge_color = [color for _, _, color in outlines]


def _set_visible(layer: Layer, visible: bool) -> None:
    """Show or hide a layer; where it is so already, napari would lay out its canvas for nothing."""
    if layer.visible != visible:
        layer.visible = visible


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


def _is_new(layer: Points | Shapes, shown: Sequence[object], mpp: Pair | None) -> bool:
    """Whether a layer shows something else than this, or the same with another scale."""
    now = (tuple(shown), mpp)
    if layer.metadata.get("shown", ((), mpp)) == now:
        return False
    layer.metadata["shown"], layer.metadata["some"] = now, bool(shown)
    return True


def _outline(shape: Outlined) -> tuple[Ring, str, str]:
    """Level-0 places of a prompt, napari's name for its shape, and its colour."""
    match shape:
        case BoxPrompt(y0, x0, y1, x1):
            return np.array([(y0, x0), (y1, x1)]), "rectangle", POSITIVE
        case ScribblePrompt(path, positive):
            line = path if len(path) > 1 else path * 2
            return np.array(line), "path", POSITIVE if positive else NEGATIVE
        case LassoPrompt(outline, positive):
            return np.array(outline), "polygon", POSITIVE if positive else NEGATIVE
