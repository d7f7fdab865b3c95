"""Out through the tab and napari's Save, and in again, without a window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
from desk_slides import look_at, open_in

from napari_pathseg.config import ExportConfig
from napari_pathseg.export.bundle import read_bundle
from napari_pathseg.export.incoming.frame import Frame
from napari_pathseg.export.incoming.reading import read_incoming
from napari_pathseg.export.run import Exported, Outlook
from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.exporting import Exporting
from napari_pathseg.gui.importing import Importing
from napari_pathseg.gui.jobs import ImmediateRunner
from napari_pathseg.gui.label_reader import get_label_reader, read_labels
from napari_pathseg.gui.reader import get_reader, read_slides
from napari_pathseg.gui.writer import write_layers

VIEW = Region(128, 192, 160, 256)


@pytest.fixture
def asked(controller: PathsegController, marked_slide: Path) -> PathsegController:
    """A slide with one field of glands."""
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("gland")
    assert controller.desk.work.mask.any()
    return controller


def test_the_tab_counts_and_writes_what_is_chosen(asked: PathsegController, tmp_path: Path) -> None:
    exporting = Exporting(asked, ImmediateRunner())
    outlooks: list[Outlook] = []
    ended: list[Exported | None] = []
    exporting.looked.connect(outlooks.append)
    exporting.ended.connect(ended.append)
    config = ExportConfig(formats=("bundle", "csv"), tile_px=64)
    exporting.look(config, "slide")
    assert (outlooks[0].fields, outlooks[0].slides) == (1, 1)
    assert outlooks[0].total_bytes > 0
    assert not exporting.busy
    for scope in ("field", "view", "slide", "all"):
        exporting.write(tmp_path / scope, config, scope)
        assert ended[-1] is not None, asked.message.text
        assert {p.name for p in ended[-1].paths} >= {"training"}
        assert asked.message.kind == "good"
    exporting.write(tmp_path / "x", ExportConfig(reviewed_only=True), "slide")
    assert ended[-1] is None
    assert "not reviewed" in asked.message.text
    assert not (tmp_path / "x").exists()


def test_labels_come_in_with_their_classes_shown(
    asked: PathsegController, make_controller: Callable[..., PathsegController], tmp_path: Path
) -> None:
    mask, field = asked.desk.work.mask.copy(), asked.desk.work.record.field
    exporting = Exporting(asked, ImmediateRunner())
    exporting.write(tmp_path / "out", ExportConfig(formats=("geojson",)), "slide")
    (path,) = (tmp_path / "out").glob("*.geojson")
    assert get_label_reader(str(path)) is not None
    other = make_controller(labels_folder=tmp_path / "others")
    importing = Importing(other, ImmediateRunner())
    importing.read(path)
    assert other.message.text.startswith("Open a slide")
    open_in(other, asked.desk.slide.path)
    importing.read(path)
    (mapped,) = importing.mapping
    assert (mapped.source.name, mapped.target, mapped.term.object) == ("gland", "gland", "gland")
    importing.rename("gland", "odd")
    assert importing.mapping[0].target == "odd"
    importing.rename("gland", "gland")
    importing.take_in(reviewed=True)
    assert importing.incoming is None
    work = other.desk.work
    assert work.record.field == field
    np.testing.assert_array_equal(work.mask > 0, mask > 0)
    assert work.record.status == "accepted"
    (tmp_path / "half.geojson").write_bytes(path.read_bytes()[:-300])
    importing.read(tmp_path / "half.geojson")
    assert other.message.kind == "error"
    assert "half.geojson" in other.message.text
    assert importing.incoming is None


def test_numbers_of_objects_are_asked_for_their_class(
    asked: PathsegController, tmp_path: Path
) -> None:
    shape = asked.desk.slide.levels[0].shape
    objects = np.zeros(shape, np.uint32)
    objects[:100] = np.arange(1, 101, dtype=np.uint32)[:, None]
    path = tmp_path / "found.tif"
    tifffile.imwrite(path, objects)
    assert get_reader(str(path)) is read_labels
    assert get_reader(str(asked.desk.slide.path)) is read_slides
    importing = Importing(asked, ImmediateRunner())
    importing.read(path)
    assert "say which class" in asked.message.text
    (mapped,) = importing.mapping
    assert (mapped.source.name, mapped.target) == ("objects", "")
    importing.take_in(reviewed=False)
    assert "which class they are" in asked.message.text
    importing.count_as("classes")
    assert len(importing.mapping) == 100
    importing.count_as("objects")
    importing.rename("objects", "nuclei")
    assert importing.mapping[0].target == "nucleus"
    importing.take_in(reviewed=False)
    assert asked.message.kind == "good"
    numbers = asked.desk.store.numbers(asked.desk.work.record.id)
    assert len(np.unique(numbers)) == 101


def test_napari_saves_layers_in_their_place(asked: PathsegController, tmp_path: Path) -> None:
    desk = asked.desk
    layers = [layer.as_layer_data_tuple() for layer in asked.viewer.layers]
    frame = Frame.of(desk.slide)
    for name in ("a.geojson", "a.tif", "a.png", "a.ome.tif"):
        assert write_layers(str(tmp_path / name), layers) == [str(tmp_path / name)]
        incoming = read_incoming(tmp_path / name, frame)
        assert [c.name for c in incoming.classes] == ["gland"]
        (field,) = incoming.fields
        assert field.field == desk.work.record.field
        np.testing.assert_array_equal(field.mask > 0, desk.work.mask > 0)
    assert write_layers(str(tmp_path / "b.tif"), [x for x in layers if x[2] == "image"]) == []


def test_a_bundle_of_the_panel_holds_the_slide(asked: PathsegController, tmp_path: Path) -> None:
    exporting, done = Exporting(asked, ImmediateRunner()), []
    exporting.ended.connect(done.append)
    config = ExportConfig(formats=("bundle", "geojson", "tif"))
    exporting.write(tmp_path / "out", config, "slide")
    assert len(read_bundle(done[0].bundle)) == 1
    assert json.loads(done[0].geojson.read_text(encoding="utf-8"))["features"]
    assert len(done[0].labels) == 1
