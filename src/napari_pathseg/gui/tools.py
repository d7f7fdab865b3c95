"""The tools of the desk and what the mouse does with them on the canvas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from napari_pathseg.geometry import Pair, level0_to_world
from napari_pathseg.gui.layers import KEY, POSITIVE, units
from napari_pathseg.prompts import BoxPrompt, PointPrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Shapes

CLICK_PX = 4
"""A press that moves less, in screen pixels, is a click; more pans the view."""


class Tool(Enum):
    """What the left mouse button does."""

    ADD = "add"
    REMOVE = "remove"
    BOX = "box"
    BRUSH = "brush"
    ERASER = "eraser"
    PAN = "pan"


PAINTING = (Tool.BRUSH, Tool.ERASER)


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

    def add_point(self, point: PointPrompt) -> None:
        """Ask with a click."""

    def add_box(self, box: BoxPrompt) -> None:
        """Ask with a box."""

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
            yield from self._drag_box(viewer, event, press)
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
            self._desk.add_point(PointPrompt(*press.place, positive))

    def _drag_box(self, viewer: ViewerModel, event: Any, press: _Press) -> Iterator[None]:
        camera = viewer.scene.camera
        could_pan, camera.mouse_pan = camera.mouse_pan, False
        band: Shapes | None = None
        last = press.place
        try:
            yield
            while event.type == "mouse_move":
                last = self._desk.level0_of(event.position) or last
                band = self._stretch(viewer, band, press.place, last)
                yield
            last = self._desk.level0_of(event.position) or last
        finally:
            camera.mouse_pan = could_pan
            if band is not None and band in viewer.layers:
                viewer.layers.remove(band)
        if _distance(_pixel(event), press.pixel) >= CLICK_PX:
            (y0, y1), (x0, x1) = (sorted(pair) for pair in zip(press.place, last, strict=True))
            self._desk.add_box(BoxPrompt(y0, x0, y1, x1))

    def _stretch(
        self, viewer: ViewerModel, band: Shapes | None, start: Pair, end: Pair
    ) -> Shapes | None:
        """The rubber band from one level-0 corner to the other."""
        from napari.layers import Shapes

        mpp = self._desk.slide_mpp()
        corners = np.array([level0_to_world(*start, mpp), level0_to_world(*end, mpp)])
        if not np.ptp(corners, axis=0).all():
            return band
        if band is not None:
            band.data = [corners]
            return band
        active = viewer.layers.selection.active
        band = Shapes(
            [corners],
            shape_type="rectangle",
            name="box",
            face_color="transparent",
            edge_color=POSITIVE,
            edge_width=2 / float(viewer.scene.camera.zoom),
            units=units(mpp),
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
