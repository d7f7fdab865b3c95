"""What keeps the flow of work: nothing that the hands do is lost, hidden or goes elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import desk_slides as slides
import numpy as np
import numpy.typing as npt
import pytest
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtTest import QTest

from napari_pathseg.geometry import Pair, Region
from napari_pathseg.gui.prompt_layers import NEGATIVE, POSITIVE
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets.hand import Hand
from napari_pathseg.gui.widgets.segment_page import SegmentPage

GLAND = slides.GLANDS[0]
VIEW = Region(100, 150, 400, 600)


@pytest.fixture
def hand(make_hand: Callable[..., Hand], tmp_path: Path) -> Hand:
    """A hand at a slide that is open."""
    found = make_hand()
    path = slides.write_slide(tmp_path / "marked.ome.tif", 0.5)
    found.viewer.open(str(path), plugin="napari-pathseg")
    found.wait(lambda: found.controller.desk is not None, 60)
    found.look_at(VIEW)
    return found


def page_of(hand: Hand) -> SegmentPage:
    page = hand.panel.tabs.page("Segment")
    assert isinstance(page, SegmentPage)
    return page


def has_keys(hand: Hand) -> bool:
    return hand.canvas.window().focusWidget() is hand.canvas


def seen(hand: Hand, name: str) -> int:
    """Pixels of the canvas in a colour."""
    wanted = QColor(name)
    rgb = np.array([wanted.red(), wanted.green(), wanted.blue()])
    screen: npt.NDArray[np.int_] = hand.viewer.screenshot(flash=False)[..., :3].astype(int)
    return int((np.abs(screen - rgb).max(axis=-1) < 40).sum())


def test_clicks_are_seen_in_the_colour_of_what_they_mean(hand: Hand) -> None:
    hand.ask("gland")
    assert (seen(hand, POSITIVE), seen(hand, NEGATIVE)) == (0, 0)
    hand.click((GLAND.y + 20, GLAND.x + 20))
    assert seen(hand, POSITIVE) > 60
    hand.click((450, 600), "Shift")
    assert seen(hand, NEGATIVE) > 60


def test_the_keys_are_the_canvas_s_after_a_name_was_typed(hand: Hand) -> None:
    add = page_of(hand).classes.add
    add.setFocus()
    QTest.keyClicks(add, "mucin")
    QTest.keyClick(add, Qt.Key.Key_Return)
    assert has_keys(hand)
    assert hand.controller.selected == "mucin"
    add.setFocus()
    QTest.keyClick(add, Qt.Key.Key_Escape)
    assert has_keys(hand)
    assert hand.controller.tool is Tool.ADD
    hand.panel.slide_line.value.setFocus()
    QTest.keyClick(hand.panel.slide_line.value, Qt.Key.Key_Return)
    assert has_keys(hand)


def test_a_key_that_a_slider_does_not_take_is_the_desk_s(hand: Hand) -> None:
    hand.ask("gland")
    slider = page_of(hand).correct.sliders.threshold.slider
    slider.setFocus()
    QTest.keyClick(slider, Qt.Key.Key_Right)
    hand.settle()
    assert hand.controller.threshold == pytest.approx(0.51)
    desk = hand.controller.desk
    hidden = []
    QTest.keyPress(slider, Qt.Key.Key_Space)
    hidden.append(not desk.field_layer.visible)
    QTest.keyRelease(slider, Qt.Key.Key_Space)
    hidden.append(desk.field_layer.visible)
    assert hidden == [True, True]
    QTest.keyClick(slider, Qt.Key.Key_A)
    assert desk.work.record.status == "accepted"


def test_a_key_pressed_twice_gives_the_click_back(hand: Hand) -> None:
    hand.key("P")
    assert hand.controller.tool is Tool.ADD
    hand.key("B")
    hand.key("B")
    assert hand.controller.tool is Tool.ADD


def quick_drag(hand: Hand, start: Pair, end: Pair) -> None:
    """A drag whose moves and release come while the viewer was busy: all at once."""
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    first, last = hand.pixel(start), hand.pixel(end)
    QTest.mouseMove(hand.canvas, first)
    hand.wait()
    QTest.mousePress(hand.canvas, left, none, first)
    for step in (0.3, 0.6, 1.0):
        QTest.mouseMove(hand.canvas, first + (last - first) * step)
    QTest.mouseRelease(hand.canvas, left, none, last)
    hand.settle()


def test_a_stroke_ends_where_the_button_was_let_go(hand: Hand) -> None:
    hand.key("D")
    end = (200.0, 600.0)
    quick_drag(hand, (200, 300), end)
    desk = hand.controller.desk
    y, x = (int(v) for v in desk.work.record.field.from_level0(*end))
    assert desk.work.mask[y, x] > 0
    assert "Ctrl+Z" in hand.controller.message.text


def test_the_first_page_fits_a_window_of_900_pixels(hand: Hand) -> None:
    window = hand.viewer.window._qt_window
    size = window.size()
    window.resize(1300, 900)
    hand.ask("gland; nuclei")
    page = page_of(hand)
    hand.wait()
    area = page.parentWidget()
    assert area is not None
    assert page.height() <= area.height()
    level = page.correct.level
    assert level.width() >= level.sizeHint().width()
    window.resize(size)
    hand.wait()


def test_of_two_slides_the_chosen_one_is_in_front(hand: Hand, tmp_path: Path) -> None:
    choice = hand.panel.slide_line.choice
    assert not choice.isVisible()
    first = hand.controller.desk
    other = slides.write_slide(tmp_path / "other.ome.tif", 1.0)
    hand.viewer.open(str(other), plugin="napari-pathseg")
    hand.wait(lambda: hand.controller.desk is not first, 60)
    assert choice.isVisible()
    assert [choice.itemText(i) for i in range(2)] == ["marked.ome.tif", "other.ome.tif"]
    assert not first.layer.visible
    choice.setFocus()
    QTest.keyClick(choice, Qt.Key.Key_Up)
    assert hand.controller.desk is first
    assert first.layer.visible
