"""The tools of the desk as two rows of buttons: those that ask, and those that draw."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets.icons import theme_color
from napari_pathseg.gui.widgets.themes import show_icon
from napari_pathseg.gui.widgets.tooltips import explain

ASKING = (
    (Tool.ADD, "plus", "click_adds", "Click: this too. Shift+click: not this. Drag pans."),
    (Tool.REMOVE, "minus", "click_removes", "Click: not this. Shift+click: this too."),
    (Tool.BOX, "rectangle", "box", "Drag a box around what is meant."),
    (Tool.LASSO, "polygon_lasso", "lasso", "Draw around what is meant; Shift: not there."),
    (Tool.SCRIBBLE, "path", "scribble", "Draw over what is meant; Shift: not this."),
    (Tool.PAN, "pan_arrows", "cancel", "Only pan and zoom; clicks do nothing."),
)
DRAWING = (
    (Tool.BRUSH, "paint", "brush", "Draw in the selected class."),
    (Tool.ERASER, "erase", "eraser", "Erase."),
    (Tool.FILL, "fill", "fill", "Click fills the area under it with the selected class."),
    (Tool.POLYGON, "polygon", "polygon", "Click corners, double click fills, right: back."),
    (Tool.SPLIT, "vertical_separator", "split", "Drag a line to cut; a click cuts at a waist."),
    (Tool.JOIN, "line", "join", "Drag from one object to another to make them one."),
)
SIDE, ICON = QSize(34, 28), QSize(18, 18)


def tool_button(name: str, theme: str, parent: QWidget) -> QToolButton:
    """A button with one of napari's icons that leaves the keys to the canvas."""
    button = QToolButton(parent)
    show_icon(button, name, theme)
    button.setIconSize(ICON)
    button.setFixedSize(SIDE)
    button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return button


class ToolRows(QWidget):
    """Lit is the tool in hand; the line below says what the mouse does with it.

    Parameters
    ----------
    controller : PathsegController
    theme : str
    parent : QWidget, optional
    """

    def __init__(
        self, controller: PathsegController, theme: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self.tools: dict[Tool, QToolButton] = {}
        self._hints: dict[Tool, str] = {}
        self.set_theme(theme)
        asking, drawing = self._row(ASKING, theme), self._row(DRAWING, theme)
        self.outline = tool_button("polyline", theme, self)
        explain(self.outline, "Outlines instead of filled masks.", "outline")
        self.outline.clicked.connect(controller.outline)
        self.hand = tool_button("lock", theme, self)
        explain(self.hand, "Hatch what you corrected: the model leaves it alone.", "show_corrected")
        self.hand.clicked.connect(controller.show_hand)
        for button, row in ((self.outline, asking), (self.hand, drawing)):
            button.setCheckable(True)
            row.addStretch(1)
            row.addWidget(button)
        self._hint = QLabel(self)
        self._hint.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(asking)
        layout.addLayout(drawing)
        layout.addWidget(self._hint)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        lit, rim = theme_color(theme, "current"), theme_color(theme, "primary")
        self.setStyleSheet(
            f"QToolButton {{ border: 1px solid {rim}; border-radius: 3px; }}"
            f" QToolButton:checked {{ background: {lit}; }}"
            f" QToolButton:hover {{ border-color: {lit}; }}"
        )

    def _row(self, tools: tuple[tuple[Tool, str, str, str], ...], theme: str) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        for tool, name, action, hint in tools:
            button = tool_button(name, theme, self)
            explain(button, hint, action)
            button.setCheckable(True)
            button.clicked.connect(lambda _=False, tool=tool: self._controller.set_tool(tool))
            row.addWidget(button)
            self.tools[tool], self._hints[tool] = button, hint
        return row

    def refresh(self) -> None:
        """Show the tool in hand."""
        for tool, button in self.tools.items():
            button.setChecked(tool is self._controller.tool)
        self._hint.setText(self._hints[self._controller.tool])
        self.outline.setChecked(self._controller.outlined)
        self.hand.setChecked(self._controller.hand_shown)
