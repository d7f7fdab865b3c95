"""Light and dark: what is drawn in the colours of napari's theme follows it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from qtpy.QtWidgets import QAbstractButton, QWidget

from napari_pathseg.gui.widgets.icons import icon

ICON = "pathseg_icon"


@runtime_checkable
class Themed(Protocol):
    """A widget that draws in the theme's colours itself."""

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme."""


def show_icon(button: QAbstractButton, name: str, theme: str) -> None:
    """Give a button one of napari's icons, which :func:`dress` draws again for another theme."""
    button.setProperty(ICON, name)
    button.setIcon(icon(name, theme))


def dress(root: QWidget, theme: str) -> None:
    """Draw `root` and all that is in it in the colours of a theme."""
    for widget in (root, *root.findChildren(QWidget)):
        if isinstance(widget, Themed):
            widget.set_theme(theme)
        name = widget.property(ICON)
        if name and isinstance(widget, QAbstractButton):
            widget.setIcon(icon(name, theme))
