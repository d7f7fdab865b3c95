"""What the tests of the desk share: a slide with planted markers, and a desk without a window."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

sys.path.insert(0, str(Path(__file__).parent))

from marker_segmenter import MARKERS, MarkerSegmenter
from napari.components import ViewerModel

from napari_pathseg.geometry import Region, level0_to_world
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.reader import read_slides
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.vocabulary import Vocabulary

SHAPE = (1024, 1536)
GLANDS = (Region(160, 240, 96, 160), Region(600, 1000, 64, 64))
NUCLEI = (Region(400, 500, 32, 32), Region(420, 700, 32, 48))


def picture() -> npt.NDArray[np.uint8]:
    """Grey ground with red glands and blue nuclei at known places."""
    pixels = np.full((*SHAPE, 3), 150, np.uint8)
    for regions, color in ((GLANDS, MARKERS["gland"]), (NUCLEI, MARKERS["nucleus"])):
        for r in regions:
            pixels[r.y : r.stop_y, r.x : r.stop_x] = color
    return pixels


def write_slide(path: Path, mpp: float | None) -> Path:
    """A pyramid of three levels."""
    pixels = picture()
    scale = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=2, metadata={"axes": "YXS", **scale}, **options)
        for _ in range(2):
            height, width = pixels.shape[:2]
            blocks = pixels.reshape(height // 2, 2, width // 2, 2, 3)
            pixels = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
            writer.write(pixels, subfiletype=1, **options)
    return path


@pytest.fixture
def marked_slide(tmp_path: Path) -> Path:
    """A slide with markers at 0.5 micrometres per pixel."""
    return write_slide(tmp_path / "marked.ome.tif", 0.5)


@pytest.fixture
def slide_without_scale(tmp_path: Path) -> Path:
    """The same slide, which does not say its scale."""
    return write_slide(tmp_path / "plain.tif", None)


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def make_controller(
    tmp_path: Path, vocabulary: Vocabulary
) -> Iterator[Callable[..., PathsegController]]:
    """A function that gives a controller on a new viewer without a window."""
    made: list[PathsegController] = []

    def make(**options: object) -> PathsegController:
        settings: dict[str, object] = {
            "runner": ImmediateRunner(),
            "writer": ImmediateRunner(),
            "model": SharedModel(MarkerSegmenter),
            "vocabulary": vocabulary,
            "labels_folder": tmp_path / "labels",
            "remembered": Remembered(tmp_path / "remembered.json"),
        }
        controller = PathsegController(ViewerModel(), **(settings | options))  # type: ignore[arg-type]
        made.append(controller)
        return controller

    yield make
    for controller in made:
        controller.close()


@pytest.fixture
def controller(make_controller: Callable[..., PathsegController]) -> PathsegController:
    return make_controller()


def open_in(controller: PathsegController, path: Path) -> None:
    """Open a slide as napari does with the reader."""
    from napari.layers import Image

    for data, options, _kind in read_slides(str(path)):
        controller.viewer.add_layer(Image(data, **options))


def look_at(controller: PathsegController, region: Region) -> None:
    """Camera and canvas so that a region is in view, exactly."""
    mpp = controller.slide_mpp()
    camera = controller.viewer.scene.camera
    controller.viewer.canvas.size = (600, round(600 * region.width / region.height))
    camera.center = (0.0, *level0_to_world(*region.center, mpp))
    camera.zoom = 600 / (region.height * (mpp or (1.0, 1.0))[0])
