"""What every implementation of a contract must do, whichever library stands behind it."""

from __future__ import annotations

import contextlib
import functools
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from napari_pathseg.errors import SlideError
from napari_pathseg.geometry import Field, exact_downsample
from napari_pathseg.slide.base import Plane, Slide

RGB = npt.NDArray[np.uint8]
Pixels = npt.NDArray[Any]


def fields_of(slide: Slide, level: int, seed: int = 0) -> Iterator[Field]:
    """Fields at random places, on every border, half outside and wholly outside."""
    height, width = slide.levels[level].shape
    downsample = slide.levels[level].downsample
    rng = np.random.default_rng(seed)
    side_y, side_x = min(height, 70), min(width, 90)
    places = [(int(rng.integers(height)), int(rng.integers(width))) for _ in range(6)]
    places += [(0, 0), (-20, 5), (5, -30), (height - 10, 3), (3, width - 10)]
    places += [(height - 1, width - 1), (-side_y // 2, -side_x // 2), (height + 5, width + 5)]
    for y, x in places:
        yield Field(level, y, x, side_y, side_x, downsample)


def expected(reference: Pixels, field: Field, outside: int = 255) -> Pixels:
    """A field cut out of a whole level, white outside."""
    out = np.full((*field.shape, *reference.shape[2:]), outside, dtype=reference.dtype)
    height, width = reference.shape[:2]
    y0, x0 = max(field.y, 0), max(field.x, 0)
    y1, x1 = min(field.y + field.height, height), min(field.x + field.width, width)
    if y1 > y0 and x1 > x0:
        part = reference[y0:y1, x0:x1]
        out[y0 - field.y : y1 - field.y, x0 - field.x : x1 - field.x] = part
    return out


def check_slide_pixels(slide: Slide, references: Sequence[RGB]) -> None:
    """Every level shows exactly what the reference library decodes, white outside."""
    assert [level.shape for level in slide.levels] == [r.shape[:2] for r in references]
    for level, reference in enumerate(references):
        for field in fields_of(slide, level, seed=level):
            pixels = slide.read(field)
            assert pixels.dtype == np.uint8
            assert pixels.shape == (*field.shape, 3)
            np.testing.assert_array_equal(pixels, expected(reference, field), str(field))


def check_planes(slide: Slide, stored: Pixels) -> None:
    """Every plane of level 0 shows exactly what was stored, (t, z, c, height, width), 0 outside."""
    stack = slide.stack
    assert (stack.t, stack.z, len(stack.channels)) == stored.shape[:3]
    for t, z, channel in np.ndindex(stored.shape[:3]):
        for field in fields_of(slide, 0, seed=100 * t + 10 * z + channel):
            pixels = slide.read_plane(field, Plane(z, t, channel))
            assert pixels.dtype == stored.dtype
            np.testing.assert_array_equal(pixels, expected(stored[t, z, channel], field, 0))


def check_slide_frames(slide: Slide) -> None:
    """Downsamples are the exact quotients of the shapes, finest level first."""
    assert slide.shape == slide.levels[0].shape
    for finer, level in zip(slide.levels, slide.levels[1:], strict=False):
        assert level.shape[0] < finer.shape[0] or level.shape[1] < finer.shape[1]
    for level in slide.levels:
        assert level.downsample == exact_downsample(slide.shape, level.shape)
        assert min(level.tile) >= 1


def check_slide_travels(slide: Slide) -> None:
    """A copy in another process reads the same pixels; so do eight threads at once."""
    fields = list(fields_of(slide, len(slide.levels) - 1, seed=9))
    before = [slide.read(field) for field in fields]
    far, left_open = _other_process().submit(_read_and_close, slide, fields).result(60)
    for pixels, again in zip(before, far, strict=True):
        np.testing.assert_array_equal(again, pixels)
    assert left_open == []
    with pickle.loads(pickle.dumps(slide)) as copy:
        assert copy.metadata == slide.metadata
        for field, pixels in zip(fields, before, strict=True):
            np.testing.assert_array_equal(copy.read(field), pixels)
    with ThreadPoolExecutor(8) as pool:
        for repeat in pool.map(lambda field: slide.read(field), fields * 2):
            assert repeat.shape[2] == 3
        for pixels, again in zip(before, pool.map(slide.read, fields), strict=True):
            np.testing.assert_array_equal(pixels, again)


@functools.cache
def _other_process() -> ProcessPoolExecutor:
    """One for all, as Windows and macOS start it: it has nothing but what is pickled."""
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _read_and_close(slide: Slide, fields: Sequence[Field]) -> tuple[list[RGB], list[str]]:
    """In another process: pixels, and the files of the slide that stay open."""
    with slide:
        pixels = [slide.read(field) for field in fields]
    return pixels, files_open(slide.path)


def files_open(path: Path) -> list[str]:
    """The open files of this process that are a slide's; none where the system lists none."""
    found = []
    for link in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # the list itself is open while it is read
            target = link.readlink()
            if path in (target, *target.parents) or target.parent == path.with_suffix(""):
                found.append(str(target))
    return found


def check_slide_closes(slide: Slide) -> None:
    """A closed slide holds no file open, and says so or needs none to read from."""
    field = next(fields_of(slide, 0))
    slide.close()
    slide.close()
    assert files_open(slide.path) == []
    if slide.metadata.backend in ("pillow", "synthetic"):
        return
    with pytest.raises(SlideError, match="closed"):
        slide.read(field)


def check_slide(slide: Slide, references: Sequence[RGB]) -> None:
    """All of the contract; closes the slide."""
    check_slide_frames(slide)
    check_slide_pixels(slide, references)
    check_slide_travels(slide)
    check_slide_closes(slide)
