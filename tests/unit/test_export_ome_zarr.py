"""OME-Zarr labels are exact, in the right place and valid."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.ome_zarr import write_ome_zarr
from napari_pathseg.export.ome_zarr_read import read_ome_zarr
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import FieldRecord

CLASSES = ClassList.from_names(["gland", "stroma"], [(1, 2, 3), (4, 5, 6)])


def make_field(mpp: tuple[float, float] | None = (2.0, 1.0), seed: int = 0) -> ExportField:
    dice = np.random.default_rng(seed)
    record = FieldRecord.new(
        Field(1, 10, 20, 530, 40, (4.0, 4.0)),
        CLASSES,
        slide_identity="abc",
        slide_name="Jane Doe.svs",
        mpp=mpp,
    )
    mask = dice.integers(0, 3, (530, 40)).astype(np.uint16)
    return ExportField(record, mask, dice.integers(0, 256, (530, 40, 3)).astype(np.uint8))


def test_every_pixel_comes_back(tmp_path: Path) -> None:
    field = make_field()
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, field)
    (read,) = read_ome_zarr(path)
    np.testing.assert_array_equal(read.mask, field.mask)
    np.testing.assert_array_equal(read.instances, field.objects())
    assert read.classes == CLASSES
    root = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(np.moveaxis(root["0"][...], 0, 2), field.image)
    assert not any(b"Jane" in f.read_bytes() for f in path.rglob("*") if f.is_file())


@pytest.mark.parametrize(
    ("mpp", "scale", "translation"),
    [((2.0, 1.0), [2.0, 1.0], [20.75, 20.375]), (None, [4.0, 4.0], [41.5, 81.5])],
)
def test_the_place_is_that_of_the_slide(
    tmp_path: Path, mpp: tuple[float, float] | None, scale: list[float], translation: list[float]
) -> None:
    write_ome_zarr(tmp_path / "a.ome.zarr", make_field(mpp))
    group = zarr.open_group(tmp_path / "a.ome.zarr" / "labels" / "classes", mode="r")
    (image,) = group.attrs["ome"]["multiscales"]
    first, second = image["datasets"][0]["coordinateTransformations"]
    assert first["scale"] == scale
    assert second["translation"] == translation
    assert ("unit" in image["axes"][0]) == (mpp is not None)


def test_it_is_valid(tmp_path: Path) -> None:
    yaozarrs = pytest.importorskip("yaozarrs")
    for number, mpp in enumerate([(2.0, 1.0), None]):
        path = tmp_path / f"{number}.ome.zarr"
        write_ome_zarr(path, make_field(mpp))
        yaozarrs.validate_zarr_store(path)


def test_written_again_it_is_replaced_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    field, other = make_field(), make_field(seed=1)
    write_ome_zarr(path, field)
    first = {str(f): f.read_bytes() for f in path.rglob("*") if f.is_file()}
    write_ome_zarr(path, other)
    np.testing.assert_array_equal(read_ome_zarr(path)[0].mask, other.mask)
    write_ome_zarr(path, field)
    assert {str(f): f.read_bytes() for f in path.rglob("*") if f.is_file()} == first
    assert list(tmp_path.iterdir()) == [path]


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(ExportError, match="no OME-Zarr of"):
        write_ome_zarr(tmp_path / "a.zarr", make_field())
    with pytest.raises(ExportError, match="no OME-Zarr labels"):
        read_ome_zarr(tmp_path / "a.zarr")
    with pytest.raises(ExportError, match="no OME-Zarr labels"):
        read_ome_zarr(tmp_path / "missing.zarr")
    with pytest.raises(ExportError, match="no image"):
        write_ome_zarr(tmp_path / "b.zarr", ExportField(make_field().record, make_field().mask))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zarr"]


def test_labels_of_other_software(tmp_path: Path) -> None:
    path = tmp_path / "a.ome.zarr"
    write_ome_zarr(path, make_field())
    labels = zarr.open_group(path / "labels", mode="r+")
    labels.attrs["ome"] = {"version": "0.5", "labels": ["cells"]}
    cells = labels.create_group("cells")
    cells.create_array("s0", data=np.full((4, 4), 7, np.uint8))
    cells.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": [], "datasets": [{"path": "s0"}]}],
        "image-label": {"colors": [{"label-value": 7, "rgba": [9, 8, 7, 255]}]},
    }
    (read,) = read_ome_zarr(path)
    assert read.instances is None
    assert (read.mask == 7).all()
    assert [(c.value, c.name, c.color) for c in read.classes] == [(7, "label 7", (9, 8, 7))]
    del cells.attrs["ome"]
    with pytest.raises(ExportError, match="damaged"):
        read_ome_zarr(path)
