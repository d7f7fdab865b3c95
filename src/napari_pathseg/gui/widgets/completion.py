"""Completion of terms: each with what it is as a tooltip, and the synonym that fits."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QStandardItem, QStandardItemModel
from qtpy.QtWidgets import QCompleter, QLineEdit

from napari_pathseg.gui.widgets.icons import swatch
from napari_pathseg.vocabulary.completing import Completion
from napari_pathseg.vocabulary.entry import Entry

NAME = Qt.ItemDataRole.UserRole


def about(entry: Entry, mpp: float | None = None) -> str:
    """What is known of a term, as a tooltip."""
    lines = [f"<b>{entry.name}</b> ({entry.term.structure})", entry.definition]
    if entry.synonyms:
        more = ", …" if len(entry.synonyms) > 6 else ""
        lines.append(f"also: {', '.join(entry.synonyms[:6])}{more}")
    lines.append(f"looked at with {mpp or entry.mpp:g} µm/px")
    if entry.codes:
        lines.append(", ".join(f"{ontology}:{code}" for ontology, code in entry.codes))
    return "<br>".join(line for line in lines if line)


class TermCompleter(QCompleter):
    """A list below a line edit, filled with what fits by the one who reads the line.

    Attributes
    ----------
    chosen : Signal(str)
        Name of the term, or a prompt.
    """

    chosen = Signal(str)

    def __init__(self, edit: QLineEdit) -> None:
        self._items = QStandardItemModel(edit)
        super().__init__(self._items, edit)
        self.setCompletionMode(QCompleter.CompletionMode.UnfilteredPopupCompletion)
        self.setWidget(edit)
        self.activated[QModelIndex].connect(self._taken)

    def first(self) -> str | None:
        """The name of the first line, None when there is none."""
        item = self._items.item(0)
        return None if item is None else str(item.data(NAME))

    def offer(self, completions: Sequence[Completion]) -> None:
        """Show terms; nothing hides the list."""
        self._show([_term_item(completion) for completion in completions])

    def offer_prompts(self, starred: Sequence[str], recent: Sequence[str]) -> None:
        """Show whole prompts: those with a star, then those asked before."""
        rest = [text for text in recent if text not in starred]
        items = [_prompt_item(f"★ {text}", text, "A prompt with a star") for text in starred]
        self._show(items + [_prompt_item(text, text, "Asked before") for text in rest])

    def _show(self, items: Sequence[QStandardItem]) -> None:
        self._items.clear()
        for item in items:
            self._items.appendRow(item)
        popup, edit = self.popup(), self.widget()
        if popup is None or edit is None:
            return
        if items:
            # The list is a window of its own, which napari does not dress.
            window = edit.window()
            popup.setStyleSheet("" if window is None else window.styleSheet())
            self.complete()
        else:
            popup.hide()

    def _taken(self, index: QModelIndex) -> None:
        self.chosen.emit(str(index.data(NAME)))


def _term_item(completion: Completion) -> QStandardItem:
    entry = completion.entry
    other = "" if completion.text == entry.name.lower() else f"   ({completion.text})"
    item = QStandardItem(swatch(entry.color), entry.name + other)
    item.setToolTip(about(entry))
    item.setData(entry.name, NAME)
    return item


def _prompt_item(shown: str, text: str, hint: str) -> QStandardItem:
    item = QStandardItem(shown)
    item.setToolTip(hint)
    item.setData(text, NAME)
    return item
