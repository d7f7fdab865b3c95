"""A tour of four steps: what to do first, told at the place where it is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from qtpy.QtCore import QEvent, QObject, QPoint, Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.gui.widgets.icons import theme_color
from napari_pathseg.gui.widgets.tooltips import explain

WIDTH_PX = 300
GAP_PX = 14


@dataclass(frozen=True, slots=True)
class Step:
    """One step.

    Attributes
    ----------
    title, text : str
    at : callable
        Gives the widget that it tells of.
    """

    title: str
    text: str
    at: Callable[[], QWidget]


class Tour(QFrame):
    """A bubble beside the panel that goes from step to step.

    Parameters
    ----------
    steps : sequence of Step
    theme : str
    window : QWidget
        Of the viewer; the bubble lies over it.
    ended : callable
        Called once, when it was gone through or left.
    """

    def __init__(
        self, steps: Sequence[Step], theme: str, window: QWidget, ended: Callable[[], None]
    ) -> None:
        super().__init__(window)
        self._steps = tuple(steps)
        self._ended = ended
        self._number = 0
        self.setObjectName("pathseg_tour")
        self.title, self.text, self.place = QLabel(self), QLabel(self), QLabel(self)
        self.text.setWordWrap(True)
        self.back = QPushButton("Back", self)
        self.next = QPushButton("Next", self)
        self.leave = QPushButton("Leave", self)
        explain(self.back, "The step before")
        explain(self.next, "The next step [Enter]")
        explain(self.leave, "End the tour; ? and then Tour brings it back [Esc]")
        self.back.clicked.connect(lambda: self.show_step(self._number - 1))
        self.next.clicked.connect(self._go_on)
        self.leave.clicked.connect(self.end)
        self._lay_out()
        self.set_theme(theme)
        self.setFixedWidth(WIDTH_PX)
        window.installEventFilter(self)
        self.show_step(0)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(14, 12, 14, 12)
        layout.addWidget(self.title)
        layout.addWidget(self.text)
        row = QHBoxLayout()
        row.addWidget(self.place, 1)
        for button in (self.leave, self.back, self.next):
            row.addWidget(button)
        layout.addLayout(row)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        ground, rim = theme_color(theme, "foreground"), theme_color(theme, "current")
        self.setStyleSheet(
            f"#pathseg_tour {{ background: {ground};"
            f" border: 2px solid {rim}; border-radius: 6px; }}"
        )

    def show_step(self, number: int) -> None:
        """Tell of another step, beside what it tells of."""
        self._number = max(0, min(number, len(self._steps) - 1))
        step = self._steps[self._number]
        self.title.setText(f"<b>{step.title}</b>")
        self.text.setText(step.text)
        self.place.setText(f"{self._number + 1} of {len(self._steps)}")
        self.back.setEnabled(self._number > 0)
        last = self._number == len(self._steps) - 1
        self.next.setText("Done" if last else "Next")
        self.leave.setVisible(not last)
        self._move()
        self.show()
        self.raise_()
        self.next.setFocus()

    def _go_on(self) -> None:
        if self._number == len(self._steps) - 1:
            self.end()
        else:
            self.show_step(self._number + 1)

    def _move(self) -> None:
        window = self.parentWidget()
        assert window is not None
        layout = self.layout()
        assert layout is not None
        # The height for a width can be stale, and a line short, after the text has changed.
        layout.invalidate()
        self.resize(WIDTH_PX, layout.heightForWidth(WIDTH_PX) + self.fontMetrics().height())
        target = self._steps[self._number].at()
        corner = target.mapTo(window, QPoint(0, 0))
        if target.width() >= 2 * WIDTH_PX:  # in it, as it would cover what stands beside it
            corner += QPoint(GAP_PX, GAP_PX)
            left = corner.x()
        else:
            left = corner.x() - WIDTH_PX - GAP_PX
        if left < 0:
            left = corner.x() + target.width() + GAP_PX
        x = max(0, min(left, window.width() - WIDTH_PX))
        self.move(x, max(0, min(corner.y(), window.height() - self.height())))

    def end(self) -> None:
        """Leave; does nothing the second time."""
        window = self.parentWidget()
        if window is None:
            return
        window.removeEventFilter(self)
        self.hide()
        self.setParent(None)
        self.deleteLater()
        self._ended()

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """The window has another size: stay at the place."""
        if event is not None and event.type() == QEvent.Type.Resize and watched is self.parent():
            self._move()
        return False

    def keyPressEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Enter goes on, Esc leaves."""
        key = event.key() if event is not None else None  # type: ignore[attr-defined]
        if key in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._go_on()
        elif key == Qt.Key.Key_Escape:
            self.end()
