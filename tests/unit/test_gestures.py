"""Scribbles and lassos: what a model is asked, what is cut, and that they are stored exactly."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field, Region
from napari_pathseg.inference.gestures import (
    carried_on,
    cut_to_lassos,
    ends_at_window,
    points_along,
    spatial_prompts,
    window_around,
)
from napari_pathseg.inference.segmentation import no_candidates
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import (
    BoxPrompt,
    LassoPrompt,
    PointPrompt,
    ScribblePrompt,
    TextPrompt,
)

FIELD = Field(1, 10, 20, 40, 50, (2.0, 4.0))
SQUARE = ((40.0, 120.0), (40.0, 200.0), (80.0, 200.0), (80.0, 120.0))


def test_a_scribble_is_asked_at_four_places_along_it() -> None:
    path = ((0.0, 0.0), (0.0, 60.0), (30.0, 60.0))
    assert points_along(path) == [(0.0, 11.25), (0.0, 33.75), (0.0, 56.25), (18.75, 60.0)]
    assert points_along(((3.0, 4.0), (3.0, 4.0))) == [(3.0, 4.0)]
    asked = spatial_prompts([TextPrompt("gland"), ScribblePrompt(path, positive=False)])
    assert [p.positive for p in asked] == [False] * 4


def test_a_lasso_is_asked_as_the_box_around_it() -> None:
    (box,) = spatial_prompts([LassoPrompt(SQUARE), LassoPrompt(SQUARE, positive=False)])
    assert box == BoxPrompt(40.0, 120.0, 80.0, 200.0)


def test_a_lasso_keeps_what_is_inside_and_no_more() -> None:
    logits = np.ones((2, *FIELD.shape), np.float32)
    cut = cut_to_lassos(logits, [LassoPrompt(SQUARE)], FIELD)
    inside = np.zeros(FIELD.shape, bool)
    inside[10:30, 10:30] = True
    np.testing.assert_array_equal(cut[0] > 0, inside)
    np.testing.assert_array_equal(cut[1] > 0, inside)
    beside = cut_to_lassos(logits, [LassoPrompt(SQUARE), BoxPrompt(20, 80, 40, 120)], FIELD)
    inside[:10, :10] = True
    np.testing.assert_array_equal(beside[0] > 0, inside)
    without = cut_to_lassos(logits, [LassoPrompt(SQUARE, positive=False)], FIELD)
    assert (without[0] < 0).sum() == 400
    assert cut_to_lassos(logits, [PointPrompt(1, 1)], FIELD) is logits
    assert cut_to_lassos(no_candidates(), [LassoPrompt(SQUARE)], FIELD).size == 0


WIDE = Field(0, 100, 200, 60, 80, (1.0, 1.0))
WINDOW = Region(110, 220, 30, 40)


def box(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    """Logits of a rectangle of level-0 pixels."""
    found = np.full(WIDE.shape, -5, np.float32)
    found[y0 - 100 : y1 - 100, x0 - 200 : x1 - 200] = 5
    return found


def test_an_answer_ends_at_its_window_where_the_field_goes_on() -> None:
    assert not ends_at_window(box(115, 225, 135, 255) > 0, WIDE, WINDOW)
    assert ends_at_window(box(115, 225, 140, 255) > 0, WIDE, WINDOW)
    whole = Region(100, 200, 60, 80)
    assert not ends_at_window(box(100, 200, 160, 280) > 0, WIDE, whole)


def test_what_ends_at_its_window_goes_on_with_what_hangs_together_with_it() -> None:
    near = box(115, 225, 140, 255)
    wide = np.maximum(box(112, 222, 155, 258), box(100, 200, 104, 204))
    joined = carried_on(near, wide, WIDE, WINDOW, 0.0) > 0
    expected = (near > 0) | (box(140, 222, 155, 258) > 0)
    np.testing.assert_array_equal(joined, expected)


@pytest.mark.parametrize(
    "prompt",
    [ScribblePrompt(((0.5, 1.25), (3.0, 4.0)), positive=False), LassoPrompt(SQUARE)],
)
def test_gestures_are_stored_exactly(prompt: object) -> None:
    record = FieldRecord.new(
        FIELD, ClassList(), slide_identity="a", slide_name="b", mpp=None, prompts=[prompt]
    )
    assert FieldRecord.from_json(record.to_json()) == record


@pytest.mark.parametrize(("box_side", "looked_at"), [(10, 100), (30, 150), (80, 300), (250, 400)])
def test_a_small_box_is_looked_at_closer_and_a_large_one_from_farther(
    box_side: int, looked_at: int
) -> None:
    around = BoxPrompt(
        500 - box_side / 2, 500 - box_side / 2, 500 + box_side / 2, 500 + box_side / 2
    )
    window = window_around([around], 300, 10)
    assert window.center == (500, 500)
    assert (window.height, window.width) == (looked_at, looked_at)


def test_clicks_beside_a_small_box_are_seen_with_it() -> None:
    small = BoxPrompt(495, 495, 505, 505)
    assert window_around([small, PointPrompt(530, 500)], 300, 10) == window_around([small], 300, 10)
    both = window_around([small, PointPrompt(590, 500)], 300, 10)
    assert both.height == 300
    assert both.contains(590, 500)
    assert window_around([PointPrompt(500, 500)], 300, 10).height == 300


def test_several_clicks_near_each_other_are_looked_at_closer() -> None:
    clicks = [PointPrompt(500, 500), PointPrompt(510, 520), PointPrompt(495, 505)]
    assert window_around(clicks[:2], 300, 10).height == 300, "two do not tell"
    assert window_around(clicks, 300, 10).height == 8 * 20
    assert window_around([*clicks, PointPrompt(505, 512)], 300, 10) == window_around(
        clicks, 300, 10
    )
    assert window_around(clicks, 300, 200).height == 200, "no closer than is of use"
    assert window_around(clicks, 1200, 10).height == 400, "a third at least"
    assert window_around(clicks, 120, 10).height == 120, "never wider than one click"
    far = [*clicks[:2], PointPrompt(500, 600)]
    assert window_around(far, 300, 10) == window_around(clicks[:1], 300, 10)
