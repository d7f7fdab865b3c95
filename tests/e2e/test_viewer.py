"""The whole loop in a real viewer, with the events a person gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import desk_slides as slides
import numpy as np
import numpy.typing as npt
import pytest
from heartbeat import MAX_GAP_S, longest_gap
from marker_segmenter import MarkerSegmenter
from qtpy.QtCore import Qt
from qtpy.QtGui import QOpenGLContext
from qtpy.QtWidgets import QCompleter

from napari_pathseg.config import SegmentConfig
from napari_pathseg.export.bundle import read_bundle
from napari_pathseg.export.run import Exported
from napari_pathseg.geometry import Region
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets.hand import Hand
from napari_pathseg.gui.worker import QtRunner

GLAND, OTHER_GLAND = slides.GLANDS
NUCLEUS = slides.NUCLEI[0]
RED = np.array((255, 0, 0))


@pytest.fixture
def marked_slide(tmp_path: Path) -> Path:
    return slides.write_slide(tmp_path / "marked.ome.tif", 0.5)


def open_slide_in(hand: Hand, path: Path) -> None:
    """As if dropped on the window."""
    hand.viewer.open(str(path), plugin="napari-pathseg")
    hand.wait(lambda: hand.controller.desk is not None, 60)
    hand.wait(seconds=0.3)


def around(region: Region, width: int) -> Region:
    """A view of a width with a region off its centre."""
    y, x = region.center
    height = width * 2 // 3
    return Region(round(y - 0.4 * height), round(x - 0.6 * width), height, width)


def box_of(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """(top, left, bottom, right) of the True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], dtype=float)


def seen(hand: Hand, color: npt.ArrayLike, tolerance: int = 40) -> npt.NDArray[np.float64]:
    """Where a colour is on the screen, canvas pixels."""
    hand.wait(seconds=0.3)
    screen = hand.viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)
    return box_of(np.abs(screen - np.asarray(color)).max(axis=-1) <= tolerance)


@pytest.mark.parametrize("width", [300, 640, 1400])
def test_the_mask_lies_on_the_truth_at_each_zoom(
    make_hand: Callable[..., Hand], marked_slide: Path, width: int
) -> None:
    hand = make_hand()
    open_slide_in(hand, marked_slide)
    hand.look_at(around(GLAND, width))
    hand.ask("glands")
    desk = hand.controller.desk
    layer, field = desk.field_layer, desk.work.record.field
    value = desk.classes.named("gland").value
    labels, first = np.zeros(layer.data.shape, bool), None
    from scipy import ndimage

    labels, _ = ndimage.label(layer.data == value)
    y, x = (int(v) for v in field.from_level0(*GLAND.center))
    first = box_of(labels == labels[y, x])
    assert labels[y, x] > 0

    # By napari's own transform of the layer: edges of pixels are half a pixel off their centres.
    top, left = layer.data_to_world(first[:2] - 0.5)
    bottom, right = layer.data_to_world(first[2:] - 0.5)
    found = np.array([top, left, bottom, right]) / 0.5 + 0.5
    truth = np.array([GLAND.y, GLAND.x, GLAND.stop_y, GLAND.stop_x])
    assert np.abs(found - truth).max() <= max(field.downsample)

    # And on the screen: the red of the tissue and the colour of the mask.
    for other in hand.viewer.layers:
        other.visible = other is desk.layer
    tissue = seen(hand, RED)
    layer.visible, layer.opacity = True, 1.0
    layer.data[labels != labels[y, x]] = 0
    layer.refresh()
    painted = seen(hand, desk.classes.named("gland").color)
    pixel = hand.viewer.scene.camera.zoom * layer.scale[0]
    if width < 1400:  # one gland alone is in view
        assert np.abs(painted - tissue).max() <= pixel + 1


def test_the_field_is_what_the_canvas_shows(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    hand = make_hand()
    open_slide_in(hand, marked_slide)
    hand.look_at(Region(450, 600, 200, 300))
    hand.ask("gland")
    region = hand.controller.desk.work.region
    size = hand.canvas.width(), hand.canvas.height()
    assert hand.viewer.canvas.size == (size[1], size[0])
    corners = [hand.pixel((region.y, region.x)), hand.pixel((region.stop_y, region.stop_x))]
    level0_px = hand.viewer.scene.camera.zoom * 0.5
    assert max(abs(corners[0].x()), abs(corners[0].y())) <= level0_px + 1
    assert abs(corners[1].x() - size[0]) <= level0_px + 1
    assert abs(corners[1].y() - size[1]) <= level0_px + 1


def test_the_whole_loop(make_hand: Callable[..., Hand], marked_slide: Path, tmp_path: Path) -> None:
    hand = make_hand()
    open_slide_in(hand, marked_slide)
    controller = hand.controller
    hand.look_at(Region(100, 150, 400, 600))
    hand.ask("gland")
    desk = controller.desk
    assert controller.message.kind == "good"
    asked = desk.field_layer.data.copy()
    assert asked.any()

    hand.key(Qt.Key.Key_D)
    assert (controller.tool, str(desk.field_layer.mode)) == (Tool.BRUSH, "paint")
    hand.drag([(300, 300), (320, 420), (340, 440)])
    painted = desk.field_layer.data.copy()
    assert (painted != asked).sum() > 50
    hand.key(Qt.Key.Key_Z, "Ctrl")
    hand.settle()
    np.testing.assert_array_equal(desk.field_layer.data, asked)
    hand.key(Qt.Key.Key_Z, "Ctrl+Shift")
    hand.settle()
    np.testing.assert_array_equal(desk.field_layer.data, painted)

    hand.key(Qt.Key.Key_P)
    hand.click(NUCLEUS.center)
    clicked = desk.field_layer.data.copy()
    assert len(desk.work.state.prompts) == 2
    assert "marked.ome.tif points" in hand.viewer.layers
    place = tuple(int(v) for v in desk.work.record.field.from_level0(*NUCLEUS.center))
    assert clicked[place] > 0
    hand.key(Qt.Key.Key_Z, "Ctrl")
    hand.settle()
    np.testing.assert_array_equal(desk.field_layer.data, painted)
    hand.click(GLAND.center, "Shift")
    assert desk.work.state.prompts[-1].positive is False

    hand.key(Qt.Key.Key_B)
    center = hand.viewer.scene.camera.center
    hand.drag([(150, 230), (270, 410)])
    assert hand.viewer.scene.camera.center == center
    assert type(desk.work.state.prompts[-1]).__name__ == "BoxPrompt"
    hidden: list[bool] = []
    hand.hold(Qt.Key.Key_Space, lambda: hidden.append(not desk.field_layer.visible))
    assert hidden == [True]
    assert desk.field_layer.visible
    hand.key(Qt.Key.Key_A)
    hand.settle()
    kept = desk.field_layer.data.copy()

    page = hand.panel.tabs.show_page("Export")
    written: list[Exported | None] = []
    page.exporting.ended.connect(written.append)
    page.write_into(tmp_path / "out")
    hand.wait(lambda: written, 60)
    (field,) = read_bundle(written[0].bundle)
    np.testing.assert_array_equal(field.mask, kept)
    features = json.loads(written[0].geojson.read_text(encoding="utf-8"))["features"]
    assert {f["properties"]["classification"]["name"] for f in features} == {"gland"}


def test_typing_completes_and_says_how_it_was_understood(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    hand = make_hand()
    open_slide_in(hand, marked_slide)
    hand.look_at(around(GLAND, 640))
    prompt = hand.panel.prompt
    hand.key(Qt.Key.Key_T)
    assert prompt.edit.window().focusWidget() is prompt.edit
    hand.type("glands; nu")
    hand.wait(seconds=1)  # windows of tests before may still take the focus, which hides the list
    hand.type("c")
    popup = prompt.edit.findChild(QCompleter).popup()
    hand.wait(popup.isVisible, seconds=10)
    hand.press_key_in_line(Qt.Key.Key_Tab)
    assert prompt.edit.text() == "glands; nucleus"
    chips = [chip.text() for chip in prompt.chips()]
    assert [chip.split(" · ")[0] for chip in chips] == ["gland (tissue)", "nucleus (nuclei)"]
    assert all(chip.endswith(" µm/px") for chip in chips)
    hand.press_key_in_line(Qt.Key.Key_Return)
    hand.settle()
    assert [c.name for c in hand.controller.desk.classes] == ["gland", "nucleus"]
    assert hand.canvas.window().focusWidget() is hand.canvas
    hand.ask("glnad")
    hand.ask("qwertyuiop")
    assert hand.controller.message.kind == "warning"
    assert hand.panel.message.label.text() == hand.controller.message.text


def test_a_slide_without_scale_is_given_one(make_hand: Callable[..., Hand], tmp_path: Path) -> None:
    hand = make_hand()
    open_slide_in(hand, slides.write_slide(tmp_path / "plain.tif", None))
    hand.look_at(around(GLAND, 640))
    hand.ask("gland")
    assert hand.controller.desk.work is None
    assert "resolution" in hand.panel.message.label.text()
    hand.panel.slide_line.value.setValue(0.5)
    hand.press(hand.panel.slide_line.use)
    assert hand.controller.desk.mpp == (0.5, 0.5)
    hand.ask("gland")
    assert hand.controller.message.kind == "good"
    assert [str(u) for u in hand.viewer.layers.extent.units] == ["micrometer"] * 2


def test_the_viewer_never_stands_still_while_the_model_works(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    segmenter = MarkerSegmenter(seconds=0.4)
    hand = make_hand(segmenter)
    open_slide_in(hand, marked_slide)
    hand.look_at(Region(100, 100, 800, 1300))

    def ask(word: str) -> None:
        hand.controller.segment_field(word)
        hand.wait(lambda: not hand.controller.busy, 120)
        hand.wait(seconds=0.3)

    hand.ask("gland")  # napari makes its first Labels layer
    gaps = sorted(longest_gap(partial(ask, word)) for word in ("nuclei", "gland", "nuclei"))
    assert gaps[1] < MAX_GAP_S  # the middle of three: the interpreter may collect its garbage
    assert hand.controller.message.kind == "good"


def test_cancel_ends_the_work_within_one_tile(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    runner, segmenter = QtRunner(), MarkerSegmenter(seconds=0.4)
    config = SegmentConfig(tile_px=256, overlap_px=32)
    hand = make_hand(segmenter, runner=runner, config=config)
    open_slide_in(hand, marked_slide)
    hand.look_at(Region.whole(slides.SHAPE))
    hand.controller.segment_field("nuclei")
    hand.wait(lambda: segmenter.encoder_passes >= 2, 60)
    hand.key(Qt.Key.Key_Escape)
    assert not hand.controller.busy
    passes = segmenter.encoder_passes
    hand.wait(lambda: not runner.busy, 30)
    assert segmenter.encoder_passes <= passes + 1
    assert hand.controller.desk.work is None
    hand.ask("gland")
    assert hand.controller.desk.work is not None


def test_a_slide_opened_again_in_one_viewer_brings_the_work_back(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    hand = make_hand()
    for row in (310, 350):
        open_slide_in(hand, marked_slide)
        hand.look_at(Region(100, 150, 400, 600))
        hand.ask("gland")
        desk = hand.controller.desk
        hand.key(Qt.Key.Key_D)
        asked = desk.field_layer.data.copy()
        hand.drag([(row, 300), (row, 420)])
        hand.settle()
        kept, place = desk.field_layer.data.copy(), desk.work.region
        assert (kept != asked).any()
        hand.key(Qt.Key.Key_Escape)
        hand.viewer.layers.clear()
        hand.wait()
        assert hand.controller.desk is None
    open_slide_in(hand, marked_slide)
    again = hand.controller.desk
    assert again.work.region == place
    np.testing.assert_array_equal(again.field_layer.data, kept)
    hand.key(Qt.Key.Key_Z, "Ctrl")
    hand.settle()
    np.testing.assert_array_equal(again.field_layer.data, asked)


def test_layers_leave_in_the_context_of_the_canvas(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    hand = make_hand()
    open_slide_in(hand, marked_slide)
    hand.viewer.add_labels(np.ones((8, 8), int)).visible = False
    hand.wait()
    hand.canvas.doneCurrent()  # as after a repaint of the window
    current: list[bool] = []

    def look() -> None:
        current.append(QOpenGLContext.currentContext() == hand.canvas.context())

    hand.viewer.layers.events.removed.connect(look)
    hand.viewer.layers.pop()
    hand.viewer.layers.events.removed.disconnect(look)
    assert current == [True]
    hand.wait()


def test_keys_are_given_back_with_the_panel(
    make_hand: Callable[..., Hand], marked_slide: Path
) -> None:
    hand = make_hand()
    open_slide_in(hand, marked_slide)
    hand.look_at(around(GLAND, 640))
    hand.ask("gland")
    layer = hand.controller.desk.field_layer
    hand.key(Qt.Key.Key_E)
    assert str(layer.mode) == "erase"
    hand.key(Qt.Key.Key_Escape)
    hand.panel.close()
    owners = [getattr(f, "__self__", None) for f in hand.viewer.mouse_drag_callbacks]
    assert hand.panel.pointer not in owners
    assert not hand.viewer.keymap
    hand.key(Qt.Key.Key_P)  # napari's own key for painting
    assert str(layer.mode) == "paint"
