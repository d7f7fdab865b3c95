"""Tidying, splitting and joining objects of a mask."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from napari_pathseg.labels.cleanup import (
    TOUCHING,
    Cleanup,
    cut_along,
    join_along,
    split_at_waist,
    tidy,
)


def disc(mask: np.ndarray, y: int, x: int, radius: int, value: int) -> None:
    rows, columns = np.ogrid[: mask.shape[0], : mask.shape[1]]
    mask[(rows - y) ** 2 + (columns - x) ** 2 <= radius**2] = value


def objects(mask: np.ndarray, value: int) -> int:
    return ndimage.label(mask == value, structure=TOUCHING)[1]


@pytest.fixture
def two() -> np.ndarray:
    """Two discs of class 1 with a neck, one of class 2 apart."""
    mask = np.zeros((80, 120), np.uint16)
    disc(mask, 40, 30, 15, 1)
    disc(mask, 40, 56, 15, 1)
    disc(mask, 40, 100, 12, 2)
    return mask


def test_nothing_is_done_without_need(two: np.ndarray) -> None:
    assert tidy(two, (1, 2), Cleanup()) is two
    assert not Cleanup()


def test_holes_and_specks_of_the_class_alone(two: np.ndarray) -> None:
    two[38:41, 28:31] = 0
    two[40, 56] = 2
    two[5, 5] = two[6, 6] = 1
    two[70, 5] = 2
    out = tidy(two, (1,), Cleanup(holes_px=9, small_px=4))
    assert (out[38:41, 28:31] == 1).all()
    assert out[40, 56] == 2  # another class is no hole
    assert out[5, 5] == out[6, 6] == 0
    assert out[70, 5] == 2
    kept = tidy(two, (1,), Cleanup(holes_px=8))
    assert (kept[38:41, 28:31] == 0).all()
    np.testing.assert_array_equal(tidy(two, (7,), Cleanup(small_px=999)), two)


def test_a_bay_of_the_picture_is_no_hole() -> None:
    mask = np.ones((20, 20), np.uint16)
    mask[0, 5] = 0
    assert tidy(mask, (1,), Cleanup(holes_px=50))[0, 5] == 0


def test_smoothing_levels_spikes_and_keeps_the_size(two: np.ndarray) -> None:
    before = int((two == 2).sum())
    two[28:30, 60:90] = 1
    out = tidy(two, (1, 2), Cleanup(smooth_px=2))
    assert (out[28:30, 75:85] == 0).all()
    assert int((out == 2).sum()) == pytest.approx(before, rel=0.03)


def test_split_at_the_waist(two: np.ndarray) -> None:
    assert objects(two, 1) == 1
    out = split_at_waist(two, 40, 30)
    assert objects(out, 1) == 2
    assert (out != two).sum() < 60
    np.testing.assert_array_equal(out == 2, two == 2)
    assert split_at_waist(two, 40, 100) is two  # a disc has no waist
    assert split_at_waist(two, 0, 0) is two


@pytest.mark.parametrize("path", [((10.0, 43.0), (70.0, 43.5)), ((70.2, 20.0), (12.0, 66.0))])
def test_a_line_cuts_through(two: np.ndarray, path: tuple) -> None:
    out = cut_along(two, path)
    assert objects(out, 1) == 2
    assert (out != two).sum() < 110


def test_a_line_joins_in_the_class_where_it_begins(two: np.ndarray) -> None:
    apart = cut_along(two, ((10.0, 43.0), (70.0, 43.0)))
    out = join_along(apart, ((40.0, 30.0), (40.0, 56.0)))
    assert objects(out, 1) == 1
    assert (out == 1).sum() >= (two == 1).sum() - 4
    both = join_along(two, ((40.0, 56.0), (42.0, 100.0)))
    assert (both == 2).sum() == 0
    assert objects(both, 1) == 1
    assert both[40, 80] == 1
    reverse = join_along(two, ((42.0, 100.0), (40.0, 56.0)))
    assert (reverse == 1).sum() == 0
    assert join_along(two, ((40.0, 30.0), (40.0, 35.0))) is two
    assert join_along(two, ((0.0, 0.0), (1.0, 5.0))) is two


def test_lines_may_leave_the_mask(two: np.ndarray) -> None:
    assert objects(cut_along(two, ((-30.0, 43.0), (500.0, 43.0))), 1) == 2
