"""Every tool of the desk in a real viewer, with the events a person gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import desk_slides as slides
import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QCloseEvent
from scipy import ndimage

from napari_pathseg.geometry import Region
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets.hand import MODIFIERS, Hand, QTest
from napari_pathseg.prompts import LassoPrompt, ScribblePrompt

GLAND, OTHER_GLAND = slides.GLANDS
NUCLEUS, OTHER_NUCLEUS = slides.NUCLEI
VIEW = Region(100, 150, 400, 600)
AROUND_GLAND = [(150, 230), (150, 410), (266, 410), (266, 230), (152, 230)]


@pytest.fixture
def hand(make_hand: Callable[..., Hand], tmp_path: Path) -> Hand:
    """A hand at a viewer with the marked slide, looking at a gland and two nuclei."""
    made = make_hand()
    path = slides.write_slide(tmp_path / "marked.ome.tif", 0.5)
    made.viewer.open(str(path), plugin="napari-pathseg")
    made.wait(lambda: made.controller.desk is not None, 60)
    made.wait(seconds=0.2)
    made.look_at(VIEW)
    return made


def shown(hand: Hand) -> np.ndarray:
    hand.settle()
    return hand.controller.desk.field_layer.data.copy()


def at(hand: Hand, place: tuple[float, float]) -> int:
    """The class that is shown at a level-0 place."""
    y, x = hand.controller.desk.work.record.field.from_level0(*place)
    return int(hand.controller.desk.field_layer.data[int(y), int(x)])


def objects(mask: np.ndarray) -> int:
    return ndimage.label(mask > 0, structure=np.ones((3, 3)))[1]


def slide_to(hand: Hand, slider: object, share: float) -> np.ndarray:
    """Drag a slider's handle to a share of its way and let go; the mask before it is let go."""
    left, none = Qt.MouseButton.LeftButton, MODIFIERS[""]
    low, high = slider.minimum(), slider.maximum()
    width, middle = slider.width(), slider.height() // 2
    begin = round((slider.value() - low) / (high - low) * (width - 12)) + 6
    QTest.mousePress(slider, left, none, QPoint(begin, middle))
    for step in range(1, 6):
        place = begin + (share * (width - 12) + 6 - begin) * step / 5
        QTest.mouseMove(slider, QPoint(round(place), middle))
        hand.wait(seconds=0.06)
    hand.wait(seconds=0.3)
    meanwhile = hand.controller.desk.field_layer.data.copy()
    QTest.mouseRelease(slider, left, none, QPoint(round(share * (width - 12) + 6), middle))
    hand.settle()
    return meanwhile


def candidate(hand: Hand, number: int) -> np.ndarray:
    """Show the next candidate, which has this number."""
    hand.key("C")
    hand.wait(lambda: hand.controller.message.text == f"Candidate {number} of 3.", 60)
    return shown(hand)


def test_prompts_of_every_kind(hand: Hand) -> None:
    desk = hand.controller.desk
    hand.key("L")
    center = hand.viewer.scene.camera.center
    hand.drag(AROUND_GLAND)
    assert hand.viewer.scene.camera.center == center
    (lasso,) = desk.work.state.prompts
    assert isinstance(lasso, LassoPrompt)
    assert at(hand, GLAND.center) > 0
    assert at(hand, (300, 300)) == 0
    assert "marked.ome.tif boxes" in hand.viewer.layers
    hand.key("A")
    kept = shown(hand)

    hand.key("S")
    y, x = NUCLEUS.center
    hand.drag([(y, x - 10), (y, x + 10)])
    assert isinstance(desk.work.state.prompts[0], ScribblePrompt)
    assert at(hand, NUCLEUS.center) > 0
    hand.key("X")
    np.testing.assert_array_equal(shown(hand), kept)

    hand.key("P")
    hand.click(NUCLEUS.center)
    whole = shown(hand)
    page = hand.panel.tabs.page("Segment")
    assert page.minimumSizeHint().width() <= page.parent().width(), "all of the page is seen"
    half = candidate(hand, 2)
    assert 0.3 < (half != kept).sum() / (whole != kept).sum() < 0.9
    candidate(hand, 3)
    candidate(hand, 1)
    np.testing.assert_array_equal(shown(hand), whole)
    hand.key("Z", "Ctrl")
    hand.key("Z", "Ctrl")
    np.testing.assert_array_equal(shown(hand), half)
    hand.click(OTHER_NUCLEUS.center)
    hand.key("A")
    hand.click(NUCLEUS.center)  # fewer clicks than were shown before
    assert at(hand, NUCLEUS.center) > 0


def test_edits_of_every_kind(hand: Hand) -> None:
    hand.ask("gland")
    desk, before = hand.controller.desk, shown(hand)
    hand.key("A")
    hand.key("G")
    assert str(desk.field_layer.mode) == "polygon"
    for place in ((330, 300), (330, 400), (400, 400), (400, 300)):
        hand.click(place)
    QTest.mouseDClick(hand.canvas, Qt.MouseButton.LeftButton, MODIFIERS[""], hand.pixel((400, 300)))
    hand.settle()
    assert at(hand, (370, 350)) == 1
    assert at(hand, (370, 450)) == 0

    hand.key("K")
    hand.drag([(310, 350), (420, 350)])
    assert objects(shown(hand)) == objects(before) + 2
    hand.key("J")
    hand.drag([(370, 330), (370, 370)])
    assert objects(shown(hand)) == objects(before) + 1
    hand.click((300, 600))
    assert "Nothing to join" in hand.controller.message.text

    hand.key("F")
    assert hand.controller.tool is Tool.FILL
    hand.controller.classing.add("scar")
    hand.click((370, 330))
    assert at(hand, (370, 330)) == desk.classes.named("scar").value
    hand.key("N")
    hand.click((370, 330))
    assert at(hand, (370, 330)) == 0
    for _ in range(4):
        hand.key("Z", "Ctrl")
        hand.settle()
    assert objects(shown(hand)) == objects(before) + 2
    record, stored = desk.store.load(desk.work.id)
    np.testing.assert_array_equal(stored, shown(hand))
    assert record.status == "corrected"


def test_live_sliders_and_one_step_of_undo(hand: Hand) -> None:
    hand.look_at(Region(350, 400, 150, 400))
    hand.ask("nuclei")
    before = shown(hand)
    sliders = hand.panel.tabs.page("Segment").correct.sliders
    hand.key("E")
    y, x = NUCLEUS.center
    hand.drag([(y, x), (y, x + 1)])
    holed = shown(hand)
    assert at(hand, NUCLEUS.center) == 0
    meanwhile = slide_to(hand, sliders.small.slider, 0.75)
    assert (meanwhile != holed).any()  # it changed while it moved
    assert objects(shown(hand)) < 2
    assert "µm²" in sliders.small.value.text()
    hand.key("Z", "Ctrl")
    np.testing.assert_array_equal(shown(hand), holed)
    assert sliders.small.slider.value() == 0
    slide_to(hand, sliders.threshold.slider, 0.99)
    assert (shown(hand) > 0).sum() < (holed > 0).sum()
    hand.key("Z", "Ctrl")
    slide_to(hand, sliders.holes.slider, 1.0)
    assert at(hand, NUCLEUS.center) == 0  # erased by hand
    hand.key("Z", "Ctrl")
    hand.key("Z", "Ctrl")
    np.testing.assert_array_equal(shown(hand), before)


def test_corrected_pixels_are_hatched_and_left_alone(hand: Hand) -> None:
    hand.ask("gland")
    desk = hand.controller.desk
    hand.key("D")
    hand.drag([(320, 300), (320, 420)])
    drawn = shown(hand)
    assert desk.hand_layer.data.any()
    hand.ask("nuclei; gland")
    assert at(hand, (320, 350)) == 1
    assert (shown(hand)[desk.work.state.draft.by_hand] == 1).all()
    hand.key("H")
    assert not desk.hand_layer.data.any()
    hand.viewer.layers.clear()
    hand.viewer.open(str(desk.slide.path), plugin="napari-pathseg")
    hand.wait(lambda: hand.controller.desk is not None, 60)
    again = hand.controller.desk
    locked = again.work.state.draft.by_hand
    assert locked.any()
    hand.look_at(VIEW)
    hand.ask("gland")
    assert (shown(hand)[locked] == 1).all()
    assert drawn.any()


def test_going_back_to_a_place_at_another_level(hand: Hand) -> None:
    hand.ask("gland")
    desk, first = hand.controller.desk, shown(hand)
    name = desk.work.id
    hand.look_at(Region(380, 440, 120, 320))
    hand.ask("nuclei")
    assert desk.work.id != name
    assert list(desk.stored.ids()) == [name]
    assert not desk.overview.editable
    assert desk.overview.contour > 0  # outlines at high zoom
    hand.look_at(VIEW)
    assert desk.overview.contour == 0
    hand.key("D")
    hand.drag([(300, 300), (300, 330)])
    hand.drag([(300, 300), (300, 330)])
    assert desk.work.id == name
    drawn = shown(hand)
    assert (drawn != first).any()
    box = hand.panel.tabs.page("Segment").correct.level
    coarse, finer = desk.work.record.field.level, 0
    assert coarse == 1
    assert box.itemText(0) == "0.5 µm"
    hand.controller.fields.change_level(finer)
    fine = shown(hand)
    assert fine.shape[0] > 1.9 * drawn.shape[0]
    np.testing.assert_array_equal(fine[::2, ::2][: drawn.shape[0], : drawn.shape[1]], drawn)
    hand.key("Z", "Ctrl")
    np.testing.assert_array_equal(shown(hand), drawn)
    hand.key("Z")
    assert "you changed something last" in hand.controller.message.text


def test_a_window_that_a_person_does_not_close_after_all_keeps_its_panel(hand: Hand) -> None:
    class Pressed(QCloseEvent):
        """The cross of the window: napari asks before it closes."""

        def spontaneous(self) -> bool:
            """It comes from outside."""
            return True

    hand.panel.eventFilter(hand.viewer.window._qt_window, Pressed())
    hand.ask("gland")
    assert shown(hand).any()
