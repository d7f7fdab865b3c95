"""What is done to a mask: tools, sliders, candidates, level, accept and reject."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.widgets.sliders import Sliders
from napari_pathseg.gui.widgets.tool_rows import ToolRows, tool_button
from napari_pathseg.gui.widgets.tooltips import explain


class CorrectBox(QWidget):
    """The tools, the live sliders, and what is decided about the proposal."""

    def __init__(
        self, controller: PathsegController, theme: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self.rows = ToolRows(controller, theme, self)
        self.sliders = Sliders(controller, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addWidget(self.rows)
        layout.addWidget(self.sliders)
        layout.addLayout(self._choice_row(theme))
        layout.addLayout(self._decision_row(theme))
        self.refresh()

    def _choice_row(self, theme: str) -> QHBoxLayout:
        refining = self._controller.refining
        row = QHBoxLayout()
        row.setSpacing(3)
        self.previous = tool_button("left_arrow", theme, self)
        explain(self.previous, "The candidate before")
        self.previous.clicked.connect(lambda: refining.next_candidate(-1))
        self.candidate = QLabel(self)
        explain(self.candidate, "Which of the answers to a single click is shown", "next_candidate")
        self.next = tool_button("right_arrow", theme, self)
        explain(self.next, "Another of what a single click could mean", "next_candidate")
        self.next.clicked.connect(lambda: refining.next_candidate())
        self.level = QComboBox(self)
        self.level.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.level.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        explain(self.level, "The pixels on which you change this field; undo goes back")
        self.level.activated.connect(self._controller.fields.change_level)
        for widget in (self.previous, self.candidate, self.next):
            row.addWidget(widget)
        row.addStretch(1)
        row.addWidget(QLabel("pixels", self))
        row.addWidget(self.level)
        return row

    def _decision_row(self, theme: str) -> QHBoxLayout:
        editing = self._controller.editing
        row = QHBoxLayout()
        row.setSpacing(3)
        self.accept = QPushButton("Accept", self)
        explain(self.accept, "Keep what is proposed and go on", "accept")
        self.accept.clicked.connect(editing.accept)
        self.reject = QPushButton("Reject", self)
        explain(self.reject, "Throw the proposal away; what you drew stays", "reject")
        self.reject.clicked.connect(editing.reject)
        self.undo = tool_button("long_left_arrow", theme, self)
        explain(self.undo, "Undo: click, stroke, prompt, accept", "undo")
        self.undo.clicked.connect(editing.undo)
        self.redo = tool_button("long_right_arrow", theme, self)
        explain(self.redo, "Redo", "redo")
        self.redo.clicked.connect(editing.redo)
        row.addWidget(self.accept, 1)
        row.addWidget(self.reject, 1)
        row.addWidget(self.undo)
        row.addWidget(self.redo)
        return row

    def refresh(self) -> None:
        """Show the tool in hand and what can be done now."""
        self.rows.refresh()
        self.sliders.refresh()
        desk = self._controller.desk
        work = desk.work if desk is not None else None
        at, count = self._controller.refining.candidate
        self.candidate.setText(f"{at + 1} of {count}" if count > 1 else "one answer")
        for widget in (self.previous, self.candidate, self.next):
            widget.setEnabled(count > 1)
        self._show_levels(desk)
        self.accept.setEnabled(work is not None)
        self.reject.setEnabled(work is not None and work.pending is not None)
        self.undo.setEnabled(work is not None)
        self.redo.setEnabled(work is not None)

    def _show_levels(self, desk: Desk | None) -> None:
        levels = (
            [] if desk is None else [_level_name(desk, i) for i in range(len(desk.slide.levels))]
        )
        if levels != [self.level.itemText(i) for i in range(self.level.count())]:
            self.level.clear()
            self.level.addItems(levels)
        work = desk.work if desk is not None else None
        self.level.setEnabled(work is not None and len(levels) > 1)
        if work is not None:
            self.level.setCurrentIndex(work.record.field.level)


def _level_name(desk: Desk, level: int) -> str:
    downsample = desk.slide.levels[level].downsample
    if desk.mpp is None:
        return f"1:{downsample[0]:.3g}"
    return f"{desk.mpp[0] * downsample[0]:.3g} µm"
