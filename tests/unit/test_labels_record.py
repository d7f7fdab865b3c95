"""A record's JSON form is exact."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import ClassList, LabelClass, Term
from napari_pathseg.errors import StoreError
from napari_pathseg.geometry import Field
from napari_pathseg.labels.origin import asked_with
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import BoxPrompt, PointPrompt, TextPrompt

# Any code point, lone surrogates included: what a text field may hand over.
texts = st.text(st.characters(codec=None), max_size=30)
places = st.floats(-1e9, 1e9)
prompts = st.lists(
    st.one_of(
        st.builds(TextPrompt, texts),
        st.builds(PointPrompt, places, places, st.booleans()),
        st.builds(BoxPrompt, places, places, places, places),
    ),
    max_size=4,
)
terms = st.builds(Term, texts, texts, texts)
unit = st.floats(0, 1)
downsamples = st.floats(1, 300)
fields = st.builds(
    Field,
    st.integers(0, 9),
    st.integers(-10, 10**6),
    st.integers(-10, 10**6),
    st.integers(1, 10**4),
    st.integers(1, 10**4),
    st.tuples(downsamples, downsamples),
)


@given(fields, prompts, st.lists(st.lists(terms, max_size=2), max_size=3), texts, unit, downsamples)
@settings(deadline=None, max_examples=60)
def test_json_gives_back_an_equal_record(
    field: Field, asked: list[Any], asked_as: list[Any], text: str, score: float, mpp: float
) -> None:
    classes = ClassList(
        (LabelClass(1, "a" + text, Term("colon", "tissue", text), (0, 128, 255)),)
    ).with_class("", None, (1, 2, 3))
    record = FieldRecord.new(
        field,
        classes,
        slide_identity=text,
        slide_name=text,
        mpp=(mpp, mpp / 3),
        prompts=asked,
        asked_as=asked_as,
        presence=[score],
        scores=[score / 7],
        model=text,
        model_sha256="ab",
        model_license=text,
        working_mpp=mpp,
        author=text,
        status="accepted",
    )
    record = replace(record, asked_by=(tuple(range(len(asked))), ()))
    stored = json.dumps(record.to_json()).encode()
    assert FieldRecord.from_json(json.loads(stored)) == record


@pytest.fixture
def record() -> FieldRecord:
    return FieldRecord.new(
        Field(1, 2, 3, 4, 5, (2.0, 2.0)),
        ClassList.from_names(["gland"], [(1, 2, 3)]),
        slide_identity="abc",
        slide_name="a.svs",
        mpp=None,
        prompts=[TextPrompt("gland"), PointPrompt(1, 2), TextPrompt("and nuclei")],
    )


def test_new_records_have_an_own_id_and_the_time(record: FieldRecord) -> None:
    assert record.created == record.updated
    assert abs((datetime.now(UTC) - record.created).total_seconds()) < 60
    assert record.texts == ("gland", "and nuclei")
    assert record.to_json()["region"] == [4, 6, 8, 10]


def test_status_changes_the_time_but_not_the_id(record: FieldRecord) -> None:
    accepted = record.with_status("accepted")
    assert (accepted.status, accepted.id) == ("accepted", record.id)
    assert accepted.updated >= record.updated
    assert accepted.created == record.created


@pytest.mark.parametrize("key", ["id", "field", "classes", "prompts", "model", "status"])
def test_a_missing_value_is_named(record: FieldRecord, key: str) -> None:
    values = record.to_json()
    del values[key]
    with pytest.raises(StoreError, match=key):
        FieldRecord.from_json(values)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("status", "done"),
        ("created", "yesterday"),
        ("field", {"level": 0}),
        ("mpp", "x"),
        ("prompts", [{"circle": [1, 2, 3]}]),
        ("classes", [{"value": 0, "name": "a", "term": None, "color": [1, 2, 3]}]),
    ],
)
def test_a_wrong_value_is_refused(record: FieldRecord, key: str, value: object) -> None:
    with pytest.raises(StoreError, match="record of a field"):
        FieldRecord.from_json(record.to_json() | {key: value})


def record_of(*asked_by: tuple[int, ...]) -> FieldRecord:
    """Two classes that were answered, and one drawn by hand."""
    classes = ClassList.from_names(["gland", "keratin", "fold"], [(1, 1, 1), (2, 2, 2), (3, 3, 3)])
    record = FieldRecord.new(
        Field(0, 0, 0, 4, 4, (1.0, 1.0)),
        classes,
        slide_identity="a",
        slide_name="b",
        mpp=None,
        prompts=(TextPrompt("glands"), PointPrompt(1, 2, False), BoxPrompt(0, 0, 3, 4)),
        asked_as=[(), ()],
        presence=[1, 1],
        scores=[1, 1],
    )
    return replace(record, asked_by=asked_by)


def test_each_class_has_the_prompts_that_it_was_asked_with() -> None:
    record = record_of((0, 1), (2,))
    assert asked_with(record, 1) == {"prompt": "glands", "clicks": "-(1, 2)", "gestures": ""}
    assert asked_with(record, 2) == {"prompt": "", "clicks": "", "gestures": "box(0, 0)(3, 4)"}
    assert asked_with(record, 3) == {"prompt": "", "clicks": "", "gestures": ""}
    assert record.without_class(1).prompts_of(2) == (BoxPrompt(0, 0, 3, 4),)


def test_records_of_before_know_the_prompts_of_the_field_only() -> None:
    told = record_of().to_json()
    del told["asked_by"]
    record = FieldRecord.from_json(told)
    assert record.prompts_of(2) == record.prompts
    assert record.prompts_of(3) == ()


def test_a_prompt_that_is_not_there_is_damage() -> None:
    with pytest.raises(StoreError, match="not there"):
        FieldRecord.from_json(record_of((0,), (3,)).to_json())
