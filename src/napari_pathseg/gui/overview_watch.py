"""Coarse levels that become exact in the background: the viewer shows what is there."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

from napari_pathseg.gui.worker import DockProgress, poll
from napari_pathseg.slide.coarse import CoarseLevels

if TYPE_CHECKING:
    from napari import Viewer

EVERY_MS = 175
QUICK = 20
"""Looks at what changes fast in the beginning, as a picture that is decoded as a whole."""

SELDOM = 4
"""Of later looks one in so many draws what changed: drawing takes the viewer's time too."""

PATIENCE = 160
"""Looks at the viewer before the layer, if it never comes, is given up."""


def watch(viewer: Viewer, coarse: CoarseLevels, array: str, name: str) -> None:
    """Refresh the layers that show these levels until nothing changes any more.

    Parameters
    ----------
    viewer : napari.Viewer
        In which they are shown, now or soon.
    array : str
        What dask calls the coarsest level.
    name : str
        Of the slide, for the activity dock.
    """
    if not coarse.ended:
        poll(_Watch(viewer, coarse, array, name).tick, EVERY_MS)


def layers_of(viewer: Viewer, array: str) -> list[Any]:
    """The layers of a viewer whose coarsest level dask calls `array`."""
    shown = (layer for layer in viewer.layers if getattr(layer, "multiscale", False))
    return [layer for layer in shown if getattr(layer.data[-1], "name", None) == array]


class _Watch:
    """Looks at one slide's levels now and then; holds neither them nor the viewer."""

    def __init__(self, viewer: Viewer, coarse: CoarseLevels, array: str, name: str) -> None:
        self._viewer, self._coarse = weakref.ref(viewer), weakref.ref(coarse)
        self._array, self._name = array, name
        self._shown = 0
        self._patience = PATIENCE
        self._looks = 0
        self._bar: DockProgress | None = None

    def tick(self) -> bool:
        """Show what changed; False when there is no more to watch."""
        viewer, coarse = self._viewer(), self._coarse()
        layers = [] if viewer is None else layers_of(viewer, self._array)
        self._patience -= 1
        if coarse is None or (not layers and self._patience < 0):
            return self._ended()
        if layers:
            if self._looks == 0 and coarse.is_blank:
                _tell(f"{self._name}: what is grey comes in seconds.")
            self._patience = 0
            self._looks += 1
            if self._looks <= QUICK or self._looks % SELDOM == 0:
                self._show(layers, coarse)
        if not coarse.ended:
            return True
        for layer in layers:
            _redraw(layer)
        if coarse.errors:
            _warn(coarse)
        return self._ended()

    def _show(self, layers: list[Any], coarse: CoarseLevels) -> None:
        changes = coarse.changes
        for layer in layers if changes != self._shown else ():
            if layer.visible and layer.data_level >= len(layer.data) - len(coarse.levels):
                _redraw(layer)
        self._shown = changes
        if self._bar is None:
            self._bar = DockProgress(f"Overview of {self._name}", coarse.stop)
        self._bar.total = coarse.pieces
        self._bar.update(coarse.pieces_done - self._bar.n)

    def _ended(self) -> bool:
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.close()
        return False


def _redraw(layer: Any) -> None:
    # napari keeps the coarsest level as it was at the first look, here guessed.
    layer._reset_thumbnail_level_data()
    layer.refresh(extent=False, highlight=False)


def _tell(text: str) -> None:
    from napari.utils.notifications import show_info

    show_info(text)


def _warn(coarse: CoarseLevels) -> None:
    from napari.utils.notifications import show_warning

    places = len(coarse.errors)
    text = "1 place in the overview can not be read and is"
    if places > 1:
        text = f"{places} places in the overview can not be read and are"
    show_warning(f"{text} only guessed. {coarse.errors[0]}")
