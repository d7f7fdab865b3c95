"""A training bundle is exact, whole, and the same for the same fields."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.errors import CancelledError, ExportError
from napari_pathseg.export.bundle import read_bundle, read_splits, write_bundle
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.folder import recover
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import PointPrompt, TextPrompt


def make_field(
    names: tuple[str, ...] = ("gland", "stroma"),
    slide: str = "abc",
    shape: tuple[int, int] = (30, 40),
    seed: int = 0,
) -> ExportField:
    dice = np.random.default_rng(seed)
    classes = ClassList()
    for number, name in enumerate(names):
        classes = classes.with_class(name, Term("colon", "tissue", name), (number, 2, 3))
    record = FieldRecord.new(
        Field(1, 10, 20, *shape, (4.0001, 4.0)),
        classes,
        slide_identity=slide,
        slide_name="Jane Doe.svs",
        mpp=(0.5, 0.25),
        prompts=[TextPrompt("gland é\ud800"), PointPrompt(1.5, 2.25, False)],
        presence=[0.25],
        model="net",
        model_license="research use only",
        author="someone",
    )
    return ExportField(
        record,
        dice.integers(0, len(names) + 1, shape).astype(np.uint16),
        dice.integers(0, 256, (*shape, 3)).astype(np.uint8),
        before=dice.integers(0, len(names) + 1, shape).astype(np.uint16),
    )


def contents(path: Path) -> dict[str, bytes]:
    return {str(f.relative_to(path)): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def assert_same(read: ExportField, written: ExportField) -> None:
    for c in written.record.classes:
        value = read.record.classes.named(c.name).value
        np.testing.assert_array_equal(read.mask == value, written.mask == c.value)
        np.testing.assert_array_equal(read.before == value, written.before == c.value)
    np.testing.assert_array_equal(read.mask > 0, written.mask > 0)
    np.testing.assert_array_equal(read.image, written.image)
    np.testing.assert_array_equal(read.instances, written.objects())


def test_every_pixel_and_every_word_comes_back(tmp_path: Path) -> None:
    field = make_field()
    assert write_bundle(tmp_path / "b", [field], hide_names=False) == 1
    (read,) = read_bundle(tmp_path / "b")
    assert read.record == field.record
    assert_same(read, field)
    np.testing.assert_array_equal(read.mask, field.mask)


def test_the_line_of_a_field_says_where_its_pixels_are(tmp_path: Path) -> None:
    field = make_field()
    write_bundle(tmp_path / "b", [field])
    (text,) = (tmp_path / "b" / "metadata.jsonl").read_text().splitlines()
    line = json.loads(text)
    with Image.open(tmp_path / "b" / line["file_name"]) as image:
        np.testing.assert_array_equal(np.asarray(image), field.image)
    with Image.open(tmp_path / "b" / line["classes_file_name"]) as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.asarray(image), field.mask)
    assert line["region"] == field.record.field.region.as_list()
    assert line["field"]["downsample"] == [4.0001, 4.0]
    assert line["prompts"][0]["text"] == "gland é\ud800"
    assert line["model"]["license"] == "research use only"


def test_names_of_slides_stay_at_home(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", [make_field()])
    (read,) = read_bundle(tmp_path / "b")
    assert read.record.slide_name.startswith("slide-")
    assert not any(b"Jane" in content for content in contents(tmp_path / "b").values())


def test_classes_have_one_value_in_all_fields(tmp_path: Path) -> None:
    fields = [
        make_field(("gland", "stroma"), seed=1),
        make_field(("stroma", "nerve", "gland"), "other", seed=2),
        make_field(("vessel",), seed=3),
    ]
    write_bundle(tmp_path / "b", fields[:2])
    write_bundle(tmp_path / "b", fields[2:])
    read = {f.record.id: f for f in read_bundle(tmp_path / "b")}
    values: dict[str, set[int]] = {}
    for field in fields:
        assert_same(read[field.record.id], field)
        for c in read[field.record.id].record.classes:
            values.setdefault(c.name, set()).add(c.value)
    assert all(len(found) == 1 for found in values.values())
    assert values["gland"] == {1}
    listed = json.loads((tmp_path / "b" / "classes.json").read_text())["classes"]
    assert {c["name"]: {c["value"]} for c in listed} == values


def test_the_same_fields_give_the_same_bytes(tmp_path: Path) -> None:
    fields = [make_field(slide=str(n), seed=n) for n in range(6)]
    write_bundle(tmp_path / "a", fields)
    write_bundle(tmp_path / "b", fields)
    write_bundle(tmp_path / "b", fields[::-1])
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


def test_a_field_that_is_written_again_is_replaced(tmp_path: Path) -> None:
    first, other = make_field(seed=1), make_field(seed=2)
    write_bundle(tmp_path / "b", [first, other])
    changed = replace(first, mask=first.mask[::-1].copy(), before=None)
    write_bundle(tmp_path / "b", [changed])
    read = {f.record.id: f for f in read_bundle(tmp_path / "b")}
    np.testing.assert_array_equal(read[first.record.id].mask, changed.mask)
    assert read[first.record.id].before is None
    assert not (tmp_path / "b" / "before" / f"{first.record.id}.png").exists()
    assert_same(read[other.record.id], other)


def test_a_class_removed_since_is_background_in_the_proposal(tmp_path: Path) -> None:
    field = make_field(("gland",))
    before = np.array(field.before)
    before[0] = 5
    write_bundle(tmp_path / "b", [replace(field, before=before)])
    (read,) = read_bundle(tmp_path / "b")
    np.testing.assert_array_equal(read.before, np.where(before == 5, 0, before))


def test_more_objects_than_16_bits(tmp_path: Path) -> None:
    mask = np.zeros((520, 520), np.uint16)
    mask[::2, ::2] = 1
    small = make_field(shape=(520, 520))
    field = replace(small, mask=mask)
    write_bundle(tmp_path / "b", [field])
    (read,) = read_bundle(tmp_path / "b")
    assert read.instances is not None
    assert read.instances.max() == 67_600
    np.testing.assert_array_equal(read.instances, field.objects())
    write_bundle(tmp_path / "b", [small])
    (file,) = (tmp_path / "b" / "instances").iterdir()
    assert file.suffix == ".png"


def test_slides_are_not_torn_apart_by_splits(tmp_path: Path) -> None:
    fields = [make_field(slide=str(n % 10), shape=(4, 4), seed=n) for n in range(30)]
    write_bundle(tmp_path / "b", fields[:20])
    first = read_splits(tmp_path / "b")
    write_bundle(tmp_path / "b", fields[20:])
    splits = read_splits(tmp_path / "b")
    side = {i: name for name, ids in splits.items() for i in ids}
    assert sorted(side) == sorted(f.record.id for f in fields)
    slides = {
        name: {f.record.slide_identity for f in fields if side[f.record.id] == name}
        for name in splits
    }
    assert (len(slides["train"]), len(slides["val"])) == (8, 2)
    assert not slides["train"] & slides["val"]
    assert set(first["val"]) <= set(splits["val"])


def test_cancel_and_errors_leave_the_bundle_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "b"
    first = make_field()
    write_bundle(path, [first])
    before = contents(path)
    token = CancelToken()

    def second(step: Progress) -> None:
        if step.done == 1:
            token.cancel()

    changed = [replace(first, mask=first.mask * 0), make_field(seed=3), make_field(seed=4)]
    with pytest.raises(CancelledError):
        write_bundle(path, changed, progress=second, cancel=token)
    with pytest.raises(ExportError, match="no image"):
        write_bundle(path, [make_field(seed=2), replace(make_field(), image=None)])

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(ExportError, match="no space in"):
        write_bundle(path, [make_field(seed=2)])
    with pytest.raises(ExportError, match="no space in"):
        write_bundle(tmp_path / "new", [make_field(seed=2)])
    assert contents(path) == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_bundle_that_was_being_replaced_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "b"
    write_bundle(path, [make_field()])
    before = contents(path)
    path.rename(tmp_path / ".b.before")
    (tmp_path / ".b.part").mkdir()
    assert len(read_bundle(path)) == 1
    assert contents(path) == before
    write_bundle(path, [make_field(seed=1)])
    assert list(tmp_path.iterdir()) == [path]
    (tmp_path / ".b.before").mkdir()
    recover(path)
    assert list(tmp_path.iterdir()) == [path]


def test_foreign_folders_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ExportError, match="no training bundle"):
        write_bundle(tmp_path, [make_field()])
    with pytest.raises(ExportError, match="no training bundle"):
        read_bundle(tmp_path)
    with pytest.raises(ExportError, match="is a file"):
        write_bundle(tmp_path / "notes.txt", [make_field()])
    assert contents(tmp_path) == {"notes.txt": b"mine"}
    (tmp_path / "empty").mkdir()
    assert write_bundle(tmp_path / "empty", []) == 0
    assert read_bundle(tmp_path / "empty") == []


@pytest.mark.parametrize("kind", ["images", "classes", "instances", "before"])
def test_missing_and_damaged_pictures_are_named(tmp_path: Path, kind: str) -> None:
    write_bundle(tmp_path / "b", [make_field()])
    (file,) = (tmp_path / "b" / kind).iterdir()
    content = file.read_bytes()
    for broken in (content[:100], b"no picture"):
        file.write_bytes(broken)
        with pytest.raises(ExportError, match=file.name):
            read_bundle(tmp_path / "b")
    file.unlink()
    with pytest.raises(ExportError, match=file.name):
        read_bundle(tmp_path / "b")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("metadata.jsonl", "{", "line 1 is damaged"),
        ("metadata.jsonl", '{"id": "a", "slide": {"identity": "x"}}\n', "lacks the value"),
        ("classes.json", "[", "is damaged"),
        ("classes.json", "[]", "no training bundle"),
    ],
)
def test_damaged_indexes_are_named(tmp_path: Path, name: str, content: str, said: str) -> None:
    write_bundle(tmp_path / "b", [make_field()])
    (tmp_path / "b" / name).write_text(content)
    with pytest.raises(ExportError, match=said):
        read_bundle(tmp_path / "b")


def test_files_outside_the_bundle_are_not_touched(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", [make_field()])
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"keep")
    index = tmp_path / "b" / "metadata.jsonl"
    line = json.loads(index.read_text())
    index.write_text(json.dumps(line | {"file_name": "../secret.png"}) + "\n")
    with pytest.raises(ExportError, match="no file of the bundle"):
        read_bundle(tmp_path / "b")
    field = make_field()
    again = replace(field, record=replace(field.record, id=line["id"]))
    with pytest.raises(ExportError, match="no file of the bundle"):
        write_bundle(tmp_path / "b", [again])
    assert secret.read_bytes() == b"keep"
    with pytest.raises(ExportError, match="name of a file"):
        replace(field, record=replace(field.record, id="../x"))
