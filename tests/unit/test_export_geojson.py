"""GeoJSON comes back without a pixel of difference, through our reader and through another."""

from __future__ import annotations

import errno
import json
import math
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import rasterize

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.errors import CancelledError, ExportError
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.geojson import features, write_geojson
from napari_pathseg.export.geojson_read import read_geojson
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import TextPrompt

CLASSES = ClassList.from_names(["gland"], [(1, 2, 3)]).with_class(
    "stroma", Term("colon", "tissue", "stroma"), (4, 5, 6)
)


def make_field(mask: np.ndarray, y: int = 30, x: int = 40, down: float = 4.0) -> ExportField:
    field = Field(1, y, x, *mask.shape, (down, down * 1.0003))
    record = FieldRecord.new(
        field,
        CLASSES,
        slide_identity="abc",
        slide_name="patient.svs",
        mpp=(0.5, 0.5),
        prompts=[TextPrompt('gland "µ"; stroma')],
        presence=[0.9],
        scores=[0.8],
        model="net 1",
        model_sha256="ff",
        author="someone",
    )
    return ExportField(record, mask)


masks = hnp.arrays(
    np.uint16,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12),
    elements=st.integers(0, 2),
)
corners = st.integers(0, 200_000)


@given(masks, corners, corners, st.sampled_from([1.0, 4.0, 3.99987, 10 / 3, 16.00021]))
@settings(deadline=None, max_examples=80)
def test_every_pixel_comes_back(
    tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray, y: int, x: int, down: float
) -> None:
    path = tmp_path_factory.mktemp("geojson") / "labels.geojson"
    field = make_field(mask, y, x, down)
    count = write_geojson(path, [field])
    read = read_geojson(path, field.record.field, CLASSES)
    np.testing.assert_array_equal(read.mask, mask)
    np.testing.assert_array_equal(read.instances, field.objects())
    assert (read.outside, read.skipped, read.unknown) == (0, 0, {})

    written = json.loads(path.read_text(encoding="utf-8"))["features"]
    assert len(written) == count
    if written:
        pairs = [(f["geometry"], CLASSES.named(name_of(f)).value) for f in written]
        place = field.record.field
        down_y, down_x = place.downsample
        grid = Affine.scale(down_x, down_y) @ Affine.translation(place.x, place.y)
        other = rasterize(pairs, out_shape=mask.shape, transform=grid, dtype="int32")
        np.testing.assert_array_equal(other, mask)


def name_of(feature: dict[str, Any]) -> str:
    name: str = feature["properties"]["classification"]["name"]
    return name


def test_features_have_what_qupath_reads() -> None:
    mask = np.zeros((6, 6), np.uint16)
    mask[1:4, 1:4] = 1
    mask[2, 2] = 0
    mask[5, 5] = 2
    field = make_field(mask)
    gland, stroma = features(field, objects="detection")
    assert uuid.UUID(gland["id"]) != uuid.UUID(stroma["id"])
    assert gland["type"] == "Feature"
    assert gland["geometry"]["type"] == "Polygon"
    assert [len(ring) for ring in gland["geometry"]["coordinates"]] == [5, 5]
    properties = gland["properties"]
    assert properties["objectType"] == "detection"
    assert properties["classification"] == {"name": "gland", "color": [1, 2, 3]}
    assert properties["isLocked"] is False
    assert properties["measurements"]["Area µm^2"] == 2.0
    assert properties["measurements"]["Score"] == 0.8
    assert "Score" not in stroma["properties"]["measurements"]
    for feature in (gland, stroma):
        assert all(isinstance(v, float) for v in feature["properties"]["measurements"].values())
        assert all(isinstance(v, str) for v in feature["properties"]["metadata"].values())
    metadata = stroma["properties"]["metadata"]
    assert metadata["prompt"] == 'gland "µ"; stroma'
    assert metadata["term"] == "stroma (colon, tissue)"
    assert metadata["field"] == field.record.id
    assert json.loads(metadata["mpp"]) == [0.5, 0.5]
    assert "patient" not in json.dumps([gland, stroma])


NUCLEI = CLASSES.with_class("nucleus", Term("unspecified", "nuclei", "nucleus"), (7, 8, 9))


@pytest.mark.parametrize("objects", ["annotation", "detection", "cell", "class"])
def test_files_keep_the_rules_of_qupath(tmp_path: Path, objects: Any) -> None:
    """What QuPath's reader of objects asks for, rule by rule: it stops at the first bad object."""
    mask = np.random.default_rng(0).integers(0, 4, (20, 20)).astype(np.uint16)
    record = replace(make_field(mask % 3).record, classes=NUCLEI)
    write_geojson(tmp_path / "a.geojson", [ExportField(record, mask)], objects=objects)
    whole = json.loads((tmp_path / "a.geojson").read_bytes())
    assert whole["type"] == "FeatureCollection"
    assert len({f["id"] for f in whole["features"]}) == len(whole["features"])
    for each in whole["features"]:
        properties = each["properties"]
        assert each["type"] == "Feature"
        assert str(uuid.UUID(each["id"])) == each["id"]
        assert properties["objectType"] == {"class": "annotation"}.get(objects, objects)
        assert set(each) - {"nucleusGeometry"} == {"type", "id", "geometry", "properties"}
        own = properties["classification"]
        assert ("nucleusGeometry" in each) == (objects == "cell" and own["name"] == "nucleus")
        # Without either it refuses the whole file.
        assert len(own["color"]) == 3
        assert all(0 <= part <= 255 and isinstance(part, int) for part in own["color"])
        assert isinstance(properties["isLocked"], bool)
        assert all(math.isfinite(value) for value in properties["measurements"].values())
        assert all(isinstance(value, str) for value in properties["metadata"].values())
        for geometry in (each["geometry"], each.get("nucleusGeometry", each["geometry"])):
            kind, coordinates = geometry["type"], geometry["coordinates"]
            assert kind in ("Polygon", "MultiPolygon")
            for polygon in coordinates if kind == "MultiPolygon" else [coordinates]:
                for ring in polygon:
                    assert ring[0] == ring[-1]
                    assert len(ring) >= 5
                    assert all(len(point) == 2 for point in ring)


def test_coordinates_are_x_y_in_level0_pixels_or_field_pixels() -> None:
    field = make_field(np.array([[0, 0, 0], [0, 0, 1]], np.uint16), y=10, x=100, down=2.5)
    (feature,) = features(field)
    x, y = feature["geometry"]["coordinates"][0][0]
    assert (y, x) == (11 * 2.5, 102 * (2.5 * 1.0003))
    (feature,) = features(field, level0=False)
    assert feature["geometry"]["coordinates"][0] == [[2, 1], [3, 1], [3, 2], [2, 2], [2, 1]]


def test_whole_downsamples_give_whole_numbers() -> None:
    mask = np.ones((1, 1), np.uint16)
    record = make_field(mask).record
    field = Field(2, 3, 5, 1, 1, (16.0, 16.0))
    (feature,) = features(
        ExportField(FieldRecord.from_json(record.to_json() | {"field": as_json(field)}), mask)
    )
    assert json.dumps(feature["geometry"]["coordinates"][0][0]) == "[80, 48]"


def as_json(field: Field) -> dict[str, Any]:
    from napari_pathseg.labels.record import field_to_json

    return field_to_json(field)


def test_field_pixels_come_back_too(tmp_path: Path) -> None:
    mask = np.eye(7, dtype=np.uint16)
    field = make_field(mask)
    write_geojson(tmp_path / "a.geojson", [field], level0=False)
    read = read_geojson(tmp_path / "a.geojson", field.record.field, CLASSES, level0=False)
    np.testing.assert_array_equal(read.mask, mask)


def test_the_same_labels_give_the_same_bytes(tmp_path: Path) -> None:
    field = make_field(np.eye(7, dtype=np.uint16))
    for name in ("a", "b"):
        write_geojson(tmp_path / name, [field, make_field(np.ones((0, 4), np.uint16))])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_given_instances_stay_apart(tmp_path: Path) -> None:
    mask = np.ones((4, 6), np.uint16)
    instances = np.repeat([[7, 7, 7, 2, 2, 2]], 4, axis=0).astype(np.uint32)
    field = ExportField(make_field(mask).record, mask, instances=instances)
    assert write_geojson(tmp_path / "a.geojson", [field]) == 2
    read = read_geojson(tmp_path / "a.geojson", field.record.field, CLASSES)
    np.testing.assert_array_equal(read.instances, np.repeat([[2, 2, 2, 1, 1, 1]], 4, axis=0))
    np.testing.assert_array_equal(read.mask, mask)


def test_thousands_of_objects(tmp_path: Path) -> None:
    y, x = np.mgrid[:500, :500]
    mask = ((y % 10 - 5) ** 2 + (x % 10 - 5) ** 2 < 16).astype(np.uint16)
    field = make_field(mask)
    assert write_geojson(tmp_path / "a.geojson", [field]) == 2_500
    read = read_geojson(tmp_path / "a.geojson", field.record.field, CLASSES)
    np.testing.assert_array_equal(read.mask, mask)


def test_progress_and_cancel_leave_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.geojson"
    path.write_text("old")
    token = CancelToken()
    seen: list[Progress] = []

    def progress(step: Progress) -> None:
        seen.append(step)
        if step.done == 1:
            token.cancel()

    fields = [make_field(np.ones((3, 3), np.uint16)) for _ in range(5)]
    with pytest.raises(CancelledError):
        write_geojson(path, fields, progress=progress, cancel=token)
    assert [(step.done, step.total) for step in seen] == [(0, 5), (1, 5)]
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_no_space_is_said_and_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "a.geojson"
    path.write_text("old")
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ExportError, match=r"no space in .*Free some space"):
        write_geojson(path, [make_field(np.ones((3, 3), np.uint16))])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ExportError, match=r"out.*Choose a folder"):
        write_geojson(tmp_path / "out" / "a.geojson", [])


def test_values_without_a_class_are_refused() -> None:
    with pytest.raises(ExportError, match=r"\[9\]"):
        make_field(np.full((2, 2), 9, np.uint16))
    with pytest.raises(ExportError, match="shape"):
        ExportField(make_field(np.ones((2, 2), int)).record, np.ones((3, 2), int))


SQUARE = [[0, 0], [40, 0], [40, 40], [0, 40], [0, 0]]
FIELD = Field(0, 0, 0, 50, 50, (1.0, 1.0))


def foreign(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "foreign.geojson"
    path.write_text(json.dumps(value))
    return path


def feature(coordinates: object, kind: str = "Polygon", **properties: object) -> dict[str, Any]:
    geometry = {"type": kind, "coordinates": coordinates}
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def test_files_of_qupath_in_all_their_forms(tmp_path: Path) -> None:
    hole = [[10, 10], [20, 10], [20, 20], [10, 20], [10, 10]]
    objects = [
        feature([SQUARE, hole], classification={"name": "gland", "colorRGB": -3670016}),
        feature([[[p[0] + 0.25, p[1]] for p in hole]], classification={"names": ["Tumor", "High"]}),
        feature([5, 5], "Point", classification={"name": "gland"}),
        feature([[[[900, 900], [901, 900], [901, 901], [900, 900]]]], "MultiPolygon",
                classification={"name": "gland"}),
        feature([SQUARE]),
        {"type": "Feature", "geometry": None, "properties": None},
        feature(
            [[[-9, 45, 0], [99, 45, 0], [99, 60, 0], [-9, 60, 0], [-9, 45, 0]]],
            classification={"name": "stroma"},
            childObjects=[feature([[[0, 48], [9, 48], [9, 50], [0, 50], [0, 48]]],
                                  classification={"name": "gland"})],
        ),
    ]  # fmt: skip
    path = foreign(tmp_path, objects)
    read = read_geojson(path, FIELD, CLASSES)
    assert read.unknown == {"Tumor: High": 1, "unclassified": 1}
    assert (read.outside, read.skipped) == (1, 2)
    expected = np.zeros((50, 50), int)
    expected[:40, :40] = 1
    expected[10:20, 10:20] = 0
    expected[45:] = 2
    expected[48:, :9] = 1
    np.testing.assert_array_equal(read.mask, expected)

    for value in ({"type": "FeatureCollection", "features": objects}, objects):
        added = read_geojson(foreign(tmp_path, value), FIELD, CLASSES, add_classes=True)
        assert added.unknown == {}
        assert [c.name for c in added.classes][2:] == ["Tumor: High", "unclassified"]
        assert (added.mask[30, 30], added.mask[45, 45]) == (4, 2)
    one = read_geojson(foreign(tmp_path, objects[0]), FIELD, ClassList(), add_classes=True)
    assert one.classes[1].color == (200, 0, 0)
    positive = {"name": "Positive", "parentClass": {"name": "Tumor"}, "colorRGB": -3670016}
    several = {"type": "GeometryCollection", "geometries": [feature([SQUARE])["geometry"]]}
    older = [
        feature([SQUARE], classification=positive),
        feature([SQUARE], classification="gland"),
        feature([SQUARE], classification={"name": "fat", "color": [1, 2, 3, 200]}),
        feature([SQUARE], classification="nerve") | {"geometry": several},
    ]
    read = read_geojson(foreign(tmp_path, older), FIELD, ClassList(), add_classes=True)
    assert [c.name for c in read.classes] == ["Tumor: Positive", "gland", "fat", "nerve"]
    assert read.classes[3].color == (1, 2, 3)
    assert (read.mask[:40, :40] == 4).all()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"type": "Topology"}, "no GeoJSON Feature"),
        ([feature([SQUARE]), 5], "no GeoJSON Feature"),
        ([feature([SQUARE]), feature([[["a", 0]] * 5])], "object 2: a coordinate is no number"),
        ([feature([[[0, 0], [1, 0], [1]]])], "object 1: a coordinate is no number"),
        ([feature([SQUARE[:-1]])], "object 1: a ring is not closed"),
        ([feature([[[0, 0], [float("nan"), 0], [1, 1], [0, 0]]])], "finite"),
        ([feature("x")], "not lists of rings"),
    ],
)
def test_wrong_files_are_named(tmp_path: Path, value: object, said: str) -> None:
    with pytest.raises(ExportError, match=said) as caught:
        read_geojson(foreign(tmp_path, value), FIELD, CLASSES)
    assert "foreign.geojson" in str(caught.value)


def test_files_that_are_no_json_or_missing(tmp_path: Path) -> None:
    path = tmp_path / "half.geojson"
    path.write_text('{"type": "FeatureCollection", "features": [')
    with pytest.raises(ExportError, match=r"half\.geojson is no GeoJSON"):
        read_geojson(path, FIELD, CLASSES)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ExportError, match=r"half\.geojson is no GeoJSON"):
        read_geojson(path, FIELD, CLASSES)
    with pytest.raises(ExportError, match="can not be read"):
        read_geojson(tmp_path / "missing.geojson", FIELD, CLASSES)
