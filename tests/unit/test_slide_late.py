"""A view is drawn with what there is; the rest comes later, and only to who draws."""

from __future__ import annotations

import gc
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from tests.shared.slow_slide import SlowSlide

from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide.base import Plane, Stack
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.late import PIECE_PX, THREADS, LateLevels
from napari_pathseg.slide.pixels import BLANK
from napari_pathseg.slide.pyramid import dask_pyramid, viewer_pyramid

SHAPES = ((4096, 3000), (1024, 750), (256, 188))
WHOLE = slice(0, 3)


class Slow(SlowSlide):
    """Each level has a shade of its own; a place of level 0 may be broken."""

    def __init__(self) -> None:
        super().__init__(SHAPES)
        self.broken: tuple[int, int] | None = None
        self.gone = False
        self.fields: list[Field] = []

    def pixels(self, field: Field) -> npt.NDArray[np.uint8]:
        if field.level == 0:
            self.fields.append(field)
            if self.gone:
                raise SlideError("slow: it is gone.")
            if self.broken is not None and field.region.contains(*self.broken):
                raise DamagedSlideError("slow: it is broken.")
        y, x = np.mgrid[field.y : field.y + field.height, field.x : field.x + field.width]
        shade = np.full_like(y, 50 * field.level)
        return np.stack([y % 251, x % 241, shade], axis=-1).astype(np.uint8)


class Shown:
    """What a viewer has of a slow slide, with the patience that is set."""

    def __init__(self, cache_bytes: int = 64 << 20) -> None:
        self.slide = Slow()
        self.patience: float | None = 0.0
        found = viewer_pyramid(
            self.slide,
            channel=None,
            cache=ChunkCache(cache_bytes),
            keep_bytes=0,
            patience=lambda: self.patience,
        )
        self.found = found
        self.levels, self.late = found.levels, found.late
        self.told = 0
        self.late.on_late = self._tell

    def _tell(self) -> None:
        self.told += 1

    def view(self, y: int, x: int, height: int = 300, width: int = 400) -> npt.NDArray[Any]:
        return np.asarray(self.levels[0][y : y + height, x : x + width])

    def exact(self, y: int, x: int, height: int = 300, width: int = 400) -> npt.NDArray[Any]:
        return self.slide.read(Field(0, y, x, height, width, (1.0, 1.0)))


def until(done: Callable[[], bool]) -> None:
    """Wait for another thread."""
    end = time.monotonic() + 30
    while not done():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("cache_bytes", [0, 64 << 20])
def test_a_view_is_coarse_at_once_and_exact_when_it_is_drawn_again(cache_bytes: int) -> None:
    shown = Shown(cache_bytes)
    first = shown.view(1000, 700)
    assert (first[..., 2] == 100).all()  # the coarsest level stands for what is not there
    assert first[0, 0].tolist() == [1000 * 256 // 4096, 700 * 188 // 3000, 100]
    assert shown.told == 1
    assert shown.late.waiting
    assert not shown.late.news
    shown.slide.may_read.set()
    until(lambda: shown.late.news)
    until(lambda: (shown.view(1000, 700)[..., 2] == 0).all())
    assert not shown.late.waiting
    found = shown.view(1000, 700)
    np.testing.assert_array_equal(found, shown.exact(1000, 700))
    assert found.flags.writeable
    corner = shown.view(4000, 2900)
    until(lambda: not shown.late.waiting or shown.late.news)
    shown.patience = math.inf
    corner = shown.view(4000, 2900)
    np.testing.assert_array_equal(corner, shown.exact(4000, 2900, 96, 100))


def test_the_finest_level_that_is_there_stands_for_what_is_not() -> None:
    shown = Shown()
    shown.patience = math.inf
    assert (np.asarray(shown.levels[1][250:400, 150:400])[..., 2] == 50).all()
    shown.patience = 0.0
    found = shown.view(1100, 700)
    assert (found[..., 2] == 50).all()
    assert found[0, 0].tolist() == [1100 // 4 % 251, 700 // 4 % 241, 50]
    shown.slide.close()


def test_what_was_read_is_not_read_again_by_a_pan() -> None:
    shown = Shown()
    shown.slide.may_read.set()
    shown.patience = math.inf
    shown.view(512, 512, 256, 512)
    assert len(shown.slide.fields) == 1
    shown.view(512, 560, 256, 512)
    assert len(shown.slide.fields) == 2
    assert shown.told == 0


def test_who_does_not_draw_gets_the_pixels() -> None:
    shown = Shown()
    shown.patience = None
    shown.slide.may_read.set()
    np.testing.assert_array_equal(shown.view(1000, 700), shown.exact(1000, 700))
    shown.patience = 0.0
    computed = shown.levels[0][1000:1300, 700:1100].compute(scheduler="synchronous")
    np.testing.assert_array_equal(computed, shown.exact(1000, 700))
    assert shown.told == 0


def test_what_has_moved_out_of_view_is_not_read() -> None:
    shown = Shown()
    for y in range(0, 3500, 300):
        shown.view(y, 0, 900, 1500)
    shown.slide.may_read.set()
    shown.patience = math.inf
    shown.view(3500, 0, 500, 500)
    until(lambda: not any(shown.late._reading[p].running() for p in shown.late._reading))
    # Those that were at work already, one for each thread, and those that are seen.
    assert len(shown.slide.fields) <= 4 + 8


def test_a_broken_tile_is_grey_for_who_draws_and_an_error_for_all_others() -> None:
    shown, told = Shown(), []
    shown.found.damage.on_found = told.append
    shown.slide.broken = (300, 290)
    shown.slide.may_read.set()
    shown.patience = math.inf
    seen = shown.view(0, 0, 1024, 1024)
    (height, width) = shown.slide.levels[0].tile
    tile = np.s_[300 // height * height :, 290 // width * width :]
    assert (seen[tile][:height, :width] == BLANK).all()
    shown.slide.broken = None
    whole = shown.exact(0, 0, 1024, 1024)
    seen[tile][:height, :width] = whole[tile][:height, :width]
    np.testing.assert_array_equal(seen, whole)
    shown.slide.broken = (300, 290)
    shown.view(100, 100, 1024, 1024)
    assert [str(error) for error in told] == ["slow: it is broken."]
    shown.patience = None
    for _ in range(2):
        with pytest.raises(DamagedSlideError, match="broken"):
            shown.view(0, 0, 1024, 1024)
    assert (shown.view(512, 512)[..., 2] == 0).all()


def test_what_was_read_late_may_be_broken() -> None:
    shown, told = Shown(), []
    shown.found.damage.on_found = told.append
    shown.slide.broken = (10, 10)
    shown.view(0, 0, 100, 100)
    assert told == []
    shown.slide.may_read.set()
    until(lambda: shown.late.news)
    assert (shown.view(0, 0, 100, 100) == BLANK).all()
    assert len(told) == 1


def test_a_slide_without_coarse_levels_is_drawn_though_it_is_broken() -> None:
    slide = Slow()
    slide.levels = slide.levels[:1]
    slide.broken = (300, 290)
    slide.may_read.set()
    patience: list[float | None] = [math.inf]
    found = viewer_pyramid(
        slide,
        channel=None,
        cache=ChunkCache(64 << 20),
        keep_bytes=0,
        patience=lambda: patience[0],
    )
    seen = np.asarray(found.levels[-1][:, :])
    assert seen[300 * seen.shape[0] // 4096, 290 * seen.shape[1] // 3000].tolist() == [BLANK] * 3
    assert found.damage.is_found
    patience[0] = None
    with pytest.raises(DamagedSlideError, match="broken"):
        np.asarray(found.levels[-1][:, :])


def test_a_slide_that_is_gone_is_no_grey_one() -> None:
    shown = Shown()
    shown.slide.gone = True
    shown.slide.may_read.set()
    shown.patience = math.inf
    with pytest.raises(SlideError, match="gone"):
        shown.view(0, 0, 100, 100)


def test_nothing_is_read_for_a_slide_that_nobody_shows() -> None:
    shown = Shown()
    slide = shown.slide
    shown.view(0, 0, 4096, 3000)
    del shown
    gc.collect()  # it is told of what comes late, and so in a circle with it
    slide.may_read.set()
    time.sleep(0.3)
    assert len(slide.fields) <= max(os.cpu_count() or 1, THREADS), "more than was begun"


def test_the_coarsest_level_is_never_late() -> None:
    shown = Shown()
    late = shown.late
    assert isinstance(late, LateLevels)
    assert [late.is_late(index) for index in range(3)] == [True, True, False]
    assert (np.asarray(shown.levels[-1][:, :])[..., 2] == 100).all()


def test_a_viewer_draws_smaller_chunks_than_others_compute() -> None:
    shown = Shown()
    assert shown.levels[0].chunksize == (*shown.late.side(0), 3)
    assert shown.levels[0].chunksize[:2] == (PIECE_PX, PIECE_PX)
    assert min(dask_pyramid(shown.slide)[0].chunksize[:2]) > PIECE_PX


class SlowStack(Slow):
    """Two times of three planes, each a little brighter than the one before."""

    stack = Stack(z=3, t=2)

    def read_plane(self, field: Field, plane: Plane) -> npt.NDArray[np.uint8]:
        return self.read(field) // 2 + 20 * (plane.z + 3 * plane.t)


@pytest.fixture
def stack() -> Shown:
    shown = Shown.__new__(Shown)
    shown.slide, shown.patience, shown.told = SlowStack(), 0.0, 0
    cache = ChunkCache(64 << 20)
    found = viewer_pyramid(
        shown.slide, channel=None, cache=cache, keep_bytes=0, patience=lambda: shown.patience
    )
    shown.levels, shown.late = found.levels, found.late
    shown.late.on_late = shown._tell
    return shown


def test_of_a_stack_the_plane_in_view_comes_late(stack: Shown) -> None:
    def view(t: int, z: int) -> npt.NDArray[Any]:
        return np.asarray(stack.levels[0][t, z, 100:400, 200:600])

    def exact(t: int, z: int) -> npt.NDArray[Any]:
        return stack.slide.read_plane(Field(0, 100, 200, 300, 400, (1.0, 1.0)), Plane(z, t))

    first = view(0, 1)
    assert first.shape == (300, 400, 3)
    assert set(np.unique(first[..., 2])) == {100 // 2 + 20}  # of the coarsest
    assert stack.told == 1
    assert stack.late.waiting
    assert not stack.late.news
    other = view(1, 2)
    assert set(np.unique(other[..., 2])) == {100 // 2 + 100}
    assert stack.told == 2
    stack.slide.may_read.set()
    until(lambda: stack.late.news)
    until(lambda: not np.array_equal(view(1, 2), other) and not stack.late.waiting)
    np.testing.assert_array_equal(view(1, 2), exact(1, 2))
    stack.patience = math.inf
    np.testing.assert_array_equal(view(0, 1), exact(0, 1))


def test_several_planes_and_who_does_not_draw_get_all_pixels(stack: Shown) -> None:
    stack.slide.may_read.set()
    stack.patience = math.inf
    level = stack.levels[0]
    whole = [
        [stack.slide.read_plane(Field(0, 0, 0, 90, 80, (1.0, 1.0)), Plane(z, t)) for z in range(3)]
        for t in range(2)
    ]
    truth = np.array(whole)
    for place in ((1, slice(0, 2)), (slice(None), 2), (-1, -3), (np.int64(1), slice(1, 2))):
        part = level[(*place, slice(0, 90), slice(0, 80))]
        for found in (np.asarray(part), part.compute()):
            np.testing.assert_array_equal(found, truth[place])
    stack.patience = None
    np.testing.assert_array_equal(np.asarray(level[1, 1, :90, :80]), truth[1, 1])
    with pytest.raises(IndexError):
        level[2, 0, :90, :80]
    assert stack.told == 0


def test_a_plane_of_a_part_of_a_stack_comes_late_too(stack: Shown) -> None:
    # A viewer cuts out what is in view, and then takes the plane of it.
    part = stack.levels[0][:, :, 100:400, 200:600]
    plane = part[1, 2]
    assert (plane.shape, plane.ndim, plane.chunks) == ((300, 400, 3), 3, (512, 512, 3))
    assert set(np.unique(np.asarray(plane)[..., 2])) == {100 // 2 + 100}
    assert stack.told == 1
    stack.slide.may_read.set()
    stack.patience = None
    truth = stack.slide.read_plane(Field(0, 150, 260, 20, 340, (1.0, 1.0)), Plane(2, 1))
    np.testing.assert_array_equal(np.asarray(plane[50:70, 60:]), truth)
    np.testing.assert_array_equal(np.asarray(part[1, -1, 50:70, 60:]), truth)


def test_a_view_needs_dask_only_for_what_dask_does() -> None:
    script = (
        "import pickle, sys, numpy as np\n"
        "from napari_pathseg.slide.cache import ChunkCache\n"
        "from napari_pathseg.slide.pyramid import viewer_pyramid\n"
        "from napari_pathseg.slide.synthetic import SyntheticSlide\n"
        "shown = viewer_pyramid(SyntheticSlide((1100, 900)), channel=None,\n"
        "    cache=ChunkCache(1 << 25), keep_bytes=0, patience=lambda: None)\n"
        "level = shown.levels[0]\n"
        "pixels = np.asarray(level)\n"
        "assert np.array_equal(pixels[5:90, 7:60], np.asarray(level[5:, 7:60][:85]))\n"
        "assert (level.shape, level.size, len(level)) == (pixels.shape, pixels.size, 1100)\n"
        "assert 'dask.array' not in sys.modules\n"
        "import dask.array as da\n"
        "assert da.asarray(level).chunksize == level.chunks\n"
        "part = level[5:300, ::7]\n"
        "assert isinstance(part, da.Array)\n"
        "assert np.array_equal(part.compute(), pixels[5:300, ::7])\n"
        "assert np.allclose(level[:200, :200].mean(axis=0).compute(), pixels[:200, :200].mean(0))\n"
        "assert np.array_equal((level[9, :50] + 1).compute(), pixels[9, :50] + 1)\n"
        "assert isinstance(np.concatenate([level, level]), da.Array)\n"
        "copy = pickle.loads(pickle.dumps(level[9:80]))\n"
        "assert np.array_equal(copy.compute(), pixels[9:80])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
