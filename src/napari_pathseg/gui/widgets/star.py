"""A star, full or empty, in the theme's colour."""

from __future__ import annotations

import math

from qtpy.QtCore import QPointF, QSize, Qt
from qtpy.QtGui import QColor, QIcon, QPainter, QPen, QPixmap, QPolygonF

from napari_pathseg.gui.widgets.icons import SIDE_PX, theme_color


def star(theme: str, full: bool) -> QIcon:
    """The icon of a prompt that has a star, or could get one."""
    side = SIDE_PX * 2
    pixmap = QPixmap(QSize(side, side))
    pixmap.fill(Qt.GlobalColor.transparent)
    color = QColor(theme_color(theme, "icon"))
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(QPen(color, 2.5))
    painter.setBrush(color if full else Qt.BrushStyle.NoBrush)
    radii = (0.40, 0.18)
    corners = [
        QPointF(
            side * (0.5 + radii[i % 2] * math.sin(i * math.pi / 5)),
            side * (0.53 - radii[i % 2] * math.cos(i * math.pi / 5)),
        )
        for i in range(10)
    ]
    painter.drawPolygon(QPolygonF(corners))
    painter.end()
    pixmap.setDevicePixelRatio(2)
    return QIcon(pixmap)
