"""CSV, mask PNG and nnU-Net: exact, and refused where a value does not fit."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import CancelledError, ExportError
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.mask_png import read_mask_png, write_mask_png
from napari_pathseg.export.nnunet import write_nnunet
from napari_pathseg.export.table import COLUMNS, write_table
from napari_pathseg.geometry import Field
from napari_pathseg.labels.measure import measure_objects
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken
from napari_pathseg.prompts import TextPrompt

CLASSES = ClassList.from_names(["=gland", "strøma"], [(1, 2, 3), (250, 5, 6)])


def make_field(
    classes: ClassList = CLASSES, mpp: tuple[float, float] | None = (0.3, 0.7), seed: int = 0
) -> ExportField:
    dice = np.random.default_rng(seed)
    record = FieldRecord.new(
        Field(1, 10, 20, 30, 40, (3.9999, 4.0)),
        classes,
        slide_identity="abc",
        slide_name="Jane Doe.svs",
        mpp=mpp,
        prompts=[TextPrompt("gland, \ud800\nstroma")],
        status="accepted",
    )
    mask = dice.choice([0, *(c.value for c in classes)], (30, 40)).astype(np.uint16)
    return ExportField(record, mask, dice.integers(0, 256, (30, 40, 3)).astype(np.uint8))


def test_every_number_of_the_table_comes_back(tmp_path: Path) -> None:
    known, unknown = make_field(), make_field(mpp=None, seed=1)
    path = tmp_path / "objects.csv"
    count = write_table(path, [known, unknown])
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    expected = [
        (field, measure)
        for field in (known, unknown)
        for measure in measure_objects(field.objects(), field.mask, field.record.mpp)
    ]
    assert len(rows) == len(expected) == count
    for row, (field, measure) in zip(rows, expected, strict=True):
        place = field.record.field.to_level0(*measure.centroid)
        assert (float(row["y_level0_px"]), float(row["x_level0_px"])) == place
        assert int(row["area_px"]) == measure.area_px
        assert float(row["perimeter_px"]) == measure.perimeter_px
        area = "" if measure.area_um2 is None else repr(measure.area_um2)
        assert row["area_um2"] == area
        assert row["class"] == {1: "'=gland", 2: "strøma"}[measure.class_value]
        assert row["prompt"] == "gland, \\ud800\nstroma"
    assert "Jane" not in path.read_text(encoding="utf-8-sig")


def test_objects_tell_the_words_of_their_own_class(tmp_path: Path) -> None:
    field = make_field()
    field = replace(field, record=replace(field.record, asked_by=((0,), ())))
    write_table(tmp_path / "objects.csv", [field])
    with (tmp_path / "objects.csv").open(encoding="utf-8-sig", newline="") as file:
        told = {(row["class"], row["prompt"]) for row in csv.DictReader(file)}
    assert told == {("'=gland", "gland, \\ud800\nstroma"), ("strøma", "")}


def test_a_cancelled_table_is_not_there(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        write_table(tmp_path / "a.csv", [make_field()], cancel=token)
    assert not list(tmp_path.iterdir())


def test_mask_png_has_values_colours_and_a_legend(tmp_path: Path) -> None:
    field = make_field()
    legend = write_mask_png(tmp_path / "mask.png", field.mask, CLASSES)
    mask, classes, _ = read_mask_png(tmp_path / "mask.png")
    np.testing.assert_array_equal(mask, field.mask)
    assert classes == CLASSES
    with Image.open(tmp_path / "mask.png") as image:
        np.testing.assert_array_equal(np.asarray(image), field.mask)
        colors = np.array([(0, 0, 0), (1, 2, 3), (250, 5, 6)])
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), colors[field.mask])
    assert legend.name == "mask.legend.json"
    assert [c["name"] for c in json.loads(legend.read_text())] == ["=gland", "strøma"]
    before = (tmp_path / "mask.png").read_bytes()
    write_mask_png(tmp_path / "mask.png", field.mask, CLASSES)
    assert (tmp_path / "mask.png").read_bytes() == before


def test_mask_png_refuses_what_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="0 to 255"):
        write_mask_png(tmp_path / "a.png", np.full((2, 2), 256), CLASSES)
    Image.fromarray(make_field().image).save(tmp_path / "rgb.png")
    with pytest.raises(ExportError, match=r"rgb\.png holds colours"):
        read_mask_png(tmp_path / "rgb.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "rgb.png").read_bytes()[:200])
    for name in ("half.png", "missing.png"):
        with pytest.raises(ExportError, match=name):
            read_mask_png(tmp_path / name)
    Image.fromarray(np.full((3, 3), 700, np.uint16)).save(tmp_path / "grey.png")
    mask, classes, _ = read_mask_png(tmp_path / "grey.png")
    assert (mask == 700).all()
    assert len(classes) == 0


def test_nnunet_dataset(tmp_path: Path) -> None:
    first = make_field()
    gaps = ClassList(
        tuple(
            replace(c, value=value, name=name)
            for c, value, name in zip(CLASSES, (9, 1), ("ignore", "=gland"), strict=True)
        )
    )
    second = make_field(gaps, seed=1)
    third = make_field(seed=2)
    third = replace(third, record=third.record.with_status("proposed"))
    path = write_nnunet(tmp_path, [first, second, third], number=7, name="Glands")
    assert path == tmp_path / "Dataset007_Glands"
    about = json.loads((path / "dataset.json").read_text())
    labels = about["labels"]
    assert labels == {"background": 0, "=gland": 1, "strøma": 2, "ignore class": 3, "ignore": 4}
    assert about["numTraining"] == 3 == len(list((path / "imagesTr").iterdir()))

    def read(folder: str, name: str) -> np.ndarray:
        with Image.open(path / folder / name) as image:
            return np.asarray(image)

    for field in (first, second, third):
        case = field.record.id
        np.testing.assert_array_equal(read("imagesTr", f"{case}_0000.png"), field.image)
    np.testing.assert_array_equal(read("labelsTr", f"{first.record.id}.png"), first.mask)
    label = read("labelsTr", f"{second.record.id}.png")
    np.testing.assert_array_equal(label == 3, second.mask == 9)
    np.testing.assert_array_equal(label == 1, second.mask == 1)
    label = read("labelsTr", f"{third.record.id}.png")
    np.testing.assert_array_equal(label, np.where(third.mask == 0, 4, third.mask))


def test_nnunet_is_replaced_whole_or_left_alone(tmp_path: Path) -> None:
    path = write_nnunet(tmp_path, [make_field()], number=7, name="Glands")
    write_nnunet(tmp_path, [make_field(seed=1)], number=7, name="Glands")
    assert len(list((path / "labelsTr").iterdir())) == 1
    before = sorted(path.rglob("*"))
    with pytest.raises(ExportError, match="no image"):
        write_nnunet(
            tmp_path, [make_field(), replace(make_field(), image=None)], number=7, name="Glands"
        )
    assert sorted(path.rglob("*")) == before
    (path / "dataset.json").write_text("{}")
    with pytest.raises(ExportError, match="no data set of"):
        write_nnunet(tmp_path, [make_field()], number=7, name="Glands")
    for number, name in ((0, "a"), (1000, "a"), (1, "../a"), (1, "")):
        with pytest.raises(ExportError, match="no name"):
            write_nnunet(tmp_path, [], number=number, name=name)
