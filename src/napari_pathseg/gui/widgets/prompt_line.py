"""The line one types into, with completion by term and synonym, and how it was understood."""

from __future__ import annotations

import re

from qtpy.QtCore import QEvent, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QAction, QKeyEvent  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QLineEdit, QVBoxLayout, QWidget

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.chips import Chip
from napari_pathseg.gui.widgets.completion import TermCompleter
from napari_pathseg.gui.widgets.star import star
from napari_pathseg.gui.widgets.understood import Understood

SEPARATOR = re.compile(r"[;,]\s*")


class PromptEdit(QLineEdit):
    """A line edit that completes the last of several terms and remembers what was asked."""

    asked = Signal(str)
    left = Signal()

    _completer: TermCompleter | None = None

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._recent_at = -1
        self._completer = TermCompleter(self)
        self._completer.chosen.connect(self._take)
        self.setPlaceholderText("what to find: gland; nuclei")
        self.setClearButtonEnabled(True)
        self.setToolTip(
            "What to find, in your words; several terms with ; between them. "
            "Tab completes, Up brings back what was asked before, Down lists it. [T]"
        )
        theme = str(controller.viewer.theme)
        self._stars = (star(theme, False), star(theme, True))
        self._star = QAction(self._stars[0], "", self)
        self.addAction(self._star, QLineEdit.ActionPosition.TrailingPosition)
        self._star.triggered.connect(self._turn_star)
        self.textEdited.connect(self._edited)
        self.textChanged.connect(lambda _text: self.show_star())
        self.show_star()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        self._stars = (star(theme, False), star(theme, True))
        self.show_star()

    def show_star(self) -> None:
        """Show whether the prompt has a star."""
        text = self.text().strip()
        starred = text in self._controller.words.favourites
        self._star.setIcon(self._stars[starred])
        self._star.setVisible(bool(text))
        what = "Take the star from this prompt" if starred else "Give this prompt a star"
        self._star.setToolTip(f"{what}: prompts with a star are offered first")

    def _turn_star(self) -> None:
        text = self.text().strip()
        self._controller.words.star(text, text not in self._controller.words.favourites)
        self.show_star()

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
            first = self._completer.first() if self._completer is not None else None
            if first is not None:
                self._take(first)
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
        elif key == Qt.Key.Key_Down and not choosing and not self.text():
            self._offer_prompts()
        elif key == Qt.Key.Key_Down and not choosing:
            self._recall(-1)
        else:
            super().keyPressEvent(event)

    def _edited(self, text: str) -> None:
        self._recent_at = -1
        last = SEPARATOR.split(text)[-1].strip()
        found = self._controller.vocabulary.complete(last, 8) if last else ()
        if [completion.entry.name for completion in found] == [last]:
            found = ()
        if self._completer is not None:
            self._completer.offer(found)

    def _offer_prompts(self) -> None:
        words = self._controller.words
        if self._completer is not None:
            self._completer.offer_prompts(words.favourites, words.recent)

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
        self.understood = Understood(controller, self)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.edit)
        layout.addWidget(self.understood)
        self.edit.textChanged.connect(lambda _text: self._understand())
        self.understood.replaced.connect(self._replace)
        controller.words.changed.connect(self._understand)
        controller.words.wanted.connect(lambda text: self.edit.setText(text))
        self._understand()

    def _understand(self) -> None:
        text = self.edit.text()
        resolution = self._controller.understand(text) if text.strip() else None
        self.edit.show_star()
        if resolution is None:
            self.understood.show_examples()
        else:
            self.understood.show_resolution(resolution)

    def _replace(self, phrase: str, text: str) -> None:
        """Put another term in the place of a phrase."""
        self.edit.setText(self.edit.text().replace(phrase, text, 1) if phrase else text)

    def chips(self) -> list[Chip]:
        """The chips that are shown, in their order."""
        return self.understood.chips()
