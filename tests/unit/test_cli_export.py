"""`pathseg export`: what the store keeps comes out, pixel by pixel."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.cli.export import FORMATS
from napari_pathseg.cli.main import main
from napari_pathseg.export.bundle import read_bundle
from napari_pathseg.export.formats import FORMATS as EXPORT_FORMATS
from napari_pathseg.export.labels_tiff import read_labels_tiff
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
    result = _export(slide, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    bundle = tmp_path / "out" / "training"
    (field,) = read_bundle(bundle)
    np.testing.assert_array_equal(field.mask, mask)
    with open_slide(slide) as opened:
        np.testing.assert_array_equal(field.image, opened.read(FIELD))
    assert slide.name not in (bundle / "metadata.jsonl").read_text()
    assert _export(slide, "--out", tmp_path / "out", "--names").exit_code == 0
    assert slide.name in (bundle / "metadata.jsonl").read_text()


def test_geojson_lies_in_level0_pixels(labelled: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    slide, _ = labelled
    result = _export(slide, "--out", tmp_path / "out", "--format", "geojson", "--names")
    assert result.exit_code == 0
    written = json.loads((tmp_path / "out" / "slide.geojson").read_text())
    assert len(written["features"]) == 2
    corners = np.array(written["features"][0]["geometry"]["coordinates"][0])
    assert corners.min(axis=0).tolist() == [2 * (32 + 5), 2 * (16 + 10)]
    assert corners.max(axis=0).tolist() == [2 * (32 + 40), 2 * (16 + 30)]


def test_tif_has_the_mask_and_its_record(labelled: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    slide, mask = labelled
    assert _export(slide, "--out", tmp_path / "out", "--format", "tif", "--names").exit_code == 0
    read = read_labels_tiff(tmp_path / "out" / "slide.1.labels.tif")
    np.testing.assert_array_equal(read.mask, mask)
    assert read.mpp == pytest.approx((1.0, 1.0))
    assert read.field == FIELD
    record = json.loads((tmp_path / "out" / "slide.1.json").read_text())
    assert FieldRecord.from_json(record).field == FIELD


@pytest.mark.parametrize(
    ("form", "names"),
    [
        ("bundle", {"training"}),
        ("geojson", {"slide.geojson"}),
        ("coco", {"coco"}),
        ("ome-zarr", {"slide.1.ome.zarr"}),
        ("ome-tiff", {"slide.1.labels.ome.tif"}),
        ("nnunet", {"Dataset007_slide"}),
        ("imagefolder", {"imagefolder"}),
        ("parquet", {"parquet"}),
        ("dicom-seg", {"slide.1.seg.dcm"}),
        ("dicom-ann", {"slide.ann.dcm"}),
        ("tif", {"slide.1.labels.tif", "slide.1.json"}),
        ("png", {"slide.1.png", "slide.1.legend.json"}),
        ("csv", {"slide.csv"}),
    ],
)
def test_every_format_is_written_without_the_name_and_with_the_same_bytes(
    form: str, names: set[str], labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    package = EXPORT_FORMATS[form].package
    if package:
        pytest.importorskip(package)
    slide = labelled[0]
    for out in ("a", "b"):
        result = _export(slide, "--out", tmp_path / out, "--format", form, "--number", "7")
        assert result.exit_code == 0, result.stderr
        assert "2 objects in 1 field of 1 slide" in result.stdout
    written = {f.relative_to(tmp_path / "a"): f for f in (tmp_path / "a").rglob("*")}
    assert written
    for name, file in written.items():
        if file.is_file():
            assert file.read_bytes() == (tmp_path / "b" / name).read_bytes()
            assert b"slide.ome" not in file.read_bytes()
    named = _export(slide, "--out", tmp_path / "c", "--format", form, "--number", "7", "--names")
    assert named.exit_code == 0
    assert {path.name for path in (tmp_path / "c").iterdir()} == names


def test_the_formats_are_those_of_the_package() -> None:
    assert tuple(EXPORT_FORMATS) == FORMATS


def test_a_dry_run_counts_and_writes_nothing(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    formats = ("--format", "bundle", "--format", "csv", "--tile", "32")
    result = _export(labelled[0], "--out", tmp_path / "out", "--dry-run", *formats)
    assert result.exit_code == 0, result.stderr
    words = result.stdout.split()
    assert "1 (6 tiles)" in result.stdout
    assert "gland" in words
    assert "MB" in words
    assert not (tmp_path / "out").exists()


def test_a_bundle_is_a_source_of_other_formats(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    slide, mask = labelled
    assert _export(slide, "--out", tmp_path / "out").exit_code == 0
    bundle = tmp_path / "out" / "training"
    result = _export(bundle, "--out", tmp_path / "more", "--format", "tif", "--format", "coco")
    assert result.exit_code == 0, result.stderr
    (path,) = (tmp_path / "more").glob("*.labels.tif")
    np.testing.assert_array_equal(read_labels_tiff(path).mask, mask)


def test_options_that_can_not_be_met_are_one_line(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    slide = labelled[0]
    for options, said in (
        (("--level", "1", "--mpp", "1"), "not both"),
        (("--level", "9"), "has no level 9"),
        (("--reviewed",), "not reviewed"),
        (("--class", "nerve"), "without a chosen class"),
        (("--region", "0", "0", "8", "8"), "outside the region"),
        (("--tile", "64", "--overlap", "64"), "can not share"),
        (("--format", "ome-zarr", "--zarr", "inside"), "no OME-Zarr 0.5 folder"),
    ):
        result = _export(slide, "--out", tmp_path / "out", *options)
        assert result.exit_code in (1, 2)
        assert said in result.stderr, result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not (tmp_path / "out").exists()


def test_a_slide_without_labels_is_one_line(ome_tiff: Path, tmp_path: Path) -> None:
    result = _export(ome_tiff, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "No labels are kept" in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_something_else_is_left_alone(
    labelled: tuple[Path, np.ndarray], tmp_path: Path
) -> None:
    precious = tmp_path / "out" / "training" / "cat.jpg"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"cat")
    result = _export(
        labelled[0], "--out", tmp_path / "out", "--format", "csv", "--format", "bundle"
    )
    assert result.exit_code == 1
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["training", "cat.jpg"]
