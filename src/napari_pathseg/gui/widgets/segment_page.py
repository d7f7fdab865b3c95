"""The first tab: ask, correct, classes; every control with its key."""

from __future__ import annotations

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.class_list import ClassListBox
from napari_pathseg.gui.widgets.correct_box import CorrectBox
from napari_pathseg.gui.widgets.explain_box import ExplainBox
from napari_pathseg.gui.widgets.prompt_line import PromptLine
from napari_pathseg.gui.widgets.tooltips import explain


class SegmentPage(QWidget):
    """Prompt, correct and classes of the slide in work.

    Attributes
    ----------
    asked : Signal()
        The keys belong to the canvas again.
    """

    asked = Signal()

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controller = controller
        theme = str(controller.viewer.theme)
        self.prompt = PromptLine(controller, self)
        self.correct = CorrectBox(controller, theme, self)
        self.explain = ExplainBox(controller, self)
        self.classes = ClassListBox(controller, theme, self)
        self._lay_out()
        controller.changed.connect(self.refresh)
        controller.busy_changed.connect(self._busy)
        self.prompt.edit.asked.connect(lambda _text: self._segment())
        self.prompt.edit.left.connect(self.asked)
        self.classes.typed.connect(self.asked)
        self.refresh()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(7)
        layout.addWidget(self.prompt)
        layout.addLayout(self._ask_row())
        layout.addWidget(heading("Correct", self))
        layout.addWidget(self.correct)
        layout.addWidget(self.explain)
        layout.addWidget(heading("Classes", self))
        layout.addWidget(self.classes, 1)

    def _ask_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.segment = QPushButton("Segment field  ⏎", self)
        self.segment.setToolTip("Find it in what you see now [Enter in the line]")
        self.segment.clicked.connect(self._segment)
        self.stop = QPushButton("Cancel", self)
        explain(self.stop, "Stop the model; nothing is changed", "cancel")
        self.stop.clicked.connect(self.controller.cancel)
        row.addWidget(self.segment, 1)
        row.addWidget(self.stop)
        return row

    def _segment(self) -> None:
        self.controller.segment_field(self.prompt.edit.text())
        self.asked.emit()

    def _busy(self, busy: bool) -> None:
        self.stop.setEnabled(busy)

    def refresh(self) -> None:
        """Show the controller's state."""
        self.correct.refresh()
        self.explain.refresh()
        self.classes.refresh()
        desk = self.controller.desk
        self.segment.setEnabled(desk is not None)
        self.stop.setEnabled(self.controller.busy)


def heading(text: str, parent: QWidget) -> QWidget:
    """A word and a line that part one group of controls from the next."""
    box = QWidget(parent)
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 2, 0, 0)
    row.addWidget(QLabel(text, box))
    line = QFrame(box)
    line.setFrameShape(QFrame.Shape.HLine)
    row.addWidget(line, 1)
    return box
