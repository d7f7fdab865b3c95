"""A slide in a viewer, in a process of its own: what opening, jumps and pans cost, and memory.

    python viewer_slide.py {ours|zarr} SLIDE JUMPS

Prints JSON: milliseconds of processor time, of all threads, to show the slide, for a jump to a
random place of level 0 and for a pan of 60 pixels, and memory in MB after 50 jumps and after all.
`zarr` shows the arrays of tifffile and zarr in the same viewer, without this package.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import psutil
from qtpy.QtWidgets import QApplication

PAN_PX = 60
FIRST_JUMPS = 50
DRAWS = 3
"""Rounds of events in which a canvas has been drawn."""


def ours(viewer: napari.Viewer, path: Path) -> None:
    """The reader of this package."""
    viewer.open(path, plugin="napari-pathseg")


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
        start = time.process_time()
        work()
        draw(app)
        return (time.process_time() - start) * 1000

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
    found["jump"] = statistics.median(times)
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


def look_at(viewer: napari.Viewer, place: Any) -> None:
    """Move the camera to a place, (y, x) of the world."""
    viewer.scene.camera.center = (0.0, float(place[0]), float(place[1]))


def draw(app: QApplication) -> None:
    """Let the canvas be drawn."""
    for _ in range(DRAWS):
        app.processEvents()


if __name__ == "__main__":
    shown = {"ours": ours, "zarr": raw_zarr}[sys.argv[1]]
    print(json.dumps(measure(shown, Path(sys.argv[2]), int(sys.argv[3]))))
