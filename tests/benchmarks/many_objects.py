"""How long the viewer stands still while a field of ten thousand objects is worked on.

    python tests/benchmarks/many_objects.py [STEP ...]     (xvfb-run -a before it without a display)

Prints, for each thing that a person does, the longest time between two beats of a timer in the GUI
thread, the middle of three, in seconds; with names of steps also what took that time in these.
"""

from __future__ import annotations

import cProfile
import io
import os
import pstats
import statistics
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("LP_NUM_THREADS", "0")  # Mesa draws in the thread that is measured
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "shared"))

import napari
import numpy as np
import tifffile
from heartbeat import longest_gap
from marker_segmenter import MARKERS, MarkerSegmenter

from napari_pathseg.classes import LabelClass
from napari_pathseg.config import SegmentConfig
from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.models import SharedModel, keep_triton_out
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.widgets.hand import Hand
from napari_pathseg.gui.widgets.object_table import ObjectTable
from napari_pathseg.gui.widgets.panel import PathsegPanel
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.labels.cleanup import Cleanup
from napari_pathseg.vocabulary import Vocabulary

SHAPE, PITCH, SIZE = (2000, 2600), (20, 26), 10
MPP = 0.5
ROUNDS = 3
TOP = 25


class Person(Hand):
    """A hand that does not hold the viewer up until all is on the disk."""

    def settle(self, seconds: float = 600) -> None:
        """Wait until the model has answered and the canvas has drawn it."""
        self.wait(lambda: not self.controller.busy, seconds)
        self.wait(seconds=0.6)


def write_slide(path: Path) -> Path:
    """A slide of 5.2 megapixels with 10,000 nuclei, and two levels more."""
    pixels = np.full((*SHAPE, 3), 150, np.uint8)
    rows, columns = (np.arange(n) % p < SIZE for n, p in zip(SHAPE, PITCH, strict=True))
    pixels[np.ix_(rows, columns)] = MARKERS["nucleus"]
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        scale = {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP}
        writer.write(pixels, subifds=2, metadata={"axes": "YXS", **scale}, **options)
        for step in (2, 4):
            writer.write(pixels[::step, ::step], subfiletype=1, **options)
    return path


def docked(viewer: napari.Viewer, folder: Path) -> Hand:
    """A hand at a panel with a model that answers at once."""
    keep_triton_out()
    import napari_pathseg.inference.session  # noqa: F401 - as the model that ships does on loading

    controller = PathsegController(
        viewer,
        runner=QtRunner(),
        writer=QtRunner(),
        mender=QtRunner(),
        opener=QtRunner(),
        model=SharedModel(MarkerSegmenter),
        vocabulary=Vocabulary.load(),
        labels_folder=folder / "labels",
        remembered=Remembered(folder / "remembered.json"),
        config=SegmentConfig(kept_mb=0),
    )
    panel = PathsegPanel(viewer, controller)
    viewer.window.add_dock_widget(panel, name="PathSeg", area="right")
    return Person(viewer, panel)


def steps(hand: Hand) -> dict[str, Callable[[], None]]:
    """What a person does, in an order in which each can follow the one before, again and again."""
    controller, whole, part = hand.controller, Region.whole(SHAPE), Region(800, 1000, 300, 420)
    place, beside = (1005.0, 1045.0), (1015.0, 1060.0)

    def do(act: Callable[[], object]) -> None:
        act()
        hand.settle()

    def key(name: str, modifier: str = "") -> None:
        do(lambda: hand.key(name, modifier))

    def ask() -> None:
        do(lambda: controller.segment_field("nuclei"))

    def nucleus() -> LabelClass:
        (found,) = controller.desk.listed()
        return found

    def rename() -> None:
        do(lambda: controller.classing.rename(nucleus(), f"{nucleus().name}s"))

    def page(title: str) -> None:
        do(lambda: hand.panel.tabs.show_page(title))
        hand.wait(seconds=1.0)

    def table() -> ObjectTable:
        return hand.panel.tabs.page("Measure").table

    refining, classing = controller.refining, controller.classing
    return {
        "zoom to all": partial(hand.look_at, whole),
        "ask": ask,
        "click": partial(hand.click, place),
        "shift-click": partial(hand.click, place, "Shift"),
        "threshold": lambda: do(lambda: refining.set_threshold(0.4, final=True)),
        "slider": lambda: do(lambda: refining.set_cleanup(Cleanup(small_px=5), final=True)),
        "reject": partial(key, "X"),
        "ask again": ask,
        "accept": partial(key, "A"),
        "zoom to a part": partial(hand.look_at, part),
        "ask in a part": ask,
        "brush": partial(key, "D"),
        "brush down in the large field": partial(hand.drag, [(400.0, 500.0), (410.0, 520.0)]),
        "stroke": partial(hand.drag, [place, beside]),
        "undo": partial(key, "Z", "Ctrl"),
        "redo": partial(key, "Z", "Ctrl+Shift"),
        "knife": partial(key, "K"),
        "cut": partial(hand.drag, [(999.0, 1040.0), (1015.0, 1055.0)]),
        "clicks again": partial(key, "P"),
        "zoom out": partial(hand.look_at, whole),
        "outlines": partial(key, "O"),
        "filled": partial(key, "O"),
        "class hidden": lambda: do(lambda: classing.show(nucleus(), False)),
        "class shown": lambda: do(lambda: classing.show(nucleus(), True)),
        "class renamed": rename,
        "class removed": lambda: do(lambda: classing.remove(nucleus())),
        "class brought back": lambda: do(controller.message.actions[0].run),
        "measure": partial(page, "Measure"),
        "object chosen": lambda: do(lambda: table().selectRow(3)),
        "sort": lambda: do(lambda: table().sort_by("area", descending=True)),
        "segment": partial(page, "Segment"),
    }


def told(profile: cProfile.Profile) -> str:
    """What took the time, most first."""
    out = io.StringIO()
    pstats.Stats(profile, stream=out).sort_stats("tottime").print_stats(TOP)
    return "\n".join(line[:150] for line in out.getvalue().splitlines()[6:] if line.strip())


def main() -> None:
    """Print the table."""
    wanted = set(sys.argv[1:])
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 850)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hand = docked(viewer, folder)
        viewer.open(str(write_slide(folder / "many.ome.tif")), plugin="napari-pathseg")
        hand.wait(lambda: hand.controller.desk is not None, 120)
        hand.wait(lambda: hand.controller.model.loaded is not None, 120)
        hand.wait(lambda: f"{hand.controller.desk.name} boxes" in viewer.layers, 120)
        hand.wait(seconds=1.0)
        gaps: dict[str, list[float]] = {}
        for number in range(ROUNDS):
            for title, act in steps(hand).items():
                profile = cProfile.Profile()
                if title in wanted and number == ROUNDS - 1:
                    profile.runcall(act)
                    print(f"{title}\n{told(profile)}")
                else:
                    gaps.setdefault(title, []).append(longest_gap(act))
        counts = hand.controller.desk.counts()
        print(f"{sum(count.objects for count in counts.values()):,} objects")
        for title, found in gaps.items():
            first = f"the first time {found[0]:.2f}"
            print(f"{title:30s} {statistics.median(found):.2f} s, {first}", flush=True)
        viewer.close()


if __name__ == "__main__":
    main()
