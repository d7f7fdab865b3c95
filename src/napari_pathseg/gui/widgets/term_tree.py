"""All terms as a tree: structure, then wide terms with their narrow ones."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QHeaderView, QTreeWidget, QTreeWidgetItem, QWidget

from napari_pathseg.classes import STRUCTURES
from napari_pathseg.gui.widgets.completion import about
from napari_pathseg.gui.widgets.icons import swatch
from napari_pathseg.vocabulary import Entry, Vocabulary

TERM, MPP = range(2)
MOST_FOUND, FEW = 40, 8


class TermTree(QTreeWidget):
    """Click selects a term, a double click or Enter asks for it.

    Attributes
    ----------
    picked : Signal(str)
        Name of the term that is selected.
    asked : Signal(str)
        Name of the term that is asked for.
    """

    picked = Signal(str)
    asked = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setHeaderLabels(["term", "µm/px"])
        self.setUniformRowHeights(True)
        self.setToolTip("Double click a term to ask for it")
        header = self.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(TERM, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(MPP, QHeaderView.ResizeMode.ResizeToContents)
        self.currentItemChanged.connect(lambda item, _before: self._tell(item))
        self.itemActivated.connect(lambda item, _column: self._ask(item))

    def show_terms(self, vocabulary: Vocabulary, text: str, mpp: Callable[[Entry], float]) -> None:
        """Show all terms, or those that a text finds.

        Parameters
        ----------
        vocabulary : Vocabulary
        text : str
            What is searched for; everything for "".
        mpp : callable
            Gives the µm/px at which an entry is looked at.
        """
        current = self.currentItem()
        chosen = "" if current is None else current.text(TERM)
        self.blockSignals(True)
        self.clear()
        if text.strip():
            for entry in found(vocabulary, text):
                self.addTopLevelItem(_item(entry, mpp(entry)))
        else:
            self._show_all(vocabulary, mpp)
        self.blockSignals(False)
        for item in self.findItems(
            chosen, Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive, TERM
        ):
            self.setCurrentItem(item)

    def _show_all(self, vocabulary: Vocabulary, mpp: Callable[[Entry], float]) -> None:
        for structure in STRUCTURES:
            entries = [e for e in vocabulary.entries if e.term.structure == structure]
            top = QTreeWidgetItem([f"{structure} ({len(entries)})", ""])
            top.setFlags(Qt.ItemFlag.ItemIsEnabled)
            self.addTopLevelItem(top)
            inside = {entry.name for entry in entries}
            items = {entry.name: _item(entry, mpp(entry)) for entry in entries}
            for entry in entries:
                above = items[entry.parent] if entry.parent in inside and entry.parent else top
                above.addChild(items[entry.name])
            top.setExpanded(True)

    def _tell(self, item: QTreeWidgetItem | None) -> None:
        if item is not None and item.flags() & Qt.ItemFlag.ItemIsSelectable:
            self.picked.emit(item.text(TERM))

    def _ask(self, item: QTreeWidgetItem) -> None:
        if item.flags() & Qt.ItemFlag.ItemIsSelectable:
            self.asked.emit(item.text(TERM))


def found(vocabulary: Vocabulary, text: str) -> tuple[Entry, ...]:
    """The terms that a text finds: as it is understood, as it begins, and what is near."""
    words = text.strip()
    entries = [match.entry for match in vocabulary.resolve(words[:200]).matches]
    entries += [completion.entry for completion in vocabulary.complete(words, MOST_FOUND)]
    if len(entries) < FEW:
        entries += vocabulary.suggest(words, n=FEW)
    return tuple({entry.name: entry for entry in entries}.values())


def _item(entry: Entry, mpp: float) -> QTreeWidgetItem:
    item = QTreeWidgetItem([entry.name, f"{mpp:g}"])
    item.setIcon(TERM, swatch(entry.color))
    item.setToolTip(TERM, about(entry, mpp))
    item.setToolTip(MPP, "Micrometres per pixel at which it is looked at")
    item.setTextAlignment(MPP, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item
