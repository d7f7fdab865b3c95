"""The tab Slide: facts, scale, tissue, and pictures that are shown only on request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from desk_slides import open_in
from PIL import Image, ImageCms
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QLabel, QPushButton, QSlider

from napari_pathseg.config import SlideConfig
from napari_pathseg.geometry import Field
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner
from napari_pathseg.gui.slide_facts import overview_of, rows_of
from napari_pathseg.gui.tissue_layer import TissueLayer
from napari_pathseg.gui.widgets.slide_page import SlidePage
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.synthetic import write_synthetic


@pytest.fixture(scope="module")
def tissue_slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_synthetic(tmp_path_factory.mktemp("slides") / "tissue.svs", (2200, 2000), seed=6)


@pytest.fixture
def page(qtbot: QtBot, controller: PathsegController) -> SlidePage:
    page = SlidePage(controller, ImmediateRunner())
    qtbot.addWidget(page)
    page.show()
    return page


def texts(page: SlidePage) -> list[str]:
    return [label.text() for label in page.facts.findChildren(QLabel)]


def test_facts_are_those_of_the_slide(tissue_slide: Path) -> None:
    with open_slide(tissue_slide) as slide:
        rows = dict(rows_of(slide, slide.metadata.mpp))
        guessed = dict(rows_of(slide, None))
        properties = {"dicom.ManufacturerModelName": "Unknown", "tiff.Model": "GT 450"}
        slide.metadata = replace(slide.metadata, properties=properties)
        renamed = dict(rows_of(slide, None))
    assert (rows["Scanner"], renamed["Scanner"]) == ("aperio", "aperio, GT 450")
    assert rows["Pixels"] == "2,000 × 2,200 (width × height)"
    assert rows["Size"] == "1 × 1.1 mm"
    assert rows["Levels"] == "3: 1, 1/2, 1/4"
    assert (guessed["Scale"], guessed["Size"]) == ("unknown", "unknown")


def test_colours_tell_whether_they_were_turned(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.new("RGB", (300, 200), "pink").save(path, icc_profile=profile)
    told = []
    for managed in (False, True):
        with open_slide(path, config=SlideConfig(color_managed=managed)) as slide:
            told.append(dict(rows_of(slide, None))["Colours"])
    assert told == ["RGB, sRGB built-in", "RGB, sRGB built-in, turned to sRGB"]


def test_the_overview_is_cut_at_any_threshold(tissue_slide: Path) -> None:
    with open_slide(tissue_slide) as slide:
        overview = overview_of(slide)
        areas = [overview.tissue(t, slide.metadata.mpp).mean() for t in (0.01, 0.1, 0.4)]
        mask = overview.tissue(overview.threshold, slide.metadata.mpp)
        area = overview.tissue_mm2(mask, slide.metadata.mpp)
    assert areas[0] >= areas[1] > areas[2]
    assert area == pytest.approx(mask.mean() * 1.1 * 1.0)
    assert overview.tissue_mm2(mask, None) is None


def test_page_shows_a_slide_and_its_tissue(
    page: SlidePage, controller: PathsegController, tissue_slide: Path
) -> None:
    open_in(controller, tissue_slide)
    assert "1 × 1.1 mm" in texts(page)
    assert not page.thumbnail.pixmap().isNull()
    assert [layer.name for layer in controller.viewer.layers if "tissue" in layer.name[11:]] == []
    page.tissue.show_it.setChecked(True)
    layer = page.tissue_layer.layer
    assert layer is not None
    before = int(layer.data.sum())
    assert 0 < before < layer.data.size
    corner = layer.data_to_world(np.array(layer.data.shape) - 0.5)
    np.testing.assert_allclose(corner, (np.array([2200, 2000]) - 0.5) * 0.5)
    own = page.tissue.threshold
    page.tissue.slider.triggerAction(QSlider.SliderAction.SliderPageStepAdd)  # a click beside it
    assert page.tissue.threshold > 1.2 * own
    page.tissue.slider.setValue(1000)
    assert int(layer.data.sum()) < before
    page.tissue.automatic.click()
    assert int(layer.data.sum()) == before
    assert "mm²" in page.tissue.found.text()
    controller.viewer.layers.remove(controller.desk.layer)
    assert page.tissue_layer.layer is None
    assert not page.tissue.isEnabled()


def test_the_scale_is_asked_for_and_kept(
    page: SlidePage, controller: PathsegController, slide_without_scale: Path
) -> None:
    open_in(controller, slide_without_scale)
    assert "does not say its scale" in page.note.text()
    page.mpp.setValue(0.37)
    page.set_mpp.click()
    assert controller.desk.mpp == (0.37, 0.37)
    assert page.note.text() == ""
    assert "0.37 µm/px, as you set it" in texts(page)
    assert controller.remembered.scale(controller.desk.identity) == (0.37, 0.37)


def test_other_pictures_come_only_on_request(
    page: SlidePage, controller: PathsegController, tissue_slide: Path
) -> None:
    open_in(controller, tissue_slide)
    buttons = page.associated.findChildren(QPushButton)
    assert [button.text() for button in buttons] == ["thumbnail…"]
    assert "patient" in buttons[0].toolTip()
    layers = len(controller.viewer.layers)
    buttons[0].click()
    (window,) = page._pictures
    assert window.isWindow()
    assert not window.pixmap().isNull()
    assert len(controller.viewer.layers) == layers


def test_a_plane_of_a_stack_tells_of_its_file(
    page: SlidePage, controller: PathsegController, tmp_path: Path
) -> None:
    path = tmp_path / "stack.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 900, (3, 80, 90), dtype=np.uint16)
    facts = {"axes": "ZYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5, "PhysicalSizeZ": 2.0}
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=facts)
    open_in(controller, path)
    assert "3 planes, 2 µm apart" in texts(page)


def test_tissue_of_another_size_replaces_the_layer_data(
    make_controller: Callable[..., PathsegController],
) -> None:
    viewer = make_controller().viewer
    tissue = TissueLayer(viewer)
    for side in (40, 40, 60):
        field = Field(0, 0, 0, side, side, (2.0, 2.0))
        tissue.show("a", np.ones((side, side), bool), field, (0.5, 0.5))
        assert tissue.layer is not None
        assert tissue.layer.data.shape == (side, side)
    assert len(viewer.layers) == 1
    tissue.hide()
    assert len(viewer.layers) == 0
