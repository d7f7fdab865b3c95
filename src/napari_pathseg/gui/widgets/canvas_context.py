"""The canvas's own OpenGL context is the current one while layers leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer


class CanvasContext:
    """Makes the canvas's context current before each removal of a layer.

    napari 0.9 frees the shaders of a removed layer at once, in whichever context is current:
    after a repaint of the window that is the one Qt composes the window with. Mesa's software
    renderer then forgets the shader that the canvas drew last, and the next drawing crashes.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        With its window.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._layers = viewer.layers
        self._canvas: Any = viewer.window._qt_viewer.canvas.native
        self._layers.events.removing.connect(self._make_current)

    def _make_current(self, _event: object = None) -> None:
        if self._canvas.isValid():
            self._canvas.makeCurrent()

    def detach(self) -> None:
        """Leave the viewer alone."""
        self._layers.events.removing.disconnect(self._make_current)
