"""napari's own icons in the theme's colour."""

from __future__ import annotations

from napari.resources import get_colorized_svg, get_icon_path
from napari.utils.theme import get_theme
from qtpy.QtCore import QByteArray, QPoint, QRect, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtSvg import QSvgRenderer

SIDE_PX = 20
DENSE = 2
"""Pixels of an icon per pixel of an ordinary screen."""
RIM = "#9a9a9a"


def theme_color(theme: str, role: str) -> str:
    """A colour of napari's theme as "#rrggbb"; `role` such as "text", "warning", "current"."""
    return str(getattr(get_theme(theme), role).as_hex("long"))


def icon(name: str, theme: str) -> QIcon:
    """One of napari's icons, in the theme's colour, sharp on dense screens."""
    found = QIcon()
    for state, opacity in ((QIcon.Mode.Normal, 1.0), (QIcon.Mode.Disabled, 0.3)):
        svg = get_colorized_svg(get_icon_path(name), theme_color(theme, "icon"), opacity)
        found.addPixmap(_drawn(svg), state)
    return found


def swatch(color: tuple[int, int, int], side: int = 12) -> QIcon:
    """A square of a class colour, the same when its row is selected; with a rim, as some colours
    are hardly seen on a dark ground and others on a light one.
    """
    pixmap = QPixmap(QSize(side, side) * DENSE)
    pixmap.fill(QColor(RIM))
    inner = QRect(QPoint(DENSE, DENSE), pixmap.size() - 2 * QSize(DENSE, DENSE))
    painter = QPainter(pixmap)
    painter.fillRect(inner, QColor(*color))
    painter.end()
    pixmap.setDevicePixelRatio(DENSE)
    found = QIcon(pixmap)
    found.addPixmap(pixmap, QIcon.Mode.Selected)
    return found


def _drawn(svg: str) -> QPixmap:
    pixmap = QPixmap(QSize(SIDE_PX, SIDE_PX) * DENSE)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    QSvgRenderer(QByteArray(svg.encode())).render(painter)
    painter.end()
    pixmap.setDevicePixelRatio(DENSE)
    return pixmap
