"""The generated slide is a function of place, and its truth is where its pixels say."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Field
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.slide.synthetic import SyntheticSlide, write_synthetic

HUGE = SyntheticSlide((100_000, 100_000), seed=2)


def field_at(slide: SyntheticSlide, level: int, y: int, x: int, side: int = 256) -> Field:
    return Field(level, y, x, side, side, slide.levels[level].downsample)


@settings(deadline=None, max_examples=8)
@given(
    y=st.integers(30_000, 60_000),
    x=st.integers(30_000, 60_000),
    split_y=st.integers(1, 120),
    split_x=st.integers(1, 120),
)
def test_neighbouring_fields_meet_without_a_seam(
    y: int, x: int, split_y: int, split_x: int
) -> None:
    whole = Field(0, y, x, 121, 121, (1.0, 1.0))
    corner = whole.cropped(split_y, split_x, 121 - split_y, 121 - split_x)
    np.testing.assert_array_equal(HUGE.read(whole)[split_y:, split_x:], HUGE.read(corner))
    np.testing.assert_array_equal(
        HUGE.truth(whole, "nuclei")[split_y:, split_x:], HUGE.truth(corner, "nuclei")
    )


def test_truth_is_the_same_place_at_every_level() -> None:
    slide = SyntheticSlide((8192, 8192), seed=4)
    for name in ("gland", "tissue", "stroma"):
        fine = slide.truth(field_at(slide, 0, 3072, 3072, 1024), name)
        for level, step in ((1, 2), (2, 4)):
            coarse = slide.truth(
                field_at(slide, level, 3072 // step, 3072 // step, 1024 // step), name
            )
            share = fine.reshape(1024 // step, step, 1024 // step, step).mean(axis=(1, 3))
            sure = (share == 0) | (share == 1)
            assert sure.mean() > 0.8
            assert (coarse[sure] == (share[sure] > 0.5)).mean() > 0.999


def test_pixels_agree_with_the_truth() -> None:
    slide = SyntheticSlide((8192, 8192), seed=4)
    field = field_at(slide, 0, 3072, 3072, 1024)
    red = slide.read(field)[..., 0].astype(float)
    nuclei, gland, stroma = (slide.truth(field, name) for name in ("nuclei", "gland", "stroma"))
    assert 0.2 < gland.mean() < 0.7
    assert 0.05 < nuclei.mean() < 0.4
    assert red[nuclei].mean() < 110 < 160 < red[~nuclei].mean()
    assert not (gland & stroma).any()
    count = label(nuclei & stroma)[1]
    area_um2 = (nuclei & stroma).sum() * 0.25 / count
    assert 15 < area_um2 < 90, "a lymphocyte of 7 micrometres has 38"


def test_outside_is_glass_and_beyond_the_edge_white() -> None:
    slide = SyntheticSlide((2048, 2048))
    assert slide.truth(field_at(slide, 0, 0, 0, 1024), "tissue").any()
    assert slide.read(field_at(slide, 0, 0, 0, 16)).min() > 225
    over = field_at(slide, 0, -64, -64, 128)
    assert (slide.read(over)[:64, :64] == 255).all()
    assert not slide.truth(over, "tissue")[:64].any()


def test_another_seed_is_another_slide_and_colour_holds_across_levels() -> None:
    field = field_at(HUGE, 0, 50_000, 50_000)
    other = SyntheticSlide((100_000, 100_000), seed=3)
    assert (other.read(field) != HUGE.read(field)).mean() > 0.5
    slide = SyntheticSlide((8192, 8192), seed=4)
    means = [
        slide.read(field_at(slide, level, 3072 >> level, 3072 >> level, 1024 >> level)).mean((0, 1))
        for level in range(4)
    ]
    assert np.ptp(means, axis=0).max() < 22


def test_a_field_is_fast() -> None:
    HUGE.read(field_at(HUGE, 0, 40_000, 40_000, 64))
    field = field_at(HUGE, 0, 50_000, 50_000, 1024)
    times = []
    for _ in range(3):
        start = time.process_time()
        HUGE.read(field)
        times.append(time.process_time() - start)
    assert min(times) < 1.0


def test_writing_reports_and_cancels(tmp_path) -> None:  # type: ignore[no-untyped-def]
    reports: list[Progress] = []
    cancel = CancelToken()

    def stop_half_way(report: Progress) -> None:
        reports.append(report)
        if report.done * 4 > report.total:
            cancel.cancel()

    with pytest.raises(CancelledError):
        write_synthetic(tmp_path / "a.svs", (1536, 1536), progress=stop_half_way, cancel=cancel)
    assert list(tmp_path.iterdir()) == []
    assert reports[0].done == 16
    assert reports[0].total == 45
