"""Tiles cover a picture; placing does not move or change what it carries."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_pathseg.geometry import Field
from napari_pathseg.inference.tiling import (
    MARGIN_PX,
    place_map,
    resize_map,
    tile_starts,
)

SIDES = st.integers(1, 5000)


@settings(deadline=None)
@given(SIDES)
def test_tiles_cover_the_picture_and_share_the_overlap(length: int) -> None:
    starts = list(tile_starts(length, 1024, 128))
    assert len(starts) == len(tile_starts(length, 1024, 128)) == len(set(starts))
    assert starts[0] == 0
    assert all(s % 16 == 0 for s in starts)
    assert starts[-1] + 1024 >= length
    assert starts[-1] < max(length - 1024, 0) + 16, "the last ends with the picture"
    assert all(a + 1024 - b >= 128 for a, b in itertools.pairwise(starts))


@settings(deadline=None)
@given(SIDES, st.floats(0, 1), st.floats(0, 1))
@example(392, 190 / 392, 303 / 392)  # the last tile stands off the grid
def test_a_part_is_seen_by_the_fewest_tiles_of_the_whole_that_show_all_of_it(
    length: int, one: float, other: float
) -> None:
    # Sixteenths, which sums and differences keep exactly.
    low, high = sorted(round(each * length * 16) / 16 for each in (one, other))
    grid = tile_starts(length, 256, 64)
    whole = list(grid)
    part = list(tile_starts(length, 256, 64, low, high))
    first = whole.index(part[0])
    assert part == whole[first : first + len(part)]

    def shown(start: int, stop: int) -> bool:
        begins = start == 0 or low >= start + grid.late(start) + MARGIN_PX
        return begins and (stop >= length or high <= stop - MARGIN_PX)

    assert shown(part[0], part[-1] + 256)
    fewer = whole[first + 1 : first + len(part)]
    assert not fewer or not shown(fewer[0], fewer[-1] + 256)
    fewer = whole[first : first + len(part) - 1]
    assert not fewer or not shown(fewer[0], fewer[-1] + 256)


def test_an_absurd_number_is_counted_and_not_made() -> None:
    assert len(tile_starts(10**15, 448, 112)) == math.ceil((10**15 - 448) / 336) + 1


def test_small_picture_is_one_tile() -> None:
    assert list(tile_starts(200, 1024, 128)) == [0]


@pytest.mark.parametrize("factor", [2, 3, 7])
def test_resizing_keeps_the_centre_of_a_spot(factor: int) -> None:
    y, x = np.mgrid[:60, :80].astype(np.float32)
    spot = np.exp(-((y - 20) ** 2 + (x - 33) ** 2) / 50).astype(np.float32)
    large = resize_map(spot, (60 * factor, 80 * factor))
    center = np.unravel_index(large.argmax(), large.shape)
    assert abs((center[0] + 0.5) / factor - 20.5) <= 0.5 / factor + 1e-6
    assert abs((center[1] + 0.5) / factor - 33.5) <= 0.5 / factor + 1e-6


def test_placing_a_coarse_map_on_a_finer_field_moves_nothing() -> None:
    """A field of level 1 snaps outwards; the same place must stay the same place at level 0."""
    coarse = Field(1, 10, 20, 30, 40, (4.0, 4.0))
    fine = Field(0, 42, 83, 110, 150, (1.0, 1.0))
    rows = coarse.origin[0] + (np.arange(30) + 0.5) * 4
    values = np.repeat(rows[:, None], 40, axis=1).astype(np.float32)
    placed = place_map(values, coarse, fine)
    expected = np.arange(42, 152) + 0.5
    np.testing.assert_allclose(placed[4:-4, 70], expected[4:-4], atol=1e-3)


def test_placing_on_the_same_field_only_resizes() -> None:
    field = Field(0, 0, 0, 8, 8, (1.0, 1.0))
    assert place_map(np.ones((4, 4), np.float32), field, field).shape == (8, 8)
