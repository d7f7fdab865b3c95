"""The lazy pyramid shows what the slide reads, stays small, and adds the missing levels."""

from __future__ import annotations

import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from contracts import check_planes
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide.base import Level, Plane, Slide, SlideMetadata
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.pyramid import dask_pyramid, level_downsamples
from napari_pathseg.slide.sources import (
    OVERVIEW_PX,
    AveragedSource,
    LevelSource,
    added_levels,
    halved,
)
from napari_pathseg.slide.synthetic import SyntheticSlide


class CountingSlide(Slide):
    """One level of a ramp, any size, that counts the pixels read."""

    def __init__(self, shape: tuple[int, int], broken_row: int | None = None) -> None:
        self.path = Path("ramp")
        self.metadata = SlideMetadata("test", "test", None, None, f"ramp{shape}")
        self.levels = (Level(shape, (1.0, 1.0), (256, 256)),)
        self.broken_row = broken_row
        self.pixels_read = 0
        self._lock = threading.Lock()

    def read(self, field: Field) -> npt.NDArray[np.uint8]:
        if self.broken_row is not None and field.y <= self.broken_row < field.y + field.height:
            raise DamagedSlideError("ramp: row is broken.")
        with self._lock:
            self.pixels_read += field.height * field.width
        y, x = np.mgrid[field.y : field.y + field.height, field.x : field.x + field.width]
        return np.stack([y // 8 % 256, x // 8 % 256, (y + x) % 256], axis=-1).astype(np.uint8)

    def close(self) -> None:
        pass


def test_stored_levels_come_through_unchanged() -> None:
    slide = SyntheticSlide((2100, 1300), seed=1)
    pyramid = dask_pyramid(slide)
    assert [array.shape[:2] for array in pyramid] == [level.shape for level in slide.levels]
    assert all(array.dtype == np.uint8 for array in pyramid)
    y, x = 900, 500
    block = pyramid[0][y : y + 200, x : x + 150].compute(scheduler="threads")
    np.testing.assert_array_equal(block, slide.read(Field(0, y, x, 200, 150, (1.0, 1.0))))


def test_a_level_of_100_000_pixels_makes_a_small_graph() -> None:
    slide = CountingSlide((100_000, 100_000))
    pyramid = dask_pyramid(slide)
    assert pyramid[0].npartitions <= 10_000
    assert min(pyramid[0].chunksize[:2]) >= 512
    window = pyramid[0][70_000:70_600, 20_000:20_600]
    (small,) = dask.optimize(window)
    assert len(dict(small.__dask_graph__())) <= 9
    window.compute(scheduler="synchronous")
    assert 0 < slide.pixels_read <= 4 * 1024 * 1024
    assert max(pyramid[-1].shape) <= OVERVIEW_PX
    assert len(pyramid) == 8


@settings(deadline=None, max_examples=12)
@given(st.integers(0, 2499), st.integers(0, 1899), st.integers(1, 2500), st.integers(1, 1900))
def test_numpy_gets_of_a_level_what_dask_computes(y: int, x: int, height: int, width: int) -> None:
    slide = CountingSlide((2500, 1900))
    level = dask_pyramid(slide)[0]
    part = level[y : y + height, x : x + width]
    found = np.asarray(part)
    assert slide.pixels_read == found.shape[0] * found.shape[1]
    assert found.flags.writeable  # it is nobody else's
    np.testing.assert_array_equal(found, part.compute(scheduler="synchronous"))
    seen = slide.read(Field(0, y, x, *found.shape[:2], (1.0, 1.0)))
    np.testing.assert_array_equal(found, seen)
    assert np.asarray(part.mean()) == pytest.approx(found.mean())
    assert np.asarray(level[y::700, -3]).shape[1:] == (3,)
    assert np.asarray(level[y:y, :]).size == 0


def test_added_levels_are_means_and_are_read_once() -> None:
    slide = CountingSlide((2304, 3001))
    pyramid = dask_pyramid(slide)
    assert [array.shape[:2] for array in pyramid] == [(2304, 3001), (1152, 1501), (576, 751)]
    full = slide.read(Field(0, 0, 0, 2304, 3001, (1.0, 1.0)))
    first, second = halved(full), halved(halved(full))
    slide.pixels_read = 0
    np.testing.assert_array_equal(pyramid[2].compute(scheduler="threads"), second)
    assert slide.pixels_read == 2304 * 3001
    np.testing.assert_array_equal(
        pyramid[1][500:900, 500:1501].compute(scheduler="threads"), first[500:900, 500:1501]
    )
    assert slide.pixels_read == 2304 * 3001
    assert level_downsamples(slide, pyramid)[1] == (2304 / 1152, 3001 / 1501)


def test_who_reads_a_part_may_write_to_it() -> None:
    slide = CountingSlide((1100, 1300))
    level = dask_pyramid(slide)[0]
    truth = slide.read(Field(0, 0, 0, 1100, 1300, (1.0, 1.0)))
    for part in ((slice(0, 1024), slice(0, 1024)), (slice(5, 50), slice(60, 900))):
        for _ in range(2):  # read, and taken from the cache
            for found in (np.asarray(level[part]), level[part].compute()):
                np.testing.assert_array_equal(found, truth[part])
                found[:] = 0


def test_cache_is_bounded() -> None:
    cache = ChunkCache(3000)
    for index in range(50):
        cache.put((0, index, 0), np.zeros((10, 33, 3), np.uint8))
    held = [index for index in range(50) if cache.get((0, index, 0)) is not None]
    assert held == [47, 48, 49]
    cache.resize(1000)
    assert cache.held_bytes == 990
    cache.put("too large", np.zeros(1001, np.uint8))
    assert cache.held_bytes == 990
    cache = ChunkCache(1_000_000)
    source = added_levels(LevelSource(CountingSlide((2600, 2600)), 0, None, cache), cache)[-1]
    assert isinstance(source, AveragedSource)
    source[slice(0, source.shape[0]), slice(0, source.shape[1]), slice(None)]
    assert 0 < cache.held_bytes <= 1_000_000


def test_read_errors_surface_as_they_are() -> None:
    pyramid = dask_pyramid(CountingSlide((3000, 3000), broken_row=1500))
    with pytest.raises(DamagedSlideError, match="broken"):
        pyramid[0][1400:1600, :100].compute(scheduler="threads")
    with pytest.raises(DamagedSlideError, match="broken"):
        pyramid[-1].compute(scheduler="threads")
    assert pyramid[0][:100, :100].compute(scheduler="threads").shape == (100, 100, 3)


def test_pyramid_survives_pickling(tmp_path: Path) -> None:
    path = tmp_path / "picture.png"
    pixels = np.random.default_rng(1).integers(0, 255, (700, 1500, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    with open_slide(path) as slide:
        copies: list[da.Array] = pickle.loads(pickle.dumps(dask_pyramid(slide)))
    np.testing.assert_array_equal(copies[0].compute(scheduler="threads"), pixels)
    np.testing.assert_array_equal(copies[1].compute(scheduler="threads"), halved(pixels))


def test_thin_levels_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "thin.tif"
    pixels = np.zeros((512, 512, 3), np.uint8)
    with tifffile.TiffWriter(path) as tif:
        for step in (1, 2, 4, 128):
            tif.write(pixels[::step, ::step], photometric="rgb", tile=(64, 64))
    with open_slide(path) as slide:
        assert len(slide.levels) == 4
        assert len(dask_pyramid(slide)) == 3


@settings(deadline=None, max_examples=30)
@given(height=st.integers(1, 40), width=st.integers(1, 40), seed=st.integers(0, 1000))
def test_halved_is_the_rounded_mean(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    half = halved(pixels)
    assert half.shape == (-(-height // 2), -(-width // 2), 3)
    for y, x in {(0, 0), (half.shape[0] - 1, half.shape[1] - 1)}:
        rows = [min(2 * y + i, height - 1) for i in (0, 1)]
        columns = [min(2 * x + i, width - 1) for i in (0, 1)]
        block = pixels[np.ix_(rows, columns)].reshape(4, 3).astype(int)
        np.testing.assert_array_equal(half[y, x], (block.sum(axis=0) + 2) // 4)


KEYS: tuple[tuple[Any, ...], ...] = (
    (5,),
    (slice(100, 200), 7),
    (Ellipsis, 1),
    (slice(3, 900, 7), slice(5, None, 3), 0),
    (500, 400),
    (slice(None, None, -1), slice(50, 60)),
    ([3, 549, 7], slice(0, 20)),
    (slice(10, 10), slice(None)),
)


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_any_index_gives_what_numpy_gives(key: tuple[Any, ...]) -> None:
    slide = CountingSlide((1200, 1050))
    whole = slide.read(Field(0, 0, 0, 1200, 1050, (1.0, 1.0)))
    for level, expected in zip(dask_pyramid(slide), (whole, halved(whole)), strict=False):
        found = level[key].compute(scheduler="synchronous")
        np.testing.assert_array_equal(found, expected[key])


def test_planes_of_a_stack_are_leading_axes(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 60_000, (4, 3, 2, 70, 90), dtype=np.uint16)
    facts = {"axes": "TZCYX"}
    tifffile.imwrite(path, pixels, photometric="minisblack", ome=True, metadata=facts)
    with open_slide(path) as slide:
        (stack,) = dask_pyramid(slide, channel=1)
        for key in ((2,), (2, 1), (slice(1, 3), 2, slice(5, 60), 3), ([0, 2], 1)):
            found = stack[key].compute(scheduler="threads")
            np.testing.assert_array_equal(found, pixels[:, :, 1][key])
        with pytest.raises(SlideError, match="no plane"):
            slide.read_plane(Field(0, 0, 0, 9, 9, (1.0, 1.0)), Plane(3, 0, 0))
        check_planes(slide, pixels)


def test_numpy_gets_a_whole_level_without_a_cluster() -> None:
    script = (
        "import sys, numpy as np\n"
        "from napari_pathseg.slide.pyramid import dask_pyramid\n"
        "from napari_pathseg.slide.synthetic import SyntheticSlide\n"
        "level = dask_pyramid(SyntheticSlide((1100, 1100)))[0]\n"
        "pixels = np.asarray(level)\n"
        "assert 'distributed' not in sys.modules\n"
        "assert np.array_equal(pixels, level.compute(scheduler='synchronous'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
