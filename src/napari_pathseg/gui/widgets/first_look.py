"""The first slide is seen before napari has made its first layer, which takes it a second."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from napari.utils.theme import get_theme
from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QLabel, QWidget

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_pathseg.geometry import Pair
    from napari_pathseg.slide.base import RGB

LATE = "scipy.ndimage"
"""napari imports it when it makes its first layer, and reads a table of units."""

MARGIN = 0.05
"""Of the canvas, beside what napari fits into it."""

DRAWN_MS = 100
"""After a layer was added it is drawn."""

LONGEST_MS = 10_000


def is_wanted(viewer: Viewer) -> bool:
    """Whether the next layer is napari's first, and there is a canvas where it will be seen."""
    shown = getattr(viewer, "window", None) is not None and not viewer.layers
    return shown and LATE not in sys.modules and viewer.dims.ndisplay == 2


class FirstLook(QLabel):
    """A picture over the canvas, where its layer will be; it goes when that is drawn.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        Without layers.
    pixels : uint8 array (height, width, 3)
        Of the whole slide.
    sides : (float, float)
        Height and width of the slide in any unit.
    """

    def __init__(self, viewer: Viewer, pixels: RGB, sides: Pair) -> None:
        canvas: QWidget = viewer.window._qt_viewer.canvas.native
        super().__init__(canvas)
        self.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.setStyleSheet(f"background: {get_theme(viewer.theme).canvas.as_hex('long')}")
        self.setGeometry(canvas.rect())
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        smooth = Qt.TransformationMode.SmoothTransformation
        stretched = Qt.AspectRatioMode.IgnoreAspectRatio
        size = fitted(canvas.height(), canvas.width(), sides)
        self.setPixmap(QPixmap.fromImage(image.scaled(size, stretched, smooth)))
        self._end = QTimer(self)
        self._end.setSingleShot(True)
        self._end.timeout.connect(self._go)
        self._end.start(LONGEST_MS)  # should no layer come
        self._inserted = viewer.layers.events.inserted
        self._inserted.connect(self._leave)
        self.show()
        self.repaint()

    def _leave(self) -> None:
        self._end.start(DRAWN_MS)

    def _go(self) -> None:
        self._inserted.disconnect(self._leave)
        self.deleteLater()


def fitted(height: int, width: int, sides: Pair) -> QSize:
    """How large napari shows a layer that it fits into a canvas of that height and width."""
    scale = (1 - MARGIN) * min(height / sides[0], width / sides[1])
    down, across = (max(round(side * scale), 1) for side in sides)
    return QSize(across, down)
