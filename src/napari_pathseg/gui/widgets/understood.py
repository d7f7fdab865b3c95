"""How a prompt is understood, in chips; a click on one changes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QColorDialog, QLabel, QMenu, QWidget
from superqt import QFlowLayout

from napari_pathseg.classes import ClassList, Color
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.chips import Chip, clear
from napari_pathseg.gui.widgets.completion import about
from napari_pathseg.gui.words import USUAL_MPPS
from napari_pathseg.vocabulary import Match, Resolution

EXAMPLES = ("gland", "nuclei", "glomerulus")
UNKNOWN, LEFT_OUT = (227, 182, 23), (150, 150, 150)
NEAR = 6


class Understood(QWidget):
    """Chips: terms that are asked, left out, not understood, and what could be meant.

    Attributes
    ----------
    replaced : Signal(str, str)
        A phrase of the text and what shall stand in its place; the whole text for "".
    """

    replaced = Signal(str, str)

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._flow = QFlowLayout(self)
        self._flow.setContentsMargins(0, 0, 0, 0)
        self._shown: Any = None
        self._resolution: Resolution | None = None
        controller.changed.connect(self._recolor)

    def chips(self) -> list[Chip]:
        """The chips that are shown, in their order."""
        items = (self._flow.itemAt(i) for i in range(self._flow.count()))
        widgets = (item.widget() for item in items if item is not None)
        return [widget for widget in widgets if isinstance(widget, Chip)]

    def show_examples(self) -> None:
        """Words to try, and prompts with a star."""
        texts = tuple(dict.fromkeys((*self._controller.words.favourites[:4], *EXAMPLES)))
        if self._shown == texts:
            return
        self._shown, self._resolution = texts, None
        clear(self._flow)
        self._flow.addWidget(QLabel("try:"))
        for text in texts:
            found = self._controller.understand(text)
            color = found.matches[0].entry.color if found and found.matches else LEFT_OUT
            self._add(text, color, f"Put {text} into the line", "", text)

    def show_resolution(self, resolution: Resolution) -> None:
        """How a text is understood."""
        self._resolution = resolution
        words = self._controller.words
        mpps = tuple(words.mpp(match.entry) for match in resolution.matches)
        colors = self._colors(resolution.matches)
        key = (resolution.matches, resolution.excluded, resolution.unknown, mpps, colors)
        if key == self._shown:
            return
        self._shown = key
        clear(self._flow)
        for match, mpp, color in zip(resolution.matches, mpps, colors, strict=True):
            self._flow.addWidget(self._match_chip(match, mpp, color))
        for match in resolution.excluded:
            self._flow.addWidget(Chip(f"not {match.entry.name}", LEFT_OUT, "Left out"))
        for phrase in resolution.unknown:
            self._flow.addWidget(Chip(f"{phrase[:40]}?", UNKNOWN, "Not understood"))
        phrase = resolution.unknown[0] if len(resolution.unknown) == 1 else ""
        said = (*resolution.matches, *resolution.excluded)
        asked = {match.entry.name for match in said}
        near = [entry for entry in resolution.suggestions if entry.name not in asked]
        for entry in near[:3] if resolution.unknown else ():
            hint = f"Ask for this instead:<br>{about(entry, words.mpp(entry))}"
            self._add(f"{entry.name} ›", entry.color, hint, phrase, entry.name)

    def _recolor(self) -> None:
        """Classes came or went, and with them the colours that are taken."""
        if self._resolution is not None:
            self.show_resolution(self._resolution)

    def _colors(self, matches: Sequence[Match]) -> tuple[Color, ...]:
        """What each term is drawn in, or would be: of two that share a colour one gets another."""
        desk = self._controller.desk
        classes = ClassList() if desk is None else desk.classes
        colors = []
        for match in matches:
            found = classes.of_term(match.term)
            if found is None:
                entry = match.entry
                classes = classes.with_class(entry.name, match.term, entry.color)
                found = classes.named(entry.name)
            assert found is not None
            colors.append(found.color)
        return tuple(colors)

    def _add(
        self, label: str, color: tuple[int, int, int], hint: str, phrase: str, text: str
    ) -> None:
        chip = Chip(label, color, hint)
        chip.clicked.connect(lambda: self.replaced.emit(phrase, text))
        self._flow.addWidget(chip)

    def _match_chip(self, match: Match, mpp: float, color: Color) -> Chip:
        how = "by its meaning " if match.how == "meaning" else ""
        hint = (
            f"“{match.phrase}” is understood {how}as {about(match.entry, mpp)}"
            "<br>Click to change it"
        )
        chip = Chip(f"{match.term} · {mpp:g} µm/px", color, hint)
        menu = QMenu(chip)
        menu.setToolTipsVisible(True)
        menu.aboutToShow.connect(lambda: self._fill(menu, match, mpp, color))
        chip.setMenu(menu)
        return chip

    def _fill(self, menu: QMenu, match: Match, mpp: float, color: Color) -> None:
        """Other terms, other resolutions, another colour."""
        menu.clear()
        words, vocabulary = self._controller.words, self._controller.vocabulary
        menu.addSection("understood as")
        for entry in vocabulary.suggest(match.phrase, n=NEAR):
            action = menu.addAction(entry.name)
            assert action is not None
            action.setCheckable(True)
            action.setChecked(entry.name == match.entry.name)
            action.setToolTip(about(entry, words.mpp(entry)))
            action.triggered.connect(
                lambda _=False, name=entry.name: self.replaced.emit(match.phrase, name)
            )
        menu.addSection("looked at with")
        for usual in sorted({*USUAL_MPPS, mpp}):
            action = menu.addAction(f"{usual:g} µm/px")
            assert action is not None
            action.setCheckable(True)
            action.setChecked(usual == mpp)
            action.setToolTip("Kept for this term, on every slide")
            action.triggered.connect(
                lambda _=False, usual=usual: words.set_mpp(match.entry.name, usual)
            )
        menu.addSeparator()
        action = menu.addAction("Colour…")
        assert action is not None
        action.setToolTip("The same on every slide")
        action.triggered.connect(lambda: self._choose_color(match, color))

    def _choose_color(self, match: Match, color: Color) -> None:
        chosen = QColorDialog.getColor(QColor(*color), self, match.entry.name)
        if chosen.isValid():
            new = (chosen.red(), chosen.green(), chosen.blue())
            self._controller.words.set_color(match.entry.name, new)
