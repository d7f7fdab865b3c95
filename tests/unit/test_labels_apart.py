"""Objects that touch stay apart: what came in, what is drawn since, what is undone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field
from napari_pathseg.labels.apart import objects_apart, told_apart
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.masks import regridded
from napari_pathseg.labels.raster import instances_of
from napari_pathseg.labels.record import FieldRecord


def same_objects(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two masks part the same pixels in the same way, whatever the numbers."""
    pairs = np.unique(np.stack([one.ravel(), other.ravel()]), axis=1)
    firsts, seconds = (len(np.unique(side)) for side in pairs)
    alike = np.array_equal(one > 0, other > 0)
    return alike and firsts == seconds == pairs.shape[1]


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.uint8, (7, 9), elements=st.integers(0, 5)))
def test_what_is_told_apart_comes_back(objects: np.ndarray) -> None:
    classes = np.where(objects > 0, objects % 2 + 1, 0)
    numbers = told_apart(classes, objects)
    back = objects_apart(classes, numbers)
    assert same_objects(back, objects)
    if numbers is None:
        np.testing.assert_array_equal(back, instances_of(classes))


def touching() -> tuple[np.ndarray, np.ndarray]:
    """Two objects side by side, one in two pieces, and one alone."""
    classes, objects = np.zeros((20, 30), np.uint16), np.zeros((20, 30), np.uint32)
    classes[2:8, 2:14], objects[2:8, 2:8], objects[2:8, 8:14] = 1, 40, 50
    classes[12:14, 2:4] = classes[12:14, 20:22] = 2
    objects[12:14, 2:4] = objects[12:14, 20:22] = 9
    classes[2:5, 20:25] = 2
    objects[2:5, 20:25] = 70
    return classes, objects


def test_what_is_drawn_since_joins_cuts_and_adds() -> None:
    classes, objects = touching()
    numbers = told_apart(classes, objects)
    classes[2:8, 14:16] = 1  # the right one grows
    classes[4, 2:8] = 0  # the left one is cut in two
    classes[17, 27] = 1  # one more
    classes[12:14, 4:20] = 2  # a bridge between the pieces of one object
    classes[3, 22] = 1  # a pixel in an object of another class
    found = objects_apart(classes, numbers)
    assert len(np.unique(found)) - 1 == 7
    assert found[3, 15] == found[3, 9] != found[3, 3]
    assert found[3, 3] != found[6, 3]
    assert len(np.unique(found[12:14, 2:22])) == 1
    assert found[3, 22] not in (0, found[3, 21])
    np.testing.assert_array_equal(found > 0, classes > 0)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore.open("abc", "a.svs", tmp_path) as opened:
        yield opened


def made(field: Field) -> FieldRecord:
    classes = ClassList.from_names(["gland", "nucleus"], [(1, 2, 3), (4, 5, 6)])
    return FieldRecord.new(field, classes, slide_identity="abc", slide_name="a.svs", mpp=None)


def count(store: LabelStore, record: FieldRecord) -> int:
    mask = store.load(record.id)[1]
    return int(objects_apart(mask, store.numbers(record.id)).max())


def test_the_store_keeps_them_through_strokes_undo_and_levels(store: LabelStore) -> None:
    classes, objects = touching()
    record = made(Field(0, 0, 0, 20, 30, (1.0, 1.0)))
    assert store.numbers(record.id) is None
    store.save_fields([(record, classes)], {record.id: told_apart(classes, objects)})
    assert count(store, record) == 4
    before = np.ones((6, 1), np.uint16)
    store.record_stroke(record.id, 2, 5, before, before * 0)  # through the left object
    assert count(store, record) == 5
    store.record_stroke(record.id, 2, 5, before * 0, before)  # and closed again
    assert count(store, record) == 4
    store.undo(record.id)
    store.undo(record.id)
    assert count(store, record) == 4
    coarse = Field(1, 0, 0, 10, 15, (2.0, 2.0))
    moved = regridded(classes, record.field, coarse)
    store.save_field(replace(record, field=coarse), moved)
    assert count(store, record) == 4
    store.undo(record.id)
    assert count(store, record) == 4
    store.undo(record.id)
    assert (count(store, record), store.numbers(record.id)) == (0, None)
    store.redo(record.id)
    assert count(store, record) == 4
    store.delete(record.id)
    assert store.numbers(record.id) is None


def test_another_answer_of_the_model_has_objects_of_its_own(store: LabelStore) -> None:
    classes, objects = touching()
    record = made(Field(0, 0, 0, 20, 30, (1.0, 1.0)))
    store.save_fields([(record, classes)], {record.id: told_apart(classes, objects)})
    again = np.zeros_like(classes)
    again[2:8, 2:14] = 2
    store.save_field(record, again)
    assert count(store, record) == 1


def test_a_store_of_before_gains_the_table(tmp_path: Path) -> None:
    classes, objects = touching()
    record = made(Field(0, 0, 0, 20, 30, (1.0, 1.0)))
    with LabelStore.open("abc", "a.svs", tmp_path) as old:
        old.save_field(record, classes)
        assert count(old, record) == 4  # two are one, one is two
    with LabelStore.open("abc", "a.svs", tmp_path) as opened:
        numbers = told_apart(classes, objects)
        opened.save_fields([(replace(record, author="me"), classes)], {record.id: numbers})
        assert count(opened, record) == 4
        assert same_objects(objects_apart(classes, opened.numbers(record.id)), objects)
