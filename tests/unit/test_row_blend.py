"""Blending pieces of one map gives the map, all at once or row by row."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.inference.row_blend import RowBlend
from napari_pathseg.inference.tiling import OUTSIDE, Starts, Tile, tile_starts
from napari_pathseg.models.base import OUTPUT_STRIDE

SIDE = 256
SMALL = SIDE // OUTPUT_STRIDE


def waves(shape: tuple[int, int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]].astype(np.float32)
    return np.stack([np.sin(y / 10) + np.cos(x / 8), np.cos(y / 7)])


def piece(whole: np.ndarray, tile: Tile) -> np.ndarray:
    """What the model would answer of a tile, which may reach over the edge."""
    y, x = tile.y // OUTPUT_STRIDE, tile.x // OUTPUT_STRIDE
    part = whole[:, y : y + SMALL, x : x + SMALL]
    out = np.zeros((len(whole), SMALL, SMALL), dtype=np.float32)
    out[:, : part.shape[1], : part.shape[2]] = part
    return out


@settings(deadline=None, max_examples=20)
@given(st.integers(100, 700), st.integers(100, 700))
def test_blending_pieces_of_one_map_gives_the_map(height: int, width: int) -> None:
    blend = RowBlend((height, width), 2, 64)
    whole = waves(blend.shape)
    starts = [tile_starts(length, SIDE, 64) for length in (height, width)]
    for y, x in itertools.product(*starts):
        tile = Tile(y, x, SIDE, SIDE)
        blend.add(tile, piece(whole, tile))
    np.testing.assert_allclose(blend.rows(0, blend.shape[0]), whole, atol=1e-4)


def test_rows_that_are_done_leave_and_the_others_stay() -> None:
    blend = RowBlend((700, 300), 2, 64)
    whole = waves(blend.shape)
    got, done = [], 0
    rows = list(tile_starts(700, SIDE, 64))
    for y, after in itertools.zip_longest(rows, rows[1:]):
        for x in tile_starts(300, SIDE, 64):
            tile = Tile(y, x, SIDE, SIDE)
            blend.add(tile, piece(whole, tile))
        final = blend.shape[0] if after is None else after // OUTPUT_STRIDE
        got.append(blend.rows(done, final))
        blend.drop(final)
        done = final
    np.testing.assert_allclose(np.concatenate(got, axis=1), whole, atol=1e-4)


def test_between_tiles_the_heavier_one_counts_more() -> None:
    blend = RowBlend((256, 448), 1, 64)
    for x, value in ((0, 1.0), (192, 3.0)):
        blend.add(Tile(0, x, SIDE, SIDE), np.full((1, SMALL, SMALL), value, np.float32))
    across = blend.rows(0, 64)[0, 32]
    assert across[0] == pytest.approx(1.0)
    assert across[-1] == pytest.approx(3.0)
    assert across[56] == pytest.approx(2.0, abs=0.1), "in the middle of what they share"
    assert (np.diff(across) >= -1e-6).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(SIDE + 1, 900), st.floats(0, 1), st.integers(1, 300))
def test_a_part_is_blended_as_the_whole_is(length: int, place: float, size: int) -> None:
    """Also at the end of the picture, where the last tile is nearer to the one before."""
    low = round(place * (length - 1))
    high = min(low + size, length)

    def blended(grid: Starts) -> np.ndarray:
        first = grid.first // OUTPUT_STRIDE
        stop = min(grid.last + SIDE, length) - grid.first
        blend = RowBlend((SIDE, stop), 1, 64)
        for x in grid:
            answer = np.full((1, SMALL, SMALL), x, np.float32)  # every tile has its own opinion
            blend.add(Tile(0, x - grid.first, SIDE, SIDE, 0, grid.late(x)), answer)
        return blend.rows(0, 1)[
            0, 0, (low // OUTPUT_STRIDE) - first : high // OUTPUT_STRIDE - first
        ]

    part = blended(tile_starts(length, SIDE, 64, low - 64, high + 64))
    np.testing.assert_allclose(part, blended(tile_starts(length, SIDE, 64)), atol=0.3)


def test_where_no_tile_was_there_is_nothing() -> None:
    blend = RowBlend((256, 600), 1, 64)
    blend.add(Tile(0, 0, SIDE, SIDE), np.ones((1, SMALL, SMALL), np.float32))
    rows = blend.rows(0, 64)
    assert (rows[0, :, :SMALL] == 1).all()
    assert (rows[0, :, SMALL:] == OUTSIDE).all()
