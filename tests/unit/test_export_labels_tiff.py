"""Label TIFFs keep every value, the scale and the classes, for other readers too."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.errors import ExportError
from napari_pathseg.export.labels_tiff import read_labels_tiff, write_labels_tiff

CLASSES = ClassList.from_names(["gland"], [(1, 2, 3)]).with_class(
    "strøma", Term("colon", "tissue", "stroma"), (4, 5, 6)
)


@pytest.mark.parametrize("shape", [(1, 1), (37, 501), (4100, 70)])
@pytest.mark.parametrize("mpp", [None, (0.2497, 0.5021)])
def test_all_comes_back(
    tmp_path: Path, shape: tuple[int, int], mpp: tuple[float, float] | None
) -> None:
    mask = np.random.default_rng(0).integers(0, 65_536, shape)
    path = tmp_path / "labels.tif"
    write_labels_tiff(path, mask, mpp, CLASSES)
    read = read_labels_tiff(path)
    np.testing.assert_array_equal(read.mask, mask)
    assert read.classes == CLASSES
    assert read.mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-8))
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), mask)


def test_the_tags(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    write_labels_tiff(path, np.eye(8, dtype=np.uint16), (0.5, 0.25), CLASSES)
    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert page.compression == 8
        assert page.resolutionunit == 3
        assert page.tags["XResolution"].value == (40_000, 1)
        assert page.tags["YResolution"].value == (20_000, 1)
        assert json.loads(page.description)["classes"][0]["name"] == "gland"
        assert not page.is_tiled
    write_labels_tiff(path, np.zeros((8, 4200), np.uint16), None, CLASSES)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.is_tiled
        assert tiff.pages.first.resolutionunit != 3


def test_the_same_mask_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.tif", "b.tif"):
        write_labels_tiff(tmp_path / name, np.eye(8, dtype=np.uint16), (0.5, 0.5), CLASSES)
    assert (tmp_path / "a.tif").read_bytes() == (tmp_path / "b.tif").read_bytes()


def test_values_that_do_not_fit(tmp_path: Path) -> None:
    for value in (-1, 65_536):
        with pytest.raises(ExportError, match="0 to 65535"):
            write_labels_tiff(tmp_path / "a.tif", np.full((2, 2), value), None, CLASSES)
    assert not list(tmp_path.iterdir())


def test_foreign_and_damaged_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "foreign.tif"
    tifffile.imwrite(path, np.zeros((4, 4, 3), np.uint8), photometric="rgb")
    with pytest.raises(ExportError, match=r"foreign\.tif holds no label mask"):
        read_labels_tiff(path)
    tifffile.imwrite(path, np.full((4, 4), 0.5, np.float32))
    with pytest.raises(ExportError, match=r"foreign\.tif holds no label mask"):
        read_labels_tiff(path)
    path.write_bytes(b"II*\x00 nothing")
    with pytest.raises(ExportError, match=r"foreign\.tif"):
        read_labels_tiff(path)
    with pytest.raises(ExportError, match=r"missing\.tif can not be read"):
        read_labels_tiff(tmp_path / "missing.tif")
    write_labels_tiff(path, np.random.default_rng(0).integers(0, 9, (99, 99)), None, CLASSES)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ExportError, match=r"foreign\.tif"):
        read_labels_tiff(path)


def test_a_plain_mask_of_other_software(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.eye(4, dtype=np.uint8), resolution=(50_800, 50_800))
    read = read_labels_tiff(path)
    np.testing.assert_array_equal(read.mask, np.eye(4))
    assert len(read.classes) == 0
    tifffile.imwrite(
        path, np.eye(4, dtype=np.uint8), resolution=(50_800, 25_400), resolutionunit="INCH"
    )
    assert read_labels_tiff(path).mpp == (1.0, 0.5)
