"""The chosen object: where it comes from, and how it looked before and after correction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_pathseg.classes import Color
from napari_pathseg.gui.before_after import BeforeAfter
from napari_pathseg.gui.measuring import MeasuredObject
from napari_pathseg.gui.provenance import origin_of
from napari_pathseg.slide.base import RGB

SIDE_PX = 92
TOLD = ("prompt", "model", "score", "status", "author")


class ObjectCard(QWidget):
    """Two pictures and a few lines; hidden while nothing is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.before, self.after = self._picture(), self._picture()
        self.facts = QLabel(self)
        self.facts.setWordWrap(True)
        self.facts.setTextFormat(Qt.TextFormat.PlainText)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.titles = QLabel("proposed", self), QLabel("now", self)
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for column, (title, picture) in enumerate(
            zip(self.titles, (self.before, self.after), strict=True)
        ):
            layout.addWidget(title, 0, column)
            layout.addWidget(picture, 1, column)
        layout.addWidget(self.facts, 2, 0, 1, 2)
        layout.setColumnStretch(0, 1)
        layout.setColumnStretch(1, 1)
        self.hide()

    @property
    def has_pictures(self) -> bool:
        """Whether the pictures of the object are there."""
        picture = self.after.pixmap()
        return picture is not None and not picture.isNull()

    def show_object(self, one: MeasuredObject) -> None:
        """Show what is known at once; the pictures come with :meth:`show_pictures`."""
        origin = origin_of(one.record, one.label_class.value)
        told = [(name, origin[name]) for name in TOLD if origin[name] != ""]
        shown = (f"{name}: {v if isinstance(v, str) else f'{v:.2f}'}" for name, v in told)
        self.facts.setText(" · ".join(shown))
        self.before.clear()
        self.after.clear()
        self.show()

    def show_pictures(self, found: BeforeAfter, color: Color) -> None:
        """Show the object before and after."""
        for label, mask in ((self.before, found.before), (self.after, found.after)):
            label.setPixmap(_pixmap(outlined(found.pixels, mask, color)))
        same = found.agreement == 1
        self.titles[1].setText(
            "now: unchanged" if same else f"now: agreement {found.agreement:.2f}"
        )

    def _picture(self) -> QLabel:
        label = QLabel(self)
        label.setFixedSize(QSize(SIDE_PX, SIDE_PX))
        label.setAlignment(Qt.AlignmentFlag.AlignCenter)
        return label


def outlined(pixels: RGB, mask: npt.NDArray[np.bool_], color: Color) -> RGB:
    """A copy of the pixels with the edge of a mask in a colour."""
    padded = np.pad(mask, 1, mode="edge")
    inner = padded[1:-1, 1:-1].copy()
    for rows, columns in ((0, 1), (2, 1), (1, 0), (1, 2)):
        height, width = mask.shape
        inner &= padded[rows : rows + height, columns : columns + width]
    out = pixels.copy()
    out[mask & ~inner] = color
    return out


def _pixmap(pixels: RGB) -> QPixmap:
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    return QPixmap.fromImage(image).scaled(
        QSize(SIDE_PX, SIDE_PX),
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
