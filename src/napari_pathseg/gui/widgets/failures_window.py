"""Pictures of what a model is known to do wrong, beside the panel."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QPixmap
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget


class FailuresWindow(QWidget):
    """One picture with its captions; Esc closes it.

    Parameters
    ----------
    picture : Path
    model : str
        Name and version, for the title.
    parent : QWidget
    """

    def __init__(self, picture: Path, model: str, parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowFlag(Qt.WindowType.Tool)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"What {model} is known to do wrong")
        self.picture = QLabel(self)
        self.picture.setPixmap(QPixmap(str(picture)))
        QVBoxLayout(self).addWidget(self.picture)

    def keyPressEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Esc closes it."""
        if event.key() == Qt.Key.Key_Escape:  # type: ignore[attr-defined]
            self.close()
