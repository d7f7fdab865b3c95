"""Outlines are exact and valid; instances follow the 8-connected rule."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import rasterize
from shapely.geometry import MultiPolygon
from shapely.geometry import Polygon as ShapelyPolygon
from shapely.validation import explain_validity

from napari_pathseg.labels.raster import (
    Outline,
    drop_small,
    instances_of,
    outlines,
    split_touching,
)
from napari_pathseg.labels.scan import fill

masks = hnp.arrays(
    np.uint16,
    hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14),
    elements=st.integers(0, 2),
)

RING_CLOSED_AT_A_CORNER = np.array([[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 1], [0, 0, 1, 1]])
TWO_HOLES_AT_A_CORNER = np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 1]])
ISLAND_IN_A_HOLE = np.pad(np.pad(np.pad(np.ones((1, 1), int), 1), 1, constant_values=1), 1)
POCKET_CLOSED_DIAGONALLY = np.array(
    [[1, 1, 1, 1], [1, 0, 0, 1], [1, 0, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
)


def as_shapely(outline: Outline) -> MultiPolygon:
    return MultiPolygon(
        [
            ShapelyPolygon(p.exterior[:, ::-1], [hole[:, ::-1] for hole in p.holes])
            for p in outline.polygons
        ]
    )


@given(masks)
@example(RING_CLOSED_AT_A_CORNER)
@example(TWO_HOLES_AT_A_CORNER)
@example(ISLAND_IN_A_HOLE)
@example(POCKET_CLOSED_DIAGONALLY)
@example(np.eye(5, dtype=int))
@example(np.ones((1, 1), int))
@settings(deadline=None, max_examples=150)
def test_outlines_are_valid_and_give_the_mask_back(mask: np.ndarray) -> None:
    traced = outlines(mask)
    assert [o.value for o in traced] == sorted(set(mask[mask > 0].tolist()))
    shapes = []
    for outline in traced:
        shape = as_shapely(outline)
        assert shape.is_valid, explain_validity(shape)
        assert shape.area == (mask == outline.value).sum()
        shapes.append((shape, outline.value))
    if shapes:
        other = rasterize(shapes, out_shape=mask.shape, dtype="int32")
        np.testing.assert_array_equal(other, mask)


@given(masks)
@settings(deadline=None, max_examples=80)
def test_rings_are_closed_and_turn_as_geojson_wants(mask: np.ndarray) -> None:
    for outline in outlines(mask):
        for polygon in outline.polygons:
            for ring, sign in ((polygon.exterior, 1), *((hole, -1) for hole in polygon.holes)):
                np.testing.assert_array_equal(ring[0], ring[-1])
                y, x = ring.T
                assert np.sign(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) == sign
                # Only corners are kept: no three points in a line.
                steps = np.sign(np.diff(ring[:-1], axis=0, append=ring[:1]))
                assert (np.abs(steps).sum(axis=1) == 1).all()
                assert (steps != np.roll(steps, 1, axis=0)).any(axis=1).all()


@given(masks)
@settings(deadline=None, max_examples=80)
def test_fill_inverts_outlines(mask: np.ndarray) -> None:
    instances = instances_of(mask)
    traced = outlines(instances)
    rings = [[r for p in o.polygons for r in (p.exterior, *p.holes)] for o in traced]
    filled = fill(mask.shape, rings, [o.value for o in traced])
    np.testing.assert_array_equal(filled, instances)


@given(
    st.lists(
        st.tuples(st.floats(-4, 14, width=32), st.floats(-4, 14, width=32)), min_size=3, max_size=9
    )
)
@settings(deadline=None, max_examples=80)
def test_fill_of_any_ring_follows_the_even_odd_rule(points: list[tuple[float, float]]) -> None:
    # Off the grid of centres, where all rules agree.
    ring = np.array(points) + 0.0137
    filled = fill((9, 10), [[ring]], [1])
    y0, x0 = ring.T
    y1, x1 = np.roll(ring, -1, axis=0).T
    for (row, column), value in np.ndenumerate(filled):
        y, x = row + 0.5, column + 0.5
        spans = (y0 <= y) != (y1 <= y)
        crossing = x0[spans] + (y - y0[spans]) / (y1[spans] - y0[spans]) * (x1 - x0)[spans]
        if (abs(crossing - x) > 1e-6).all():  # on the line itself either is right
            assert value == (crossing <= x).sum() % 2


def test_a_later_object_covers_an_earlier_one() -> None:
    square = np.array([(0, 0), (0, 4), (4, 4), (4, 0)], float)
    filled = fill((6, 6), [[square], [square + 2]], [7, 70_000])
    assert filled[1, 1] == 7
    assert filled[3, 3] == filled[5, 5] == 70_000
    assert filled[0, 5] == 0


def test_instances_are_8_connected_within_a_class_in_reading_order() -> None:
    classes = np.array([[1, 0, 0, 2], [0, 1, 0, 2], [2, 0, 0, 1]])
    np.testing.assert_array_equal(instances_of(classes), [[1, 0, 0, 2], [0, 1, 0, 2], [3, 0, 0, 4]])
    np.testing.assert_array_equal(
        instances_of(classes, min_area_px=2), [[1, 0, 0, 2], [0, 1, 0, 2], [0, 0, 0, 0]]
    )


def test_drop_small_of_nothing() -> None:
    assert not drop_small(np.zeros((3, 3), np.uint32), 5).any()


def test_touching_discs_are_split_and_no_pixel_is_lost() -> None:
    y, x = np.mgrid[:60, :80]
    classes = (
        ((y - 30) ** 2 + (x - 25) ** 2 < 200) | ((y - 30) ** 2 + (x - 49) ** 2 < 200)
    ).astype(np.uint16)
    classes[30:34, 62:70] = 2  # touches the second disc, another class
    assert instances_of(classes).max() == 2
    split = split_touching(classes, min_neck_px=1)
    assert split.max() == 3
    assert split[30, 25] != split[30, 49]
    assert split[32, 68] not in (split[30, 25], split[30, 49])
    np.testing.assert_array_equal(split > 0, classes > 0)


def test_long_objects_are_not_split() -> None:
    y, x = np.mgrid[:60, :120]
    classes = (((y - 30) / 12) ** 2 + ((x - 60) / 50) ** 2 < 1).astype(np.uint16)
    assert split_touching(classes).max() == 1


@given(masks, st.sampled_from([0.5, 3.0]))
@settings(deadline=None, max_examples=40)
def test_split_objects_lie_inside_one_component_each(mask: np.ndarray, neck: float) -> None:
    split, whole = split_touching(mask, min_neck_px=neck), instances_of(mask)
    np.testing.assert_array_equal(split > 0, mask > 0)
    values = np.unique(split[split > 0])
    np.testing.assert_array_equal(values, np.arange(1, len(values) + 1))
    assert all(len(np.unique(whole[split == value])) == 1 for value in values)


def test_ten_thousand_objects_are_traced_quickly() -> None:
    y, x = np.mgrid[:2048, :2048]
    discs = (y % 20 - 10) ** 2 + (x % 20 - 10) ** 2 < 64
    instances = np.where(discs, y // 20 * 103 + x // 20 + 1, 0)
    start = time.process_time()
    traced = outlines(instances)
    seconds = time.process_time() - start
    assert len(traced) == len(np.unique(instances)) - 1 > 10_000
    assert seconds < 6  # under 1 on a quiet core


def test_more_objects_than_16_bits() -> None:
    mask = np.zeros((520, 520), np.uint16)
    mask[::2, ::2] = 1
    instances = instances_of(mask)
    assert instances.max() == 260 * 260 > 65_536
    traced = outlines(instances)
    assert len(traced) == 260 * 260
    assert traced[-1].value == 260 * 260
    np.testing.assert_array_equal(traced[-1].polygons[0].exterior[0], [518, 518])


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 4)])
def test_nothing_to_trace(shape: tuple[int, int]) -> None:
    assert outlines(np.zeros(shape, np.uint16)) == ()
