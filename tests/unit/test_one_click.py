"""Of the answers to one click, the one that is like a thing with a name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from napari_pathseg.classes import Term
from napari_pathseg.geometry import Field
from napari_pathseg.inference.answering import FieldAnswers
from napari_pathseg.inference.embeddings import EncodedPicture, EncodedTile
from napari_pathseg.inference.one_click import LIKENESS_WEIGHT, NUCLEUS_WEIGHT, surest, things_at
from napari_pathseg.inference.plan import Plan
from napari_pathseg.inference.segmentation import Answer
from napari_pathseg.inference.tiling import Starts, Tile
from napari_pathseg.models.base import TileAnswer
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.prompts import PointPrompt

FIELD = Field(0, 0, 0, 256, 256, (2.0, 2.0))
NEAR = Field(0, 128, 128, 128, 128, (2.0, 2.0))
CLICK = PointPrompt(384.0, 384.0)  # the middle of both
NUCLEUS = Term("unspecified", "nuclei", "nucleus")
GLAND = Term("unspecified", "tissue", "gland")


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter()


def picture(segmenter, radius: float, presence: float = 0.9, *, gland: float = 0) -> EncodedPicture:
    """The near view, in which the words nucleus and gland find disks in the middle; no other
    finds any.
    """
    y, x = np.mgrid[:32, :32] * 4 + 2
    empty = np.zeros((0, 32, 32), np.float32)

    def disk(size: float, presence: float) -> TileAnswer:
        inside = (y - 64) ** 2 + (x - 64) ** 2 < size**2
        return TileAnswer(np.where(inside, 4, -4).astype(np.float32), empty, 0.8, presence)

    card = segmenter.card
    terms = [Term("unspecified", s, o) for s, o in card.objects if o not in card.withheld]
    words = dict.fromkeys(terms, disk(0, 0.01))
    words |= {NUCLEUS: disk(radius, presence), GLAND: disk(gland, 0.9)}
    return EncodedPicture(NEAR, (Tile(0, 0, 128, 128),), (EncodedTile(None, words),))


def answer(radius: float, score: float) -> tuple[Plan, FieldAnswers]:
    """A disk around the click."""
    y, x = np.mgrid[:256, :256]
    logits = np.where((y - 192) ** 2 + (x - 192) ** 2 < radius**2, 4, -4).astype(np.float32)
    plan = Plan(FIELD, FIELD.shape, radius, 256, Starts(0, 1, 0), Starts(0, 1, 0))
    return plan, FieldAnswers(Answer(None, (), 1.0, score), logits, np.stack([logits] * 3))


def test_of_two_answers_that_are_like_no_thing_the_surer_is_taken(segmenter) -> None:
    small, large = answer(15, 0.6), answer(60, 0.7)
    plan, taken = surest([small, large], FIELD, picture(segmenter, 0), [CLICK], segmenter)
    assert plan is large[0]
    assert np.array_equal(taken.logits, large[1].logits)
    assert np.array_equal(taken.candidates[-1], small[1].logits), "the other is one key away"


@pytest.mark.parametrize("presence", [0.9, 0.0001])
def test_a_click_on_a_nucleus_means_the_nucleus_rather_than_what_it_lies_in(
    segmenter, presence: float
) -> None:
    small, large = answer(15, 0.6), answer(60, 0.7)
    seen = picture(segmenter, 15, presence)
    plan, taken = surest([small, large], FIELD, seen, [CLICK], segmenter)
    assert plan is (small if presence > 0.5 else large)[0]
    assert len(taken.candidates) == 3


@pytest.mark.parametrize("radius", [15, 0])
def test_what_a_nucleus_lies_in_is_meant_only_by_a_click_beside_nuclei(
    segmenter, radius: float
) -> None:
    small, large = answer(15, 0.6), answer(60, 0.8)
    seen = picture(segmenter, radius, gland=60)
    plan, _ = surest([small, large], FIELD, seen, [CLICK], segmenter)
    assert plan is (small if radius else large)[0]


def test_an_answer_much_less_sure_is_not_taken_for_its_name(segmenter) -> None:
    small, large = answer(15, 0.9 - NUCLEUS_WEIGHT - 0.1), answer(60, 0.9)
    plan, _ = surest([small, large], FIELD, picture(segmenter, 15), [CLICK], segmenter)
    assert plan is large[0]


def test_likeness_counts_what_lies_beyond_the_near_view(segmenter) -> None:
    things = things_at(CLICK.y, CLICK.x, picture(segmenter, 0, gland=40), segmenter)
    assert things.weights == (LIKENESS_WEIGHT,)
    assert things.worth(answer(40, 0.5)[1], FIELD) > 0.9 * LIKENESS_WEIGHT
    whole = answer(60, 0.5)[1]
    expected = pytest.approx(LIKENESS_WEIGHT * (40 / 60) ** 2, rel=0.1)
    assert things.worth(whole, FIELD) == expected
    coarse = dataclasses.replace(whole, logits=whole.logits[::2, ::2])
    half = Field(0, 0, 0, 128, 128, (4.0, 4.0))
    assert things.worth(coarse, half) == expected


def test_beside_every_thing_there_is_none(segmenter) -> None:
    assert not things_at(270.0, 270.0, picture(segmenter, 15), segmenter).masks
