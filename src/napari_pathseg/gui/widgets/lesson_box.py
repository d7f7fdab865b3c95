"""What is being learned: the curve while it grows, then figures and pictures to decide by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QPointF, QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPen, QPixmap, QPolygonF
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.progress import Progress

if TYPE_CHECKING:
    from napari_pathseg.training.lesson import Lesson, Outcome, Point

PICTURE_PX = 320
CURVE_PX = 90
LINE = QColor(0, 158, 115)


class LessonBox(QWidget):
    """Curve, figures, pictures; Accept and Discard are the page's to connect."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.curve = CurveView(self)
        self.figures = QLabel(self)
        self.figures.setWordWrap(True)
        self.figures.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.picture = QLabel(self)
        self.picture.setToolTip("Before and after. Green: found; black line: as you corrected it")
        self.caption = QLabel(self)
        self.caption.setWordWrap(True)
        self.back = QPushButton("‹", self)
        self.back.setToolTip("The field before")
        self.forth = QPushButton("›", self)
        self.forth.setToolTip("The next field")
        self.accept = QPushButton("Accept", self)
        self.accept.setToolTip("Keep it as an adapter and use it from now on")
        self.discard = QPushButton("Discard", self)
        self.discard.setToolTip("Forget it; everything stays as it was")
        self.back.clicked.connect(lambda: self._turn(-1))
        self.forth.clicked.connect(lambda: self._turn(1))
        self._lesson: Lesson | None = None
        self._outcomes: list[Outcome] = []
        self._at = 0
        self._lay_out()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.curve)
        layout.addWidget(self.figures)
        layout.addWidget(self.picture)
        row = QHBoxLayout()
        for button in (self.back, self.forth):
            button.setFixedWidth(32)
        row.addWidget(self.back)
        row.addWidget(self.caption, 1)
        row.addWidget(self.forth)
        layout.addLayout(row)
        row = QHBoxLayout()
        row.addWidget(self.accept, 1)
        row.addWidget(self.discard, 1)
        layout.addLayout(row)
        self._decided = (self.figures, self.picture, self.caption, self.back, self.forth)
        self.show_state(None, None)

    def show_state(self, progress: Progress | None, lesson: Lesson | None) -> None:
        """Show how the learning goes, or what came of it."""
        curve = getattr(progress, "curve", ()) if lesson is None else lesson.curve
        self.curve.show_curve(curve)
        self.curve.setVisible(bool(curve))
        for widget in (*self._decided, self.accept, self.discard):
            widget.setVisible(lesson is not None)
        if lesson is None or lesson is self._lesson:
            self._lesson = lesson
            return
        from napari_pathseg.training.lesson_page import worth_a_look

        self._lesson, self._outcomes, self._at = lesson, worth_a_look(lesson), 0
        self.figures.setText(told(lesson))
        self._turn(0)

    def _turn(self, by: int) -> None:
        from napari_pathseg.training.lesson_page import figure, side_by_side

        if not self._outcomes:
            return
        self._at = (self._at + by) % len(self._outcomes)
        outcome = self._outcomes[self._at]
        pixels = side_by_side(outcome)
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        mode = Qt.TransformationMode.SmoothTransformation
        self.picture.setPixmap(QPixmap.fromImage(image).scaledToWidth(PICTURE_PX, mode))
        place = f"{self._at + 1} of {len(self._outcomes)}"
        if outcome.after is None:
            self.caption.setText(f"{place}: not in this field")
        else:
            before, after = figure(outcome.before), figure(outcome.after)
            self.caption.setText(f"{place}: Dice {before} → {after}")


def told(lesson: Lesson) -> str:
    """What came of a lesson, in words."""
    from napari_pathseg.training.lesson_page import figure

    taught = lesson.taught
    before = figure(taught.before) if taught.added else "not known"
    lines = [
        f"{taught.term.object}: Dice {before} → {figure(taught.after)} on held-out fields",
        f"{taught.present} of {taught.fields} fields hold it, {taught.slides} slides, "
        f"{taught.working_mpp:.2g} µm/px, {lesson.seconds:.0f} s",
    ]
    if not lesson.better:
        lines.append("This is not better than before: discard it, and correct more fields.")
    return "\n".join(lines)


class CurveView(QWidget):
    """Dice on held-out fields along the steps, from 0 to 1."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._points: tuple[Point, ...] = ()
        self.setFixedHeight(CURVE_PX)
        self.setToolTip("Dice on held-out fields, from 0 to 1, while it learns")

    def show_curve(self, points: tuple[Point, ...]) -> None:
        """Draw these points."""
        self._points = points
        self.update()

    def paintEvent(self, _event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The frame, the line and the last value."""
        painter = QPainter(self)
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(0.5, 4.5, self.width() - 44, self.height() - 9)
        painter.setPen(QPen(self.palette().mid().color(), 1))
        painter.drawRect(area)
        known = [(p.step, p.dice) for p in self._points if p.dice is not None]
        if not known:
            return
        last = max(known[-1][0], 1)
        places = [
            QPointF(area.left() + area.width() * step / last, area.bottom() - area.height() * dice)
            for step, dice in ((s, min(max(d, 0.0), 1.0)) for s, d in known)
        ]
        painter.setPen(QPen(LINE, 2))
        painter.drawPolyline(QPolygonF(places))
        painter.setBrush(LINE)
        for place in places:
            painter.drawEllipse(place, 2.5, 2.5)
        painter.setPen(self.palette().text().color())
        painter.drawText(QPointF(area.right() + 6, places[-1].y() + 4), f"{known[-1][1]:.2f}")
