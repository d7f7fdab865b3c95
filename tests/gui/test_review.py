"""The review queue: the least sure first, over all slides; progress and agreement."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from desk_slides import look_at, open_in, write_slide
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field, Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.review import (
    Agreements,
    QueuedField,
    after,
    agreement,
    progressed,
    queue,
    union_px,
)
from napari_pathseg.gui.settings import SettingsStore
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, no_progress

PLACES = (Region(100, 100, 300, 400), Region(500, 900, 300, 400))


def queued(
    score: float, presence: float = 1.0, status: str = "proposed", x: int = 0
) -> QueuedField:
    record = FieldRecord.new(
        Field(0, 0, x, 10, 20, (1.0, 1.0)),
        ClassList.from_names(["gland"], [(1, 2, 3)]),
        slide_identity="s",
        slide_name="s.svs",
        mpp=(0.5, 0.5),
        scores=(score,),
        presence=(presence,),
    )
    return QueuedField("s", "s.svs", replace(record, status=status))


def test_the_least_sure_comes_first_and_reviewed_ones_last() -> None:
    sure, unsure, done = queued(0.9), queued(0.3), queued(0.1, status="accepted")
    absent, doubtful = queued(0.0, presence=0.01), queued(0.2, presence=0.45)
    fields = [sure, unsure, done, absent, doubtful]
    assert queue(fields, reviewed_too=False) == (doubtful, unsure, sure, absent)
    assert queue(fields, reviewed_too=True)[-1] is done
    by_hand = replace(sure.record, scores=(), presence=())
    assert QueuedField("s", "s.svs", by_hand).sureness == 1


def test_the_queue_goes_round() -> None:
    fields = [queued(score) for score in (0.1, 0.2, 0.3)]
    ids = [f.record.id for f in fields]
    assert after(fields, ids[2]) is fields[0]
    assert after(fields, ids[0], -1) is fields[2]
    assert (after(fields, None), after(fields, "gone", -1)) == (fields[0], fields[2])
    assert after((), None) is None


SIDE = st.integers(1, 12)


@given(st.lists(st.builds(Region, st.integers(0, 20), st.integers(0, 20), SIDE, SIDE), max_size=8))
def test_overlapping_regions_count_once(regions: list[Region]) -> None:
    painted = np.zeros((40, 40), bool)
    for r in regions:
        painted[r.y : r.stop_y, r.x : r.stop_x] = True
    assert union_px(regions) == painted.sum()


def test_progress_is_of_reviewed_fields() -> None:
    fields = [queued(0.9), queued(0.9, status="corrected"), queued(0.9, status="accepted", x=10)]
    found = progressed([(fields, (1000.0, 1000.0))], objects=7)
    assert (found.fields, found.reviewed, found.objects) == (3, 2, 7)
    assert found.reviewed_mm2 == pytest.approx(300)
    assert found.segmented_mm2 == pytest.approx(300)
    assert progressed([(fields, None)], 0).reviewed_mm2 is None


def test_agreement_is_the_mean_dice_of_the_classes() -> None:
    before, now = np.zeros((4, 4), np.uint16), np.zeros((4, 4), np.uint16)
    before[0, :2], now[0, 1:3] = 1, 1
    now[3, 3] = 2
    found = agreement(before, now)
    assert dict(found.classes) == {1: 0.5, 2: 0.0}
    assert found.dice == 0.25
    assert agreement(before * 0, now * 0).dice == 1


@pytest.fixture
def two_slides(
    make_controller: Callable[..., PathsegController], tmp_path: Path
) -> PathsegController:
    """Two slides with a field each."""
    controller = make_controller(settings=SettingsStore())
    for name, mpp in (("one", 0.5), ("two", 0.25)):
        (tmp_path / name).mkdir()
        open_in(controller, write_slide(tmp_path / name / f"{name}.ome.tif", mpp))
        controller.viewer.layers.selection.active = controller.desk.layer
        for region in PLACES[: 2 if name == "one" else 1]:
            look_at(controller, region)
            controller.segment_field("gland")
    return controller


def test_a_key_shows_each_field_of_each_slide(two_slides: PathsegController) -> None:
    controller, seen = two_slides, []
    for _ in range(3):
        controller.reviewing.step()
        desk = controller.desk
        seen.append((desk.name, controller.reviewing.present))
        region = desk.work.record.field.region
        y, x = controller.viewer.scene.camera.center[-2:]
        np.testing.assert_allclose(controller.level0_of((y, x)), region.center, atol=1)
        tall = region.height * desk.mpp[0] * controller.viewer.scene.camera.zoom
        wide = region.width * desk.mpp[1] * controller.viewer.scene.camera.zoom
        height, width = controller.viewer.canvas.size
        assert max(tall / height, wide / width) == pytest.approx(0.9, rel=0.01)
        others = [d for d in controller.desks if d is not desk]
        assert desk.layer.visible
        assert not any(layer.visible for d in others for layer in d.layers())
    assert len(set(seen)) == 3
    assert {name for name, _ in seen} == {"one.ome.tif", "two.ome.tif"}
    first = seen[0][1]
    controller.reviewing.step(-1)
    controller.reviewing.step(-1)
    assert controller.reviewing.present == first


def test_accepting_goes_on_while_the_tab_is_open(two_slides: PathsegController) -> None:
    controller = two_slides
    controller.reviewing.step()
    first = controller.reviewing.present
    controller.editing.accept()
    assert controller.reviewing.present == first
    controller.reviewing.goes_on = True
    controller.reviewing.step()
    second = controller.reviewing.present
    controller.editing.accept()
    assert controller.reviewing.present not in (first, second)
    assert len(controller.reviewing.queue()) == 1
    controller.editing.accept()
    assert controller.reviewing.queue() == ()
    controller.reviewing.step()
    assert "Nothing waits" in controller.message.text


def test_the_setting_keeps_accept_where_it_is(two_slides: PathsegController) -> None:
    controller = two_slides
    controller.settings.put(go_on=False)
    controller.reviewing.goes_on = True
    controller.reviewing.step()
    first = controller.reviewing.present
    controller.editing.accept()
    assert controller.reviewing.present == first


def test_agreement_is_with_what_was_proposed(two_slides: PathsegController) -> None:
    controller = two_slides
    controller.reviewing.step()
    controller.editing.accept()
    desk, agreements = controller.desk, Agreements()
    field_id = controller.reviewing.present

    def compared() -> float:
        record, mask = desk.present(field_id)
        agreements.compare([(desk.store, record, mask)], no_progress, CancelToken())
        return agreements.known(record).dice

    assert compared() == 1
    painted = desk.work.mask.copy()
    painted[painted > 0] = 0
    controller.drawing.painted(desk, painted)
    controller.saving.flush()
    assert compared() == 0
