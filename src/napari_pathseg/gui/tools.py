"""The tools of the desk and what the mouse does with them on the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_pathseg.geometry import Pair
from napari_pathseg.prompts import BoxPrompt, Gesture, PointPrompt, ScribblePrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel

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

    def show_drawn(self, shape: Gesture | None) -> None:
        """Show what the mouse has drawn so far; None when it is let go."""

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
            yield from self._drag(viewer, event, press, _box, self._boxed)
        elif self._desk.tool in LINES:
            yield from self._drag(viewer, event, press, _line, self._drew)
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
        shape: Callable[[Sequence[Pair]], Gesture | None],
        done: Callable[[_Press, Sequence[Pair]], None],
    ) -> Iterator[None]:
        """Follow the mouse and show what it draws, until it is let go."""
        camera = viewer.scene.camera
        could_pan, camera.mouse_pan = camera.mouse_pan, False
        path, last = [press.place], press.pixel
        try:
            yield
            while event.type == "mouse_move":
                place = self._desk.level0_of(event.position)
                if place is not None and _distance(_pixel(event), last) >= STEP_PX:
                    path.append(place)
                    last = _pixel(event)
                    self._desk.show_drawn(shape(path))
                yield
            place = self._desk.level0_of(event.position)
            if place is not None and _distance(_pixel(event), last) > 0:
                path.append(place)
        finally:
            camera.mouse_pan = could_pan
            self._desk.show_drawn(None)
        if _distance(_pixel(event), press.pixel) < CLICK_PX and len(path) < SHORTEST_LINE:
            path = [press.place]
        done(press, path)

    def _boxed(self, _press: _Press, path: Sequence[Pair]) -> None:
        self._desk.add(_corners(path))

    def _drew(self, press: _Press, path: Sequence[Pair]) -> None:
        self._desk.drew_line(self._desk.tool, path, not press.shift)


def _corners(path: Sequence[Pair]) -> BoxPrompt:
    """From the first place to the last."""
    (y0, y1), (x0, x1) = (sorted(pair) for pair in zip(path[0], path[-1], strict=True))
    return BoxPrompt(y0, x0, y1, x1)


def _box(path: Sequence[Pair]) -> BoxPrompt | None:
    """The box drawn so far, None while it has no area."""
    box = _corners(path)
    return box if box.y1 > box.y0 and box.x1 > box.x0 else None


def _line(path: Sequence[Pair]) -> ScribblePrompt:
    """The line drawn so far."""
    return ScribblePrompt(tuple(path))


def _names(event: Any) -> list[str]:
    return [getattr(modifier, "name", str(modifier)) for modifier in event.modifiers]


def _pixel(event: Any) -> tuple[int, int]:
    return int(event.pos[0]), int(event.pos[1])


def _distance(a: tuple[int, int], b: tuple[int, int]) -> float:
    return float(np.hypot(a[0] - b[0], a[1] - b[1]))
