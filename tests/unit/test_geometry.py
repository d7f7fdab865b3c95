"""Frames: every conversion has an inverse, nothing is rounded, nothing drifts."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import (
    Field,
    Region,
    exact_downsample,
    field_covering,
    level0_to_world,
    nearest_level,
    region_inside,
    visible_region,
    world_scale,
    world_to_level0,
    world_translate,
)

PLACE = st.floats(0, 100_000)
SHAPE = st.tuples(st.integers(10, 100_000), st.integers(10, 100_000))
MPP = st.none() | st.tuples(st.floats(0.05, 20), st.floats(0.05, 20))
DOWNSAMPLE = st.tuples(st.floats(1, 64), st.floats(1, 64))


def regions(limit: int = 100_000) -> st.SearchStrategy[Region]:
    side, start = st.integers(limit // 2, limit), st.integers(-limit // 4, limit // 4)
    return st.builds(Region, start, start, side, side)


@given(PLACE, PLACE, MPP)
def test_world_and_level0_are_inverse(y: float, x: float, mpp: tuple[float, float] | None) -> None:
    assert world_to_level0(*level0_to_world(y, x, mpp), mpp) == pytest.approx((y, x), abs=1e-6)


@given(PLACE, PLACE, DOWNSAMPLE, st.integers(0, 900), st.integers(0, 900))
def test_field_and_level0_are_inverse(
    y: float, x: float, downsample: tuple[float, float], top: int, left: int
) -> None:
    field = Field(1, top, left, 64, 64, downsample)
    assert field.to_level0(*field.from_level0(y, x)) == pytest.approx((y, x), abs=1e-6)


@given(regions(), regions())
def test_intersection_is_inside_both(a: Region, b: Region) -> None:
    common = a.intersection(b)
    assume(common is not None)
    assert common is not None
    for whole in (a, b):
        assert whole.contains(common.y, common.x)
        assert common.stop_y <= whole.stop_y
        assert common.stop_x <= whole.stop_x
    assert common == b.intersection(a)


@settings(deadline=None)
@given(SHAPE, st.integers(1, 6), st.data())
def test_a_field_holds_its_region_and_is_not_a_pixel_too_large(
    shape: tuple[int, int], power: int, data: st.DataObject
) -> None:
    level_shape = (max(shape[0] // 2**power, 1), max(shape[1] // 2**power, 1))
    downsample = exact_downsample(shape, level_shape)
    y = data.draw(st.integers(0, shape[0] - 1))
    x = data.draw(st.integers(0, shape[1] - 1))
    height = data.draw(st.integers(1, shape[0] - y))
    width = data.draw(st.integers(1, shape[1] - x))
    region = Region(y, x, height, width)
    field = field_covering(region, 1, downsample, level_shape)
    top, left = field.origin
    assert top <= y + 1e-3
    assert left <= x + 1e-3
    assert top + field.height * downsample[0] >= region.stop_y - 1e-3
    assert (field.height - 2) * downsample[0] <= region.height + 1e-3
    assert (field.width - 2) * downsample[1] <= region.width + 1e-3
    assert field.y + field.height <= level_shape[0]


@given(st.integers(1000, 100_000), st.floats(1.5, 40))
def test_the_last_pixel_does_not_drift(length: int, downsample: float) -> None:
    """The far edge of a level is the far edge of the slide, however odd the downsample."""
    level_length = max(int(length / downsample), 1)
    exact = exact_downsample((length, length), (level_length, level_length))
    field = Field(1, 0, 0, level_length, level_length, exact)
    assert field.to_level0(level_length, level_length) == pytest.approx((length, length), rel=1e-12)
    assert field.region == Region(0, 0, length, length)


@given(DOWNSAMPLE, MPP, st.integers(0, 500), st.integers(0, 500))
def test_a_field_layer_lies_corner_on_corner(
    downsample: tuple[float, float], mpp: tuple[float, float] | None, y: int, x: int
) -> None:
    """napari puts pixel centres at index * scale + translate; corners are half a pixel out."""
    field = Field(2, y, x, 10, 10, downsample)
    scale, translate = world_scale(downsample, mpp), world_translate(field, mpp)
    corner = (translate[0] - scale[0] / 2, translate[1] - scale[1] / 2)
    assert corner == pytest.approx(level0_to_world(*field.origin, mpp), abs=1e-6, rel=1e-9)


@given(PLACE, PLACE, st.floats(0.01, 10), MPP)
def test_the_visible_region_is_centred_and_as_large_as_the_canvas(
    y: float, x: float, zoom: float, mpp: tuple[float, float] | None
) -> None:
    center = level0_to_world(y, x, mpp)
    region = visible_region(center, (600, 800), zoom, mpp)
    um = mpp or (1.0, 1.0)
    assert region.height == pytest.approx(600 / zoom / um[0], abs=2)
    assert region.width == pytest.approx(800 / zoom / um[1], abs=2)
    assert region.center == pytest.approx((y, x), abs=1.5)


@pytest.mark.parametrize(
    ("wanted", "level"), [(0.5, 0), (1.0, 0), (3.3, 1), (4.0, 1), (12.9, 2), (500.0, 2)]
)
def test_the_level_read_is_the_coarsest_that_is_fine_enough(wanted: float, level: int) -> None:
    assert nearest_level([(1.0, 1.0), (4.0, 4.0), (16.0, 16.0)], wanted) == level


def test_a_region_without_area_is_refused() -> None:
    with pytest.raises(RegionError, match="no area"):
        Region(0, 0, 0, 5)


def test_a_region_outside_the_slide_is_refused_with_its_size() -> None:
    with pytest.raises(RegionError, match="100 x 200"):
        region_inside(Region(300, 0, 10, 10), (100, 200))


def test_a_region_over_the_edge_is_cut() -> None:
    assert region_inside(Region(-5, 190, 20, 20), (100, 200)) == Region(0, 190, 15, 10)
