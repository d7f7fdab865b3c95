"""The desk without a window: what a person can do, and what can go wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from desk_slides import GLANDS, NUCLEI, SHAPE, look_at, open_in
from marker_segmenter import MarkerSegmenter
from napari.layers import Points

from napari_pathseg.config import ExportConfig
from napari_pathseg.errors import ModelError, PathsegError
from napari_pathseg.export.bundle import read_bundle
from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.exporting import Exporting
from napari_pathseg.gui.jobs import ImmediateRunner, Job
from napari_pathseg.gui.layers import KEY
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.provenance import origin_of
from napari_pathseg.gui.tools import Tool
from napari_pathseg.inference.segmentation import ON_GLASS
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.refuge import in_refuge
from napari_pathseg.progress import CancelToken
from napari_pathseg.prompts import BoxPrompt, PointPrompt

VIEW = Region(100, 100, 400, 700)


def level0_mask(controller: PathsegController, name: str) -> np.ndarray:
    """Where a class is, on level 0, from the layer's data and its place in the world."""
    desk = controller.desk
    layer, value = desk.field_layer, desk.classes.named(name).value
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]]
    um = desk.mpp or (1.0, 1.0)
    y = (rows * um[0] - layer.translate[0]) / layer.scale[0]
    x = (columns * um[1] - layer.translate[1]) / layer.scale[1]
    inside = (y >= -0.5) & (y < layer.data.shape[0] - 0.5)
    inside &= (x >= -0.5) & (x < layer.data.shape[1] - 0.5)
    found = np.zeros(SHAPE, bool)
    places = np.round(y[inside]).astype(int), np.round(x[inside]).astype(int)
    found[inside] = layer.data[places] == value
    return found


def area_in(mask: np.ndarray, region: Region) -> float:
    """Share of a region that is in a mask."""
    return float(mask[region.y : region.stop_y, region.x : region.stop_x].mean())


@pytest.fixture
def asked(controller: PathsegController, marked_slide: Path) -> PathsegController:
    """A desk on which the glands of a view were asked for."""
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("glands")
    return controller


def test_a_word_becomes_a_mask_on_its_place(asked: PathsegController) -> None:
    mask = level0_mask(asked, "gland")
    assert area_in(mask, GLANDS[0]) > 0.97
    assert mask.sum() < 1.06 * GLANDS[0].height * GLANDS[0].width
    assert asked.message.kind == "good"
    assert [str(u) for u in asked.desk.field_layer.units] == ["micrometer"] * 2
    record, stored = asked.desk.store.load(asked.desk.work.record.id)
    np.testing.assert_array_equal(stored, asked.desk.field_layer.data)
    assert record.texts == ("glands",)
    assert record.mpp == pytest.approx((1.0, 1.0))


def test_several_words_make_several_classes(controller, marked_slide) -> None:
    open_in(controller, marked_slide)
    look_at(controller, Region(100, 100, 500, 800))
    controller.segment_field("gland; nuclei")
    assert [c.name for c in controller.desk.classes] == ["gland", "nucleus"]
    counts = controller.desk.counts()
    assert [counts[1].objects, counts[2].objects] == [1, 2]
    assert counts[2].area_um2 == pytest.approx((32 * 32 + 32 * 48) * 0.25, rel=0.1)


def test_the_same_field_is_asked_again_with_one_encoding(asked: PathsegController) -> None:
    passes = asked.model.loaded.encoder_passes
    asked.add(PointPrompt(200, 300))
    assert asked.model.loaded.encoder_passes == passes
    assert len(asked.desk.work.state.prompts) == 2


def test_nothing_found_is_said_in_words(controller, marked_slide) -> None:
    open_in(controller, marked_slide)
    look_at(controller, Region(800, 100, 200, 300))
    controller.segment_field("gland")
    assert controller.message.kind == "warning"
    assert controller.message.text.startswith("No gland in this field (presence 0.02).")


@pytest.mark.parametrize("text", ["", "   ", "x" * 100_000])
def test_a_prompt_that_is_none(asked: PathsegController, text: str) -> None:
    before = asked.desk.field_layer.data.copy()
    asked.segment_field(text)
    assert asked.message.kind == "error"
    np.testing.assert_array_equal(asked.desk.field_layer.data, before)


def test_an_unknown_word_offers_terms_that_can_be_asked(asked: PathsegController) -> None:
    asked.segment_field("glnd of unobtainium")
    assert asked.message.kind == "warning"
    assert "unobtainium" in asked.message.text
    asked.segment_field("basal membrane zzz")
    names = [action.label for action in asked.message.actions]
    assert names
    asked.segment_field("osteoclast")
    offered = [action.label for action in asked.message.actions]
    assert set(offered) <= {"gland", "nucleus"}
    asked.message.actions[offered.index("gland")].run()
    assert asked.message.kind == "good"


def test_undo_and_redo_go_over_prompts_clicks_and_strokes(asked: PathsegController) -> None:
    layer = asked.desk.field_layer
    masks = [layer.data.copy()]
    layer.paint((10, 10), 1)
    masks.append(layer.data.copy())
    layer.paint((10, 200), 0)
    layer.data_setitem((np.array([5, 6]), np.array([300, 300])), 1)
    masks.append(layer.data.copy())
    asked.editing.accept()
    asked.add(PointPrompt(*NUCLEI[0].center))
    masks.append(layer.data.copy())
    assert len({m.tobytes() for m in masks}) == 4
    asked.editing.undo()
    np.testing.assert_array_equal(layer.data, masks[2])
    asked.editing.undo()  # the accept
    asked.editing.undo()
    np.testing.assert_array_equal(layer.data, masks[1])
    asked.editing.undo()
    np.testing.assert_array_equal(layer.data, masks[0])
    asked.editing.undo()
    assert not layer.data.any()
    for _ in range(5):
        asked.editing.redo()
    np.testing.assert_array_equal(layer.data, masks[3])
    np.testing.assert_array_equal(asked.desk.store.load(asked.desk.work.record.id)[1], masks[3])


def test_napari_s_own_undo_has_nothing_to_mix_in(asked: PathsegController) -> None:
    layer = asked.desk.field_layer
    layer.paint((10, 10), 1)
    asked.segment_field("gland")
    shown = layer.data.copy()
    layer.undo()
    np.testing.assert_array_equal(layer.data, shown)


def test_a_stroke_is_never_taken_away_by_the_model(asked: PathsegController) -> None:
    layer = asked.desk.field_layer
    y, x = (int(v) for v in asked.desk.work.record.field.from_level0(200, 300))
    layer.paint((y, x), 0)  # erased inside the gland
    layer.paint((20, 20), 1)  # drawn on the ground
    erased, drawn = layer.data[y, x], layer.data[20, 20]
    asked.segment_field("gland")
    assert (layer.data[y, x], layer.data[20, 20]) == (erased, drawn) == (0, 1)
    asked.editing.reject()
    assert layer.data[20, 20] == 1
    assert layer.data.sum() < 200


def test_finer_structures_lie_over_coarser_ones_that_were_kept(controller, marked_slide) -> None:
    open_in(controller, marked_slide)
    look_at(controller, Region(380, 480, 100, 150))
    controller.classing.add("gland")
    controller.set_tool(Tool.BRUSH)
    controller.desk.field_layer.brush_size = 3
    controller.editing.accept()
    controller.segment_field("nuclei")
    named = controller.desk.classes.named
    mask = controller.desk.field_layer.data
    assert (mask == named("nucleus").value).sum() > 500


def test_reject_and_threshold(asked: PathsegController) -> None:
    layer = asked.desk.field_layer
    whole = layer.data.copy()
    asked.refining.set_threshold(0.98, final=True)
    assert layer.data.sum() < whole.sum()
    asked.editing.undo()
    np.testing.assert_array_equal(layer.data, whole)
    assert asked.threshold == 0.5
    asked.editing.reject()
    assert not layer.data.any()
    asked.editing.undo()
    np.testing.assert_array_equal(layer.data, whole)


def listed(controller: PathsegController) -> list[str]:
    return [c.name for c in controller.desk.listed()]


def test_a_class_of_a_rejected_proposal_alone_goes_with_it(asked: PathsegController) -> None:
    asked.editing.accept()
    asked.selected = None
    asked.add(PointPrompt(*NUCLEI[0].center))
    asked.add(PointPrompt(*NUCLEI[1].center))
    assert listed(asked) == ["gland", "object"]
    asked.editing.reject()
    assert listed(asked) == ["gland"]
    assert [c.name for c in asked.desk.store.load(asked.desk.work.id)[0].classes] == ["gland"]
    asked.editing.undo()
    assert listed(asked) == ["gland", "object"]
    asked.editing.redo()
    assert listed(asked) == ["gland"]


def test_a_class_that_a_person_made_or_drew_stays(asked: PathsegController) -> None:
    asked.editing.accept()
    asked.classing.add("mine")
    asked.add(PointPrompt(*NUCLEI[0].center))
    asked.editing.reject()
    assert listed(asked) == ["gland", "mine"]
    asked.selected = None
    asked.add(PointPrompt(*NUCLEI[0].center))
    asked.desk.field_layer.selected_label = asked.desk.classes.named("object").value
    asked.desk.field_layer.paint((5, 5), asked.desk.field_layer.selected_label)
    asked.editing.reject()
    assert listed(asked) == ["gland", "mine", "object"]


def test_each_class_says_what_it_was_asked_with(asked: PathsegController) -> None:
    asked.editing.accept()
    asked.selected = None
    asked.add(PointPrompt(*NUCLEI[0].center))
    record = asked.desk.work.record
    gland, other = (asked.desk.classes.named(name).value for name in ("gland", "object"))
    assert origin_of(record, gland)["prompt"] == "glands"
    assert origin_of(record, gland)["clicks"] == ""
    assert origin_of(record, other)["prompt"] == ""
    assert origin_of(record, other)["clicks"] != ""


def test_not_this_takes_an_accepted_object_away(controller, marked_slide) -> None:
    open_in(controller, marked_slide)
    look_at(controller, Region(350, 400, 150, 400))
    controller.segment_field("nuclei")
    controller.editing.accept()
    before = controller.desk.counts()[1].objects
    controller.add(PointPrompt(NUCLEI[0].center[0], NUCLEI[0].center[1], positive=False))
    assert (before, controller.desk.counts()[1].objects) == (2, 1)
    assert area_in(level0_mask(controller, "nucleus"), NUCLEI[0]) == 0
    controller.add(PointPrompt(355, 405, positive=False))
    assert "nothing to take away" in controller.message.text


def test_a_click_on_bare_glass_is_answered_with_a_warning(
    controller, marked_slide, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_pathseg.inference.session.is_bare", lambda *_: True)
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.add(PointPrompt(*GLANDS[0].center))
    assert ON_GLASS in controller.message.text
    assert controller.message.kind == "warning"
    assert controller.desk.work is not None, "what was meant may be a lumen"


def test_clicks_and_boxes_beside_the_slide_are_refused(asked: PathsegController) -> None:
    before = asked.desk.field_layer.data.copy()
    asked.add(PointPrompt(-5, 10))
    assert "beside the slide" in asked.message.text
    asked.add(BoxPrompt(2000, 10, 2100, 50))
    assert "beside the slide" in asked.message.text
    np.testing.assert_array_equal(asked.desk.field_layer.data, before)


def test_a_click_without_words_belongs_to_the_selected_class(controller, marked_slide) -> None:
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.classing.add("my own thing")
    controller.add(PointPrompt(*GLANDS[0].center))
    assert area_in(level0_mask(controller, "my own thing"), GLANDS[0]) > 0.9
    assert [c.name for c in controller.desk.classes] == ["my own thing"]


def test_a_class_of_another_slide_comes_to_this_one_with_its_term_and_colour(
    asked: PathsegController, slide_without_scale: Path
) -> None:
    gland = asked.desk.classes.named("gland")
    open_in(asked, slide_without_scale)
    look_at(asked, VIEW)
    asked.add(PointPrompt(*GLANDS[0].center))
    assert asked.desk.classes.named("gland") == gland
    assert asked.desk.made == set()


def test_everything_comes_back_when_the_slide_is_opened_again(
    make_controller: Callable[..., PathsegController], marked_slide: Path
) -> None:
    first = make_controller()
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    glands = first.desk.field_layer.data.copy()
    look_at(first, Region(380, 450, 120, 320))
    first.segment_field("nuclei")
    first.desk.field_layer.paint((3, 3), first.desk.classes.named("nucleus").value)
    nuclei = first.desk.field_layer.data.copy()
    first.close()

    moved = marked_slide.rename(marked_slide.with_name("elsewhere.ome.tif"))
    again = make_controller()
    open_in(again, moved)
    assert "2 fields are back" in again.message.text
    np.testing.assert_array_equal(again.desk.field_layer.data, nuclei)
    (stored,) = again.desk.stored.placed()
    np.testing.assert_array_equal(stored.mask, glands)
    assert not again.desk.overview.editable
    finest = again.desk.overview.data[0]
    y, x = (int(v) for v in GLANDS[0].center)
    gland = again.desk.classes.named("gland").value
    assert (np.asarray(finest[y - 5 : y + 5, x - 5 : x + 5]) == gland).all()
    again.editing.undo()  # the stroke of last time
    assert again.desk.field_layer.data[3, 3] == 0
    again.add(PointPrompt(*GLANDS[0].center))  # back to the stored field
    assert again.desk.work.record.field.region.contains(*GLANDS[0].center)


def test_a_second_window_may_look_but_not_write(make_controller, marked_slide) -> None:
    first, second = make_controller(), make_controller()
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    open_in(second, marked_slide)
    assert "read-only" in second.message.text
    assert second.desk.field_layer.data.any()


def test_labels_that_their_folder_does_not_take_are_kept_elsewhere(
    make_controller: Callable[..., PathsegController], marked_slide: Path, tmp_path: Path
) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    controller = make_controller(labels_folder=tmp_path / "taken" / "labels")
    open_in(controller, marked_slide)
    assert controller.message.kind == "error"
    assert "taken" in controller.message.text
    look_at(controller, VIEW)
    controller.segment_field("gland")
    layer = controller.desk.field_layer
    before = layer.data.copy()
    layer.paint((10, 10), 1)
    desk = controller.desk
    assert in_refuge(desk.store.path)
    assert not controller.saving.unsaved
    np.testing.assert_array_equal(desk.store.load(desk.work.record.id)[1], layer.data)
    controller.editing.undo()
    np.testing.assert_array_equal(layer.data, before)


def test_a_disk_that_fills_up_loses_nothing(asked, monkeypatch) -> None:
    from napari_pathseg.errors import StoreError

    def full(*_: object) -> None:
        raise StoreError("Not saved: no space in the folder.", "Free some space and try again.")

    layer = asked.desk.field_layer
    with monkeypatch.context() as broken:
        broken.setattr(LabelStore, "record_stroke", full)
        broken.setattr(LabelStore, "save_field", full)
        layer.paint((10, 10), 1)
        assert "no space" in asked.message.text
        layer.paint((10, 100), 1)
    assert asked.saving.unsaved
    asked.message.actions[0].run()
    assert not asked.saving.unsaved
    stored = asked.desk.store.load(asked.desk.work.record.id)[1]
    np.testing.assert_array_equal(stored, layer.data)
    assert stored[10, 10] == stored[10, 100] == 1


def test_a_slide_without_scale_is_asked_for_it_once(
    make_controller: Callable[..., PathsegController], slide_without_scale: Path
) -> None:
    controller = make_controller()
    open_in(controller, slide_without_scale)
    look_at(controller, VIEW)
    assert controller.desk.mpp is None
    assert [str(u) for u in controller.desk.layer.units] == ["pixel"] * 2
    controller.segment_field("gland")
    assert "does not say its resolution" in controller.message.text
    assert controller.desk.work is None
    seen = controller.viewer.scene.camera.center[-2] / controller.desk.layer.scale[0]
    controller.message.actions[1].run()
    assert controller.desk.mpp == (0.5, 0.5)
    now = controller.viewer.scene.camera.center[-2] / controller.desk.layer.scale[0]
    assert now == pytest.approx(seen)
    controller.segment_field("gland")
    assert area_in(level0_mask(controller, "gland"), GLANDS[0]) > 0.97
    controller.close()
    again = make_controller()
    open_in(again, slide_without_scale)
    assert again.desk.mpp == (0.5, 0.5)


@pytest.mark.parametrize("scaled_first", [True, False])
def test_a_slide_without_scale_beside_one_with_is_asked_for_it_at_once(
    controller: PathsegController, marked_slide: Path, slide_without_scale: Path, scaled_first: bool
) -> None:
    paths = [marked_slide, slide_without_scale]
    for path in paths if scaled_first else paths[::-1]:
        open_in(controller, path)
    assert controller.message.text.startswith(f"{slide_without_scale.name} does not say")
    assert controller.viewer.layers.units is None
    camera = controller.viewer.scene.camera
    camera.center = (0.0, 100.0, 120.0)
    controller.message.actions[0].run()
    given = next(desk for desk in controller.desks if desk.name == slide_without_scale.name)
    assert given.mpp == (0.25, 0.25)
    assert [str(unit) for unit in controller.viewer.layers.units] == ["micrometer"] * 2
    # The view follows the slide in work only.
    factor = 0.25 if scaled_first else 1.0
    assert camera.center[-2:] == pytest.approx((100 * factor, 120 * factor))


def seen(controller: PathsegController, name: str) -> bool:
    return any(layer.visible for layer in controller.viewer.layers if layer.name.startswith(name))


def test_a_second_slide_comes_to_the_front_whole_and_the_first_comes_back(
    controller: PathsegController, marked_slide: Path, slide_without_scale: Path
) -> None:
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.add(PointPrompt(*GLANDS[0].center))
    first, camera = controller.desk, controller.viewer.scene.camera
    points = Points(np.zeros((1, 2)), name="marked.ome.tif objects", metadata={KEY: "objects"})
    controller.viewer.add_layer(points)
    looked = camera.center, camera.zoom
    assert (seen(controller, "marked"), seen(controller, "plain")) == (True, False)
    open_in(controller, slide_without_scale)
    assert controller.desk.name == "plain.tif"
    assert (seen(controller, "marked"), seen(controller, "plain")) == (False, True)
    assert camera.center[-2:] == pytest.approx((SHAPE[0] / 2, SHAPE[1] / 2))
    assert camera.zoom * SHAPE[0] == pytest.approx(0.95 * controller.viewer.canvas.size[0])
    controller.desks.go_to(first)
    assert controller.desk is first
    assert (camera.center, camera.zoom) == looked
    assert (seen(controller, "marked"), seen(controller, "plain")) == (True, False)
    assert controller.viewer.layers["marked.ome.tif points"].visible
    controller.viewer.layers.selection.active = controller.viewer.layers["plain.tif"]
    assert (seen(controller, "marked"), seen(controller, "plain")) == (False, True)


def test_a_view_that_is_too_wide_says_how_much(make_controller, marked_slide) -> None:
    from napari_pathseg.config import SegmentConfig

    controller = make_controller(config=SegmentConfig(tile_px=256, overlap_px=32, max_tiles=4))
    open_in(controller, marked_slide)
    look_at(controller, Region.whole(SHAPE))
    controller.segment_field("nuclei")
    assert "0.8 mm wide; nucleus needs 0.5 µm/px: 35 tiles" in controller.message.text
    zoom = controller.viewer.scene.camera.zoom
    controller.message.actions[0].run()
    assert controller.viewer.scene.camera.zoom == 2 * zoom


class LaterRunner:
    """Keeps jobs until they are run, as a slow background does."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, CancelToken]] = []

    def submit(self, job: Job) -> CancelToken:
        self.jobs.append((job, CancelToken()))
        return self.jobs[-1][1]

    def run(self, index: int = 0) -> None:
        job, token = self.jobs.pop(index)
        try:
            result = job.work(job.progressed, token)
        except PathsegError as error:
            job.failed(error)
        else:
            job.done(result)

    def idle(self, _work: object) -> CancelToken:
        return CancelToken()

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.jobs.clear()


@pytest.fixture
def later(make_controller, marked_slide):
    """A controller that looks at a slide, and the runner that does what it asks when told to."""
    runner = LaterRunner()
    controller = make_controller(runner=runner)
    open_in(controller, marked_slide)
    runner.run()
    look_at(controller, VIEW)
    return controller, runner


def test_a_slide_that_is_being_opened_says_so(make_controller, marked_slide) -> None:
    runner = LaterRunner()
    controller = make_controller(runner=runner)
    open_in(controller, marked_slide)
    assert controller.message.kind == "busy"
    assert controller.message.text.startswith("Opening marked")
    controller.viewer.layers.clear()
    runner.run()
    assert controller.message.text.endswith("was closed.")
    open_in(controller, marked_slide)
    runner.run()
    assert controller.message.text.startswith("Type what to look for")


def test_all_layers_get_the_units_of_a_scale_that_is_given_later(
    controller, slide_without_scale
) -> None:
    open_in(controller, slide_without_scale)
    assert len(controller.viewer.layers) > 2, "layers of the first prompt are there already"
    controller.set_mpp((0.5, 0.5))
    look_at(controller, VIEW)
    controller.segment_field("gland")
    assert {tuple(map(str, x.units)) for x in controller.viewer.layers} == {("micrometer",) * 2}


def test_a_late_answer_is_dropped(later) -> None:
    controller, runner = later
    controller.segment_field("gland")
    assert controller.busy
    controller.segment_field("nuclei")
    late_job, late_token = runner.jobs[0]
    assert late_token.cancelled
    late_job.done(late_job.work(late_job.progressed, CancelToken()))  # it came all the same
    assert controller.desk.work is None
    runner.run(1)
    assert [c.name for c in controller.desk.classes] == ["nucleus"]
    assert not controller.busy


def test_cancel_changes_nothing(later) -> None:
    controller, runner = later
    controller.segment_field("gland")
    controller.cancel()
    runner.run()
    assert controller.desk.work is None
    assert controller.message.text == "Cancelled. Nothing was changed."


def test_a_click_is_seen_before_its_answer(later) -> None:
    controller, runner = later
    points = controller.viewer.layers[f"{controller.desk.name} points"]
    controller.add(PointPrompt(*GLANDS[0].center))
    assert len(points.data) == 1
    controller.cancel()
    assert not points.visible
    runner.run()
    controller.add(PointPrompt(*GLANDS[0].center))
    runner.run()
    controller.add(PointPrompt(GLANDS[0].y + 5, GLANDS[0].x + 5))
    assert len(points.data) == 2
    runner.run()
    assert len(points.data) == len(controller.desk.work.state.prompts) == 2
    assert points.visible


def test_a_stroke_while_the_model_works_is_kept(later) -> None:
    controller, runner = later
    controller.segment_field("gland")
    runner.run()
    controller.segment_field("gland")
    controller.desk.field_layer.paint((4, 4), 1)
    runner.run()
    assert controller.desk.field_layer.data[4, 4] == 1


def test_a_click_while_the_model_works_waits_for_it(later) -> None:
    controller, runner = later
    controller.segment_field("gland")
    controller.add(PointPrompt(200, 300))
    runner.run()
    assert len(runner.jobs) == 1
    runner.run()
    assert PointPrompt(200, 300) in controller.desk.work.state.prompts


def test_a_model_that_can_not_be_loaded_is_named(make_controller, marked_slide) -> None:
    def broken() -> MarkerSegmenter:
        raise ModelError("The weights are damaged.", "Install the package again.")

    controller = make_controller(model=SharedModel(broken))
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    assert controller.message.text == "The weights are damaged. Install the package again."


def test_what_goes_out_comes_back_the_same(asked: PathsegController, tmp_path: Path) -> None:
    asked.desk.field_layer.paint((10, 10), 1)
    look_at(asked, Region(380, 450, 120, 320))
    asked.segment_field("nuclei")
    exporting, written = Exporting(asked, ImmediateRunner()), []
    exporting.ended.connect(written.append)
    config = ExportConfig(formats=("bundle", "geojson", "tif"))
    exporting.write(tmp_path / "out", config, "slide")
    assert written[0].fields == 2
    fields = {f.record.id: f for f in read_bundle(written[0].bundle)}
    for record, mask in asked.desk.fields():
        back = fields[record.id]
        names = {c.value: c.name for c in back.record.classes}
        for label_class in record.classes:
            value = next(v for v, n in names.items() if n == label_class.name)
            np.testing.assert_array_equal(back.mask == value, mask == label_class.value)
        np.testing.assert_array_equal(back.image, asked.desk.slide.read(record.field))
    features = json.loads(written[0].geojson.read_text(encoding="utf-8"))["features"]
    assert len(features) == written[0].objects
    assert all(path.exists() for path in written[0].labels)


def test_a_folder_that_can_not_be_written_is_named(asked: PathsegController, tmp_path) -> None:
    (tmp_path / "taken").write_text("a file")
    exporting = Exporting(asked, ImmediateRunner())
    exporting.write(tmp_path / "taken", ExportConfig(), "slide")
    assert asked.message.kind == "error"
    assert "taken" in asked.message.text


def test_layers_leave_with_the_slide(asked: PathsegController) -> None:
    asked.viewer.layers.remove(asked.desk.layer)
    assert len(asked.viewer.layers) == 0
    assert asked.desk is None
    assert asked.message.text.startswith("Open a slide")
    asked.segment_field("gland")
    assert asked.message.kind == "warning"


def test_a_field_layer_that_is_deleted_is_still_stored(asked: PathsegController) -> None:
    mask = asked.desk.field_layer.data.copy()
    asked.viewer.layers.remove(asked.desk.field_layer)
    assert asked.desk.work is None
    (stored,) = asked.desk.stored.placed()
    np.testing.assert_array_equal(stored.mask, mask)
    asked.add(PointPrompt(*GLANDS[0].center))
    assert asked.desk.field_layer is not None


def test_drawing_without_a_model(controller: PathsegController, marked_slide: Path) -> None:
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.classing.add("scar")
    controller.set_tool(Tool.BRUSH)
    layer = controller.desk.field_layer
    assert (str(layer.mode), layer.selected_label) == ("paint", 1)
    layer.paint((20, 20), 1)
    record, mask = controller.desk.store.load(controller.desk.work.record.id)
    assert mask[20, 20] == 1
    assert [c.name for c in record.classes] == ["scar"]
    assert record.model == ""


def test_two_slides_are_apart(controller, marked_slide, slide_without_scale) -> None:
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    first = controller.desk
    open_in(controller, slide_without_scale)
    assert controller.desk is not first
    assert controller.desk.work is None
    controller.viewer.layers.selection.active = first.field_layer
    assert controller.desk is first


def test_clicks_that_were_accepted_do_not_come_back_with_their_slide(
    controller, marked_slide, slide_without_scale
) -> None:
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    first = controller.desk
    controller.add(PointPrompt(*GLANDS[0].center))
    clicks = controller.viewer.layers[f"{first.name} points"]
    assert clicks.visible
    controller.editing.accept()
    assert not clicks.visible
    open_in(controller, slide_without_scale)
    controller.desks.go_to(first)
    assert first.layer.visible
    assert not clicks.visible


def test_a_picture_that_another_reader_opened_is_taken_up(controller, tmp_path) -> None:
    import napari.layers
    from desk_slides import picture
    from PIL import Image

    path = tmp_path / "picture.png"
    Image.fromarray(picture()).save(path)
    layer = napari.layers.Image(picture(), rgb=True, name="picture")
    from napari.layers._source import Source

    layer._source = Source(path=str(path))
    controller.viewer.add_layer(layer)
    assert controller.desk is not None
    look_at(controller, VIEW)
    controller.segment_field("gland")
    assert area_in(level0_mask(controller, "gland"), GLANDS[0]) > 0.9
