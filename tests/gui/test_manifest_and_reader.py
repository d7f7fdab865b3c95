"""What napari finds of us: manifest, reader, samples."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManifest

import napari_pathseg
from conftest import SHAPE
from napari_pathseg.errors import SlideError
from napari_pathseg.gui import sample_data
from napari_pathseg.gui.reader import get_reader, read_slides
from napari_pathseg.gui.sources import open_source

MANIFEST = Path(napari_pathseg.__file__).with_name("napari.yaml")


def test_the_manifest_is_valid_and_every_command_exists() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name))
    assert [w.display_name for w in manifest.contributions.widgets] == ["PathSeg"]


def test_the_link_at_the_top_is_the_manifest() -> None:
    link = Path(__file__).parents[2] / "napari.yaml"
    assert link.read_text(encoding="utf-8") == MANIFEST.read_text(encoding="utf-8")


def test_a_slide_is_one_layer_with_scale_and_units(marked_slide: Path) -> None:
    assert get_reader(str(marked_slide)) is read_slides
    ((levels, options, kind),) = read_slides(str(marked_slide))
    assert kind == "image"
    assert [level.shape[0] for level in levels] == [SHAPE[0] >> i for i in range(len(levels))]
    assert options["rgb"]
    assert options["scale"] == (0.5, 0.5)
    assert options["units"] == ("um", "um")
    assert options["metadata"]["pathseg"]["path"] == str(marked_slide)
    assert np.asarray(levels[0][:8, :8]).shape == (8, 8, 3)


def test_without_scale_the_units_are_pixels(slide_without_scale: Path) -> None:
    ((_, options, _),) = read_slides(str(slide_without_scale))
    assert (options["scale"], options["units"]) == ((1.0, 1.0), ("pixel", "pixel"))


def test_a_damaged_file_says_so_on_reading(tmp_path: Path) -> None:
    broken = tmp_path / "broken.svs"
    broken.write_bytes(b"no slide at all")
    reader = get_reader(str(broken))
    assert reader is not None
    with pytest.raises(SlideError, match=r"broken\.svs"):
        reader(str(broken))


def test_a_folder_without_a_slide_is_left_to_other_readers(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path)) is None


def test_a_generated_slide_is_opened_by_its_name() -> None:
    slide = open_source(Path("synthetic-2000x3000-0.5-7"))
    assert (slide.shape, slide.metadata.mpp) == ((2000, 3000), (0.5, 0.5))


def test_the_picture_sample_needs_no_network() -> None:
    ((data, options, kind),) = sample_data.ihc_picture()
    assert (kind, options["rgb"], data.shape) == ("image", True, (512, 512, 3))
