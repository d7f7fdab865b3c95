"""Measures agree with what is known of simple shapes and with another library."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from skimage.measure import regionprops

from napari_pathseg.labels.measure import (
    MIN_INSTANCE_PX,
    dispersion,
    measure_classes,
    measure_objects,
    perimeters,
)
from napari_pathseg.labels.raster import instances_of, outlines

masks = hnp.arrays(np.uint16, (9, 11), elements=st.integers(0, 2))


@given(masks)
@settings(deadline=None, max_examples=60)
def test_area_and_centroid_are_those_of_skimage(classes: np.ndarray) -> None:
    instances = instances_of(classes)
    measured = measure_objects(instances, classes, (0.5, 0.25))
    others = regionprops(instances.astype(np.int64))
    assert len(measured) == len(others)
    for ours, other in zip(measured, others, strict=True):
        assert (ours.value, ours.area_px) == (other.label, other.area)
        assert ours.area_um2 == pytest.approx(other.area * 0.125)
        assert np.array(ours.centroid) - 0.5 == pytest.approx(np.array(other.centroid))
        assert ours.class_value == classes[instances == ours.value][0]
        assert 0 < ours.circularity <= 1
        assert ours.irregularity == 1 - ours.circularity


def disc(radius: int) -> np.ndarray:
    y, x = np.mgrid[-radius - 1 : radius + 2, -radius - 1 : radius + 2]
    return (y**2 + x**2 < radius**2).astype(np.uint16)


@pytest.mark.parametrize("radius", [10, 40, 100])
def test_a_disc_is_round_and_its_outline_is_near_the_circle(radius: int) -> None:
    (measure,) = measure_objects(disc(radius), disc(radius), None)
    assert measure.perimeter_px == pytest.approx(2 * math.pi * radius, rel=0.07)
    assert measure.circularity > 0.87
    assert measure.area_um2 is None
    assert measure.perimeter_um is None


def test_oblong_pixels_are_measured_in_micrometres() -> None:
    y, x = np.mgrid[-50:51, -100:101]
    ellipse = ((y * 2) ** 2 + x**2 < 90**2).astype(np.uint16)
    (measure,) = measure_objects(ellipse, ellipse, (1.0, 0.5))
    assert measure.perimeter_um == pytest.approx(2 * math.pi * 45, rel=0.09)
    assert measure.circularity > 0.83
    (flat,) = measure_objects(ellipse, ellipse, None)
    assert flat.circularity < 0.82


def test_length_along_edges_diagonals_and_holes() -> None:
    bar = outlines(np.ones((1, 100), np.uint16))
    assert perimeters(bar, (1.0, 1.0)) == pytest.approx(2 * 99 + 4 * math.sqrt(0.5))
    diamond = np.abs(np.mgrid[-20:21, -20:21]).sum(axis=0) <= 20
    traced = outlines(diamond.astype(np.uint16))
    assert perimeters(traced, (1.0, 1.0)) == pytest.approx(4 * math.hypot(20.5, 20.5), rel=0.01)
    frame = np.pad(np.zeros((3, 3), np.uint16), 3, constant_values=1)
    traced = outlines(frame)
    assert perimeters(traced, (1.0, 1.0)) == pytest.approx(4 * 8 + 4 * 2 + 8 * math.sqrt(0.5))


def test_classes_count_instances_of_36_pixels() -> None:
    classes = np.zeros((40, 60), np.uint16)
    classes[0:6, 0:6] = 1  # 36 pixels: counted
    classes[20:26, 40:46] = 1
    classes[30:35, 0:7] = 1  # 35: not
    classes[10, 50] = 2
    measured = measure_objects(instances_of(classes), classes, (0.5, 2.0))
    first, second = measure_classes(measured, (0.5, 2.0))
    assert MIN_INSTANCE_PX == 36
    assert (first.class_value, first.objects, first.area_px) == (1, 2, 36 + 36 + 35)
    assert first.area_um2 == 107.0
    assert first.dispersion_px == pytest.approx(math.hypot(20, 40))
    assert first.dispersion_um == pytest.approx(math.hypot(10, 80))
    assert (second.objects, second.area_px, second.dispersion_px) == (0, 1, 0.0)
    assert measure_classes(measured, None)[0].area_um2 is None


@given(st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), max_size=12))
@settings(deadline=None, max_examples=100)
def test_dispersion_is_the_largest_distance(places: list[tuple[int, int]]) -> None:
    points = np.array(places, float).reshape(-1, 2)
    slow = max((math.dist(a, b) for a in places for b in places), default=0.0)
    assert dispersion(points) == pytest.approx(slow)


def test_dispersion_of_many() -> None:
    points = np.random.default_rng(0).normal(size=(100_000, 2))
    points[7], points[99_000] = (-50, 0), (50, 0)
    assert dispersion(points) == 100
