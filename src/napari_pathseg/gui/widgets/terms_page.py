"""The tab Terms: all terms with search, what one is, favourites, own terms and class lists."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtGui import QColor, QShowEvent
from qtpy.QtWidgets import (
    QColorDialog,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)
from superqt import QFlowLayout

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.chips import Chip, clear
from napari_pathseg.gui.widgets.completion import about
from napari_pathseg.gui.widgets.icons import swatch
from napari_pathseg.gui.widgets.own_term import OwnTermDialog
from napari_pathseg.gui.widgets.segment_page import heading
from napari_pathseg.gui.widgets.star import star
from napari_pathseg.gui.widgets.term_tree import TermTree
from napari_pathseg.vocabulary import Entry

LISTS = "Terms and class lists (*.json *.csv *.tsv *.txt *.py)"
QUIET = (120, 130, 150)
MOST_CHIPS = 6


class TermsPage(QWidget):
    """All terms, while the tab is in view."""

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controller = controller
        self._theme = str(controller.viewer.theme)
        self._entry: Entry | None = None
        self.search = QLineEdit(self)
        self.search.setPlaceholderText("search terms, synonyms, meanings…")
        self.search.setClearButtonEnabled(True)
        self.search.setToolTip("Any word for it, in any spelling")
        self.tree = TermTree(self)
        self.prompts = QWidget(self)
        self._flow = QFlowLayout(self.prompts)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self.facts = QLabel(self)
        self.facts.setWordWrap(True)
        self._make_controls()
        self._lay_out()
        self._connect()

    def _make_controls(self) -> None:
        self.ask = QPushButton("Ask for it", self)
        self.ask.setToolTip("Put this term into the line to type into")
        self.star = QPushButton(self)
        self.star.setFixedWidth(30)
        self.color = QPushButton(self)
        self.color.setFixedWidth(30)
        self.color.setToolTip("The colour of this term on every slide")
        self.mpp = QDoubleSpinBox(self)
        self.mpp.setRange(0.05, 50)
        self.mpp.setDecimals(2)
        self.mpp.setSingleStep(0.25)
        self.mpp.setSuffix(" µm/px")
        self.mpp.setKeyboardTracking(False)
        self.mpp.setToolTip("How closely this term is looked at, on every slide")
        self.new = QPushButton("New term…", self)
        self.new.setToolTip("Add a term of your own")
        self.remove = QPushButton("Remove", self)
        self.remove.setToolTip("Remove this term of your own")
        self.take = QPushButton("Import…", self)
        self.take.setToolTip("Terms that others share, or a class list for this slide (QuPath too)")
        self.share = QPushButton("Share…", self)
        self.share.setToolTip("Write your terms, colours and resolutions to a file for others")
        self.classes = QPushButton("QuPath…", self)
        self.classes.setToolTip("Write the classes of this slide as QuPath's classes.json")

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.search)
        layout.addWidget(self.prompts)
        layout.addWidget(self.tree, 1)
        layout.addWidget(self.facts)
        layout.addLayout(_row(self.ask, self.mpp, self.color, self.star))
        layout.addWidget(heading("Own terms and class lists", self))
        layout.addLayout(_row(self.new, self.remove))
        layout.addLayout(_row(self.take, self.share, self.classes))

    def _connect(self) -> None:
        words = self.controller.words
        self.search.textChanged.connect(lambda _text: self._show_terms())
        self.search.returnPressed.connect(self._ask_first)
        self.tree.picked.connect(self._pick)
        self.tree.asked.connect(words.wanted.emit)
        self.ask.clicked.connect(lambda: self._with_entry(words.wanted.emit))
        self.star.clicked.connect(self._turn_star)
        self.color.clicked.connect(self._choose_color)
        self.mpp.valueChanged.connect(self._set_mpp)
        self.new.clicked.connect(self._add)
        self.remove.clicked.connect(lambda: self._with_entry(words.remove))
        self.take.clicked.connect(self._choose_import)
        self.share.clicked.connect(self._choose_share)
        self.classes.clicked.connect(self._choose_classes)
        words.changed.connect(self.refresh)

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Show what has changed while the tab was hidden."""
        self.refresh()
        super().showEvent(event)

    def refresh(self) -> None:
        """Show terms, prompts and the selected term as they are now."""
        self._show_prompts()
        self._show_terms()
        names = {entry.name: entry for entry in self.controller.vocabulary.entries}
        self._entry = names.get(self._entry.name) if self._entry else None
        self._show_entry()

    def _show_terms(self) -> None:
        self.tree.show_terms(
            self.controller.vocabulary, self.search.text(), self.controller.words.mpp
        )

    def _show_prompts(self) -> None:
        words = self.controller.words
        clear(self._flow)
        starred = words.favourites[:MOST_CHIPS]
        rest = [text for text in words.recent if text not in starred]
        for text in (*starred, *rest[: max(0, MOST_CHIPS - len(starred))]):
            sign, hint = ("★ ", "with a star") if text in starred else ("", "asked before")
            shown = text if len(text) <= 28 else f"{text[:27]}…"
            chip = Chip(sign + shown, QUIET, f"{text}<br>{hint}; click to ask for it again")
            chip.clicked.connect(lambda _=False, text=text: words.wanted.emit(text))
            self._flow.addWidget(chip)

    def _pick(self, name: str) -> None:
        self._entry = self.controller.vocabulary.entry(name)
        self._show_entry()

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        self._theme = theme
        self._show_entry()

    def _show_entry(self) -> None:
        entry, words = self._entry, self.controller.words
        for control in (self.ask, self.star, self.color, self.mpp):
            control.setEnabled(entry is not None)
        own = {one.name for one in self.controller.vocabulary.own.entries}
        self.remove.setEnabled(entry is not None and entry.name in own)
        starred = entry is not None and entry.name in words.favourites
        self.star.setIcon(star(self._theme, starred))
        self.star.setToolTip("Take the star away" if starred else "Offer this term first")
        if entry is None:
            self.facts.setText("Select a term to see what it is.")
            return
        self.facts.setText(about(entry, words.mpp(entry)))
        self.color.setIcon(swatch(entry.color))
        self.mpp.blockSignals(True)
        self.mpp.setValue(words.mpp(entry))
        self.mpp.blockSignals(False)

    def _with_entry(self, action: Callable[[str], None]) -> None:
        if self._entry is not None:
            action(self._entry.name)

    def _ask_first(self) -> None:
        item = self.tree.topLevelItem(0)
        if self.search.text().strip() and item is not None:
            self.controller.words.wanted.emit(item.text(0))

    def _turn_star(self) -> None:
        words, entry = self.controller.words, self._entry
        if entry is not None:
            words.star(entry.name, entry.name not in words.favourites)

    def _set_mpp(self, value: float) -> None:
        if self._entry is not None:
            self.controller.words.set_mpp(self._entry.name, value)

    def _choose_color(self) -> None:
        entry = self._entry
        if entry is None:
            return
        chosen = QColorDialog.getColor(QColor(*entry.color), self, entry.name)
        if chosen.isValid():
            color = (chosen.red(), chosen.green(), chosen.blue())
            self.controller.words.set_color(entry.name, color)

    def _add(self) -> None:
        dialog = OwnTermDialog(self.controller.vocabulary, self._entry, self)
        while dialog.exec():
            if self.controller.words.add(dialog.entry()):
                self.search.setText(dialog.entry().name)
                return

    def _choose_import(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import terms or classes", "", LISTS)
        if path:
            self.controller.words.take(Path(path))

    def _choose_share(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Share your terms", "pathseg-terms.json", "Terms (*.json)"
        )
        if path:
            self.controller.words.share(Path(path))

    def _choose_classes(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Classes for QuPath", "classes.json", "Classes (*.json)"
        )
        if path:
            self.controller.words.export_classes(Path(path))


def _row(*controls: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for control in controls:
        row.addWidget(control)
    return row
