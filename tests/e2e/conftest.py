"""A real viewer with the panel, and hands at it; skipped where there is no display."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "gui"))

from marker_segmenter import MarkerSegmenter


def no_display() -> bool:
    """Whether nothing can be shown here."""
    return sys.platform == "linux" and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


@pytest.fixture
def make_hand(
    qapp: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., object]]:
    """A function that opens a viewer with the panel and gives a hand at it."""
    if no_display():
        pytest.skip("there is no display: run under xvfb-run")
    import napari

    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.gui.models import SharedModel
    from napari_pathseg.gui.remembered import Remembered
    from napari_pathseg.gui.widgets.hand import Hand
    from napari_pathseg.gui.widgets.panel import PathsegPanel
    from napari_pathseg.gui.worker import QtRunner
    from napari_pathseg.vocabulary import Vocabulary

    hands: list[Hand] = []

    def make(segmenter: object = None, labels: Path | None = None, **options: object) -> Hand:
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1300, 850)
        chosen = segmenter or MarkerSegmenter()
        controller = PathsegController(
            viewer,
            runner=QtRunner(),
            writer=QtRunner(),
            model=SharedModel(lambda: chosen),
            vocabulary=Vocabulary.load(),
            labels_folder=labels or tmp_path / "labels",
            remembered=Remembered(tmp_path / "remembered.json"),
            **options,
        )
        panel = PathsegPanel(viewer, controller)
        viewer.window.add_dock_widget(panel, name="PathSeg", area="right")
        hand = Hand(viewer, panel)
        hands.append(hand)
        hand.wait(seconds=0.3)
        return hand

    yield make
    for hand in hands:
        hand.panel.shut_down()
        hand.viewer.close()
        hand.wait(seconds=0.1)
