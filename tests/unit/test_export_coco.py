"""COCO run lengths are exact, for pycocotools too where it is installed."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import CancelledError, ExportError
from napari_pathseg.export.coco import decode_counts, read_coco, runs_of, write_coco
from napari_pathseg.export.fields import ExportField
from napari_pathseg.geometry import Field
from napari_pathseg.labels.raster import instances_of
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken

masks = hnp.arrays(
    np.uint16,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.integers(0, 2),
)


def make_field(mask: np.ndarray, names: tuple[str, ...] = ("gland", "stroma")) -> ExportField:
    record = FieldRecord.new(
        Field(0, 5, 6, *mask.shape, (1.0, 1.0)),
        ClassList.from_names(names, [(n, 2, 3) for n in range(len(names))]),
        slide_identity="abc",
        slide_name="Jane Doe.svs",
        mpp=(0.5, 0.5),
    )
    return ExportField(record, mask)


@given(masks, st.sampled_from(["rle", "polygon"]))
@settings(deadline=None, max_examples=80)
def test_every_pixel_comes_back(
    tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray, kind: str
) -> None:
    path = tmp_path_factory.mktemp("coco") / "labels.json"
    field = make_field(mask)
    count = write_coco(path, [field], segmentation=kind)
    (read,) = read_coco(path)
    np.testing.assert_array_equal(read.mask, mask)
    np.testing.assert_array_equal(read.instances, field.objects())
    assert read.instances.max(initial=0) == count
    assert read.file_name == f"images/{field.record.id}.png"
    for annotation in json.loads(path.read_text())["annotations"]:
        inside = read.instances == annotation["id"]
        rows, columns = np.nonzero(inside)
        assert annotation["area"] == inside.sum()
        assert annotation["bbox"] == [
            columns.min(), rows.min(), np.ptp(columns) + 1, np.ptp(rows) + 1
        ]  # fmt: skip


@given(masks)
@settings(deadline=None, max_examples=60)
def test_counts_add_up_to_the_mask(mask: np.ndarray) -> None:
    instances = instances_of(mask)
    runs = runs_of(instances)
    assert sorted(runs) == np.unique(instances[instances > 0]).tolist()
    for value, counts in runs.items():
        assert sum(counts) == mask.size
        assert min(counts[1:]) > 0
        flat = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
        np.testing.assert_array_equal(flat.reshape(mask.shape[::-1]).T, instances == value)


def test_fields_share_their_categories(tmp_path: Path) -> None:
    first = make_field(np.eye(4, dtype=np.uint16))
    second = make_field(np.eye(5, dtype=np.uint16) * 2, ("nerve", "gland"))
    path = tmp_path / "labels.json"
    assert write_coco(path, [first, second]) == 2
    one, two = read_coco(path)
    assert [c.name for c in one.classes] == ["gland", "stroma", "nerve"]
    assert one.mask.max() == two.mask.max() == 1
    assert "Jane" not in path.read_text()
    before = path.read_bytes()
    write_coco(path, [first, second])
    assert path.read_bytes() == before


def test_pycocotools_sees_the_same_objects(tmp_path: Path) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    api = pytest.importorskip("pycocotools.mask")
    dice = np.random.default_rng(0)
    mask = (dice.random((70, 50)) < 0.5) * dice.integers(1, 3, (70, 50))
    field = make_field(mask.astype(np.uint16))
    path = tmp_path / "labels.json"
    write_coco(path, [field])
    data = coco.COCO(path)
    instances = field.objects()
    for annotation in data.loadAnns(data.getAnnIds()):
        np.testing.assert_array_equal(data.annToMask(annotation), instances == annotation["id"])
        packed = api.frPyObjects(annotation["segmentation"], 70, 50)["counts"].decode()
        counts = decode_counts(packed)
        assert counts == annotation["segmentation"]["counts"]


def test_packed_counts() -> None:
    # As pycocotools packs them: from the fourth number on, differences to the one two before.
    assert decode_counts("53T31h2") == [5, 3, 100, 4, 188]
    assert decode_counts("") == []


def test_many_objects_in_little_time(tmp_path: Path) -> None:
    mask = np.zeros((200, 200), np.uint16)
    mask[::4, ::4] = 1
    path = tmp_path / "labels.json"
    for kind in ("rle", "polygon"):
        assert write_coco(path, [make_field(mask)], segmentation=kind) == 2_500
        np.testing.assert_array_equal(read_coco(path)[0].mask, mask)


def test_cancel_leaves_nothing(tmp_path: Path) -> None:
    token = CancelToken()
    token.cancel()
    with pytest.raises(CancelledError):
        write_coco(tmp_path / "a.json", [make_field(np.ones((2, 2), np.uint16))], cancel=token)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"categories": None},
        {"images": [{"id": 1}]},
        {"annotations": [{"image_id": 9}]},
        {"annotations": [{"image_id": 1, "category_id": 77, "segmentation": []}]},
        {
            "categories": [{"id": 70_000, "name": "beyond 16 bits"}],
            "annotations": [{"image_id": 1, "category_id": 70_000, "segmentation": [[0, 0, 1, 1]]}],
        },
        {
            "annotations": [
                {"image_id": 1, "category_id": 1, "segmentation": {"size": [9, 9], "counts": [1]}}
            ]
        },
        {
            "annotations": [
                {"image_id": 1, "category_id": 1, "segmentation": {"size": [2, 2], "counts": [5]}}
            ]
        },
    ],
)
def test_damaged_files_are_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "labels.json"
    write_coco(path, [make_field(np.ones((2, 2), np.uint16))])
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ExportError, match=r"labels\.json is no COCO file"):
        read_coco(path)


def test_files_that_are_no_json_or_missing(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ExportError, match=r"a\.json is no COCO file"):
        read_coco(tmp_path / "a.json")
    with pytest.raises(ExportError, match="can not be read"):
        read_coco(tmp_path / "b.json")
