"""What makes an hour at it pleasant: keys, tour, themes, empty states, no standstill."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from heartbeat import MAX_GAP_S, longest_gap
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QToolButton

from napari_pathseg.geometry import Region
from napari_pathseg.gui.pages import PAGES
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.settings import Settings, SettingsStore
from napari_pathseg.gui.sources import slide_layers
from napari_pathseg.gui.widgets.failures_window import FailuresWindow
from napari_pathseg.gui.widgets.hand import Hand
from napari_pathseg.slide.synthetic import SyntheticSlide

ALLOWED_S = {
    "pan": 0.6,  # what is there of another place is drawn, and drawn again as the rest comes
    "first click": 0.5,  # the first picture of a field, its outline and its row in the list
}
AGAIN = {"ask", "click", "pan", "measure"}  # steps that can be done a second time


def open_in(hand: Hand, path: Path) -> None:
    hand.viewer.open(str(path), plugin="napari-pathseg")
    hand.wait(lambda: hand.controller.desk is not None, 60)
    hand.wait(seconds=0.3)


def test_the_list_of_keys_is_that_of_the_keys(make_hand: Callable[..., Hand]) -> None:
    settings = SettingsStore(Settings(keys={"accept": "Ctrl-Return"}))
    hand = make_hand(settings=settings)
    hand.key(Qt.Key.Key_Question, "Shift")
    window = hand.panel.keys_window
    assert window.isVisible()
    text = window.table.text()
    assert "Ctrl+Return" in text
    for key, meaning in hand.panel.bindings.keys.listed():
        assert meaning in text, key
    hand.key(Qt.Key.Key_Question, "Shift")
    assert not window.isVisible()


def test_tooltips_tell_the_key_in_use(make_hand: Callable[..., Hand]) -> None:
    settings = SettingsStore()
    hand = make_hand(settings=settings)
    review = hand.panel.tabs.show_page("Review")
    assert review.next.toolTip().endswith("[U]")
    settings.put(keys={"next_in_review": "F8"})
    assert review.next.toolTip().endswith("[F8]")


def test_the_tour_has_four_steps_and_comes_once(
    make_hand: Callable[..., Hand], tmp_path: Path
) -> None:
    remembered = Remembered(tmp_path / "r.json")
    hand = make_hand(remembered=remembered)
    panel = hand.panel
    assert panel.tour is None
    panel.begin_tour()
    tour, texts = panel.tour, []
    for _ in range(4):
        hand.wait(seconds=0.05)
        assert tour.isVisible()
        assert panel.window().rect().contains(tour.geometry())
        texts.append((tour.title.text(), tour.text.text()))
        hand.press(tour.next)
    assert len({title for title, _ in texts}) == 4
    assert all(text for _, text in texts)
    assert panel.tour is None
    assert Remembered(tmp_path / "r.json").toured
    panel.begin_tour()
    QTest.keyClick(panel.tour, Qt.Key.Key_Escape)
    assert panel.tour is None


@pytest.fixture
def theme(viewer: object) -> Iterator[Callable[[str], None]]:
    def use(name: str) -> None:
        viewer.theme = name

    yield use
    viewer.theme = "dark"


def test_icons_and_texts_follow_the_theme(
    make_hand: Callable[..., Hand], theme: Callable[[str], None]
) -> None:
    hand = make_hand()
    buttons = [b for b in hand.panel.findChildren(QToolButton) if b.property("pathseg_icon")]
    assert buttons

    def brightness() -> float:
        icons = [b.icon().pixmap(20, 20).toImage() for b in buttons]
        inked = [
            i.pixelColor(x, y).lightness()
            for i in icons
            for x in range(0, i.width(), 3)
            for y in range(0, i.height(), 3)
            if i.pixelColor(x, y).alpha() > 200
        ]
        return float(np.mean(inked))

    dark = brightness()
    theme("light")
    hand.wait()
    light = brightness()
    assert light < dark - 50


def test_empty_pages_say_what_to_do(make_hand: Callable[..., Hand]) -> None:
    hand = make_hand()
    assert "Open a slide" in hand.panel.message.label.text()
    measure = hand.panel.tabs.show_page("Measure")
    assert "Segment" in measure.summary.bars.empty
    assert "Segment" in measure.histogram.empty
    review = hand.panel.tabs.show_page("Review")
    assert review.empty.isVisible()
    assert "Segment a field" in review.empty.text()
    model = hand.panel.tabs.show_page("Model")
    hand.wait(lambda: "marker" in model.text.text(), 60)
    model.pictures.click()
    (window,) = model.findChildren(FailuresWindow)
    assert window.isVisible()
    assert window.picture.pixmap().width() > 600
    QTest.keyClick(window, Qt.Key.Key_Escape)
    assert not window.isVisible()


def test_pictures_are_sharp_on_dense_screens(make_hand: Callable[..., Hand]) -> None:
    hand = make_hand()
    for button in hand.panel.findChildren(QToolButton):
        if button.property("pathseg_icon"):
            sizes = button.icon().availableSizes()
            assert max(size.width() for size in sizes) >= 2 * 18


def test_the_viewer_lives_on_through_the_loop_on_a_huge_slide(
    make_hand: Callable[..., Hand],
) -> None:
    hand = make_hand()
    for data, options, _kind in slide_layers(SyntheticSlide((100_000, 100_000))):
        hand.viewer.add_layer(Image(data, **options))
    hand.wait(lambda: hand.controller.desk is not None, 120)
    assert hand.controller.desk.slide.shape == (100_000, 100_000)
    middle = Region(50_000, 50_000, 600, 900)
    hand.look_at(middle)
    hand.wait(lambda: f"{hand.controller.desk.name} boxes" in hand.viewer.layers, 60)
    hand.wait(seconds=1.0)

    def idle() -> None:
        hand.wait(seconds=1.0)

    def ask(word: str) -> None:
        hand.controller.segment_field(word)
        hand.wait(lambda: not hand.controller.busy, 120)
        hand.wait(seconds=0.3)

    def key(name: str, modifier: str = "") -> None:
        hand.key(name, modifier)
        hand.settle()

    place = middle.center
    steps: dict[str, Callable[[], None]] = {
        "first click": partial(hand.click, place),
        "ask": partial(ask, "nuclei"),
        "click": partial(hand.click, place),
        "brush": partial(key, "D"),
        "stroke": partial(hand.drag, [place, (place[0] + 60, place[1] + 90)]),
        "undo": partial(key, "Z", "Ctrl"),
        "redo": partial(key, "Z", "Ctrl+Shift"),
        "accept": partial(key, "A"),
        "next": partial(key, "U"),
        "pan": partial(hand.look_at, Region(middle.y + 700, middle.x, 600, 900)),
    }
    for page in PAGES[1:]:
        hand.panel.tabs.show_page(page.title)
    steps["measure"] = partial(lambda: (hand.panel.tabs.show_page("Measure"), idle()))
    slow = {}
    for name, step in steps.items():
        gap = longest_gap(step)
        allowed = max(ALLOWED_S.get(name, 0.0), MAX_GAP_S)
        if gap > allowed and name in AGAIN:  # the machine may have had other work
            gap = longest_gap(step)
        if gap > allowed:
            slow[name] = round(gap, 3)
    assert slow == {}
