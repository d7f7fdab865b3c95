"""What the tests of the desk share: a slide with planted markers, and a desk without a window."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from desk_slides import write_slide
from marker_segmenter import MarkerSegmenter
from napari.components import ViewerModel

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.vocabulary import Vocabulary


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
