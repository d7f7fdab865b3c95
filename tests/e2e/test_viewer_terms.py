"""Words in a real viewer: completion, chips that change a prompt, the tab of all terms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_pathseg.gui.widgets.terms_page import TermsPage

if TYPE_CHECKING:
    from napari_pathseg.gui.widgets.hand import Hand

ANY = Qt.MatchFlag.MatchExactly | Qt.MatchFlag.MatchRecursive


def test_synonyms_complete_and_a_click_changes_how_it_is_understood(
    make_hand: Callable[..., Hand],
) -> None:
    hand = make_hand()
    prompt, words = hand.panel.prompt, hand.controller.words
    QTest.keyClicks(prompt.edit, "stroma; pmns")
    hand.press_key_in_line(Qt.Key.Key_Tab)
    assert prompt.edit.text() == "stroma; neutrophil"
    prompt.edit.setText("TILs")
    (chip,) = prompt.chips()
    assert chip.text() == "lymphocyte (nuclei) · 0.5 µm/px"
    menu = chip.menu()
    assert menu is not None
    menu.aboutToShow.emit()
    actions = {action.text(): action for action in menu.actions()}
    actions["0.25 µm/px"].trigger()
    assert prompt.chips()[0].text() == "lymphocyte (nuclei) · 0.25 µm/px"
    actions["t cell"].trigger()
    assert prompt.edit.text() == "t cell"
    prompt.edit._star.trigger()
    assert words.favourites == ("t cell",)
    prompt.edit.clear()
    assert "t cell" in [chip.text() for chip in prompt.chips()]
    hand.panel.focus_prompt()
    QTest.keyClick(prompt.edit, Qt.Key.Key_Down)
    popup = prompt.edit._popup()
    assert popup is not None
    assert popup.isVisible()
    popup.hide()


def test_the_tab_of_terms_finds_explains_and_asks(
    make_hand: Callable[..., Hand], tmp_path: Path
) -> None:
    hand = make_hand()
    hand.controller.words.load(tmp_path / "terms.json")
    page = hand.panel.tabs.show_page("Terms")
    assert isinstance(page, TermsPage)
    assert page.tree.topLevelItemCount() == 3
    page.search.setText("mucinous lakes")
    first = page.tree.topLevelItem(0)
    assert first is not None
    assert first.text(0) == "mucus"
    assert "Slimy" in first.toolTip(0)
    page.tree.setCurrentItem(first)
    assert "Slimy" in page.facts.text()
    page.mpp.setValue(0.75)
    assert hand.controller.vocabulary.chosen_mpp("mucus") == 0.75
    page.ask.click()
    QApplication.processEvents()
    assert hand.panel.prompt.edit.text() == "mucus"
    assert hand.panel.prompt.chips()[0].text() == "mucus (tissue) · 0.75 µm/px"
    page.search.clear()
    assert page.tree.findItems("lymphocyte", ANY, 0)
