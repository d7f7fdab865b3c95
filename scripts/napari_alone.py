"""How long napari alone stands still: with layers like those of the desk, without this plugin.

python scripts/napari_alone.py            (on Linux without a display: xvfb-run -a before it)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import dask.array as da
import napari
import numpy as np
from qtpy.QtWidgets import QApplication

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "shared"))

from heartbeat import longest_gap

SIDE, CHUNK = 100_000, 512
READ_S = 0.05


def slow_slide() -> list[da.Array]:
    """A pyramid whose every chunk takes `READ_S` to read."""

    def chunk(block_info: object = None) -> np.ndarray:
        time.sleep(READ_S)
        shape = block_info[None]["chunk-shape"]  # type: ignore[index]
        return np.full(shape, 200, np.uint8)

    levels = []
    for factor in (1, 4, 16, 64):
        side = SIDE // factor
        chunks = (da.core.normalize_chunks(CHUNK, (side, side)), ((3,),))
        levels.append(
            da.map_blocks(chunk, chunks=(*chunks[0], *chunks[1]), dtype=np.uint8, meta=np.empty(0))
        )
    return levels


def live(seconds: float = 0.5) -> None:
    """Let the viewer do its work."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.005)


def main() -> None:
    """Print the longest time between two beats of a timer for each step."""
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    live()

    def step(name: str, act: Callable[[], object]) -> None:
        print(f"{name:34s} {longest_gap(lambda: (act(), live())):.2f} s", flush=True)

    camera = viewer.scene.camera
    step("slide added", lambda: viewer.add_image(slow_slide(), rgb=True, cache=False))
    camera.center, camera.zoom = (0.0, 50_000.0, 50_000.0), 1.0
    live(1.0)
    step("nothing", live)
    step("pan by a whole view", partial(setattr, camera, "center", (0.0, 51_000.0, 51_000.0)))
    mask = np.zeros((1300, 1000), np.uint8)
    place = {"translate": (50_000, 50_000)}
    step("first labels layer added", lambda: viewer.add_labels(mask.copy(), **place))
    step("second labels layer added", lambda: viewer.add_labels(mask.copy(), **place))
    step("first points layer added", lambda: viewer.add_points([(50_500, 50_500)], size=13))
    step("point added to it", lambda: viewer.layers[-1].add([(50_520, 50_520)]))
    step("first shapes layer added", lambda: viewer.add_shapes(np.eye(4, 2) * 90 + 50_400))
    step("layer removed", lambda: viewer.layers.pop())
    large = np.zeros((2600, 2600), np.uint8)
    step("labels of 6.8 megapixels added", lambda: viewer.add_labels(large, **place))
    step("labels of 6.8 megapixels redrawn", lambda: viewer.layers[-1].refresh())
    viewer.close()


if __name__ == "__main__":
    main()
