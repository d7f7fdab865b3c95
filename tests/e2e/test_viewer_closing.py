"""The window is closed while the model runs: no crash, no hang, what was drawn is kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import sys
import threading
from pathlib import Path

tests, folder = Path(sys.argv[1]), Path(sys.argv[2])
sys.path.insert(0, str(tests / "shared"))
import napari
from desk_slides import write_slide
from marker_segmenter import MarkerSegmenter

from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.tools import Tool
from napari_pathseg.gui.widgets import panel as panel_module
from napari_pathseg.gui.widgets.hand import Hand
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.vocabulary import Vocabulary

viewer = napari.Viewer(show=True)
go_on = threading.Event()


class Slow(MarkerSegmenter):
    def encode(self, image):
        embedding = super().encode(image)
        go_on.wait(120)
        return embedding


segmenter = Slow()
controller = PathsegController(
    viewer,
    runner=QtRunner(),
    writer=QtRunner(),
    model=SharedModel(lambda: segmenter),
    vocabulary=Vocabulary.load(),
    labels_folder=folder / "labels",
    remembered=Remembered(folder / "remembered.json"),
)
panel_module.default_controller = lambda *_, **__: controller
_, panel = viewer.window.add_plugin_dock_widget("napari-pathseg")  # as the menu does
assert panel.viewer is viewer
hand = Hand(viewer, panel)
viewer.open(str(write_slide(folder / "slide.ome.tif", 0.5)), plugin="napari-pathseg")
hand.wait(lambda: controller.desk is not None, 120)
hand.look_at(Region(100, 100, 400, 600))
controller.set_tool(Tool.BRUSH)
controller.desk.field_layer.paint((50, 60), 1)
controller.segment_field("gland")
hand.wait(lambda: segmenter.encoder_passes > 0, 120)
assert controller.busy
panel.begin_tour()
assert panel.tour.isVisible()
threading.Timer(1.0, go_on.set).start()
viewer.close()
assert panel._closed
print("closed", flush=True)
"""


NO_DISPLAY = sys.platform == "linux" and not (
    os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
)


@pytest.mark.skipif(NO_DISPLAY, reason="there is no display: run under xvfb-run")
def test_closing_while_the_model_runs(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parents[1]), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert "closed" in done.stdout, done.stderr[-2000:]
    assert done.returncode == 0, done.stderr[-2000:]
    assert "Traceback" not in done.stderr

    from napari_pathseg.labels.journal import LabelStore
    from napari_pathseg.slide.open import open_slide

    with open_slide(tmp_path / "slide.ome.tif") as slide:
        identity = slide.metadata.identity
    with LabelStore.open(identity, "slide.ome.tif", tmp_path / "labels") as store:
        (record,) = store.fields()
        assert store.load(record.id)[1][50, 60] == 1
