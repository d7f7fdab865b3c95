"""The list of keys, beside the panel."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.gui.keys import Keys
from napari_pathseg.gui.widgets.tooltips import explain

CHANGE = "Keys can be changed: File > Preferences > PathSeg > Keys."


class KeysWindow(QWidget):
    """Every key with what it does, in two columns; the keys of the panel close it too.

    Parameters
    ----------
    keys : Keys
    tour : callable
        Begins the tour.
    change : callable
        Opens the preferences.
    parent : QWidget
    """

    def __init__(
        self,
        keys: Keys,
        tour: Callable[[], None],
        change: Callable[[], None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self.setWindowFlag(Qt.WindowType.Tool)
        self.setWindowTitle("Keys of the PathSeg panel")
        listed = keys.listed()
        half = (len(listed) + 1) // 2
        self.table = QLabel(self)
        cells = (_table(listed[:half]), _table(listed[half:]))
        self.table.setText(f"<table><tr><td>{cells[0]}</td><td>{cells[1]}</td></tr></table>")
        self.change = QPushButton("Change keys…", self)
        explain(self.change, CHANGE)
        self.change.clicked.connect(change)
        self.tour = QPushButton("Tour", self)
        explain(self.tour, "Four steps: what to do first")
        self.tour.clicked.connect(tour)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.change)
        buttons.addWidget(self.tour)
        layout = QVBoxLayout(self)
        layout.addWidget(self.table)
        shared = keys.shared()
        if shared:
            pairs = ", ".join(f"{one} and {other}" for one, other in shared)
            layout.addWidget(QLabel(f"The same key for: {pairs}. Only the first works.", self))
        layout.addLayout(buttons)

    def keyPressEvent(self, event: object) -> None:  # noqa: N802 - Qt's name
        """Esc and the question mark close it."""
        if event.key() in (Qt.Key.Key_Escape, Qt.Key.Key_Question):  # type: ignore[attr-defined]
            self.hide()


def _table(listed: tuple[tuple[str, str], ...]) -> str:
    rows = "".join(
        f"<tr><td><b>{escape(key)}</b>&nbsp;&nbsp;</td><td>{escape(text)}&nbsp;&nbsp;&nbsp;</td></tr>"
        for key, text in listed
    )
    return f"<table cellspacing=3>{rows}</table>"
