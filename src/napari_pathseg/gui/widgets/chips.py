"""Chips: small rounded buttons in a class colour."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLayout, QPushButton, QWidget

from napari_pathseg.classes import Color
from napari_pathseg.gui.widgets.icons import RIM, swatch


class Chip(QPushButton):
    """A word with its colour."""

    def __init__(self, text: str, color: Color, hint: str, parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.color = color
        red, green, blue = color
        self.setIcon(swatch(color))
        self.setToolTip(hint)
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setStyleSheet(
            f"QPushButton {{ border: 1px solid {RIM}; border-radius: 9px;"
            " padding: 2px 8px 2px 6px; background: transparent; }"
            f" QPushButton:hover {{ background: rgba({red}, {green}, {blue}, 70); }}"
        )


def clear(layout: QLayout) -> None:
    """Take everything out of a layout."""
    while (item := layout.takeAt(0)) is not None:
        widget = item.widget()
        if widget is not None:
            widget.hide()
            widget.deleteLater()
