"""A large picture of one level in a viewer: seconds by the clock until it can be seen.

    python viewer_picture.py PICTURE [jump]

Prints JSON: seconds until the viewer shows the layer, by the clock and of the thread that draws,
and how much of it is seen then; until all of it can be seen, if only guessed, and until its levels
are exact. With a further argument: seconds from a jump, while levels are made,
until the view of 1000 pixels is exact. Both tell the longest time that the viewer stood still, and
the memory at most, in MB.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from peak_memory import peak_mb
from qtpy.QtWidgets import QApplication

from napari_pathseg.gui.sources import open_source
from napari_pathseg.slide.pixels import BLANK

LIMIT_S = 90.0


def measure(path: Path, *, jump: bool) -> dict[str, float]:
    """Times of one opening; with `jump` those of a view of full resolution."""
    app = QApplication.instance() or QApplication([])
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 900)
    viewer.add_image(np.zeros((64, 64, 3), np.uint8))  # what napari does the first time only
    for _ in range(5):
        app.processEvents()
    viewer.layers.clear()
    open_source(path).close()  # reads the header; imports are not counted
    begun, drawing = time.perf_counter(), time.thread_time()
    viewer.open(path, plugin="napari-pathseg")
    app.processEvents()
    found = {"shown": round(time.perf_counter() - begun, 2)}
    found["thread"] = round(time.thread_time() - drawing, 2)
    layer = viewer.layers[0]
    found["seen then"] = round(_real(layer), 2)
    longest = 0.0

    def until(seen: Callable[[], bool]) -> float:
        nonlocal longest
        while not seen():
            assert time.perf_counter() - begun < LIMIT_S
            at = time.perf_counter()
            app.processEvents()
            longest = max(longest, time.perf_counter() - at)
            time.sleep(0.03)
        return round(time.perf_counter() - begun, 2)

    if jump:
        height, width = layer.level_shapes[0][:2]
        until(lambda: _real(layer) > 0)
        jumped = until(lambda: True)
        viewer.scene.camera.zoom = 1 / float(layer.scale[-1])
        viewer.scene.camera.center = (0, height * 0.05, width * 0.5)
        app.processEvents()
        until(lambda: layer.data_level == 0 and not layer.data[0].level.drawn.func.__self__.waiting)
        found["jump"] = round(until(lambda: True) - jumped, 2)
    else:
        found["seen"] = until(lambda: _real(layer) > 0.999)
        coarse = getattr(layer.data[-1].level.source, "coarse", None)
        found["exact"] = until(lambda: coarse is None or coarse.ended)
    found["stood still"] = round(longest, 2)
    found["MB"] = round(peak_mb())
    viewer.close()
    return found


def _real(layer: Any) -> float:
    """Share of the rows on the screen that are not blank any more."""
    shown = np.asarray(layer._slice.image.raw)[::4, ::16, :3]
    return float((shown != BLANK).any(axis=(1, 2)).mean())


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), jump=len(sys.argv) > 2)))
