"""A hand at the viewer: real key and mouse events, as a person gives them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy import QtTest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QPushButton, QWidget

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Pair, Region, level0_to_world, world_scale
from napari_pathseg.gui.widgets.panel import PathsegPanel
from napari_pathseg.slide.base import RGB

if TYPE_CHECKING:
    from napari.viewer import Viewer

QTest: Any = QtTest.QTest
MODIFIERS = {
    "": Qt.KeyboardModifier.NoModifier,
    "Shift": Qt.KeyboardModifier.ShiftModifier,
    "Ctrl": Qt.KeyboardModifier.ControlModifier,
    "Ctrl+Shift": Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier,
}
STEPS = 12


class Hand:
    """Types, clicks and drags in a viewer with the panel; places are level-0 (y, x).

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        With its window shown.
    panel : PathsegPanel
    """

    def __init__(self, viewer: Viewer, panel: PathsegPanel) -> None:
        self.viewer = viewer
        self.panel = panel
        self.controller = panel.controller

    @property
    def canvas(self) -> QWidget:
        """What takes the mouse and the keys."""
        native: QWidget = self.viewer.window._qt_viewer.canvas.native
        return native

    def wait(self, until: Callable[[], object] = lambda: False, seconds: float = 0.2) -> None:
        """Let the viewer live until something is true; PathsegError when it is not in time."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() > end:
                if seconds <= 1:
                    return
                raise PathsegError(f"Nothing came for {seconds:.0f} s: {self.controller.message}")
            QApplication.processEvents()
            time.sleep(0.005)

    def settle(self, seconds: float = 600) -> None:
        """Wait until the model has answered and the canvas has drawn it."""
        self.wait(lambda: not self.controller.busy, seconds)
        self.controller.saving.flush()
        self.wait()

    def look_at(self, region: Region) -> None:
        """Zoom and pan so that a region fills the canvas."""
        mpp = self.controller.slide_mpp()
        scale = world_scale((1.0, 1.0), mpp)
        height, width = self.viewer.canvas.size
        camera = self.viewer.scene.camera
        camera.center = (0.0, *level0_to_world(*region.center, mpp))
        camera.zoom = min(height / (region.height * scale[0]), width / (region.width * scale[1]))
        self.wait()

    def pixel(self, place: Pair) -> QPoint:
        """Canvas pixel of a level-0 place."""
        camera = self.viewer.scene.camera
        y, x = level0_to_world(*place, self.controller.slide_mpp())
        height, width = self.viewer.canvas.size
        return QPoint(
            round((x - camera.center[-1]) * camera.zoom + width / 2),
            round((y - camera.center[-2]) * camera.zoom + height / 2),
        )

    def ask(self, text: str) -> None:
        """Press T, type a text, press Enter, wait for the answer."""
        self.key(Qt.Key.Key_T)
        self.type(text)
        self.press_enter()

    def type(self, text: str) -> None:
        """Type into the line."""
        for letter in text:
            QTest.keyClicks(self.panel.prompt.edit, letter)
            self.wait(seconds=0.02)

    def press_key_in_line(self, key: Qt.Key) -> None:
        """Press a key while typing."""
        QTest.keyClick(self.panel.prompt.edit, key)
        self.wait()

    def key(self, key: Qt.Key | str, modifier: str = "") -> None:
        """Press a key, or the key of a letter, on the canvas."""
        self.canvas.setFocus()
        code = getattr(Qt.Key, f"Key_{key}") if isinstance(key, str) else key
        QTest.keyClick(self.canvas, code, MODIFIERS[modifier])
        self.wait()

    def hold(self, key: Qt.Key, meanwhile: Callable[[], None]) -> None:
        """Hold a key on the canvas while something happens."""
        QTest.keyPress(self.canvas, key)
        self.wait()
        meanwhile()
        QTest.keyRelease(self.canvas, key)
        self.wait()

    def click(self, place: Pair, modifier: str = "") -> None:
        """Click on a place and wait for the answer."""
        left = Qt.MouseButton.LeftButton
        QTest.mouseMove(self.canvas, self.pixel(place))
        QTest.mouseClick(self.canvas, left, MODIFIERS[modifier], self.pixel(place))
        self.settle()

    def drag(self, places: Sequence[Pair]) -> None:
        """Press at the first place, move over the others, let go at the last."""
        left, none = Qt.MouseButton.LeftButton, MODIFIERS[""]
        pixels = [self.pixel(place) for place in places]
        QTest.mouseMove(self.canvas, pixels[0])
        QTest.mousePress(self.canvas, left, none, pixels[0])
        for start, end in pairwise(pixels):
            for step in range(1, STEPS + 1):
                at = start + (end - start) * (step / STEPS)
                QTest.mouseMove(self.canvas, at)
                self.wait(seconds=0.01)
        QTest.mouseRelease(self.canvas, left, none, pixels[-1])
        self.settle()

    def press(self, button: QPushButton) -> None:
        """Press a button of the panel."""
        QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        self.wait()

    def press_enter(self) -> None:
        """Press Enter in the line and wait for the answer."""
        self.press_key_in_line(Qt.Key.Key_Return)
        self.settle()

    def picture(self, widget: Any = None) -> RGB:
        """A picture of the whole window, or of one widget, (height, width, 3)."""
        self.wait()
        if widget is None:
            window: RGB = self.viewer.screenshot(canvas_only=False, flash=False)[..., :3]
            return window
        image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
        rows = np.frombuffer(image.constBits().asarray(image.sizeInBytes()), np.uint8)
        lines = rows.reshape(image.height(), image.bytesPerLine())
        return lines[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()
