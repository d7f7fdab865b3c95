"""The tools of the desk and what the mouse does with them on the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Pair, level0_to_world
from napari_pathseg.gui.layers import KEY, POSITIVE, units
from napari_pathseg.prompts import BoxPrompt, Gesture, PointPrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

CLICK_PX = 4
"""A press that moves less, in screen pixels, is a click; more pans the view."""

STEP_PX = 3
"""Places of a line are so many screen pixels apart."""

SHORTEST_LINE = 4
"""A line of fewer places that ends where it began is a click."""


class Tool(Enum):
    """What the left mouse button does."""

    ADD = "add"
    REMOVE = "remove"
    BOX = "box"
    LASSO = "lasso"
    SCRIBBLE = "scribble"
    BRUSH = "brush"
    ERASER = "eraser"
    FILL = "fill"
    POLYGON = "polygon"
    SPLIT = "split"
    JOIN = "join"
    PAN = "pan"


NAPARI_MODES = {
    Tool.BRUSH: "paint",
    Tool.ERASER: "erase",
    Tool.FILL: "fill",
    Tool.POLYGON: "polygon",
}
"""The tools that are napari's own, and what it calls them."""

PAINTING = tuple(NAPARI_MODES)
LINES = (Tool.LASSO, Tool.SCRIBBLE, Tool.SPLIT, Tool.JOIN)
"""The tools that draw a line."""


class Desklike(Protocol):
    """What the pointer needs to know and to do."""

    viewer: ViewerModel

    @property
    def tool(self) -> Tool:
        """The tool in hand."""

    def takes_clicks(self) -> bool:
        """Whether a click on the canvas is meant for the desk."""

    def level0_of(self, position: tuple[float, ...]) -> Pair | None:
        """Level-0 place of a world position, None without a slide."""

    def slide_mpp(self) -> Pair | None:
        """Scale of the slide in work."""

    def add(self, gesture: Gesture) -> None:
        """Ask with a click, a box, a scribble or a lasso."""

    def drew_line(self, tool: Tool, path: Sequence[Pair], positive: bool) -> None:
        """A line was drawn with a tool; one place where the mouse was not moved."""

    def pressed(self, y: float, x: float) -> None:
        """A painting tool came down at a level-0 place."""


@dataclass(frozen=True, slots=True)
class _Press:
    """Where the button went down."""

    place: Pair
    pixel: tuple[int, int]
    shift: bool


class Pointer:
    """Turns presses and drags on the canvas into prompts; attached to one viewer."""

    def __init__(self, desk: Desklike) -> None:
        self._desk = desk
        self._callback: Callable[[Any, Any], Iterator[None]] = self._on_drag
        desk.viewer.mouse_drag_callbacks.append(self._callback)

    def detach(self) -> None:
        """Leave the mouse alone."""
        callbacks = self._desk.viewer.mouse_drag_callbacks
        if self._callback in callbacks:
            callbacks.remove(self._callback)

    def _on_drag(self, viewer: ViewerModel, event: Any) -> Iterator[None]:
        place = self._desk.level0_of(event.position)
        if event.button != 1 or place is None:
            return
        if self._desk.tool in PAINTING:
            self._desk.pressed(*place)
            return
        if not self._desk.takes_clicks() or self._desk.tool is Tool.PAN:
            return
        press = _Press(place, _pixel(event), "Shift" in {str(m) for m in _names(event)})
        if self._desk.tool is Tool.BOX:
            yield from self._drag(viewer, event, press, self._stretch, self._boxed)
        elif self._desk.tool in LINES:
            yield from self._drag(viewer, event, press, self._draw, self._drew)
        else:
            yield from self._click(event, press)

    def _click(self, event: Any, press: _Press) -> Iterator[None]:
        moved = 0.0
        yield
        while event.type == "mouse_move":
            moved = max(moved, _distance(_pixel(event), press.pixel))
            yield
        if max(moved, _distance(_pixel(event), press.pixel)) < CLICK_PX:
            positive = (self._desk.tool is Tool.ADD) != press.shift
            self._desk.add(PointPrompt(*press.place, positive))

    def _drag(
        self,
        viewer: ViewerModel,
        event: Any,
        press: _Press,
        show: Callable[[ViewerModel, Shapes | None, Sequence[Pair]], Shapes | None],
        done: Callable[[_Press, Sequence[Pair]], None],
    ) -> Iterator[None]:
        """Follow the mouse and show what it draws, until it is let go."""
        camera = viewer.scene.camera
        could_pan, camera.mouse_pan = camera.mouse_pan, False
        band: Shapes | None = None
        path, last = [press.place], press.pixel
        try:
            yield
            while event.type == "mouse_move":
                place = self._desk.level0_of(event.position)
                if place is not None and _distance(_pixel(event), last) >= STEP_PX:
                    path.append(place)
                    last = _pixel(event)
                    band = show(viewer, band, path)
                yield
            place = self._desk.level0_of(event.position)
            if place is not None and _distance(_pixel(event), last) > 0:
                path.append(place)
        finally:
            camera.mouse_pan = could_pan
            if band is not None and band in viewer.layers:
                viewer.layers.remove(band)
        if _distance(_pixel(event), press.pixel) < CLICK_PX and len(path) < SHORTEST_LINE:
            path = [press.place]
        done(press, path)

    def _boxed(self, _press: _Press, path: Sequence[Pair]) -> None:
        (y0, y1), (x0, x1) = (sorted(pair) for pair in zip(path[0], path[-1], strict=True))
        self._desk.add(BoxPrompt(y0, x0, y1, x1))

    def _drew(self, press: _Press, path: Sequence[Pair]) -> None:
        self._desk.drew_line(self._desk.tool, path, not press.shift)

    def _stretch(
        self, viewer: ViewerModel, band: Shapes | None, path: Sequence[Pair]
    ) -> Shapes | None:
        """The rubber band from the first level-0 corner to the last."""
        corners = self._world((path[0], path[-1]))
        if not np.ptp(corners, axis=0).all():
            return band
        return self._show(viewer, band, corners, "rectangle")

    def _draw(self, viewer: ViewerModel, band: Shapes | None, path: Sequence[Pair]) -> Shapes:
        """The line drawn so far."""
        return self._show(viewer, band, self._world(path), "path")

    def _world(self, path: Sequence[Pair]) -> npt.NDArray[np.float64]:
        mpp = self._desk.slide_mpp()
        return np.array([level0_to_world(*place, mpp) for place in path])

    def _show(
        self,
        viewer: ViewerModel,
        band: Shapes | None,
        places: npt.NDArray[np.float64],
        kind: str,
    ) -> Shapes:
        """Show a shape in the layer of the drag, made with its first step."""
        from napari.layers import Shapes

        if band is not None:
            band.data = [(places, kind)]
            return band
        active = viewer.layers.selection.active
        band = Shapes(
            [places],
            shape_type=kind,
            name=self._desk.tool.value,
            face_color="transparent",
            edge_color=POSITIVE,
            edge_width=2 / float(viewer.scene.camera.zoom),
            units=units(self._desk.slide_mpp()),
            metadata={KEY: "prompts"},
        )
        viewer.add_layer(band)
        viewer.layers.selection.active = active
        return band


def _names(event: Any) -> list[str]:
    return [getattr(modifier, "name", str(modifier)) for modifier in event.modifiers]


def _pixel(event: Any) -> tuple[int, int]:
    return int(event.pos[0]), int(event.pos[1])


def _distance(a: tuple[int, int], b: tuple[int, int]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))
