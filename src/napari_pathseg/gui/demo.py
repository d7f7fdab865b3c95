"""The whole job on a real slide, done in the real viewer as a person would do it.

Run ``python -m napari_pathseg.gui.demo``; with ``--close`` it ends when it is done, otherwise
the viewer stays open. Pictures, masks, GeoJSON and training data go to ``out/demo``.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Pair, Region
from napari_pathseg.progress import Progress
from napari_pathseg.slide.samples import SAMPLES, fetch_sample

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_pathseg.gui.widgets.hand import Hand
    from napari_pathseg.gui.widgets.panel import PathsegPanel

WINDOW_PX = (1500, 940)


@dataclass(frozen=True, slots=True)
class Scene:
    """What is done on one sample; places are level-0 (y, x).

    Attributes
    ----------
    key : str
        Of the sample.
    mpp : float or None
        Given where the file has none.
    prompt : str
    view : Region
        The field that is segmented.
    add, remove : (float, float)
        Clicked with "this too" and "not this".
    stroke : tuple of (float, float)
        Painted.
    closer_prompt : str
    closer : Region
        A second field.
    """

    key: str
    mpp: float | None
    prompt: str
    view: Region
    add: Pair
    remove: Pair
    stroke: tuple[Pair, ...]
    closer_prompt: str
    closer: Region


SCENES = (
    Scene(
        "kidney",
        0.25,
        "glomerulus",
        Region(450, 30, 1900, 1800),
        (1220, 380),
        (820, 1250),
        ((1700, 1340), (1750, 1450), (1740, 1570)),
        "nuclei",
        Region(1080, 1250, 620, 560),
    ),
    Scene(
        "cmu-region",
        None,
        "nuclei",
        Region(500, 900, 800, 1000),
        (800, 1200),
        (700, 1500),
        ((900, 1200), (940, 1300), (930, 1400)),
        "inflammatory nucleus",
        Region(700, 1100, 400, 560),
    ),
    Scene(
        "ihc",
        0.5,
        "gland",
        Region(0, 0, 512, 512),
        (250, 250),
        (60, 60),
        ((400, 300), (430, 330), (440, 380)),
        "nuclei",
        Region(150, 150, 200, 280),
    ),
)


def main() -> None:
    """Open a sample, do the job, say what was done and where to look."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--close", action="store_true", help="end when the job is done")
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results")
    arguments = parser.parse_args()
    out: Path = arguments.out
    scene, path = _sample()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)

    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW_PX)
    panel = _dock(viewer, out)
    from napari_pathseg.gui.widgets.hand import Hand

    hand = Hand(viewer, panel)
    try:
        _do(hand, scene, path, out)
    except PathsegError as error:
        _say(f"stopped: {error}")
        viewer.close()
        raise SystemExit(1) from error
    if arguments.close:
        viewer.close()
    else:
        _say("the viewer stays open: go on from here")
        napari.run()


def _say(text: str) -> None:
    print(f"==> {text}", flush=True)


def _sample() -> tuple[Scene, Path]:
    """The first sample that can be had."""
    for scene in SCENES:
        _say(f"sample: {SAMPLES[scene.key].title}")
        try:
            return scene, fetch_sample(scene.key, _meter())
        except PathsegError as error:
            _say(f"not to be had ({error.what})")
    raise SystemExit("No sample can be opened.")


class _meter:  # noqa: N801 - used as a function
    """Prints a quarter of the way at a time."""

    def __init__(self) -> None:
        self._quarter = 0

    def __call__(self, progress: Progress) -> None:
        quarter = 4 * progress.done // max(progress.total, 1)
        if quarter > self._quarter:
            self._quarter = quarter
            _say(f"{progress.message} {25 * quarter} %")


def _dock(viewer: Viewer, out: Path) -> PathsegPanel:
    """The panel, keeping its labels in the demo's own folder."""
    from napari_pathseg.gui.controller import default_controller
    from napari_pathseg.gui.remembered import Remembered
    from napari_pathseg.gui.widgets.panel import PathsegPanel
    from napari_pathseg.gui.worker import QtRunner

    controller = default_controller(
        viewer,
        QtRunner(),
        QtRunner(),
        mender=QtRunner(),
        labels_folder=out / "labels",
        remembered=Remembered(out / "remembered.json"),
    )
    panel = PathsegPanel(viewer, controller)
    viewer.window.add_dock_widget(panel, name="PathSeg", area="right")
    return panel


def _do(hand: Hand, scene: Scene, path: Path, out: Path) -> None:
    """Open, prompt, click, paint, undo, accept, prompt again, export; a picture of each step."""
    pictures = out / "pictures"
    controller = hand.controller
    _say(f"open {path.name}")
    hand.viewer.open(str(path), plugin="napari-pathseg")
    hand.wait(lambda: controller.desk is not None and controller.model.loaded, 300)
    hand.photograph(pictures / "1-opened.png")
    if controller.slide_mpp() is None and scene.mpp is not None:
        _say(f"the file does not say its scale: set {scene.mpp} µm per pixel")
        controller.set_mpp((scene.mpp, scene.mpp))
    hand.look_at(scene.view)
    _say(f"type {scene.prompt!r} and press Enter")
    hand.ask(scene.prompt)
    _tell(hand)
    hand.photograph(pictures / "2-prompted.png")
    _say("click: this too")
    hand.click(scene.add)
    _tell(hand)
    _say("Shift+click: not this")
    hand.click(scene.remove, "Shift")
    _tell(hand)
    hand.photograph(pictures / "3-clicked.png")
    _say("paint a stroke, undo it, do it again")
    hand.key("D")
    hand.drag(scene.stroke)
    hand.photograph(pictures / "4-painted.png")
    hand.key("Z", "Ctrl")
    hand.settle()
    hand.key("Z", "Ctrl+Shift")
    hand.settle()
    hand.key("P")
    _say("accept")
    hand.key("A")
    hand.settle()
    hand.look_at(scene.closer)
    _say(f"go closer, type {scene.closer_prompt!r} and press Enter")
    hand.ask(scene.closer_prompt)
    _tell(hand)
    hand.photograph(pictures / "5-closer.png")
    hand.look_at(scene.view)
    hand.photograph(pictures / "6-both.png")
    _export(hand, out)
    hand.photograph(pictures / "7-exported.png")
    _say(f"pictures of each step: {pictures}")


def _tell(hand: Hand) -> None:
    desk = hand.controller.desk
    _say(f"    {hand.controller.message.text}")
    for value, count in (desk.counts() if desk is not None else {}).items():
        assert desk is not None
        _say(f"    {desk.classes[value].name}: {count.objects} objects, {count.area_px:,} pixels")


def _export(hand: Hand, out: Path) -> None:
    from napari_pathseg.gui.exporting import Exported

    _say("export")
    found: list[Exported] = []
    hand.controller.export(out, found.append)
    hand.wait(lambda: found or hand.controller.message.kind == "error", 300)
    if not found:
        raise PathsegError(hand.controller.message.text)
    _say(f"    training data, {found[0].fields} fields: {found[0].bundle}")
    _say(f"    QuPath GeoJSON, {found[0].objects} objects: {found[0].geojson}")
    for labels in found[0].labels:
        _say(f"    label picture: {labels}")


if __name__ == "__main__":
    main()
