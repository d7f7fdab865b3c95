"""`pathseg import`: every format that goes out comes in again, on its place, pixel by pixel."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner, Result
from PIL import Image

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.cli.main import main
from napari_pathseg.export.formats import FORMATS
from napari_pathseg.export.labels_tiff import write_labels_tiff
from napari_pathseg.geometry import Field
from napari_pathseg.labels.apart import objects_apart
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.slide.open import open_slide

FIELD = Field(level=1, y=16, x=32, height=64, width=96, downsample=(2.0, 2.0))
CLASSES = (
    ClassList()
    .with_class("gland", Term("unspecified", "tissue", "gland"), (1, 2, 3))
    .with_class("odd thing", None, (200, 10, 20))
)


def make_mask() -> np.ndarray:
    mask = np.zeros(FIELD.shape, np.uint16)
    mask[10:30, 5:40] = 1
    mask[12:14, 8:10] = 0  # a hole
    mask[30:50, 5:40] = 2  # touches the gland
    mask[0, 0] = 2  # one pixel, at the corner
    mask[63, 90:96] = 1
    return mask


@pytest.fixture
def labelled(ome_tiff: Path) -> Path:
    """A slide with one field in the user's store."""
    with open_slide(ome_tiff) as slide:
        identity = slide.metadata.identity
    record = FieldRecord.new(
        FIELD, CLASSES, slide_identity=identity, slide_name=ome_tiff.name, mpp=(1.0, 1.0)
    )
    with LabelStore.open(identity, ome_tiff.name) as store:
        store.save_field(record, make_mask())
    return ome_tiff


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def _stored(slide: Path) -> list[tuple[FieldRecord, np.ndarray]]:
    with open_slide(slide) as opened:
        identity = opened.metadata.identity
    with LabelStore.open(identity, slide.name) as store:
        return [store.load(record.id) for record in store.fields()]


def _forget(slide: Path) -> None:
    with open_slide(slide) as opened:
        identity = opened.metadata.identity
    with LabelStore.open(identity, slide.name) as store:
        for record in store.fields():
            store.delete(record.id)


def _same(slide: Path) -> None:
    """Every pixel is on its place, under the name of its class."""
    ((record, mask),) = _stored(slide)
    shown = np.zeros((256, 384), "U9")  # level 1
    place = record.field
    assert (place.level, place.downsample) == (1, (2.0, 2.0))
    inside = shown[place.y : place.y + place.height, place.x : place.x + place.width]
    for label_class in record.classes:
        inside[mask == label_class.value] = label_class.name
    expected = np.zeros((256, 384), "U9")
    inside = expected[16:80, 32:128]
    inside[make_mask() == 1], inside[make_mask() == 2] = "gland", "odd thing"
    np.testing.assert_array_equal(shown, expected)
    assert record.classes.named("gland").term == Term("unspecified", "tissue", "gland")


@pytest.mark.parametrize(
    ("form", "options", "found"),
    [
        ("bundle", (), "training"),
        ("geojson", (), "*.geojson"),
        ("geojson", ("--objects", "cell"), "*.geojson"),
        ("geojson", ("--objects", "class"), "*.geojson"),
        ("coco", (), "coco"),
        ("coco", ("--outlines", "polygon"), "coco/annotations.json"),
        ("ome-zarr", (), "*.ome.zarr"),
        ("ome-zarr", ("--zarr", "beside"), "*.classes.ome.zarr"),
        ("ome-tiff", (), "*.labels.ome.tif"),
        ("ome-tiff", ("--extent", "slide"), "*.labels.ome.tif"),
        ("tif", (), "*.labels.tif"),
        ("png", (), "*.png"),
        ("dicom-seg", (), "*.seg.dcm"),
    ],
)
def test_what_went_out_comes_in(
    form: str, options: tuple[str, ...], found: str, labelled: Path, tmp_path: Path
) -> None:
    if FORMATS[form].package:
        pytest.importorskip(FORMATS[form].package)
    out = tmp_path / "out"
    gone = _run("export", labelled, "--out", out, "--format", form, *options)
    assert gone.exit_code == 0, gone.stderr
    _forget(labelled)
    (path,) = out.glob(found)
    come = _run("import", labelled, path)
    assert come.exit_code == 0, come.stderr
    assert "1 field of" in come.stdout
    _same(labelled)


def test_tiles_come_in_as_the_same_labels(labelled: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert _run("export", labelled, "--out", out, "--tile", "40", "--overlap", "8").exit_code == 0
    _forget(labelled)
    assert _run("import", labelled, out / "training").exit_code == 0
    whole = np.zeros((256, 384), np.uint16)
    for record, mask in _stored(labelled):
        place = record.field
        assert mask.shape == (40, 40)
        window = whole[place.y : place.y + 40, place.x : place.x + 40]
        np.copyto(window, mask, where=mask > 0)
    np.testing.assert_array_equal(whole[16:80, 32:128], make_mask())
    assert np.count_nonzero(whole) == np.count_nonzero(make_mask())


def test_the_same_bundle_twice_replaces_its_fields(labelled: Path, tmp_path: Path) -> None:
    assert _run("export", labelled, "--out", tmp_path).exit_code == 0
    assert _run("import", labelled, tmp_path / "training").exit_code == 0
    _same(labelled)


SQUARE = [[100, 200], [140, 200], [140, 240], [100, 240], [100, 200]]


def foreign(tmp_path: Path, *features: dict[str, object]) -> Path:
    path = tmp_path / "qupath.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


def feature(name: str, ring: list[list[float]] = SQUARE) -> dict[str, object]:
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {"classification": {"name": name, "color": [9, 8, 7]}},
    }


def outlined(path: Path) -> list[list[str]]:
    """Class and coordinates of all objects of a GeoJSON."""
    features = json.loads(path.read_bytes())["features"]
    return sorted(
        [f["properties"]["classification"]["name"], json.dumps(f["geometry"]["coordinates"])]
        for f in features
    )


@pytest.mark.parametrize(
    ("form", "options", "found"),
    [
        ("geojson", (), "*.geojson"),
        ("coco", (), "coco"),
        ("bundle", (), "training"),
        ("ome-tiff", (), "*.ome.tif"),
        ("ome-zarr", (), "*.ome.zarr"),
        ("ome-zarr", ("--zarr", "beside"), "*.classes.ome.zarr"),
    ],
)
def test_objects_that_touch_stay_apart(
    form: str, options: tuple[str, ...], found: str, ome_tiff: Path, tmp_path: Path
) -> None:
    cells = [[[x, 40], [x + 8, 40], [x + 8, 50], [x, 50], [x, 40]] for x in range(40, 104, 8)]
    apart = {"type": "MultiPolygon", "coordinates": [[SQUARE], [[[p, q + 60] for p, q in SQUARE]]]}
    two = feature("nucleus") | {"geometry": apart}
    came = foreign(tmp_path, *(feature("nucleus", ring) for ring in cells), two)
    assert _run("import", ome_tiff, came).exit_code == 0
    first = tmp_path / "first"
    assert _run("export", ome_tiff, "--out", first, "--format", "geojson").exit_code == 0
    (path,) = first.glob("*.geojson")
    shown = outlined(path)
    assert [name for name, _ in shown] == ["nucleus"] * (len(cells) + 1)
    gone = _run("export", ome_tiff, "--out", tmp_path / "out", "--format", form, *options)
    assert f"{len(cells) + 1} objects" in gone.stdout
    _forget(ome_tiff)
    (again,) = (tmp_path / "out").glob(found)
    assert _run("import", ome_tiff, again).exit_code == 0
    last = tmp_path / "last"
    assert _run("export", ome_tiff, "--out", last, "--format", "geojson").exit_code == 0
    (path,) = last.glob("*.geojson")
    assert outlined(path) == shown


def test_classes_are_mapped_by_the_vocabulary_and_shown(ome_tiff: Path, tmp_path: Path) -> None:
    moved = [[x + 60, y] for x, y in SQUARE]
    third = [[x + 120, y] for x, y in SQUARE]
    path = foreign(
        tmp_path, feature("Immune cells"), feature("Region 7", moved), feature("junk", third)
    )
    shown = _run("import", ome_tiff, path, "--dry-run")
    assert shown.exit_code == 0, shown.stderr
    assert "inflammatory nucleus" in shown.stdout
    assert "not in the vocabulary" in shown.stdout
    done = _run(
        "import", ome_tiff, path, "--map", "junk=", "--map", "Region 7=tumour", "--reviewed"
    )
    assert done.exit_code == 0, done.stderr
    ((record, mask),) = _stored(ome_tiff)
    assert [c.name for c in record.classes] == ["inflammatory nucleus", "tumor"]
    assert record.classes[2].term.object == "tumor"
    assert (record.field.level, record.status) == (0, "accepted")
    top, left = record.field.y, record.field.x
    assert mask[200 - top : 240 - top, 100 - left : 140 - left].min() == 1
    assert mask[200 - top : 240 - top, 160 - left : 200 - left].max() == 2
    assert np.count_nonzero(mask) == 2 * 1600


def test_a_mask_without_a_place_needs_its_size_or_its_corner(
    ome_tiff: Path, tmp_path: Path
) -> None:
    level1, small = np.zeros((256, 384), np.uint16), np.ones((20, 30), np.uint16)
    level1[7, 9] = 4
    write_labels_tiff(tmp_path / "level1.tif", level1, None, ClassList())
    write_labels_tiff(tmp_path / "small.tif", small, None, ClassList())
    assert _run("import", ome_tiff, tmp_path / "level1.tif").exit_code == 0
    ((record, mask),) = _stored(ome_tiff)
    assert (record.field.level, record.field.y, mask[7, 9]) == (1, 0, 1)
    assert record.classes[1].name == "label 4"
    _forget(ome_tiff)
    refused = _run("import", ome_tiff, tmp_path / "small.tif")
    assert refused.exit_code == 1
    assert "does not say where it belongs" in refused.stderr
    options = ("--level", "1", "--corner", "100", "60")
    assert _run("import", ome_tiff, tmp_path / "small.tif", *options).exit_code == 0
    ((record, _),) = _stored(ome_tiff)
    assert record.field == Field(1, 50, 30, 20, 30, (2.0, 2.0))


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


@pytest.mark.parametrize(
    ("form", "found", "harm", "said"),
    [
        ("geojson", "*.geojson", _cut_short, "no GeoJSON"),
        ("coco", "coco/annotations.json", _cut_short, "no COCO file"),
        ("tif", "*.labels.tif", _cut_short, "labels.tif"),
        ("png", "*.png", _cut_short, ".png"),
        ("dicom-seg", "*.seg.dcm", _cut_short, ".seg.dcm"),
        ("bundle", "training/classes/*.png", lambda p: p.write_bytes(b""), "is damaged"),
        ("bundle", "training/metadata.jsonl", _cut_short, "line 1 is damaged"),
        ("tif", "*.labels.tif", lambda p: p.write_bytes(b"hello"), "no labels that are known"),
        ("tif", "*.labels.tif", lambda p: p.write_bytes(b""), "is empty"),
    ],
)
def test_damaged_files_are_named_and_nothing_comes_in(
    form: str,
    found: str,
    harm: Callable[[Path], object],
    said: str,
    labelled: Path,
    tmp_path: Path,
) -> None:
    if FORMATS[form].package:
        pytest.importorskip(FORMATS[form].package)
    assert _run("export", labelled, "--out", tmp_path / "out", "--format", form).exit_code == 0
    _forget(labelled)
    (path,) = (tmp_path / "out").glob(found)
    harm(path)
    start = path if form != "bundle" else tmp_path / "out" / "training"
    result = _run("import", labelled, start)
    assert result.exit_code == 1, result.stdout
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert _stored(labelled) == []


def test_labels_of_other_places_slides_and_classes_are_refused(
    labelled: Path, make_ome_tiff: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    assert _run("export", labelled, "--out", out, "--format", "geojson").exit_code == 0
    (path,) = out.glob("*.geojson")
    other = make_ome_tiff(height=300, name="other.ome.tif")
    for options, said in (
        ((other, path), "another slide"),
        ((other, foreign(tmp_path, feature("x", [[9, 9], [99, 9], [99, 999], [9, 9]]))), "outside"),
        ((labelled, path, "--map", "nerve=gland"), "no class 'nerve'"),
        ((labelled, path, "--map", "gland=", "--map", "odd thing="), "nothing is left"),
        ((labelled, path, "--level", "7"), "no level 7"),
        ((labelled, tmp_path), "no labels that are known"),
    ):
        result = _run("import", *options)
        assert result.exit_code == 1
        assert said in result.stderr
    assert len(_stored(labelled)) == 1
    assert _stored(other) == []
    done = _run("import", make_ome_tiff(name="copy.ome.tif", mpp=0.25), path, "--other-slide")
    assert done.exit_code == 0, done.stderr


def test_no_space_leaves_nothing_half_imported(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    out = tmp_path / "out"
    assert _run("export", labelled, "--out", out, "--tile", "32").exit_code == 0
    _forget(labelled)
    calls = []

    def full(*_: object) -> None:
        calls.append(1)
        if len(calls) == 3:
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error

    real = LabelStore._save

    def save(self: LabelStore, *arguments: object) -> None:
        full()
        real(self, *arguments)

    monkeypatch.setattr(LabelStore, "_save", save)
    result = _run("import", labelled, out / "training")
    assert result.exit_code == 1
    assert "no space" in result.stderr
    assert len(calls) == 3
    assert _stored(labelled) == []


def numbered(shape: tuple[int, int] = (256, 384)) -> np.ndarray:
    """Numbers of 70 objects in a row each, all touching the next one."""
    objects = np.zeros(shape, np.uint32)
    for row in range(7):
        for column in range(10):
            objects[10 + 20 * row : 20 + 20 * row, 40 + 9 * column : 49 + 9 * column] = (
                100 + 10 * row + column
            )
    return objects


def _zarr_of_others(path: Path, objects: np.ndarray, version: str, name: str = "nuclei") -> Path:
    """An OME-Zarr with a label image as others write it, five axes and metadata of its time."""
    whole = objects[None, None, None]
    group = zarr.open_group(path, mode="w", zarr_format=2 if version == "0.4" else 3)
    own = group.create_group("labels").create_group(name)
    own.create_array("0", data=whole, chunks=(1, 1, 1, 128, 128))
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": a, "type": kinds.get(a, "space")} for a in "tczyx"]
    steps = [{"type": "scale", "scale": [1.0, 1.0, 1.0, 2.0, 2.0]}]
    ome = {
        "multiscales": [
            {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
        ],
        "image-label": {"colors": [{"label-value": 100, "rgba": [1, 2, 3, 255]}]},
    }
    if version == "0.4":
        group["labels"].attrs["labels"] = [name]
        own.attrs.update(ome)
    else:
        group["labels"].attrs["ome"] = {"version": version, "labels": [name]}
        own.attrs["ome"] = ome | {"version": version}
    return path


def _objects_stored(slide: Path) -> tuple[FieldRecord, np.ndarray]:
    with open_slide(slide) as opened:
        identity = opened.metadata.identity
    with LabelStore.open(identity, slide.name) as store:
        (record,) = store.fields()
        return record, objects_apart(store.load(record.id)[1], store.numbers(record.id))


def _as_tiff(path: Path, objects: np.ndarray) -> Path:
    tifffile.imwrite(path, objects, ome=True, metadata={"axes": "YX"}, compression="zlib")
    return path


def _as_png(path: Path, objects: np.ndarray) -> Path:
    Image.fromarray(objects.astype(np.uint16)).save(path)
    return path


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.zarr", lambda path, objects: _zarr_of_others(path, objects, "0.4")),
        ("b.ome.zarr", lambda path, objects: _zarr_of_others(path, objects, "0.5")),
        ("c.ome.tif", _as_tiff),
        ("d.tif", lambda path, objects: _as_tiff(path, objects * 1000)),
        ("e.png", _as_png),
    ],
)
def test_numbers_of_objects_come_in_as_objects(
    name: str, write: Callable[[Path, np.ndarray], Path], ome_tiff: Path, tmp_path: Path
) -> None:
    objects = numbered()
    path = write(tmp_path / name, objects)
    asked = _run("import", ome_tiff, path)
    if "zarr" in name:  # the label image is called nuclei, which is a name of a term
        assert asked.exit_code == 0, asked.stderr
    else:
        assert asked.exit_code == 1
        assert "say which class they are" in asked.stdout
        assert '--map "objects=nucleus"' in asked.stderr
        assert _stored(ome_tiff) == []
        done = _run("import", ome_tiff, path, "--map", "objects=nuclei")
        assert done.exit_code == 0, done.stderr
        assert "taken for objects" in done.stderr
    record, found = _objects_stored(ome_tiff)
    assert [c.term for c in record.classes] == [Term("unspecified", "nuclei", "nucleus")]
    assert record.field == Field(1, 0, 0, 256, 384, (2.0, 2.0))
    _, expected = np.unique(objects, return_inverse=True)
    np.testing.assert_array_equal(found, expected.reshape(objects.shape))


def test_what_numbers_are_can_be_said(ome_tiff: Path, tmp_path: Path) -> None:
    few = np.where(numbered() < 103, numbered(), 0)  # three objects look like three classes
    path = _as_tiff(tmp_path / "few.tif", few)
    assert _run("import", ome_tiff, path).exit_code == 0
    ((record, _),) = _stored(ome_tiff)
    assert [c.name for c in record.classes] == ["label 100", "label 101", "label 102"]
    _forget(ome_tiff)
    options = ("--numbers", "objects", "--map", "objects=gland")
    assert _run("import", ome_tiff, path, *options).exit_code == 0
    assert _objects_stored(ome_tiff)[1].max() == 3
    _forget(ome_tiff)
    many = _as_tiff(tmp_path / "many.tif", numbered())
    assert _run("import", ome_tiff, many, "--numbers", "classes").exit_code == 0
    assert len(_stored(ome_tiff)[0][0].classes) == 70
    for values, said in ((-few.astype(np.int32), "number nothing"), (few * 1000, "no classes")):
        bad = _as_tiff(tmp_path / "bad.tif", values)
        refused = _run("import", ome_tiff, bad, "--numbers", "classes")
        assert said in refused.stderr
        assert refused.exit_code == 1


def test_label_images_beside_each_other_and_objects_with_classes(
    ome_tiff: Path, tmp_path: Path
) -> None:
    objects = numbered()
    path = _zarr_of_others(tmp_path / "a.ome.zarr", objects, "0.5", "first")
    group = zarr.open_group(path, mode="r+")
    group["labels"].attrs["ome"] = {"version": "0.5", "labels": ["first", "glands"]}
    own = group["labels"].create_group("glands")
    own.create_array("0", data=(objects > 120).astype(np.uint8))
    ome = dict(group["labels/first"].attrs)["ome"]
    own.attrs["ome"] = ome | {"image-label": {"properties": [{"label-value": 1, "name": "gland"}]}}
    said = [
        {"label-value": int(v), "class": "tumor" if v < 130 else "stroma"}
        for v in np.unique(objects)[1:]
    ]
    first = group["labels/first"]
    first.attrs["ome"] = ome | {"image-label": {"properties": said}}
    done = _run("import", ome_tiff, path)
    assert done.exit_code == 0, done.stderr
    with open_slide(ome_tiff) as opened:
        identity = opened.metadata.identity
    with LabelStore.open(identity, ome_tiff.name) as store:
        one, two = store.fields()
        mask = store.load(one.id)[1]
        found = objects_apart(mask, store.numbers(one.id))
    assert [c.name for c in one.classes] == ["tumor", "stroma"]
    assert [c.name for c in two.classes] == ["gland"]
    np.testing.assert_array_equal(mask > 0, objects > 0)
    assert (mask[(objects > 0) & (objects < 130)] == 1).all()
    assert found.max() == 70


def _largest_chunk(folder: Path) -> Path:
    files = (f for f in (folder / "labels" / "classes" / "0").rglob("*") if f.is_file())
    return max((f for f in files if f.name != "zarr.json"), key=lambda f: f.stat().st_size)


def _change_zarr(folder: Path, scale: list[float], first: list[float]) -> None:
    """What others could have written there, in the place of all that we say."""
    label = zarr.open_group(folder / "labels" / "classes", mode="r+")
    ome = dict(label.attrs)["ome"]
    steps = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": first}]
    ome["multiscales"][0]["datasets"][0]["coordinateTransformations"] = steps
    label.attrs.put({"ome": ome})
    zarr.open_group(folder, mode="r+").attrs.put({})


def _other_objects(folder: Path) -> None:
    label = zarr.open_group(folder / "labels" / "instances", mode="r+")
    del label["0"]
    label.create_array("0", data=np.ones((9, 9), np.uint32))


@pytest.mark.parametrize(
    ("form", "found", "harm", "said"),
    [
        ("ome-zarr", "*.ome.zarr", lambda p: _cut_short(_largest_chunk(p)), "damaged"),
        ("ome-zarr", "*.ome.zarr", lambda p: _largest_chunk(p).write_bytes(b""), "damaged"),
        ("ome-zarr", "*.ome.zarr", _other_objects, "its objects (9, 9)"),
        ("ome-zarr", "*.ome.zarr", lambda p: _change_zarr(p, [0, 0], [0, 0]), "0 x 0 µm"),
        ("ome-zarr", "*.ome.zarr", lambda p: _change_zarr(p, [1, 1], [9e3, 0]), "outside"),
        ("ome-zarr", "*.ome.zarr", lambda p: _change_zarr(p, [900, 900], [0, 0]), "outside"),
        (
            "ome-tiff",
            "*.labels.ome.tif",
            lambda p: p.write_bytes(p.read_bytes()[:-9]),
            "breaks off",
        ),
    ],
)
def test_half_copied_and_misplaced_pyramids_are_named(
    form: str, found: str, harm: Callable[[Path], object], said: str, labelled: Path, tmp_path: Path
) -> None:
    assert _run("export", labelled, "--out", tmp_path, "--format", form).exit_code == 0
    _forget(labelled)
    (path,) = tmp_path.glob(found)
    harm(path)
    result = _run("import", labelled, path)
    assert result.exit_code == 1, result.output
    assert said in result.stderr
    assert path.name in result.stderr
    assert _stored(labelled) == []


def test_files_that_label_nothing_are_named(ome_tiff: Path, tmp_path: Path) -> None:
    _as_tiff(tmp_path / "none.tif", np.zeros((256, 384), np.uint8))
    degrees = [[x / 1e4, y / 1e4] for x, y in SQUARE]
    for path in (tmp_path / "none.tif", foreign(tmp_path, feature("gland", degrees))):
        result = _run("import", ome_tiff, path)
        assert result.exit_code == 1
        assert "labels no pixel" in result.stderr
