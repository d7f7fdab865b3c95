"""The whole job on a real slide, done in the real viewer as a person would do it.

Run ``python -m napari_pathseg.gui.demo``; with ``--close`` it ends when it is done, otherwise
the viewer stays open. Pictures, masks, GeoJSON and training data go to ``out/demo``. With
``--docs docs/images`` all pictures of the documentation are made anew.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Region
from napari_pathseg.gui.demo_correcting import SAMPLE as CORRECTED
from napari_pathseg.gui.demo_correcting import perform_correcting
from napari_pathseg.gui.demo_script import Scene, perform, say
from napari_pathseg.gui.filming import Film
from napari_pathseg.progress import Progress
from napari_pathseg.slide.samples import SAMPLES, fetch_sample

if TYPE_CHECKING:
    from napari.viewer import Viewer

    from napari_pathseg.gui.widgets.panel import PathsegPanel

WINDOW_PX = (1500, 940)
FILM, MAX_FILM_BYTES = "demo.webp", 2_900_000


SCENES = (
    Scene(
        "kidney",
        0.33,  # at which its glomeruli are 0.2 mm wide, as a person's are
        "glomerulus",
        Region(450, 30, 1900, 1800),
        (1220, 380),
        (1698, 644),
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
    parser.add_argument(
        "--docs",
        type=Path,
        metavar="FOLDER",
        help="write the documentation's pictures and the film into FOLDER",
    )
    parser.add_argument("--out", type=Path, default=Path("out/demo"), help="folder for the results")
    arguments = parser.parse_args()
    out: Path = arguments.out
    scene, path = _sample()
    if out.exists():
        shutil.rmtree(out)
    out.mkdir(parents=True)
    # A copy of its own: labels of an earlier run lie beside the sample and would come back.
    path = Path(shutil.copy2(path, out))

    import napari

    viewer = napari.Viewer(show=True)
    viewer.window.resize(*WINDOW_PX)
    panel = _dock(viewer, out)
    from napari_pathseg.gui.widgets.hand import Hand

    hand = Hand(viewer, panel)
    docs: Path | None = arguments.docs
    film = Film(hand, docs or out / "pictures", ".jpg" if docs else ".png")
    try:
        perform(hand, scene, path, out, film)
        if docs is not None:
            corrected = shutil.copy2(fetch_sample(CORRECTED, _meter()), out)
            perform_correcting(hand, Path(corrected), film)
        film.save((docs or out / "pictures") / FILM, MAX_FILM_BYTES)
        say(f"pictures of each step and a film of {film.seconds:.0f} s: {docs or out / 'pictures'}")
    except PathsegError as error:
        say(f"stopped: {error}")
        viewer.close()
        raise SystemExit(1) from error
    if arguments.close:
        viewer.close()
    else:
        say("the viewer stays open: go on from here")
        napari.run()


def _sample() -> tuple[Scene, Path]:
    """The first sample that can be had."""
    for scene in SCENES:
        say(f"sample: {SAMPLES[scene.key].title}")
        try:
            return scene, fetch_sample(scene.key, _meter())
        except PathsegError as error:
            say(f"not to be had ({error.what})")
    raise SystemExit("No sample can be opened.")


class _meter:  # noqa: N801 - used as a function
    """Prints a quarter of the way at a time."""

    def __init__(self) -> None:
        self._quarter = 0

    def __call__(self, progress: Progress) -> None:
        quarter = 4 * progress.done // max(progress.total, 1)
        if quarter > self._quarter:
            self._quarter = quarter
            say(f"{progress.message} {25 * quarter} %")


def _dock(viewer: Viewer, out: Path) -> PathsegPanel:
    """The panel, keeping its labels in the demo's own folder."""
    from napari_pathseg.gui.remembered import Remembered
    from napari_pathseg.gui.usual import default_controller
    from napari_pathseg.gui.widgets.panel import PathsegPanel
    from napari_pathseg.gui.worker import QtRunner

    controller = default_controller(
        viewer,
        QtRunner(),
        QtRunner(),
        mender=QtRunner(),
        opener=QtRunner(),
        labels_folder=out / "labels",
        remembered=Remembered(out / "remembered.json"),
    )
    panel = PathsegPanel(viewer, controller)
    viewer.window.add_dock_widget(panel, name="PathSeg", area="right")
    return panel


if __name__ == "__main__":
    main()
