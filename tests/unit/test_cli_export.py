"""`pathseg export`: what the store keeps comes out, pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.cli.main import main
from napari_pathseg.export.bundle import read_bundle
from napari_pathseg.export.labels_tiff import read_labels_tiff
from napari_pathseg.export.ome_zarr import read_ome_zarr
from napari_pathseg.geometry import Field
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.slide.open import open_slide

FIELD = Field(level=1, y=16, x=32, height=64, width=96, downsample=(2.0, 2.0))


@pytest.fixture
def labelled(ome_tiff: Path) -> tuple[Path, np.ndarray]:
    """A slide with one field in the user's store: its path and mask, corrected by one stroke."""
    mask = np.zeros(FIELD.shape, np.uint16)
    mask[10:30, 5:40] = 1
    mask[12:14, 8:10] = 0
    with open_slide(ome_tiff) as slide:
        identity = slide.metadata.identity
    classes = ClassList().with_class("gland", Term("unspecified", "tissue", "gland"), (1, 2, 3))
    record = FieldRecord.new(
        FIELD,
        classes,
        slide_identity=identity,
        slide_name=ome_tiff.name,
        mpp=(1.0, 1.0),
        prompts=[TextPrompt("gland")],
        asked_as=[[Term("unspecified", "tissue", "gland")]],
        presence=[0.9],
        scores=[0.8],
    )
    with LabelStore.open(identity, ome_tiff.name) as store:
        store.save_field(record, mask)
        mask[40:44, 50:60] = 1
        store.save_field(record, mask)
    return ome_tiff, mask


def _export(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["export", *map(str, arguments)])


def test_bundle_has_the_pixels_and_hides_the_name(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    slide, mask = labelled
    result = _export(slide, "--out", tmp_path / "bundle")
    assert result.exit_code == 0, result.stderr
    (field,) = read_bundle(tmp_path / "bundle")
    np.testing.assert_array_equal(field.mask, mask)
    with open_slide(slide) as opened:
        np.testing.assert_array_equal(field.image, opened.read(FIELD))
    assert slide.name not in (tmp_path / "bundle" / "metadata.jsonl").read_text()
    assert _export(slide, "--out", tmp_path / "bundle", "--names").exit_code == 0
    assert slide.name in (tmp_path / "bundle" / "metadata.jsonl").read_text()


def test_geojson_lies_in_level0_pixels(labelled: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    slide, _ = labelled
    assert _export(slide, "--out", tmp_path / "out", "--format", "geojson").exit_code == 0
    written = json.loads((tmp_path / "out" / "slide.ome.geojson").read_text())
    assert len(written["features"]) == 2
    corners = np.array(written["features"][0]["geometry"]["coordinates"][0])
    assert corners.min(axis=0).tolist() == [2 * (32 + 5), 2 * (16 + 10)]
    assert corners.max(axis=0).tolist() == [2 * (32 + 40), 2 * (16 + 30)]


def test_tif_has_the_mask_and_its_record(labelled: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    slide, mask = labelled
    assert _export(slide, "--out", tmp_path / "out", "--format", "tif").exit_code == 0
    read = read_labels_tiff(tmp_path / "out" / "slide.ome.1.labels.tif")
    np.testing.assert_array_equal(read.mask, mask)
    assert read.mpp == pytest.approx((1.0, 1.0))
    record = json.loads((tmp_path / "out" / "slide.ome.1.json").read_text())
    assert FieldRecord.from_json(record).field == FIELD


def test_ome_zarr_has_the_image_and_the_mask(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    slide, mask = labelled
    assert _export(slide, "--out", tmp_path / "out", "--format", "ome-zarr").exit_code == 0
    path = tmp_path / "out" / "slide.ome.1.ome.zarr"
    np.testing.assert_array_equal(read_ome_zarr(path).mask, mask)


@pytest.mark.parametrize(
    ("form", "name", "said"),
    [
        ("png", "slide.ome.1.png", "1 field in"),
        ("coco", "slide.ome.coco.json", "2 objects in"),
        ("csv", "slide.ome.csv", "2 objects in"),
        ("nnunet", "Dataset007_slide_ome/dataset.json", "Dataset007_slide_ome"),
    ],
)
def test_every_format_is_written(
    form: str, name: str, said: str, labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    result = _export(labelled[0], "--out", out, "--format", form, "--number", "7")
    assert result.exit_code == 0, result.stderr
    assert (out / name).stat().st_size > 0
    assert said in result.stdout


def test_a_slide_without_labels_is_one_line(ome_tiff: Path, tmp_path: Path) -> None:
    result = _export(ome_tiff, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "No labels are kept" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_something_else_is_left_alone(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    precious = tmp_path / "photos" / "cat.jpg"
    precious.parent.mkdir()
    precious.write_bytes(b"cat")
    result = _export(labelled[0], "--out", precious.parent)
    assert result.exit_code == 1
    assert [p.name for p in precious.parent.iterdir()] == ["cat.jpg"]
