"""A slide in a viewer, in a process of its own: what opening, jumps and pans cost, and memory.

    python viewer_slide.py READER SLIDE JUMPS [PACKAGES]

Prints JSON: milliseconds of processor time, of all threads, to show the slide, for a jump to a
random place of level 0 and for a pan of 60 pixels, each until the last pixel is drawn; milliseconds
by the clock that the viewer stands still at a jump; memory in MB after 50 jumps and after all, and
how many jumps those were: a reader that fills the memory is stopped.
Readers other than `ours` show the same slide in the same viewer without this package; PACKAGES
is a folder in which those are looked for that are not installed beside napari.
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

import napari
import numpy as np
import psutil
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

PAN_PX = 60
FIRST_JUMPS = 50
MOST_MB = 2500
DRAWS = 3
"""Rounds of events in which a canvas has been drawn."""


def ours(viewer: napari.Viewer, path: Path) -> None:
    """The reader of this package."""
    viewer.open(path, plugin="napari-pathseg")


class Array:
    """A level as dask slices it, read by a function of (y, x, height, width)."""

    dtype, ndim = np.dtype(np.uint8), 3

    def __init__(self, shape: tuple[int, int], read: Callable[[int, int, int, int], Any]) -> None:
        self.shape = (*shape, 3)
        self._read = read

    def __getitem__(self, key: Any) -> Any:
        rows, columns, colors = (*key, *[slice(None)] * (3 - len(key)))
        y, stop_y, _ = rows.indices(self.shape[0])
        x, stop_x, _ = columns.indices(self.shape[1])
        return self._read(y, x, stop_y - y, stop_x - x)[..., colors]


def raw_openslide(viewer: napari.Viewer, path: Path) -> None:
    """OpenSlide's pixels as RGB."""
    import openslide

    slide = openslide.OpenSlide(path)

    def read(level: int, y: int, x: int, height: int, width: int) -> Any:
        step = slide.level_downsamples[level]
        place = (round(x * step), round(y * step))
        return np.asarray(slide.read_region(place, level, (width, height)).convert("RGB"))

    _show(viewer, slide.level_dimensions, read)


def raw_tiffslide(viewer: napari.Viewer, path: Path) -> None:
    """tiffslide's pixels."""
    import tiffslide

    slide = tiffslide.TiffSlide(path)

    def read(level: int, y: int, x: int, height: int, width: int) -> Any:
        step = slide.level_downsamples[level]
        place = (round(x * step), round(y * step))
        return slide.read_region(place, level, (width, height), as_array=True)

    _show(viewer, slide.level_dimensions, read)


def _show(viewer: napari.Viewer, sizes_xy: Any, read: Callable[..., Any]) -> None:
    import dask.array as da

    arrays = [Array((h, w), partial(read, level)) for level, (w, h) in enumerate(sizes_xy)]
    levels = [da.from_array(array, chunks=(1024, 1024, 3), asarray=False) for array in arrays]
    viewer.add_image(levels, rgb=True, multiscale=True, scale=(0.5, 0.5))


def napari_wsi(viewer: napari.Viewer, path: Path) -> None:
    """The layers of napari-wsi."""
    from napari_wsi.backends.openslide import OpenSlideStore

    for data, options, *_ in OpenSlideStore(path).to_layer_data_tuples():
        viewer.add_image(data, **options)


def raw_zarr(viewer: napari.Viewer, path: Path) -> None:
    """The arrays of tifffile's store."""
    import tifffile
    import zarr

    group = zarr.open(tifffile.imread(path, aszarr=True), mode="r")
    levels = [group[name] for name in sorted(group.array_keys())]
    viewer.add_image(levels, rgb=True, multiscale=True, scale=(0.5, 0.5))


def measure(show: Callable[[napari.Viewer, Path], None], path: Path, jumps: int) -> dict[str, Any]:
    """Everything about one way to show one slide."""
    process, app = psutil.Process(), QApplication.instance() or QApplication([])
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 900)
    viewer.add_image(np.zeros((64, 64, 3), np.uint8))  # what napari does the first time only
    draw(app)
    viewer.layers.clear()

    def timed(work: Callable[[], object]) -> float:
        start, clock = time.process_time(), time.perf_counter()
        work()
        draw(app)
        stands.append((time.perf_counter() - clock) * 1000)
        while viewer.layers and _is_late(viewer.layers[-1]):
            draw(app)
            time.sleep(0.005)
        return (time.process_time() - start) * 1000

    stands: list[float] = []
    found: dict[str, Any] = {"show": timed(lambda: show(viewer, path))}
    layer = viewer.layers[-1]
    scale = float(layer.scale[-1])
    size = [(end - begin) for begin, end, *_ in layer.extent.world.T.tolist()]
    viewer.scene.camera.zoom = 1 / scale
    rng = np.random.default_rng(0)
    places = rng.uniform(0.1, 0.9, (jumps, 2)) * size[-2:]
    times = []
    for index, place in enumerate(places):
        times.append(timed(lambda place=place: look_at(viewer, place)))
        if index + 1 == min(FIRST_JUMPS, jumps):
            found["MB after 50 jumps"] = process.memory_info().rss / 1e6
        if process.memory_info().rss / 1e6 > MOST_MB:
            break
    found["jumps"] = len(times)
    found["jump"] = statistics.median(times)
    found["stands still"] = statistics.median(stands[1:])
    found["MB after all"] = process.memory_info().rss / 1e6
    pans = []
    for place in places[:10]:
        look_at(viewer, place)
        draw(app)
        for step in range(1, 6):
            there = place + np.array([0.0, step * PAN_PX * scale])
            pans.append(timed(lambda there=there: look_at(viewer, there)))
    found["pan"] = statistics.mean(pans)
    found["level"] = int(layer.data_level)
    viewer.close()
    return found


def _is_late(layer: Any) -> bool:
    """Whether something in view is still being read."""
    level = getattr(layer.data[layer.data_level], "level", None)
    drawn = getattr(level, "drawn", None)
    return drawn is not None and drawn.func.__self__.waiting


def look_at(viewer: napari.Viewer, place: Any) -> None:
    """Move the camera to a place, (y, x) of the world."""
    viewer.scene.camera.center = (0.0, float(place[0]), float(place[1]))


def draw(app: QApplication) -> None:
    """Let the canvas be drawn.

    Outside of an event loop Qt keeps what is to be deleted: with it napari's wheel of what is going
    on would turn for ever after a file was opened, and each turn draws the whole window.
    """
    for _ in range(DRAWS):
        app.processEvents()
        app.sendPostedEvents(None, QEvent.Type.DeferredDelete)


if __name__ == "__main__":
    sys.path.extend(sys.argv[4:])  # at the end: what is installed beside napari goes first
    shown = {
        "ours": ours,
        "tifffile+zarr": raw_zarr,
        "openslide": raw_openslide,
        "tiffslide": raw_tiffslide,
        "napari-wsi": napari_wsi,
    }[sys.argv[1]]
    print(json.dumps(measure(shown, Path(sys.argv[2]), int(sys.argv[3]))))
