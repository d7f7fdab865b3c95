"""One reader of slides, measured by processor time; run by test_slides.py in a process of its own.

    python slide_readers.py READER SLIDE

Prints JSON: milliseconds of processor time to open, for the first 1024 x 1024 field of level 0 and
of level 2, for a 256 x 256 tile at random places, and peak memory in MB. Other readers may live in
another environment: this file needs only numpy and the reader.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from peak_memory import peak_mb

Read = Callable[[int, int, int, int], Any]
"""Pixels of (level, y, x, side), RGB."""

FIELD_PX, TILE_PX = 1024, 256
FIELDS, TILES = 12, 60


def ours(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """The lazy pyramid that napari shows."""
    import dask

    from napari_pathseg.slide.cache import ChunkCache
    from napari_pathseg.slide.open import open_slide
    from napari_pathseg.slide.pyramid import dask_pyramid

    dask.config.set(scheduler="synchronous")
    levels = dask_pyramid(open_slide(path), cache=ChunkCache(0))

    def read(level: int, y: int, x: int, side: int) -> Any:
        return np.asarray(levels[level][y : y + side, x : x + side])

    return read, [level.shape[:2] for level in levels]


def slide_read(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """The slide itself, as model and export read it."""
    from napari_pathseg.geometry import Field
    from napari_pathseg.slide.open import open_slide

    slide = open_slide(path)

    def read(level: int, y: int, x: int, side: int) -> Any:
        return slide.read(Field(level, y, x, side, side, slide.levels[level].downsample))

    return read, [level.shape for level in slide.levels]


def raw_openslide(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """OpenSlide to RGB."""
    import openslide

    slide = openslide.OpenSlide(path)

    def read(level: int, y: int, x: int, side: int) -> Any:
        step = slide.level_downsamples[level]
        place = (round(x * step), round(y * step))
        return np.asarray(slide.read_region(place, level, (side, side)).convert("RGB"))

    return read, [(h, w) for w, h in slide.level_dimensions]


def raw_tifffile(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """tifffile's store read by zarr."""
    import tifffile
    import zarr

    group = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
    arrays = (
        [group[name] for name in sorted(group.array_keys())]
        if hasattr(group, "array_keys")
        else [group]
    )

    def read(level: int, y: int, x: int, side: int) -> Any:
        return arrays[level][y : y + side, x : x + side]

    return read, [array.shape[:2] for array in arrays]


def raw_zarr(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """The arrays of an OME-Zarr."""
    import zarr

    group = zarr.open_group(path, mode="r")
    arrays: list[Any] = [group[name] for name in sorted(group.array_keys())]

    def read(level: int, y: int, x: int, side: int) -> Any:
        return arrays[level][y : y + side, x : x + side]

    return read, [array.shape[:2] for array in arrays]


def raw_tiffslide(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """tiffslide, read as arrays."""
    import tiffslide

    slide = tiffslide.TiffSlide(path)

    def read(level: int, y: int, x: int, side: int) -> Any:
        step = slide.level_downsamples[level]
        place = (round(x * step), round(y * step))
        return slide.read_region(place, level, (side, side), as_array=True)

    return read, [(h, w) for w, h in slide.level_dimensions]


def napari_wsi(path: Path) -> tuple[Read, list[tuple[int, int]]]:
    """The lazy pyramid of napari-wsi."""
    import dask
    from napari_wsi.backends.openslide import OpenSlideStore

    dask.config.set(scheduler="synchronous")
    (layer, *_rest) = OpenSlideStore(path).to_layer_data_tuples()
    levels = list(layer[0])

    def read(level: int, y: int, x: int, side: int) -> Any:
        return np.asarray(levels[level][y : y + side, x : x + side])

    return read, [level.shape[:2] for level in levels]


READERS = {
    "ours": ours,
    "slide.read": slide_read,
    "openslide": raw_openslide,
    "tifffile+zarr": raw_tifffile,
    "zarr": raw_zarr,
    "tiffslide": raw_tiffslide,
    "napari-wsi": napari_wsi,
}


def _ms(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return (time.process_time() - start) * 1000


def _places(shape: tuple[int, int], side: int, count: int, grid: int) -> list[tuple[int, int]]:
    rng = np.random.default_rng(1)
    ys = rng.integers(0, max(shape[0] - side, 0) // grid + 1, count) * grid
    xs = rng.integers(0, max(shape[1] - side, 0) // grid + 1, count) * grid
    return [(int(y), int(x)) for y, x in zip(ys, xs, strict=True)]


def measure(reader: str, path: Path) -> dict[str, float]:
    """Everything about one reader and one slide."""
    make = READERS[reader]
    make(path)  # imports and first calls are not counted
    opens = [_ms(lambda: make(path)) for _ in range(7)]
    found: dict[str, float] = {"open": statistics.median(opens)}
    for level in (0, 2):
        times = []
        for y, x in _places(make(path)[1][level], FIELD_PX, FIELDS, TILE_PX):
            read, _ = make(path)  # nothing is cached yet
            times.append(_ms(partial(read, level, y, x, FIELD_PX)))
        found[f"field {level}"] = statistics.median(times)
    read, shapes = make(path)
    tiles = [_ms(partial(read, 0, y, x, TILE_PX)) for y, x in _places(shapes[0], TILE_PX, TILES, 1)]
    found["tile"] = statistics.median(tiles)
    found["peak MB"] = peak_mb()
    return found


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
