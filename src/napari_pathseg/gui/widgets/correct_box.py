"""Tools to correct a mask, its threshold, accept and reject."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets.icons import icon, theme_color

TOOLS = (
    (Tool.ADD, "plus", "Click: this too. Shift+click: not this. Dragging pans. [P]"),
    (Tool.REMOVE, "minus", "Click: not this. Shift+click: this too. [N]"),
    (Tool.BOX, "rectangle", "Drag a box around what is meant. [B]"),
    (Tool.BRUSH, "paint", "Draw in the selected class. [D]"),
    (Tool.ERASER, "erase", "Erase. [E]"),
    (Tool.PAN, "pan_arrows", "Only pan and zoom; clicks do nothing. [Esc]"),
)
LIVE_MS = 40


class CorrectBox(QWidget):
    """The row of tools, the threshold slider, accept, reject, undo, redo."""

    def __init__(
        self, controller: PathsegController, theme: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self.tools: dict[Tool, QToolButton] = {}
        lit, rim = theme_color(theme, "current"), theme_color(theme, "primary")
        self.setStyleSheet(
            f"QToolButton {{ border: 1px solid {rim}; border-radius: 3px; }}"
            f" QToolButton:checked {{ background: {lit}; }}"
            f" QToolButton:hover {{ border-color: {lit}; }}"
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(self._tool_row(theme))
        layout.addWidget(QLabel("Click adds · Shift+click takes away · drag pans", self))
        layout.addLayout(self._threshold_row())
        layout.addLayout(self._decision_rows(theme))
        self.refresh()

    def _tool_row(self, theme: str) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        for tool, name, hint in TOOLS:
            button = self._button(name, theme, hint)
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, tool=tool: self._controller.set_tool(tool))
            row.addWidget(button)
            self.tools[tool] = button
        row.addStretch(1)
        self.outline = self._button("polygon", theme, "Outlines instead of filled masks. [O]")
        self.outline.setCheckable(True)
        self.outline.clicked.connect(self._controller.outline)
        row.addWidget(self.outline)
        return row

    def _button(self, name: str, theme: str, hint: str) -> QToolButton:
        button = QToolButton(self)
        button.setIcon(icon(name, theme))
        button.setIconSize(QSize(20, 20))
        button.setFixedSize(34, 30)
        button.setToolTip(hint)
        button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        return button

    def _threshold_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.threshold = QSlider(Qt.Orientation.Horizontal, self)
        self.threshold.setRange(2, 98)
        self.threshold.setToolTip("Probability above which a pixel belongs to the class, live")
        self._percent = QLabel(self)
        self._percent.setFixedWidth(36)
        self._live = QTimer(self)
        self._live.setSingleShot(True)
        self._live.setInterval(LIVE_MS)
        self._live.timeout.connect(lambda: self._cut(final=False))
        self.threshold.valueChanged.connect(self._slid)
        self.threshold.sliderReleased.connect(lambda: self._cut(final=True))
        row.addWidget(QLabel("threshold", self))
        row.addWidget(self.threshold, 1)
        row.addWidget(self._percent)
        return row

    def _slid(self, value: int) -> None:
        self._percent.setText(f"{value / 100:.2f}")
        if self.threshold.isSliderDown():
            self._live.start()
        else:
            self._cut(final=True)

    def _cut(self, *, final: bool) -> None:
        self._live.stop()
        self._controller.refining.set_threshold(self.threshold.value() / 100, final)

    def _decision_rows(self, theme: str) -> QGridLayout:
        editing = self._controller.editing
        grid = QGridLayout()
        self.accept = QPushButton("Accept  [A]", self)
        self.accept.setToolTip("Keep what is proposed [A]")
        self.accept.clicked.connect(editing.accept)
        self.reject = QPushButton("Reject  [X]", self)
        self.reject.setToolTip("Throw the proposal away; what you drew stays [X]")
        self.reject.clicked.connect(editing.reject)
        self.undo = self._button("long_left_arrow", theme, "Undo: click, stroke, prompt [Ctrl+Z]")
        self.undo.clicked.connect(editing.undo)
        self.redo = self._button("long_right_arrow", theme, "Redo [Ctrl+Shift+Z]")
        self.redo.clicked.connect(editing.redo)
        grid.addWidget(self.accept, 0, 0)
        grid.addWidget(self.reject, 0, 1)
        grid.addWidget(self.undo, 0, 2)
        grid.addWidget(self.redo, 0, 3)
        grid.setColumnStretch(0, 1)
        grid.setColumnStretch(1, 1)
        return grid

    def refresh(self) -> None:
        """Show the tool in hand and what can be done now."""
        controller = self._controller
        for tool, button in self.tools.items():
            button.setChecked(tool is controller.tool)
        self.outline.setChecked(controller.outlined)
        if not self.threshold.isSliderDown():
            self.threshold.blockSignals(True)
            self.threshold.setValue(round(controller.threshold * 100))
            self.threshold.blockSignals(False)
            self._percent.setText(f"{controller.threshold:.2f}")
        work = controller.desk.work if controller.desk is not None else None
        pending = work is not None and work.pending is not None
        self.threshold.setEnabled(pending)
        self.accept.setEnabled(work is not None)
        self.reject.setEnabled(pending)
        self.undo.setEnabled(work is not None)
        self.redo.setEnabled(work is not None)
