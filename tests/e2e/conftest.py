"""A real viewer with the panel, and hands at it; skipped where there is no display."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from marker_segmenter import MarkerSegmenter

# Mesa draws in the thread whose standstill is measured: its waiting for a core is known.
os.environ.setdefault("LP_NUM_THREADS", "0")


def no_display() -> bool:
    """Whether nothing can be shown here."""
    return sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


@pytest.fixture(scope="module")
def viewer(qapp: object) -> Iterator[object]:
    """One window for all tests of a file: it takes seconds to come."""
    if no_display():
        pytest.skip("there is no display: run under xvfb-run")
    import napari

    window = napari.Viewer(show=True)
    window.window.resize(1300, 850)
    yield window
    window.close()


@pytest.fixture
def make_hand(viewer: object, tmp_path: Path) -> Iterator[Callable[..., object]]:
    """A function that docks a panel and gives a hand at it."""
    from napari_pathseg.gui.models import SharedModel, keep_triton_out

    keep_triton_out()
    import napari_pathseg.inference.session  # noqa: F401 - as the model that ships does on loading
    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.gui.remembered import Remembered
    from napari_pathseg.gui.widgets.hand import Hand
    from napari_pathseg.gui.widgets.panel import PathsegPanel
    from napari_pathseg.gui.worker import QtRunner
    from napari_pathseg.vocabulary import Vocabulary

    hands: list[Hand] = []

    def make(segmenter: object = None, **options: object) -> Hand:
        chosen = segmenter or MarkerSegmenter()
        settings = {
            "runner": QtRunner(),
            "writer": QtRunner(),
            "mender": QtRunner(),
            "opener": QtRunner(),
            "model": SharedModel(lambda: chosen),
            "vocabulary": Vocabulary.load(),
            "labels_folder": tmp_path / "labels",
            "remembered": Remembered(tmp_path / "remembered.json"),
        }
        controller = PathsegController(viewer, **(settings | options))
        panel = PathsegPanel(viewer, controller)
        viewer.window.add_dock_widget(panel, name="PathSeg", area="right")
        hands.append(Hand(viewer, panel))
        hands[-1].wait(seconds=0.3)
        return hands[-1]

    yield make
    for hand in hands:
        hand.viewer.layers.clear()
        hand.panel.shut_down()
        hand.viewer.window.remove_dock_widget(hand.panel)
        hand.wait(seconds=0.1)
