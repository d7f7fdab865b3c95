"""The first slide of a viewer that has just started, without the panel: when it is seen.

    python first_slide.py SLIDE

Prints JSON: milliseconds from the drop until the slide is seen, and until its layer is drawn, each
by the clock and of processor time of the thread that draws. Nothing is imported before but what
napari imports by itself; run it in a process of its own for each slide.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

import napari
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

STARTED_S = 2.0
LOOK = "napari_pathseg.gui.widgets.first_look"


class Watching(MetaPathFinder, Loader):
    """Tells when the first look is painted, without importing it before its time."""

    def __init__(self) -> None:
        self.painted: list[tuple[float, float]] = []

    def find_spec(self, name: str, path: Any = None, _target: Any = None) -> ModuleSpec | None:
        if name != LOOK:
            return None
        self.spec = PathFinder.find_spec(name, path)
        return ModuleSpec(name, self)

    def exec_module(self, module: ModuleType) -> None:
        self.spec.loader.exec_module(module)
        make = module.FirstLook.__init__

        def made(*arguments: Any) -> None:
            make(*arguments)
            self.painted.append((time.perf_counter(), time.thread_time()))

        module.FirstLook.__init__ = made


def measure(path: Path) -> dict[str, float]:
    """Times of one drop on a viewer in which nothing was done yet."""
    watching = Watching()
    sys.meta_path.insert(0, watching)
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 900)
    app = QApplication.instance()
    end = time.perf_counter() + STARTED_S
    while time.perf_counter() < end:
        draw(app)
        time.sleep(0.005)
    assert "napari_pathseg.gui" not in sys.modules
    clock, thread = time.perf_counter(), time.thread_time()
    viewer.open(path, plugin="napari-pathseg")
    draw(app)
    drawn = time.perf_counter(), time.thread_time()
    found = {}
    for name, when in (("seen", (watching.painted or [drawn])[0]), ("layer", drawn)):
        found[name] = (when[0] - clock) * 1000
        found[f"{name}, thread"] = (when[1] - thread) * 1000
    viewer.close()
    return {name: round(value) for name, value in found.items()}


def draw(app: Any) -> None:
    """Let the canvas be drawn."""
    app.processEvents()
    app.sendPostedEvents(None, QEvent.Type.DeferredDelete)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]))))
