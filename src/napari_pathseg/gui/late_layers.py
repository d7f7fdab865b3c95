"""Layers that are drawn before all of their pixels were read: again, as these come."""

from __future__ import annotations

import math
import sys
import threading
import weakref
from typing import TYPE_CHECKING

from napari_pathseg.gui.overview_watch import layers_of
from napari_pathseg.gui.worker import poll
from napari_pathseg.slide.late import LateLevels
from napari_pathseg.slide.late_stack import LateStack

if TYPE_CHECKING:
    from types import FrameType

    from napari import Viewer

PATIENCE_S = 0.25
"""How long a view waits for its pieces: to draw it without them, and then again, costs more."""

EVERY_MS = 120
"""Drawing again takes the viewer's time too."""

OWN = "napari_pathseg."
SLICER = "napari.layers._scalar_field._slice"
KEEPER = "napari.layers._scalar_field.scalar_field"
"""It reads the coarsest level once, for all views."""

PICTURES = frozenset({"screenshot", "export_figure", "export_rois"})
"""Of what is drawn for a picture to be kept, nothing may come late."""


def patience_s() -> float | None:
    """How long napari, where it asks for what it draws, waits in the GUI thread; else None.

    For what it will draw later, and for pictures, it waits as long as it takes.

    A script that reads `layer.data` gets the pixels of the slide, whatever is on the screen.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").startswith(OWN):
        frame = frame.f_back
    asking = None if frame is None else frame.f_globals.get("__name__")
    if asking == KEEPER:
        return math.inf
    if asking != SLICER:
        return None
    while frame is not None:
        if frame.f_code.co_name in PICTURES:
            return math.inf
        frame = frame.f_back
    return PATIENCE_S


def watch_late(viewer: Viewer, late: LateLevels | LateStack, array: str) -> None:
    """Draw the layers of these levels again whenever pixels arrive that they waited for.

    Parameters
    ----------
    viewer : napari.Viewer
        In which they are shown, now or soon.
    array : str
        What dask calls the coarsest level.
    """
    late.on_late = _Redraw(viewer, late, array).begin


class _Redraw:
    """Looks at one slide's levels while something is late; holds neither them nor the viewer."""

    def __init__(self, viewer: Viewer, late: LateLevels | LateStack, array: str) -> None:
        self._viewer, self._late = weakref.ref(viewer), weakref.ref(late)
        self._array = array
        self._looking = False

    def begin(self) -> None:
        """Look from now on, until all is there."""
        if not self._looking:
            self._looking = True
            poll(self.tick, EVERY_MS)

    def tick(self) -> bool:
        """Draw what arrived; False when there is no more to wait for."""
        viewer, late = self._viewer(), self._late()
        if viewer is None or late is None:
            return False
        if late.waiting and not late.news:
            return True
        self._looking = False  # what is drawn now may be late again, and begins this again
        for layer in layers_of(viewer, self._array) if late.news else ():
            if layer.visible:
                layer.refresh(extent=False, highlight=False)
        return False
