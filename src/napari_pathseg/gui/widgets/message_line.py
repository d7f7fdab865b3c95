"""What the tool says: one message, what can be done about it, and a thin bar while it works."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget
from superqt import QFlowLayout

from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.widgets.chips import clear
from napari_pathseg.gui.widgets.icons import theme_color

COLORS = {"good": "#2ecc71", "warning": "#e3b617", "error": "#e74c3c"}


class MessageLine(QWidget):
    """Shows the last message, in the place of the one before; no dialog ever."""

    def __init__(self, theme: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._theme = theme
        self._kind = ""
        self.label = QLabel(self)
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._bar = QProgressBar(self)
        self._bar.setRange(0, 0)
        self._bar.setTextVisible(False)
        self._bar.setFixedHeight(4)
        self._actions = QWidget(self)
        self._flow = QFlowLayout(self._actions)
        self._flow.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addWidget(self._bar)
        layout.addWidget(self.label)
        layout.addWidget(self._actions)
        self._actions.hide()
        self.set_busy(False)

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        self._theme = theme
        self._color(self._kind)

    def _color(self, kind: str) -> None:
        self._kind = kind
        color = COLORS.get(kind, theme_color(self._theme, "text"))
        self.label.setStyleSheet(f"QLabel {{ border-left: 3px solid {color}; padding-left: 6px; }}")

    def show_message(self, message: Message) -> None:
        """Show a message and the buttons of what can be done about it."""
        self._color(message.kind)
        self.label.setText(message.text)
        clear(self._flow)
        for action in message.actions:
            button = QPushButton(action.label, self._actions)
            button.setToolTip(action.hint or action.label)
            button.clicked.connect(lambda _=False, run=action.run: run())
            self._flow.addWidget(button)
        self._actions.setVisible(bool(message.actions))

    def set_busy(self, busy: bool) -> None:
        """The thin bar moves while the model works; its place stays, so that nothing jumps."""
        self._bar.setRange(0, 0 if busy else 1)
        self._bar.setValue(0)
        opaque = "" if busy else "QProgressBar { background: transparent; border: none; }"
        self._bar.setStyleSheet(opaque)
