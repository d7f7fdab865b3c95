"""Plots of measures, drawn with Qt: sharp on dense screens, in the theme's colours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QPen
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_pathseg.classes import Color
from napari_pathseg.errors import ExportError
from napari_pathseg.gui.widgets.icons import RIM

BINS = 24
PNG_SCALE = 3
MARGIN = 6
NO_CLASSES = "No classes yet. Type what to look for in the tab Segment."
NO_OBJECTS = "No objects yet. Segment a field, then come back."


@dataclass(frozen=True, slots=True)
class Series:
    """The values of one class."""

    name: str
    color: Color
    values: tuple[float, ...]


class Plot(QWidget):
    """What all plots share: a size, the theme's colours, and a picture file of it."""

    empty = ""
    height_px = 116

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(self.height_px)

    def sizeHint(self) -> QSize:  # noqa: N802 - Qt's name
        """As high as it is drawn."""
        return QSize(300, self.height_px)

    def paintEvent(self, _event: QPaintEvent | None) -> None:  # noqa: N802 - Qt's name
        """Draw into the window."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        self.draw(painter, QRectF(self.rect()))
        painter.end()

    def save(self, path: Path) -> None:
        """Write the plot as a PNG, three times as fine as on the screen.

        Raises
        ------
        ExportError
            When it can not be written.
        """
        image = QImage(self.size() * PNG_SCALE, QImage.Format.Format_RGB32)
        image.fill(self.palette().window().color())
        painter = QPainter(image)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        painter.scale(PNG_SCALE, PNG_SCALE)
        painter.setFont(self.font())
        self.draw(painter, QRectF(self.rect()))
        painter.end()
        if not image.save(str(path), "PNG"):
            raise ExportError(f"Not exported: {path}.", "Choose a folder that may be written.")

    def draw(self, painter: QPainter, area: QRectF) -> None:
        """Draw into an area."""
        raise NotImplementedError

    def ink(self, opacity: float = 1.0) -> QColor:
        """The colour of text."""
        color = self.palette().windowText().color()
        color.setAlphaF(opacity)
        return color

    def say(self, text: str) -> None:
        """What is shown while there is nothing to draw."""
        self.empty = text
        self.update()

    def say_empty(self, painter: QPainter, area: QRectF) -> None:
        """Say why there is nothing, and what to do."""
        painter.setPen(self.ink(0.6))
        flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
        painter.drawText(area.adjusted(MARGIN, 0, -MARGIN, 0), flags, self.empty)


class Histogram(Plot):
    """How a measure is spread, one step line a class."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._series: tuple[Series, ...] = ()
        self._title = ""

    def show_series(self, title: str, series: Sequence[Series]) -> None:
        """Draw other values."""
        self._title = title
        self._series = tuple(s for s in series if s.values)
        self.update()

    def counts(self) -> tuple[np.ndarray, list[np.ndarray]]:
        """Edges of the bins and the counts of each series."""
        values = np.concatenate([np.array(s.values) for s in self._series])
        # One object that is far larger than all others would squeeze them into one bin.
        low, high = float(values.min()), float(np.quantile(values, 0.99))
        edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
        return edges, [np.histogram(np.clip(s.values, low, high), edges)[0] for s in self._series]

    def draw(self, painter: QPainter, area: QRectF) -> None:
        """Axes, bins, legend of the range."""
        if not self._series:
            self.say_empty(painter, area)
            return
        edges, counts = self.counts()
        line = painter.fontMetrics().height()
        plot = area.adjusted(MARGIN + 24, line + 2, -MARGIN, -line - 4)
        top = max(int(c.max()) for c in counts)
        painter.setPen(self.ink())
        title = area.adjusted(plot.left(), 0, 0, 0)
        painter.drawText(title, Qt.AlignmentFlag.AlignTop, self._title)
        self._axes(painter, plot, edges, top)
        for series, count in zip(self._series, counts, strict=True):
            self._steps(painter, plot, series.color, count / max(top, 1))

    def _axes(self, painter: QPainter, plot: QRectF, edges: np.ndarray, top: int) -> None:
        painter.setPen(QPen(self.ink(0.4), 1))
        painter.drawLine(plot.bottomLeft(), plot.bottomRight())
        painter.setPen(self.ink(0.8))
        line = painter.fontMetrics().height()
        below = QRectF(plot.left(), plot.bottom() + 2, plot.width(), line)
        for value, side in (
            (edges[0], Qt.AlignmentFlag.AlignLeft),
            ((edges[0] + edges[-1]) / 2, Qt.AlignmentFlag.AlignHCenter),
            (edges[-1], Qt.AlignmentFlag.AlignRight),
        ):
            painter.drawText(below, side, short(float(value)))
        left = QRectF(plot.left() - 60, plot.top() - line / 2, 56, line)
        painter.drawText(left, Qt.AlignmentFlag.AlignRight, f"{top:,}")

    def _steps(self, painter: QPainter, plot: QRectF, color: Color, heights: np.ndarray) -> None:
        width = plot.width() / len(heights)
        fill, edge, rim = QColor(*color), QColor(*color), QPen(QColor(RIM), 3.2)
        fill.setAlpha(70)
        for i, height in enumerate(heights.tolist()):
            if height > 0:
                bar = QRectF(plot.left() + i * width, 0, width, height * plot.height())
                bar.moveBottom(plot.bottom())
                painter.fillRect(bar, fill)
                painter.setPen(rim)
                painter.drawLine(bar.topLeft(), bar.topRight())
                painter.setPen(QPen(edge, 1.6))
                painter.drawLine(bar.topLeft(), bar.topRight())


@dataclass(frozen=True, slots=True)
class Bar:
    """One class in the summary: its part of the tissue, and what is written beside it."""

    name: str
    color: Color
    part: float
    text: str


class Bars(Plot):
    """A bar for each class: how much of the tissue it takes."""

    row_px = 20

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._bars: tuple[Bar, ...] = ()
        self.show_bars(())

    def show_bars(self, bars: Sequence[Bar]) -> None:
        """Draw other bars, as many as there are classes."""
        self._bars = tuple(bars)
        self.setFixedHeight(max(self.row_px * len(bars), 2 * self.row_px) + MARGIN)
        self.update()

    def draw(self, painter: QPainter, area: QRectF) -> None:
        """A row a class: name, bar, figures."""
        if not self._bars:
            self.say_empty(painter, area)
            return
        metrics = painter.fontMetrics()
        names = min(max(metrics.horizontalAdvance(b.name) for b in self._bars) + 8, 110)
        texts = max(metrics.horizontalAdvance(b.text) for b in self._bars) + 8
        largest = max((b.part for b in self._bars), default=0) or 1
        middle = Qt.AlignmentFlag.AlignVCenter
        for i, bar in enumerate(self._bars):
            row = QRectF(area.left(), i * self.row_px, area.width(), self.row_px)
            painter.setPen(self.ink())
            name = metrics.elidedText(bar.name, Qt.TextElideMode.ElideRight, int(names) - 4)
            painter.drawText(row, Qt.AlignmentFlag.AlignLeft | middle, name)
            painter.drawText(row, Qt.AlignmentFlag.AlignRight | middle, bar.text)
            room = row.width() - names - texts
            start = QPointF(row.left() + names, row.top() + 5)
            length = max(room * bar.part / largest, 1.0)
            painter.setPen(QPen(QColor(RIM), 1))
            painter.setBrush(QColor(*bar.color))
            painter.drawRect(QRectF(start.x(), start.y(), length, self.row_px - 10))


def short(value: float) -> str:
    """A number in three digits."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"
