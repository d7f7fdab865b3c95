"""Whole slides from the panel, without a window: estimate, run, stop, go on, report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from desk_slides import GLANDS, open_in
from marker_segmenter import MarkerSegmenter
from napari.layers import Labels
from pytestqt.qtbot import QtBot

from napari_pathseg.batch import slide_files
from napari_pathseg.batch.settings import BatchSettings
from napari_pathseg.errors import SlideError
from napari_pathseg.geometry import level0_to_world
from napari_pathseg.gui.batching import Batching
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner
from napari_pathseg.gui.layers import whole_slide_of
from napari_pathseg.gui.messages import NO_SCALE
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.widgets.batch_page import BatchPage
from napari_pathseg.progress import CancelToken

SETTINGS = BatchSettings(("gland; nucleus",))


@pytest.fixture
def batching(controller: PathsegController, marked_slide: Path) -> Batching:
    open_in(controller, marked_slide)
    return Batching(controller, ImmediateRunner())


def label_layer(batching: Batching) -> Labels:
    layers = batching._controller.viewer.layers
    (found,) = [layer for layer in layers if layer.name.endswith("whole slide")]
    assert isinstance(found, Labels)
    return found


def test_an_estimate_comes_first_and_nothing_is_written(batching: Batching, tmp_path: Path) -> None:
    batching.estimate(SETTINGS, tmp_path / "out", every=False)
    assert batching.state == "ready"
    (row,) = batching.rows
    assert row.plan is not None
    assert row.plan.tiles > 0
    assert batching.tiles_left == row.plan.tiles
    assert batching.seconds_left == row.plan.tiles * row.tile_s > 0
    assert not (tmp_path / "out").exists()
    batching.cancel()
    assert batching.state == "idle"


def test_a_whole_slide_lies_exactly_over_the_slide(batching: Batching, tmp_path: Path) -> None:
    batching.estimate(SETTINGS, tmp_path / "out", every=True)
    batching.start()
    assert batching.state == "idle"
    (row,) = batching.rows
    assert row.facts is not None
    assert row.facts["status"] == "done"
    assert batching.report == tmp_path / "out" / "report.html"
    layer = label_layer(batching)
    for region in GLANDS:
        assert layer.get_value(level0_to_world(*region.center, (0.5, 0.5)), world=True) == 1
    assert not layer.editable
    assert not (tmp_path / "out" / ".pathseg" / "panel.json").exists()


def test_a_pyramid_of_labels_is_read_as_it_is_looked_at(
    batching: Batching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_files, "WHOLE_PX", 300)
    batching.estimate(SETTINGS, tmp_path / "out", every=False)
    batching.start()
    layer = label_layer(batching)
    assert layer.multiscale
    finest = layer.data[0]
    assert finest.shape == (1024, 1536)
    region = GLANDS[0]
    window = finest[region.y + 8 : region.y + 20, region.x + 8 : region.x + 20]
    assert (window == 1).all()
    assert finest[region.y + 8, region.x + 8] == 1


def test_what_was_stopped_goes_on_and_what_is_done_is_not_done_again(
    make_controller: Callable[..., PathsegController],
    marked_slide: Path,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    segmenter, settings = MarkerSegmenter(), replace(SETTINGS, where="all", instances=True)
    controller = make_controller(model=SharedModel(lambda: segmenter))
    open_in(controller, marked_slide)
    batching = Batching(controller, ImmediateRunner())
    out = tmp_path / "out"
    batching.estimate(settings, out, every=False)
    take = batching._tiles.put

    def crash(item: object) -> None:
        take(item)  # type: ignore[arg-type]
        if segmenter.encoder_passes >= before + 3:
            raise KeyboardInterrupt

    before = segmenter.encoder_passes
    batching._tiles = type("Broken", (), {"put": staticmethod(crash), "empty": lambda _: True})()  # type: ignore[assignment]
    with pytest.raises(KeyboardInterrupt):
        batching.start()
    looked_at = segmenter.encoder_passes - before  # those at work end, and are kept
    assert looked_at >= 3
    assert batching.unfinished(out) == settings
    page = BatchPage(controller, ImmediateRunner())
    qtbot.addWidget(page)
    page.show()
    assert page.out == out
    assert page.words.text() == "gland; nucleus"
    assert page.apart.isChecked()
    assert not page.tissue.isChecked()
    assert "was stopped" in page.outlook.text()

    again = Batching(controller, ImmediateRunner())
    again.estimate(settings, out, every=False)
    before, tiles = segmenter.encoder_passes, again.rows[0].plan.tiles  # type: ignore[union-attr]
    assert again.tiles_left == tiles - looked_at  # the estimate knows what is done
    again.start()
    assert segmenter.encoder_passes == before + tiles - looked_at
    assert again.unfinished(out) is None

    controller.viewer.layers.remove(label_layer(again))
    last = Batching(controller, ImmediateRunner())
    before = segmenter.encoder_passes
    last.estimate(settings, out, every=False)
    assert last.report == out / "report.html"
    last.start()
    assert segmenter.encoder_passes == before
    assert last.rows[0].facts is not None
    assert last.rows[0].facts["kept"]
    shown = label_layer(last)
    for region in GLANDS:
        assert shown.get_value(level0_to_world(*region.center, (0.5, 0.5)), world=True) == 1


def test_a_viewer_that_is_closed_meanwhile_stops_the_run_and_fails_no_slide(
    batching: Batching, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, cancel: CancelToken, **__: object) -> None:
        cancel.cancel()
        raise SlideError("marked.ome.tif: the slide was closed.")

    monkeypatch.setattr("napari_pathseg.gui.batching.segment_to_files", closed)
    batching.estimate(SETTINGS, tmp_path / "out", every=False)
    batching.start()
    assert batching.rows[0].facts is None
    assert batching.unfinished(tmp_path / "out") == SETTINGS


def test_what_can_not_be_done_is_said(
    batching: Batching, slide_without_scale: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    batching._controller.said.connect(lambda message: said.append(message.text))
    batching.estimate(replace(SETTINGS, prompts=("",)), tmp_path, every=False)
    assert "nothing to look for" in said[-1]
    batching.estimate(replace(SETTINGS, prompts=("flux capacitor",)), tmp_path, every=False)
    assert "flux capacitor" in said[-1]
    assert batching.state == "idle"
    open_in(batching._controller, slide_without_scale)
    batching.estimate(SETTINGS, tmp_path / "out", every=True)
    batching.start()
    states = {row.desk.name: row.facts["status"] for row in batching.rows if row.facts}
    assert states == {"marked.ome.tif": "done", "plain.tif": "failed"}
    assert "1 of 2" in said[-1]
    names = [layer.name for layer in batching._controller.viewer.layers]
    assert names.index("marked.ome.tif whole slide") < names.index("plain.tif")


def test_the_table_says_why_without_the_path_and_brings_a_slide_forward(
    controller: PathsegController,
    marked_slide: Path,
    slide_without_scale: Path,
    tmp_path: Path,
    qtbot: QtBot,
) -> None:
    open_in(controller, marked_slide)
    open_in(controller, slide_without_scale)
    page = BatchPage(controller, ImmediateRunner(), tmp_path / "out")
    qtbot.addWidget(page)
    page.batching.estimate(SETTINGS, tmp_path / "out", every=True)
    table = page.table
    told = {table.item(row, 0).text(): table.item(row, 2).text() for row in range(2)}  # type: ignore[union-attr]
    assert told["plain.tif"] == NO_SCALE
    assert "mm²" in told["marked.ome.tif"]
    for name in ("marked.ome.tif", "plain.tif"):
        (row,) = [i for i in range(2) if table.item(i, 0).text() == name]  # type: ignore[union-attr]
        table.cellClicked.emit(row, 2)
        assert controller.desk is not None
        assert controller.desk.name == name


def test_slides_of_one_name_are_told_apart(
    controller: PathsegController, marked_slide: Path, tmp_path: Path, qtbot: QtBot
) -> None:
    for folder in ("old", "new"):
        (tmp_path / folder).mkdir()
        open_in(controller, shutil.copy(marked_slide, tmp_path / folder))
    page = BatchPage(controller, ImmediateRunner(), tmp_path / "out")
    qtbot.addWidget(page)
    page.batching.estimate(SETTINGS, tmp_path / "out", every=True)
    items = [page.table.item(row, 0) for row in range(page.table.rowCount())]
    shown = {item.text(): item.toolTip() for item in items if item is not None}
    assert shown == {
        f"{folder}/{marked_slide.name}": str(tmp_path / folder / marked_slide.name)
        for folder in ("old", "new")
    }
    page.batching.start()
    desks = list(controller.desks)
    (first,), (second,) = (whole_slide_of(controller.viewer, each.slide) for each in desks)
    assert first is not second
    for front, other, desk in ((first, second, desks[0]), (second, first, desks[1])):
        controller.desks.bring_forward(desk)
        assert (front.visible, other.visible) == (True, False)
