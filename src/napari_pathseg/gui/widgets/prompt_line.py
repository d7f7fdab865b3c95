"""The line one types into, with completion by term and synonym, and how it was understood."""

from __future__ import annotations

import re
from typing import Any

from qtpy.QtCore import QEvent, QStringListModel, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QAbstractItemView, QCompleter, QLabel, QLineEdit, QVBoxLayout, QWidget
from superqt import QFlowLayout

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.chips import Chip, clear

EXAMPLES = ("gland", "nuclei", "glomerulus")
SEPARATOR = re.compile(r"[;,]\s*")


class PromptEdit(QLineEdit):
    """A line edit that completes the last of several terms and remembers what was asked."""

    asked = Signal(str)
    left = Signal()

    _completer: QCompleter | None = None

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._recent_at = -1
        self._model = QStringListModel(self)
        completer = QCompleter(self._model, self)
        completer.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setWidget(self)
        completer.activated.connect(self._take)
        self._completer = completer
        self.setPlaceholderText("what to find: gland; nuclei")
        self.setClearButtonEnabled(True)
        self.setToolTip(
            "What to find, in your words; several terms with ; between them. "
            "Tab completes, Up brings back what was asked before. [T]"
        )
        self.textEdited.connect(self._edited)

    def event(self, event: QEvent | None) -> bool:
        """Tab takes the first completion, where Qt would go to the next control."""
        popup = self._popup()
        if (
            isinstance(event, QKeyEvent)
            and event.type() == QEvent.Type.KeyPress
            and event.key() == Qt.Key.Key_Tab
            and popup is not None
            and popup.isVisible()
        ):
            popup.hide()
            self._take(self._model.stringList()[0])
            event.accept()
            return True
        return bool(super().event(event))

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """Enter asks, Up and Down bring back what was asked, Escape leaves."""
        assert event is not None
        popup = self._popup()
        choosing = popup is not None and popup.isVisible()
        key = event.key()
        if popup is not None and choosing and key == Qt.Key.Key_Escape:
            popup.hide()
        elif key in (Qt.Key.Key_Enter, Qt.Key.Key_Return):
            if popup is not None:
                popup.hide()
            self.asked.emit(self.text())
        elif key == Qt.Key.Key_Escape:
            self.left.emit()
        elif key == Qt.Key.Key_Up and not choosing:
            self._recall(1)
        elif key == Qt.Key.Key_Down and not choosing:
            self._recall(-1)
        else:
            super().keyPressEvent(event)

    def _edited(self, text: str) -> None:
        self._recent_at = -1
        last = SEPARATOR.split(text)[-1].strip()
        names = [entry.name for entry in self._controller.vocabulary.complete(last, 8)]
        if not last or names == [last]:
            names = []
        self._model.setStringList(names)
        if names and self._completer is not None:
            self._completer.complete()
        elif (popup := self._popup()) is not None:
            popup.hide()

    def _popup(self) -> QAbstractItemView | None:
        """The list of completions; Qt sends the first events before there is one."""
        return self._completer.popup() if self._completer is not None else None

    def _take(self, name: str) -> None:
        """Put a completion in the place of the last term."""
        parts = SEPARATOR.split(self.text())
        self.setText("; ".join([*(part.strip() for part in parts[:-1]), name]))

    def _recall(self, step: int) -> None:
        recent = self._controller.remembered.recent
        self._recent_at = max(min(self._recent_at + step, len(recent) - 1), -1)
        self.setText(recent[self._recent_at] if self._recent_at >= 0 else "")


class PromptLine(QWidget):
    """The line and, below it, chips that say how it was understood."""

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self.edit = PromptEdit(controller, self)
        self._chips = QWidget(self)
        self._flow = QFlowLayout(self._chips)
        self._flow.setContentsMargins(0, 0, 0, 0)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.edit)
        layout.addWidget(self._chips)
        self.edit.textChanged.connect(self._understand)
        self._shown: Any = None
        self._show_examples()

    def _understand(self, text: str) -> None:
        resolution = self._controller.understand(text) if text.strip() else None
        if resolution is None:
            self._show_examples()
            return
        key = (resolution.matches, resolution.excluded, resolution.unknown)
        if key == self._shown:
            return
        self._shown = key
        clear(self._flow)
        for match in resolution.matches:
            hint = f"{match.phrase} is understood as {match.term}: {match.entry.definition}"
            self._flow.addWidget(Chip(str(match.term), match.entry.color, hint))
        for match in resolution.excluded:
            self._flow.addWidget(Chip(f"not {match.entry.name}", (150, 150, 150), "Left out"))
        for phrase in resolution.unknown:
            self._flow.addWidget(Chip(f"{phrase[:40]}?", (227, 182, 23), "Not understood"))
        for entry in resolution.suggestions[:3]:
            chip = Chip(entry.name, entry.color, f"Ask for this instead: {entry.definition}")
            chip.setText(f"{entry.name} ›")
            chip.clicked.connect(lambda _=False, name=entry.name: self.edit.setText(name))
            self._flow.addWidget(chip)

    def chips(self) -> list[Chip]:
        """The chips that are shown, in their order."""
        items = (self._flow.itemAt(i) for i in range(self._flow.count()))
        widgets = (item.widget() for item in items if item is not None)
        return [widget for widget in widgets if isinstance(widget, Chip)]

    def _show_examples(self) -> None:
        if self._shown == EXAMPLES:
            return
        self._shown = EXAMPLES
        clear(self._flow)
        self._flow.addWidget(QLabel("try:"))
        for name in EXAMPLES:
            color = self._controller.vocabulary.color(name)
            chip = Chip(name, color, f"Put {name} into the line")
            chip.clicked.connect(lambda _=False, name=name: self.edit.setText(name))
            self._flow.addWidget(chip)
