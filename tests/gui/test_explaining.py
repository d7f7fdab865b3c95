"""Maps of the proposal and the objects that matter: they follow the desk and are never stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from desk_slides import GLANDS, NUCLEI, look_at, open_in
from marker_segmenter import MarkerSegmenter

from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.explaining import Shown
from napari_pathseg.gui.jobs import Job
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.inference.explaining import uncertainty
from napari_pathseg.progress import CancelToken
from napari_pathseg.prompts import PointPrompt

VIEW = Region(100, 200, 600, 900)


def maps(controller: PathsegController) -> list:
    """The Image layers that are no slide."""
    return [x for x in controller.viewer.layers if x.metadata.get("pathseg") == "map"]


@pytest.fixture
def asked(controller: PathsegController, marked_slide: Path) -> PathsegController:
    """A desk with a proposal of glands, seen as probability."""
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.explaining.show(Shown.PROBABILITY)
    assert maps(controller) == [], "nothing is proposed yet"
    controller.segment_field("gland")
    return controller


def test_a_map_lies_exactly_over_its_field(asked: PathsegController) -> None:
    (layer,) = maps(asked)
    mask = asked.desk.field_layer
    pending = asked.desk.work.pending
    np.testing.assert_allclose(layer.scale, mask.scale)
    np.testing.assert_allclose(layer.translate, mask.translate)
    assert layer.units == mask.units
    np.testing.assert_array_equal(layer.data, pending.probability(1))
    assert layer.colorbar.visible
    assert tuple(layer.contrast_limits) == (0, 1)
    layers = asked.viewer.layers
    assert layers.index(layer) < layers.index(mask), "the mask lies above"
    assert mask.contour > 0, "as an outline"
    assert layers.selection.active is mask, "the keys stay with the mask"


def test_a_map_follows_the_prompt_and_not_the_threshold(asked: PathsegController) -> None:
    (layer,) = maps(asked)
    before = layer.data
    asked.refining.set_threshold(0.8, final=True)
    assert maps(asked)[0].data is before
    asked.explaining.show(Shown.UNCERTAINTY)
    np.testing.assert_array_equal(layer.data, uncertainty(asked.desk.work.pending))
    assert "uncertainty of gland" in layer.name
    look_at(asked, Region(380, 450, 100, 400))
    asked.segment_field("nucleus")
    (layer,) = maps(asked)
    assert "nucleus" in layer.name
    assert layer.data.shape == asked.desk.field_layer.data.shape
    np.testing.assert_allclose(layer.translate, asked.desk.field_layer.translate)


def test_the_selected_class_is_shown(asked: PathsegController) -> None:
    asked.segment_field("gland; nucleus")
    pending = asked.desk.work.pending
    for name, value in (("nucleus", 2), ("gland", 1)):
        asked.classing.select(name)
        (layer,) = maps(asked)
        assert layer.name.endswith(f"probability of {name}")
        np.testing.assert_array_equal(layer.data, pending.probability(value))


@pytest.mark.parametrize("end", ["accept", "reject", "undo", "mask", "close"])
def test_a_map_goes_with_its_proposal(asked: PathsegController, end: str) -> None:
    if end == "mask":
        asked.explaining.show(Shown.MASK)
    elif end == "close":
        asked.viewer.layers.remove(asked.desk.layer)
    else:
        getattr(asked.editing, end)()
    assert maps(asked) == []
    if end != "close":
        assert asked.desk.field_layer.contour == 0, "filled again"


def test_undo_brings_the_map_back(asked: PathsegController) -> None:
    asked.editing.reject()
    asked.editing.undo()
    (layer,) = maps(asked)
    np.testing.assert_array_equal(layer.data, asked.desk.work.pending.probability(1))


def test_looking_underneath_hides_the_map_too(asked: PathsegController) -> None:
    (layer,) = maps(asked)
    asked.hide_masks(True)
    assert not layer.visible
    asked.hide_masks(False)
    assert layer.visible


def test_the_choice_is_remembered_and_the_key_goes_round(
    asked: PathsegController, make_controller: Callable[..., PathsegController]
) -> None:
    assert make_controller().explaining.shown is Shown.PROBABILITY
    shown = []
    for _ in range(3):
        asked.explaining.show_next()
        shown.append(asked.explaining.shown)
    assert shown == [Shown.UNCERTAINTY, Shown.MASK, Shown.PROBABILITY]


def test_nothing_of_it_is_stored(asked: PathsegController) -> None:
    asked.saving.flush()
    before = [record.id for record in asked.desk.store.fields()]
    asked.explaining.show(Shown.UNCERTAINTY)
    asked.explaining.weigh()
    asked.saving.flush()
    after = asked.desk.store.fields()
    assert [record.id for record in after] == before
    assert asked.desk.store.load(after[0].id)[1].max() == 1


def test_objects_are_weighed_and_pointed_at(asked: PathsegController) -> None:
    asked.explaining.weigh()
    objects = asked.explaining.objects
    assert [one.label_class.name for one in objects] == ["gland"] * 2
    weights = [one.importance for one in objects]
    assert weights == sorted(weights, reverse=True)
    assert min(weights) > 100, "without it nothing is left in the tile that holds it"
    for one in objects:
        region = min(GLANDS, key=lambda g: abs(g.center[1] - one.centroid[1]))
        np.testing.assert_allclose(one.centroid, region.center, atol=3)
        asked.explaining.point_at(one)
        place = asked.level0_of(asked.viewer.scene.camera.center)
        np.testing.assert_allclose(place, region.center, atol=3)
        outline = asked.viewer.layers[f"{asked.desk.name} boxes"]
        assert outline.visible
        corners = outline.data[0] / 0.5 + 0.5
        np.testing.assert_allclose(corners.min(0), (region.y, region.x), atol=5)
    asked.refining.set_threshold(0.7, final=True)
    assert asked.explaining.objects == objects, "the same answer"
    asked.editing.accept()
    assert asked.explaining.objects == ()
    assert not outline.visible


def test_the_only_object_matters_most(asked: PathsegController) -> None:
    look_at(asked, Region(130, 200, 200, 300))
    asked.segment_field("gland")
    asked.explaining.weigh()
    (one,) = asked.explaining.objects
    assert one.importance == pytest.approx(np.log(0.03) / np.log(0.98), rel=1e-3)


def test_clicks_have_no_objects_to_weigh(controller: PathsegController, marked_slide: Path) -> None:
    controller.explaining.weigh()
    assert "Ask for a term" in controller.message.text
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.add(PointPrompt(*GLANDS[0].center))
    assert not controller.explaining.can_weigh


class Waiting:
    """Keeps jobs until they are told to run."""

    def __init__(self) -> None:
        self.jobs: list[tuple[Job, CancelToken]] = []

    def submit(self, job: Job) -> CancelToken:
        token = CancelToken()
        self.jobs.append((job, token))
        return token

    def run(self) -> None:
        while self.jobs:
            job, token = self.jobs.pop(0)
            try:
                result = job.work(job.progressed, token)
            except CancelledError as error:
                job.failed(error)
            else:
                job.done(result)

    def idle(self, _work: object) -> CancelToken:
        return CancelToken()

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.jobs.clear()


def test_a_new_prompt_stops_the_weighing(
    make_controller: Callable[..., PathsegController], marked_slide: Path
) -> None:
    runner, segmenter = Waiting(), MarkerSegmenter()
    controller = make_controller(runner=runner, model=SharedModel(lambda: segmenter))
    open_in(controller, marked_slide)
    runner.run()
    look_at(controller, VIEW)
    controller.segment_field("gland")
    runner.run()
    told = []
    controller.explaining.progressed.connect(told.append)
    controller.explaining.weigh()
    assert controller.explaining.weighing
    passes = segmenter.encoder_passes
    controller.segment_field("nucleus")
    assert not controller.explaining.weighing
    runner.run()
    assert controller.explaining.objects == ()
    controller.explaining.weigh()
    runner.run()
    assert {one.label_class.name for one in controller.explaining.objects} == {"nucleus"}
    assert len(controller.explaining.objects) == len(NUCLEI)
    assert (told[-1].done, told[-1].total) == (2, 2)
    assert segmenter.encoder_passes > passes
    controller.explaining.weigh()
    controller.explaining.cancel()
    assert not controller.explaining.weighing
