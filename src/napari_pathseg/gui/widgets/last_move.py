"""The last move of the mouse comes before the button is let go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari.viewer import Viewer


class LastMove:
    """Moves the tool in hand to where the button was let go before it hears of that.

    vispy leaves out moves of the mouse that come within 10 ms of the last, and napari keeps one
    for some milliseconds. Where drawing took the viewer's time, moves and release come at once,
    and a stroke would end where the first of those moves was.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        With its window.
    """

    def __init__(self, viewer: Viewer) -> None:
        self._events: Any = viewer.window._qt_viewer.canvas._scene_canvas.events
        self._events.mouse_release.connect(self._arrive, position="first")

    def _arrive(self, release: Any) -> None:
        begun, last = release.press_event, release.last_event
        if begun is None:
            return
        if last is None or tuple(last.pos) != tuple(release.pos):
            self._events.mouse_move(
                native=release.native,
                pos=release.pos,
                button=begun.button,
                buttons=release.buttons,
                modifiers=release.modifiers,
                press_event=begun,
                last_event=last,
            )
        for kept in self._events.mouse_move.callbacks:
            flush = getattr(kept, "flush", None)  # of superqt's throttlers
            if flush is not None:
                flush(restart_timer=False)

    def detach(self) -> None:
        """Leave the canvas alone."""
        self._events.mouse_release.disconnect(self._arrive)
