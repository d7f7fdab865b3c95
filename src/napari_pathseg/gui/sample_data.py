"""File > Open Sample: what is on the disk opens at once, the rest is fetched in the background."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_pathseg.errors import PathsegError
from napari_pathseg.gui.jobs import Job
from napari_pathseg.gui.sources import LayerData, read_file
from napari_pathseg.slide.samples import SAMPLES, fetch_sample, samples_folder

READER = "napari-pathseg"


def ihc_picture() -> list[LayerData]:
    """The real immunohistochemistry picture that scikit-image carries."""
    return _open("ihc")


def generated_slide() -> list[LayerData]:
    """The generated H&E pyramid with known truth."""
    return _open("generated")


def kidney_slide() -> list[LayerData]:
    """The real kidney slide, which does not say its scale."""
    return _open("kidney")


def cmu_region() -> list[LayerData]:
    """The real region of an Aperio slide."""
    return _open("cmu-region")


def whole_slide() -> list[LayerData]:
    """The real whole slide."""
    return _open("whole-slide")


def _open(key: str) -> list[LayerData]:
    """Layers of a sample; none when it is still to be fetched, which then opens by itself.

    Raises
    ------
    FetchError, SlideError
        Without a viewer, where there is no background to fetch in.
    """
    import napari

    viewer = napari.current_viewer()
    if viewer is None or _is_here(key):
        return read_file(fetch_sample(key))
    _fetch_behind(key, viewer)
    return []


def _is_here(key: str) -> bool:
    source = SAMPLES[key].source
    return key == "ihc" or (source is not None and (samples_folder() / source.name).exists())


def _fetch_behind(key: str, viewer: Any) -> None:
    from napari.utils.notifications import show_error

    from napari_pathseg.gui.worker import QtRunner

    runner = QtRunner(keep=True)

    def done(path: Path) -> None:
        viewer.open(str(path), plugin=READER)
        runner.close()

    def failed(error: BaseException) -> None:
        runner.close()
        if not isinstance(error, PathsegError):
            raise error
        show_error(f"{SAMPLES[key].title}: {error}")

    runner.submit(
        Job(
            f"Getting {SAMPLES[key].title}",
            lambda report, cancel: fetch_sample(key, report, cancel),
            done,
            failed,
        )
    )
