"""Tiles cover a picture; blending and placing do not move or change what they carry."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.geometry import Field
from napari_pathseg.inference.tiling import (
    Blend,
    Tile,
    cut,
    place_map,
    plan_tiles,
    resize_map,
)
from napari_pathseg.models.base import EDGE_SHADE

SIDES = st.integers(1, 5000)


@settings(deadline=None)
@given(SIDES, SIDES)
def test_tiles_cover_the_picture_and_share_the_overlap(height: int, width: int) -> None:
    tiles = plan_tiles((height, width), 1024, 128)
    rows = sorted({t.y for t in tiles})
    side = 1024
    assert {(t.height, t.width) for t in tiles} == {(side, side)}
    assert rows[0] == 0
    assert all(r % 16 == 0 for r in rows)
    assert rows[-1] + side >= height
    assert all(a + side - b >= 128 for a, b in itertools.pairwise(rows))
    assert len(tiles) == len(rows) * len({t.x for t in tiles})


def test_small_picture_is_one_tile() -> None:
    assert plan_tiles((200, 500), 1024, 128) == (Tile(0, 0, 1024, 1024),)


def test_over_the_edge_is_glass() -> None:
    picture = np.zeros((40, 40, 3), dtype=np.uint8)
    picture[-1] = 7
    tile = cut(picture, Tile(0, 0, 64, 64))
    assert tile.shape == (64, 64, 3)
    assert (tile[:39, :40] == 0).all()
    assert (tile[39, :40] == 7).all()
    assert (tile[40:] == EDGE_SHADE).all()
    assert (tile[:, 40:] == EDGE_SHADE).all()


@settings(deadline=None, max_examples=20)
@given(st.integers(100, 700), st.integers(100, 700))
def test_blending_pieces_of_one_map_gives_the_map(height: int, width: int) -> None:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    whole = np.sin(y / 40) + np.cos(x / 30)
    blend = Blend((height, width), 16)
    for tile in plan_tiles((height, width), 256, 64):
        padded = np.zeros((tile.height, tile.width), dtype=np.float32)
        part = whole[tile.inside(whole.shape)]
        padded[: part.shape[0], : part.shape[1]] = part
        blend.add(tile, padded)
    np.testing.assert_allclose(blend.result(), whole, atol=1e-4)


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
