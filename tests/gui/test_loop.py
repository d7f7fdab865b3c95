"""The loop without a window: gestures, candidates, cleanup, locks, levels, classes, folders."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from desk_slides import GLANDS, NUCLEI, SHAPE, look_at, open_in, picture, write_slide
from scipy import ndimage

from napari_pathseg.errors import DamagedSlideError, StoreError
from napari_pathseg.geometry import Field, Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import Job
from napari_pathseg.gui.layers import hatched
from napari_pathseg.gui.relocating import Relocating
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets import last_place
from napari_pathseg.labels import refuge
from napari_pathseg.labels.cleanup import Cleanup
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.refuge import refuge_of, refuges
from napari_pathseg.progress import CancelToken
from napari_pathseg.prompts import BoxPrompt, LassoPrompt, PointPrompt, ScribblePrompt

VIEW = Region(100, 100, 400, 700)
Make = Callable[..., PathsegController]


@pytest.fixture
def desk_of(controller: PathsegController, marked_slide: Path) -> PathsegController:
    """A desk that looks at a gland and the nuclei."""
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    return controller


def shown(controller: PathsegController) -> np.ndarray:
    return controller.desk.field_layer.data.copy()


def at(controller: PathsegController, place: tuple[float, float]) -> int:
    y, x = controller.desk.work.record.field.from_level0(*place)
    return int(controller.desk.field_layer.data[int(y), int(x)])


def objects(mask: np.ndarray) -> int:
    return ndimage.label(mask > 0, structure=np.ones((3, 3)))[1]


def around(region: Region, margin: float = 10) -> tuple[tuple[float, float], ...]:
    y0, x0 = region.y - margin, region.x - margin
    y1, x1 = region.stop_y + margin, region.stop_x + margin
    return ((y0, x0), (y0, x1), (y1, x1), (y1, x0))


def stored(controller: PathsegController) -> np.ndarray:
    return controller.desk.store.load(controller.desk.work.id)[1]


def test_lasso_and_scribble(desk_of: PathsegController) -> None:
    desk_of.segment_field("nuclei")
    desk_of.add(LassoPrompt(around(NUCLEI[0])))
    assert at(desk_of, NUCLEI[0].center) > 0
    assert at(desk_of, NUCLEI[1].center) == 0
    assert len(desk_of.desk.work.state.prompts) == 2
    desk_of.editing.undo()
    assert at(desk_of, NUCLEI[1].center) > 0
    desk_of.add(LassoPrompt(around(NUCLEI[0]), positive=False))
    assert at(desk_of, NUCLEI[0].center) == 0
    desk_of.editing.accept()
    y, x = GLANDS[0].center
    desk_of.add(ScribblePrompt(((y, x - 20), (y, x + 20))))
    assert at(desk_of, (y, x)) > 0
    record = desk_of.desk.store.load(desk_of.desk.work.id)[0]
    assert {type(p).__name__ for p in record.prompts} >= {"LassoPrompt", "ScribblePrompt"}
    desk_of.editing.accept()
    desk_of.add(LassoPrompt(around(GLANDS[0]), positive=False))
    assert at(desk_of, (y, x)) == 0
    assert "Cleared" in desk_of.message.text


@pytest.mark.parametrize(
    ("gesture", "said"),
    [
        (BoxPrompt(50, 50, 50, 90), "no area"),
        (LassoPrompt(((5, 5), (5, 5), (5, 5))), "encloses nothing"),
        (LassoPrompt(((-9, -9), (-9, -5), (-5, -5))), "beside the slide"),
        (ScribblePrompt(((-5, 3), (-9, 4))), "beside the slide"),
        (PointPrompt(5, 99_999), "beside the slide"),
    ],
)
def test_gestures_that_mean_nothing(desk_of: PathsegController, gesture: object, said: str) -> None:
    desk_of.segment_field("gland")
    before = shown(desk_of)
    desk_of.add(gesture)
    assert said in desk_of.message.text
    np.testing.assert_array_equal(shown(desk_of), before)


def test_candidates_of_a_click_are_one_key_apart(desk_of: PathsegController) -> None:
    desk_of.add(PointPrompt(*GLANDS[0].center))
    whole = (shown(desk_of) > 0).sum()
    assert desk_of.refining.candidate == (0, 3)
    areas = []
    for _ in range(3):
        desk_of.refining.next_candidate()
        areas.append((shown(desk_of) > 0).sum())
    assert areas[2] == whole
    assert areas[0] < whole
    assert areas[0] < areas[1], "what it is in the whole view takes the place of the least likely"
    desk_of.editing.undo()
    assert desk_of.refining.candidate == (2, 3)
    np.testing.assert_array_equal(stored(desk_of), shown(desk_of))
    desk_of.segment_field("gland")
    desk_of.refining.next_candidate()
    assert "one answer only" in desk_of.message.text


def test_cleanup_is_live_and_one_step(desk_of: PathsegController) -> None:
    desk_of.segment_field("nuclei")
    before = shown(desk_of)
    for size in (10, 500, 3000):
        desk_of.refining.set_cleanup(Cleanup(small_px=size), final=False)
    assert not shown(desk_of).any()
    np.testing.assert_array_equal(stored(desk_of), before)
    desk_of.refining.set_cleanup(Cleanup(small_px=3000), final=True)
    assert "Nothing is left" in desk_of.message.text
    desk_of.editing.undo()
    desk_of.refining.set_cleanup(Cleanup(small_px=1200), final=True)
    assert objects(shown(desk_of)) == 1
    np.testing.assert_array_equal(stored(desk_of), shown(desk_of))
    desk_of.add(PointPrompt(*NUCLEI[1].center))  # the cleanup goes on
    assert desk_of.refining.cleanup.small_px == 1200
    desk_of.editing.undo()
    desk_of.editing.undo()
    np.testing.assert_array_equal(shown(desk_of), before)
    desk_of.editing.accept()
    desk_of.refining.set_cleanup(Cleanup(small_px=1200), final=True)
    assert objects(shown(desk_of)) == 1
    desk_of.editing.undo()
    np.testing.assert_array_equal(shown(desk_of), before)


class Held:
    """A background that works when it is told to."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> CancelToken:
        self.jobs.append(job)
        return CancelToken()

    def run(self) -> None:
        job = self.jobs.pop(0)
        job.done(job.work(job.progressed, CancelToken()))

    def idle(self, _work: object) -> CancelToken:
        return CancelToken()

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.jobs.clear()


def test_only_the_latest_place_of_a_slider_is_computed(
    make_controller: Make, marked_slide: Path
) -> None:
    mender = Held()
    controller = make_controller(mender=mender)
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("nuclei")
    mender.jobs.clear()
    for percent in range(10, 90):
        controller.refining.set_threshold(percent / 100, final=False)
    controller.refining.set_threshold(0.98, final=True)
    assert len(mender.jobs) == 1
    controller.desk.field_layer.paint((4, 4), 1)  # meanwhile
    while mender.jobs:
        mender.run()
    assert controller.desk.work.pending.threshold == 0.98
    assert shown(controller)[4, 4] == 1
    np.testing.assert_array_equal(stored(controller), shown(controller))


def test_cut_and_join(desk_of: PathsegController) -> None:
    desk_of.segment_field("nuclei")
    desk_of.editing.accept()
    before = shown(desk_of)
    y, x = NUCLEI[1].center
    desk_of.drew_line(
        Tool.SPLIT, ((50, x), (y - 40, x), (y + 40, x)), True
    )  # from beside the field
    assert objects(shown(desk_of)) == 3
    desk_of.drew_line(Tool.JOIN, ((y, x - 10), (y, x + 10)), True)
    assert objects(shown(desk_of)) == 2
    desk_of.drew_line(Tool.JOIN, ((300, 300), (300, 310)), True)
    assert "Nothing to join" in desk_of.message.text
    desk_of.drew_line(Tool.SPLIT, (NUCLEI[0].center,), True)
    assert "Nothing to cut" in desk_of.message.text
    desk_of.editing.undo()
    desk_of.editing.undo()
    np.testing.assert_array_equal(shown(desk_of), before)


def test_corrected_pixels_stay_locked_after_a_restart_and_in_other_fields(
    make_controller: Make, marked_slide: Path
) -> None:
    first = make_controller()
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    y, x = (int(v) for v in first.desk.work.record.field.from_level0(*GLANDS[0].center))
    first.desk.field_layer.brush_size = 9
    first.desk.field_layer.paint((y, x), 0)
    erased = shown(first)
    assert first.desk.hand_layer.data.any()
    first.close()

    again = make_controller()
    open_in(again, marked_slide)
    np.testing.assert_array_equal(shown(again), erased)
    assert again.desk.work.state.draft.by_hand[y, x]
    assert again.desk.hand_layer.data.any()
    look_at(again, VIEW)
    again.segment_field("gland")
    assert at(again, GLANDS[0].center) == 0
    assert at(again, (GLANDS[0].y + 20, GLANDS[0].x + 20)) > 0
    again.editing.undo()
    np.testing.assert_array_equal(shown(again), erased)
    again.editing.undo()  # the stroke of last time
    assert at(again, GLANDS[0].center) > 0
    assert not again.desk.work.state.draft.by_hand.any()
    again.editing.redo()
    look_at(again, Region(50, 50, 300, 420))
    again.segment_field("gland")
    assert len(again.desk.fields()) == 2
    assert at(again, GLANDS[0].center) == 0
    again.show_hand()
    assert not again.desk.hand_layer.data.any()
    again.close()
    third = make_controller()
    open_in(third, marked_slide)
    y, x = (int(v) for v in third.desk.work.record.field.from_level0(*GLANDS[0].center))
    assert third.desk.work.state.draft.by_hand[y, x]  # of the field that was made over the first


def test_undo_goes_on_in_the_field_before(desk_of: PathsegController) -> None:
    desk_of.segment_field("gland")
    first = desk_of.desk.work.id
    desk_of.desk.field_layer.paint((5, 5), 1)
    look_at(desk_of, Region(380, 450, 120, 320))
    desk_of.segment_field("nuclei")
    desk_of.editing.undo()
    assert not shown(desk_of).any()
    desk_of.editing.undo()
    assert desk_of.desk.work.id == first
    assert shown(desk_of)[5, 5] == 1
    desk_of.editing.undo()
    assert shown(desk_of)[5, 5] == 0
    desk_of.editing.undo()
    desk_of.editing.undo()
    assert "nothing more to undo" in desk_of.message.text


def test_a_field_is_changed_at_another_level(desk_of: PathsegController) -> None:
    desk_of.segment_field("gland")
    coarse = shown(desk_of)
    desk_of.desk.field_layer.paint((5, 5), 1)
    drawn = shown(desk_of)
    desk_of.fields.change_level(0)
    fine = shown(desk_of)
    assert desk_of.desk.work.record.field.level == 0
    height, width = drawn.shape
    np.testing.assert_array_equal(fine[: 2 * height : 2, : 2 * width : 2], drawn)
    assert desk_of.desk.work.state.draft.by_hand.sum() == 4 * (drawn != coarse).sum()
    desk_of.desk.field_layer.paint((50, 50), 1)
    np.testing.assert_array_equal(stored(desk_of), shown(desk_of))
    for _ in range(3):
        desk_of.editing.undo()
    np.testing.assert_array_equal(shown(desk_of), coarse)
    desk_of.editing.redo()
    desk_of.editing.redo()
    np.testing.assert_array_equal(shown(desk_of), fine)
    np.testing.assert_array_equal(stored(desk_of), fine)


def test_a_class_that_is_locked_stays_as_it_is_shown(
    make_controller: Make, marked_slide: Path
) -> None:
    controller = make_controller()
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    controller.editing.accept()
    controller.segment_field("nuclei")
    before = shown(controller)
    gland, nucleus = controller.desk.classes
    for locked in (gland, nucleus):
        controller.classing.lock(locked, True)
        np.testing.assert_array_equal(shown(controller), before)
    controller.refining.set_threshold(0.95, True)
    controller.editing.reject()
    np.testing.assert_array_equal(shown(controller), before)
    np.testing.assert_array_equal(stored(controller), before)
    controller.classing.lock(nucleus, False)
    np.testing.assert_array_equal(shown(controller), before)


def test_classes_are_renamed_locked_and_removed_while_in_use(
    make_controller: Make, marked_slide: Path
) -> None:
    controller = make_controller()
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    glands = shown(controller)
    look_at(controller, Region(380, 450, 120, 320))
    controller.segment_field("nuclei")
    gland, nucleus = controller.desk.classes
    controller.classing.rename(gland, "nucleus")
    assert "already" in controller.message.text
    controller.classing.rename(gland, "crypt")
    controller.classing.lock(nucleus, True)
    before = shown(controller)
    controller.desk.field_layer.paint((3, 3), nucleus.value)
    np.testing.assert_array_equal(shown(controller), before)
    assert "locked" in controller.message.text
    controller.classing.lock(nucleus, False)
    controller.add(PointPrompt(*GLANDS[0].center))  # back to the first field
    controller.editing.undo()
    look_at(controller, VIEW)
    controller.segment_field("glands")  # asked by its term, it keeps the new name
    assert [c.name for c in controller.desk.listed()] == ["crypt", "nucleus"]
    controller.classing.remove(controller.desk.classes.named("crypt"))
    assert [c.name for c in controller.desk.listed()] == ["nucleus"]
    assert not shown(controller).any()
    controller.message.actions[0].run()
    assert (shown(controller) == gland.value).sum() == (glands == gland.value).sum()
    controller.classing.remove(controller.desk.classes.named("nucleus"))
    controller.close()
    again = make_controller()
    open_in(again, marked_slide)
    assert [c.name for c in again.desk.listed()] == ["crypt"]
    assert {r.classes.named("crypt").value for r, m in again.desk.fields() if m.any()} == {1}


def test_a_removed_class_comes_back_by_undo_and_is_never_drawn_in(
    desk_of: PathsegController,
) -> None:
    controller = desk_of
    controller.segment_field("gland")
    controller.classing.add("scar")
    controller.set_tool(Tool.BRUSH)
    layer = controller.desk.field_layer
    gland, scar = controller.desk.classes
    controller.classing.select("gland")
    controller.classing.remove(gland)
    assert layer.selected_label == scar.value
    controller.editing.undo()
    assert [c.name for c in controller.desk.listed()] == ["gland", "scar"]
    controller.editing.redo()
    controller.classing.remove(scar)
    assert controller.selected is None
    controller.pressed(*VIEW.center)
    assert [c.name for c in controller.desk.listed()] == ["object"]
    assert controller.desk.classes[layer.selected_label].name == "object"


def test_a_second_window_changes_nothing_and_says_why(
    make_controller: Make, marked_slide: Path
) -> None:
    first, second = make_controller(), make_controller()
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    open_in(second, marked_slide)
    look_at(second, VIEW)
    before = shown(second)
    for change in (
        lambda: second.segment_field("nuclei"),
        lambda: second.add(PointPrompt(*NUCLEI[0].center)),
        lambda: second.desk.field_layer.paint((4, 4), 1),
        second.editing.accept,
        second.editing.undo,
        lambda: second.set_tool(Tool.BRUSH),
        lambda: second.refining.set_cleanup(Cleanup(small_px=9), True),
        lambda: second.classing.remove(second.desk.classes[1]),
        lambda: second.fields.change_level(0),
    ):
        second.message = None
        change()
        assert "another window of this napari has it" in second.message.text
        np.testing.assert_array_equal(shown(second), before)
    assert second.desk.work.mask is not None
    first.close()
    second.message.actions[0].run()
    second.segment_field("nuclei")
    assert second.message.kind == "good"


def test_labels_lie_beside_the_slide_and_come_with_it(
    make_controller: Make, marked_slide: Path, tmp_path: Path
) -> None:
    first = make_controller()
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    first.desk.field_layer.paint((5, 5), 1)
    mask = shown(first)
    first.close()
    copy = tmp_path / "marked.ome.tif.pathseg.sqlite"
    assert copy.exists()
    elsewhere = tmp_path / "other computer"
    elsewhere.mkdir()
    for path in (marked_slide, copy):
        shutil.copy(path, elsewhere / path.name)
    again = make_controller(labels_folder=tmp_path / "there")
    open_in(again, elsewhere / marked_slide.name)
    np.testing.assert_array_equal(shown(again), mask)
    again.editing.undo()
    assert shown(again)[5, 5] == 0
    again.desk.field_layer.paint((9, 9), 1)
    newer = shown(again)
    again.close()
    shutil.copy(elsewhere / copy.name, copy)

    third = make_controller()
    open_in(third, marked_slide)
    assert "newer" in third.message.text
    np.testing.assert_array_equal(shown(third), mask)
    third.message.actions[0].run()
    np.testing.assert_array_equal(shown(third), newer)


def test_redo_goes_from_field_to_field_as_undo_does(desk_of: PathsegController) -> None:
    desk_of.segment_field("gland")
    look_at(desk_of, Region(380, 450, 120, 320))
    desk_of.segment_field("nuclei")
    desk_of.desk.field_layer.paint((2, 2), 1)
    masks = {record.id: mask.copy() for record, mask in desk_of.desk.fields()}
    for _ in range(4):  # two here, to the other one, one there
        desk_of.editing.undo()
    assert not any(mask.any() for _, mask in desk_of.desk.fields())
    for _ in range(4):
        desk_of.editing.redo()
    assert {record.id for record, _ in desk_of.desk.fields()} == set(masks)
    for record, mask in desk_of.desk.fields():
        np.testing.assert_array_equal(mask, masks[record.id])
    desk_of.editing.redo()
    assert desk_of.message.text == "There is nothing more to redo."


def test_a_full_disk_and_another_folder(
    desk_of: PathsegController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk_of.segment_field("gland")

    def full(*_: object) -> None:
        raise StoreError("Not saved: no space in the folder.", "Free some space.")

    wanted: list[bool] = []
    desk_of.folder_wanted.connect(lambda: wanted.append(True))
    with monkeypatch.context() as broken:
        broken.setattr(LabelStore, "record_stroke", full)
        broken.setattr(LabelStore, "save_fields", full)
        desk_of.desk.field_layer.paint((5, 5), 1)
        look_at(desk_of, Region(380, 450, 120, 320))
        desk_of.segment_field("nuclei")
        desk_of.desk.field_layer.paint((2, 2), 1)
        assert "kept in memory" in desk_of.message.text
        desk_of.message.actions[1].run()
    assert wanted == [True]
    expected = desk_of.desk.fields()
    desk_of.keep_labels_in(tmp_path / "roomy")
    assert not desk_of.saving.unsaved
    with LabelStore.open(desk_of.desk.identity, "x", tmp_path / "roomy") as store:
        for record, mask in expected:
            np.testing.assert_array_equal(store.load(record.id)[1], mask)
    assert desk_of.remembered.labels_folder == tmp_path / "roomy"
    desk_of.desk.field_layer.paint((7, 7), 1)
    np.testing.assert_array_equal(stored(desk_of), shown(desk_of))


@pytest.mark.skipif(sys.platform == "win32", reason="open files can not be moved there")
def test_a_share_with_the_labels_and_the_slide_that_vanishes(
    make_controller: Make, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    slide = write_slide(share / "marked.ome.tif", 0.5)
    first = make_controller(labels_folder=share / "labels")
    open_in(first, slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    share.rename(tmp_path / "away")
    first.desk.field_layer.paint((5, 5), 1)
    assert "is gone" in first.message.text
    assert f"labels are kept in {refuges()[0]}" in first.message.text
    assert not first.saving.unsaved
    np.testing.assert_array_equal(stored(first), shown(first))
    mask = shown(first)
    (tmp_path / "away").rename(share)  # it is there again
    first.message.actions[0].run()
    assert not first.saving.unsaved
    np.testing.assert_array_equal(stored(first), mask)
    share.rename(tmp_path / "away")
    first.desk.field_layer.paint((9, 9), 1)
    mask = shown(first)
    first.keep_labels_in(tmp_path / "here")
    assert not first.saving.unsaved
    np.testing.assert_array_equal(stored(first), mask)


def test_labels_whose_folder_is_gone_are_kept_elsewhere_and_come_back(
    make_controller: Make, marked_slide: Path, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.touch()  # no folder can be made there
    first = make_controller(labels_folder=share / "labels")
    open_in(first, marked_slide)
    actions = ["Try again", "Choose another folder"]
    assert [action.label for action in first.message.actions] == actions
    look_at(first, VIEW)
    first.segment_field("gland")
    first.desk.field_layer.paint((5, 5), 1)
    assert first.desk.store.path.parent == refuges()[0]
    assert not first.saving.unsaved
    mask = shown(first)
    first.close()

    again = make_controller(labels_folder=share / "labels")  # still gone
    open_in(again, marked_slide)
    assert str(refuges()[0]) in again.message.text
    np.testing.assert_array_equal(shown(again), mask)
    again.desk.field_layer.paint((9, 9), 1)
    mask = shown(again)
    share.unlink()
    again.close()

    third = make_controller(labels_folder=share / "labels")  # there again
    open_in(third, marked_slide)
    np.testing.assert_array_equal(shown(third), mask)
    assert third.desk.store.path.parent == share / "labels"
    assert refuge_of(third.desk.identity, "x") is None
    third.editing.undo()  # the history came along
    assert shown(third)[9, 9] == 0


def test_while_a_window_keeps_labels_elsewhere_the_next_only_looks(
    make_controller: Make, marked_slide: Path, tmp_path: Path
) -> None:
    share = tmp_path / "share"
    share.touch()  # no folder can be made there
    first = make_controller(labels_folder=share / "labels")
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    assert first.desk.store.path.parent == refuges()[0]
    share.unlink()  # it could be written again, and nobody has asked yet

    second = make_controller(labels_folder=share / "labels")
    open_in(second, marked_slide)
    assert "has it" in second.desk.read_only
    assert "read-only" in second.message.text
    np.testing.assert_array_equal(shown(second), shown(first))
    second.desk.field_layer.paint((9, 9), 1)
    np.testing.assert_array_equal(shown(second), shown(first))
    first.keep_labels_in(share / "labels")
    assert not first.saving.unsaved
    first.desk.field_layer.paint((5, 5), 1)
    mask = shown(first)
    first.close()
    second.message.actions[0].run()  # try again
    assert not second.desk.read_only
    assert second.desk.store.path.parent == share / "labels"
    np.testing.assert_array_equal(shown(second), mask)


def test_newer_labels_that_were_kept_elsewhere_are_offered(
    make_controller: Make, marked_slide: Path, tmp_path: Path
) -> None:
    first = make_controller()
    open_in(first, marked_slide)
    look_at(first, VIEW)
    first.segment_field("gland")
    (tmp_path / "labels").rename(tmp_path / "away")
    first.desk.field_layer.paint((5, 5), 1)
    mask = shown(first)
    first.close()
    (tmp_path / "away").rename(tmp_path / "labels")
    again = make_controller()
    open_in(again, marked_slide)
    assert shown(again)[5, 5] == 0
    assert f"were kept in {refuges()[0]}" in again.message.text
    again.message.actions[0].run()
    np.testing.assert_array_equal(shown(again), mask)


@pytest.fixture
def homeless(
    make_controller: Make, marked_slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> PathsegController:
    """A field whose labels no folder takes, as long as `share` is a file."""
    (tmp_path / "share").touch()
    nowhere = tmp_path / "share" / "one", tmp_path / "share" / "two"
    monkeypatch.setattr(refuge, "refuges", lambda: nowhere)
    controller = make_controller(labels_folder=tmp_path / "share" / "labels")
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    return controller


def test_labels_that_no_folder_takes_are_in_memory_until_one_does(
    homeless: PathsegController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = homeless
    controller.desk.field_layer.paint((5, 5), 1)
    assert "kept in memory" in controller.message.text
    assert controller.saving.unsaved
    (tmp_path / "share").unlink()
    controller.message.actions[0].run()
    assert not controller.saving.unsaved
    np.testing.assert_array_equal(stored(controller), shown(controller))
    (tmp_path / "labels").write_bytes(b"")
    monkeypatch.setattr(refuge, "refuges", lambda: (tmp_path / "labels" / "x", tmp_path / "late"))
    (tmp_path / "share").rename(tmp_path / "away")
    monkeypatch.setattr(Relocating, "_seek_refuge", lambda *_: None)
    controller.desk.field_layer.paint((7, 7), 1)
    assert controller.saving.unsaved
    mask, identity, field_id = shown(controller), controller.desk.identity, controller.desk.work.id
    controller.close()  # the last moment
    with LabelStore.open(identity, "x", tmp_path / "late") as store:
        np.testing.assert_array_equal(store.load(field_id)[1], mask)


def test_a_folder_is_asked_for_before_labels_in_memory_go_with_the_window(
    homeless: PathsegController, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    controller = homeless
    assert controller.saving.unsaved
    answers = [tmp_path / "share" / "three", tmp_path / "roomy"]
    monkeypatch.setattr(last_place, "_ask", lambda *_: answers.pop(0))
    last_place.save_rest(controller, None)
    assert not answers
    assert not controller.saving.unsaved
    assert controller.desk.store.path.parent == tmp_path / "roomy"
    np.testing.assert_array_equal(stored(controller), shown(controller))
    assert controller.remembered.labels_folder == tmp_path / "roomy"
    last_place.save_rest(controller, None)  # nothing to ask for


def test_labels_in_memory_outlive_their_slide_until_a_folder_takes_them(
    homeless: PathsegController,
    make_controller: Make,
    marked_slide: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mask, asked, said = shown(homeless), [], []
    homeless.said.connect(said.append)
    homeless.viewer.layers.clear()  # as napari does when a script closes the viewer
    assert any("kept in memory until" in message.text for message in said)
    assert homeless.desk is None
    assert homeless.saving.unsaved
    monkeypatch.setattr(
        last_place, "_ask", lambda names, *_: asked.append(names) or tmp_path / "roomy"
    )
    last_place.save_rest(homeless, None)
    assert asked == [marked_slide.name]
    again = make_controller(labels_folder=homeless.remembered.labels_folder)
    open_in(again, marked_slide)
    assert not again.desk.read_only
    np.testing.assert_array_equal(shown(again), mask)


def test_labels_that_go_to_and_fro_between_folders_are_the_newest_in_each(
    desk_of: PathsegController, tmp_path: Path
) -> None:
    desk_of.segment_field("gland")
    home = desk_of.desk.store.path.parent
    desk_of.keep_labels_in(tmp_path / "other")
    desk_of.desk.field_layer.paint((5, 5), 1)
    desk_of.keep_labels_in(home)
    assert desk_of.desk.store.path.parent == home
    np.testing.assert_array_equal(stored(desk_of), shown(desk_of))


def test_a_slide_whose_file_vanishes_loses_nothing(
    desk_of: PathsegController, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk_of.segment_field("gland")
    before = shown(desk_of)

    def gone(*_: object) -> None:
        raise DamagedSlideError("marked.ome.tif: can not be read.", "Check that it is there.")

    monkeypatch.setattr(type(desk_of.desk.slide), "read", gone)
    look_at(desk_of, Region(380, 450, 120, 320))
    desk_of.segment_field("nuclei")
    assert "can not be read" in desk_of.message.text
    assert desk_of.message.kind == "error"
    np.testing.assert_array_equal(shown(desk_of), before)
    desk_of.desk.field_layer.paint((5, 5), 1)
    np.testing.assert_array_equal(stored(desk_of), shown(desk_of))


def test_ten_thousand_objects_in_a_field(desk_of: PathsegController) -> None:
    look_at(desk_of, Region.whole(SHAPE))
    desk_of.classing.add("dot")
    desk_of.set_tool(Tool.BRUSH)
    layer = desk_of.desk.field_layer
    mask = np.zeros(layer.data.shape, np.uint16)
    mask[::5, ::5] = mask[1::5, ::5] = mask[::5, 1::5] = 1
    desk_of.drawing.painted(desk_of.desk, mask)
    many = objects(mask)
    assert many > 10_000
    assert desk_of.desk.counts()[1].objects == many
    desk_of.refining.set_cleanup(Cleanup(small_px=4), final=True)  # drawn by hand: it stays
    assert objects(shown(desk_of)) == many
    desk_of.add(PointPrompt(0.5, 0.5, positive=False))
    assert objects(shown(desk_of)) == many - 1
    desk_of.editing.undo()
    desk_of.editing.undo()
    desk_of.editing.undo()
    assert not shown(desk_of).any()


def test_a_plane_of_a_stack_is_worked_on(controller: PathsegController) -> None:
    from napari.layers import Image

    stack = np.stack([np.full((*SHAPE, 3), 150, np.uint8), picture(), picture()])
    layer = Image(stack, rgb=True, name="stack", axis_labels=("z", "y", "x"))
    controller.viewer.add_layer(layer)  # napari shows the middle of a stack
    assert controller.desk.plane == (1,)
    controller.viewer.dims.set_current_step(0, 2)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    assert "You work on z 1 of stack." in controller.message.text
    controller.message.actions[0].run()
    assert controller.desk.plane == (2,)
    controller.segment_field("gland")
    assert at(controller, GLANDS[0].center) == 1
    controller.add(PointPrompt(*NUCLEI[0].center))
    mask, clicks = shown(controller), controller.viewer.layers["stack points"]
    assert clicks.visible
    controller.viewer.dims.set_current_step(0, 0)
    assert not controller.desk.field_layer.visible
    assert not controller.desk.overview.visible
    assert not clicks.visible
    controller.viewer.dims.set_current_step(0, 2)
    assert controller.desk.field_layer.visible
    assert clicks.visible
    np.testing.assert_array_equal(shown(controller), mask)


def test_a_picture_that_is_no_slide_and_one_that_is_turned(controller: PathsegController) -> None:
    from napari.layers import Image

    gray = picture()[..., 0].astype(np.float32)
    layer = Image(gray, name="channel", colormap="red", scale=(0.5, 0.5), units=("um", "um"))
    controller.viewer.add_layer(layer)
    assert controller.desk.mpp == (0.5, 0.5)
    pixels = controller.desk.slide.read(Field(0, 0, 0, *SHAPE, (1.0, 1.0)))
    y, x = (int(v) for v in GLANDS[0].center)
    assert tuple(pixels[y, x]) == (255, 0, 0)
    look_at(controller, VIEW)
    controller.add(PointPrompt(*GLANDS[0].center))
    assert controller.desk.work is not None
    turned = Image(gray, name="turned", rotate=30)
    controller.viewer.add_layer(turned)
    assert controller.desk.layer is layer


def test_the_layers_of_the_first_prompt_are_there_before_it(
    desk_of: PathsegController, slide_without_scale: Path
) -> None:
    layers = desk_of.viewer.layers
    names = [layer.name for layer in layers]
    assert len(names) == 6
    desk_of.add(PointPrompt(*GLANDS[0].center))
    assert [layer.name for layer in layers] == names
    open_in(desk_of, slide_without_scale)
    second = desk_of.desk
    places = [layers.index(layer) for layer in layers if layer.name.startswith(second.name)]
    assert places == list(range(6, 12))  # nothing of it lies under its picture, nor of the first
    assert layers.index(second.layer) == 6


def test_what_is_in_hand_goes_along_to_another_slide(
    desk_of: PathsegController, slide_without_scale: Path
) -> None:
    desk_of.segment_field("gland")
    first = desk_of.desk
    desk_of.set_tool(Tool.BRUSH)
    first.field_layer.brush_size = 40
    on_screen = 40 * first.field_layer.scale[-1] * desk_of.viewer.scene.camera.zoom
    open_in(desk_of, slide_without_scale)
    look_at(desk_of, VIEW)
    second = desk_of.desk
    assert second is not first
    desk_of.pressed(*NUCLEI[0].center)
    layer = second.field_layer
    assert desk_of.viewer.layers.selection.active is layer
    assert str(layer.mode) == "paint"
    assert second.classes[layer.selected_label] == replace(
        first.classes.named("gland"), value=layer.selected_label
    )
    zoom = desk_of.viewer.scene.camera.zoom
    assert layer.brush_size == pytest.approx(on_screen / zoom / layer.scale[-1], abs=1)

    desk_of.set_tool(Tool.ERASER)
    layer.brush_size = 10
    desk_of.viewer.layers.selection.active = first.field_layer
    assert str(first.field_layer.mode) == "erase"
    assert first.field_layer.brush_size < 40
    desk_of.set_tool(Tool.ADD)
    desk_of.viewer.layers.selection.active = layer
    assert str(layer.mode) == "pan_zoom"


def test_a_brush_from_elsewhere_leaves_a_read_only_slide_alone(
    make_controller: Make, marked_slide: Path, slide_without_scale: Path
) -> None:
    first, second = make_controller(), make_controller()
    open_in(first, slide_without_scale)
    open_in(second, marked_slide)
    look_at(second, VIEW)
    second.segment_field("gland")
    second.set_tool(Tool.BRUSH)
    open_in(second, slide_without_scale)
    look_at(second, VIEW)
    assert second.desk.read_only
    second.pressed(*NUCLEI[0].center)
    assert second.desk.work is None
    assert "read-only" in second.message.text


def test_corrections_are_hatched_in_stripes() -> None:
    rows, columns = np.mgrid[:11, :13]
    by_hand = np.random.default_rng(0).random((11, 13)) < 0.7
    np.testing.assert_array_equal(hatched(by_hand), by_hand & ((rows + columns) % 4 == 0))
