"""Measures of all objects of a slide: known sizes, places, dyes; each object once."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from desk_slides import GLANDS, NUCLEI, look_at, open_in

from napari_pathseg.export.sheet import write_sheet
from napari_pathseg.geometry import Region, level0_to_world
from napari_pathseg.gui.before_after import before_after, rings_of
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.ground import Ground, ground_of
from napari_pathseg.gui.measuring import Measuring, SlideMeasures
from napari_pathseg.gui.object_columns import columns, rows, summary_columns, summary_row
from napari_pathseg.gui.object_layer import show_objects
from napari_pathseg.gui.pointing import Pointing
from napari_pathseg.gui.provenance import ORIGIN, Origins, features_of
from napari_pathseg.gui.tools import Tool
from napari_pathseg.labels.stains import STAINS
from napari_pathseg.progress import CancelToken, no_progress

HE = STAINS["H&E"]


@pytest.fixture
def asked(controller: PathsegController, marked_slide: Path) -> PathsegController:
    """A desk on which glands were asked for widely, and nuclei closer."""
    open_in(controller, marked_slide)
    look_at(controller, Region(0, 0, 1024, 1536))
    controller.segment_field("gland")
    look_at(controller, Region(380, 450, 100, 400))
    controller.segment_field("nucleus")
    return controller


def measured(controller: PathsegController, measuring: Measuring | None = None) -> SlideMeasures:
    desk = controller.desk
    measuring = measuring or Measuring(desk.slide)
    return measuring.measure(desk.fields(), desk.classes, desk.mpp, HE, no_progress, CancelToken())


def test_each_object_has_its_size_and_place(asked: PathsegController) -> None:
    found = measured(asked)
    by_class = {c.label_class.name: c for c in found.classes}
    assert {name: c.objects for name, c in by_class.items()} == {"gland": 2, "nucleus": 2}
    for name, truth in (("gland", GLANDS), ("nucleus", NUCLEI)):
        mine = [o for o in found.objects if o.label_class.name == name]
        for region, one in zip(truth, sorted(mine, key=lambda o: o.center[1]), strict=True):
            down = one.record.field.downsample
            slack = 2 * max(down)
            np.testing.assert_allclose(one.center, region.center, atol=slack)
            np.testing.assert_allclose(one.region.as_list(), region.as_list(), atol=slack + 1)
            side = slack / min(region.height, region.width)
            assert one.measure.area_um2 == pytest.approx(
                region.height * region.width * 0.25, rel=2.5 * side
            )
    area = sum(r.height * r.width for r in NUCLEI) * 0.25
    assert by_class["nucleus"].area_um2 == pytest.approx(area, rel=0.1)


def test_density_is_that_of_the_tissue_that_was_looked_at(asked: PathsegController) -> None:
    summary = next(c for c in measured(asked).classes if c.label_class.name == "nucleus")
    looked = next(r for r, _ in asked.desk.fields() if "nucleus" in r.texts[0]).field.region
    # The marked slide is grey all over: all of it counts as tissue.
    assert summary.tissue_um2 == pytest.approx(looked.height * looked.width * 0.25, rel=0.01)
    assert summary.per_mm2 == pytest.approx(2 / (summary.tissue_um2 / 1e6))
    assert summary.share == pytest.approx(summary.area_um2 / summary.tissue_um2)


def test_regions_that_overlap_count_once() -> None:
    from napari_pathseg.geometry import Field

    tissue = np.zeros((10, 10), bool)
    tissue[:, 5:] = True
    ground = Ground(tissue, Field(0, 0, 0, 10, 10, (100.0, 100.0)), np.full(3, 245.0))
    part = Region(0, 400, 250, 200)  # half of it is tissue
    assert ground.tissue_um2([part], (0.5, 0.5)) == pytest.approx(250 * 100 / 4)
    both = ground.tissue_um2([part, Region(0, 450, 250, 150)], (0.5, 0.5))
    assert both == pytest.approx(250 * 100 / 4)
    assert ground.tissue_um2([part], None) is None
    assert ground.tissue_um2([Region(0, 0, 50, 50)], (0.5, 0.5)) == 0


def test_an_object_in_two_fields_counts_once(
    asked: PathsegController,
) -> None:
    look_at(asked, Region(350, 420, 200, 500))
    asked.segment_field("nucleus")
    assert len(asked.desk.fields()) == 3
    by_class = {c.label_class.name: c.objects for c in measured(asked).classes}
    assert by_class == {"gland": 2, "nucleus": 2}


def test_a_stroke_on_an_object_of_a_wider_field_takes_nothing_from_it(
    asked: PathsegController,
) -> None:
    before = measured(asked)
    gland = GLANDS[0]
    look_at(asked, Region(int(gland.center[0]) - 20, int(gland.center[1]) - 40, 90, 120))
    asked.segment_field("nucleus")
    value = asked.desk.classes.named("gland").value
    layer = asked.desk.field_layer
    layer.brush_size = 4
    layer.paint((layer.data.shape[0] // 2, layer.data.shape[1] // 2), value)
    newest, mask = asked.desk.fields()[-1]
    assert (newest.texts, (mask == value).any()) == (("nucleus",), True)

    def glands(found: SlideMeasures) -> list[float]:
        return [o.measure.area_um2 for o in found.objects if o.label_class.name == "gland"]

    assert sorted(glands(measured(asked))) == pytest.approx(sorted(glands(before)), rel=0.05)


def test_the_ratio_of_two_classes(asked: PathsegController) -> None:
    found = measured(asked)
    areas = {c.label_class.name: c.area_px for c in found.classes}
    assert found.ratio("gland", "nucleus") == areas["gland"] / areas["nucleus"]
    assert found.ratio("gland", "stroma") is None


def test_only_changed_fields_are_read_again(
    asked: PathsegController, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk, reads = asked.desk, []
    measuring = Measuring(desk.slide)
    before = measured(asked, measuring)
    read = type(desk.slide).read
    monkeypatch.setattr(type(desk.slide), "read", lambda s, f: reads.append(f) or read(s, f))
    assert len(measured(asked, measuring).objects) == len(before.objects)
    assert not reads
    look_at(asked, Region(380, 450, 100, 400))
    asked.fields.go_to_at(desk, 416, 516)
    asked.desk.field_layer.selected_label = desk.classes.named("nucleus").value
    work = desk.work
    painted = work.mask.copy()
    painted[:4, :4] = desk.classes.named("nucleus").value
    asked.drawing.painted(desk, painted)
    reads.clear()
    assert len(measured(asked, measuring).objects) == len(before.objects) + 1
    assert {f.level for f in reads} == {work.record.field.level}
    assert all(work.record.field.region.intersection(f.region) for f in reads)


def test_tables_hold_every_object_and_no_formula(asked: PathsegController, tmp_path: Path) -> None:
    found = measured(asked)
    told = columns(found.stains, scaled=True)
    names = [c.name for c in told]
    assert write_sheet(tmp_path / "o.csv", names, rows(found, told)) == 4
    with (tmp_path / "o.csv").open(encoding="utf-8-sig", newline="") as file:
        lines = list(csv.DictReader(file))
    assert {line["class"] for line in lines} == {"gland", "nucleus"}
    assert float(lines[0]["area_um2"]) == found.objects[0].measure.area_um2
    assert set(ORIGIN) < set(names)
    wide = [summary_row("=1+1.svs", c) for c in found.classes]
    assert all(len(row) == len(summary_columns(HE)) for row in wide)
    write_sheet(tmp_path / "c.csv", summary_columns(HE), wide)
    assert "\n'=1+1.svs" in (tmp_path / "c.csv").read_text(encoding="utf-8-sig")


def test_a_slide_without_scale_is_measured_in_pixels(
    controller: PathsegController, slide_without_scale: Path
) -> None:
    open_in(controller, slide_without_scale)
    look_at(controller, Region(100, 150, 400, 600))
    controller.drawing.hold(controller.desk, Tool.BRUSH)
    desk = controller.desk
    painted = desk.work.mask.copy()
    painted[10:30, 10:50] = next(iter(desk.classes)).value
    controller.drawing.painted(desk, painted)
    found = measured(controller)
    assert found.classes[0].area_um2 is None
    assert found.classes[0].per_mm2 is None
    names = [c.name for c in columns(HE, scaled=False)]
    assert "area_px" in names
    assert "area_um2" not in names


def test_where_an_object_comes_from(asked: PathsegController) -> None:
    desk = asked.desk
    record = desk.work.record
    told = features_of(record, desk.classes)
    assert told["index"] == [c.value for c in desk.classes]
    row = {name: values[[*told["class"]].index("nucleus")] for name, values in told.items()}
    assert row["prompt"] == "nucleus"
    assert row["model"].startswith("marker")
    assert row["region"] == ", ".join(map(str, record.field.region.as_list()))
    assert row["status"] == "proposed"
    origins = Origins(asked)
    shown = desk.field_layer.features
    assert list(shown["class"]) == list(told["class"])
    asked.editing.accept()
    assert set(desk.field_layer.features["status"]) == {"accepted"}
    origins.refresh()


def test_an_object_is_pointed_at(asked: PathsegController) -> None:
    desk = asked.desk
    one = next(o for o in measured(asked).objects if o.label_class.name == "gland")
    mask = next(m for r, m in desk.fields() if r.id == one.record.id)
    rings = rings_of(one.record.field, mask, one.region, one.label_class.value, one.measure.area_px)
    low, high = rings[0].min(axis=0), rings[0].max(axis=0)
    truth = one.region
    np.testing.assert_allclose(
        [*low, *high], [truth.y, truth.x, truth.stop_y, truth.stop_x], atol=2
    )
    pointing = Pointing(asked.viewer, asked.desks)
    pointing.at_object(desk, one.region)
    pointing.outline(desk, rings)
    y, x = asked.viewer.scene.camera.center[-2:]
    np.testing.assert_allclose(asked.level0_of((y, x)), one.region.center, atol=1)
    pointing.at_object(desk, Region(300, 400, 2, 2))  # a speck, where it lies
    assert asked.viewer.scene.camera.zoom * desk.mpp[0] == pytest.approx(8)
    layer = asked.viewer.layers[f"{desk.name} boxes"]
    assert len(layer.data) == len(rings)
    np.testing.assert_allclose(layer.data[0], [level0_to_world(*p, desk.mpp) for p in rings[0]])
    assert layer.visible
    asked.set_mpp((1.0, 1.0))
    assert str(layer.units[-1]) == "micrometer"
    np.testing.assert_allclose(layer.data[0], [level0_to_world(*p, desk.mpp) for p in rings[0]])
    pointing.clear()
    assert not layer.visible


def test_before_and_after_a_correction(asked: PathsegController) -> None:
    desk = asked.desk
    value = desk.classes.named("nucleus").value
    one = next(o for o in measured(asked).objects if o.label_class.value == value)
    asked.editing.accept()
    work = desk.work
    whole = before_after(desk.slide, desk.store, work.record, work.mask, one.region, value)
    assert whole.agreement == 1
    painted = work.mask.copy()
    painted[work.mask == value] = 0
    asked.drawing.painted(desk, painted)
    asked.saving.flush()
    gone = before_after(desk.slide, desk.store, work.record, work.mask, one.region, value)
    assert (gone.before.any(), gone.after.any(), gone.agreement) == (True, False, 0.0)
    assert rings_of(work.record.field, work.mask, one.region, value, 9) == []


def test_all_objects_as_a_layer_with_features(asked: PathsegController) -> None:
    found = measured(asked)
    active = asked.viewer.layers.selection.active
    layer = show_objects(asked.viewer, found, asked.desk.mpp)
    again = show_objects(asked.viewer, found, asked.desk.mpp)
    assert [x.name for x in asked.viewer.layers].count(layer.name) == 1
    assert asked.viewer.layers.selection.active is active
    assert len(again.features) == 4
    assert {"area_um2", "prompt", "model_sha256"} < set(again.features.columns)
    places = [asked.level0_of(tuple(p)) for p in again.data]
    np.testing.assert_allclose(places, [o.center for o in found.objects], atol=1e-6)


def test_glass_is_found_where_there_is_some(
    make_ome_tiff: Callable[..., Path],
) -> None:
    from napari_pathseg.slide.open import open_slide

    with open_slide(make_ome_tiff()) as slide:
        ground = ground_of(slide)
    assert ground.field.region == Region(0, 0, *slide.shape)
    assert ground.white.shape == (3,)
