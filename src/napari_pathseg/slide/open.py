"""Open a slide: find the backend by content and suffix, or say clearly why there is none."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from napari_pathseg.config import SlideConfig
from napari_pathseg.errors import (
    DamagedSlideError,
    SlideError,
    UnsupportedSlideError,
    describe_os_error,
)
from napari_pathseg.slide.base import Slide


@dataclass(frozen=True, slots=True)
class Backend:
    """Where a reader lives; imported only when a slide needs it."""

    module: str
    name: str

    def load(self) -> Callable[[Path, int | None], Slide]:
        """The class that opens a slide by path and scene."""
        opener: Callable[[Path, int | None], Slide] = getattr(import_module(self.module), self.name)
        return opener


BACKENDS: dict[str, Backend] = {
    "openslide": Backend("napari_pathseg.slide.backend_openslide", "OpenSlideSlide"),
    "tiff": Backend("napari_pathseg.slide.backend_tiff", "TiffSlide"),
    "zarr": Backend("napari_pathseg.slide.backend_zarr", "ZarrSlide"),
    "wsidicom": Backend("napari_pathseg.slide.backend_dicom", "DicomSlide"),
    "czi": Backend("napari_pathseg.slide.backend_czi", "CziSlide"),
    "slideio": Backend("napari_pathseg.slide.backend_slideio", "SlideioSlide"),
    "picture": Backend("napari_pathseg.slide.backend_picture", "PictureSlide"),
}

PICTURE_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"BM", b"RIFF")
TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
ZIP_ERRORS = (zipfile.BadZipFile, ValueError, RuntimeError, OverflowError, EOFError, struct.error)
MIRAX_MEMBERS = ("Slidedat.ini", "Index.dat")
ZARR_MEMBERS = ("zarr.json", ".zgroup", ".zattrs")
TIFF_ONLY_VENDORS = (None, "generic-tiff")
CZI_MAGIC = b"ZISRAWFILE"
INVISIBLE_SHIFT = 1 / 64
"""Of a level pixel: what OpenSlide may be off by before an extra that is exact is preferred."""


@dataclass(frozen=True, slots=True)
class Extra:
    """A library that few need: what it is called, for whom it reads, and how to get it."""

    package: str
    backend: str
    name: str

    @property
    def hint(self) -> str:
        """One sentence that says how to install it."""
        return f"Run: pip install napari-pathseg[{self.name}], or convert the slide to OME-TIFF."


CZI = Extra("pylibCZIrw", "czi", "czi")
DICOM = Extra("wsidicom", "wsidicom", "dicom")
VSI = Extra("slideio", "slideio", "vsi")

FOREIGN = {
    b"SQLite format 3": ("a database, perhaps a Sakura slide", "Convert it to OME-TIFF."),
    b"%PDF": ("a PDF document", "Export its pictures as PNG."),
    b"GIF8": ("a GIF picture", "Export it as PNG."),
    b"\x00\x00\x00\x0cjP": ("a bare JPEG 2000 picture", "Convert it to TIFF or PNG."),
    b"\x89HDF": ("an HDF5 file", "Convert it to OME-TIFF or OME-Zarr."),
}


def open_slide(
    path: Path | str,
    *,
    backend: str | None = None,
    scene: int | None = None,
    config: SlideConfig | None = None,
    settled: bool = True,
) -> Slide:
    """Open a slide of any known kind.

    Parameters
    ----------
    path : Path or str
        A file, or the folder of a DICOM series or an OME-Zarr. The folder in which a MIRAX or VSI
        slide has its data stands for the slide.
    backend : str, optional
        A key of `BACKENDS`, to overrule the choice by content.
    scene : int, optional
        Which of several pictures of the file, counted from 0; the largest by default.
    config : SlideConfig, optional
        Whether colours are turned to sRGB.
    settled : bool
        Wait for what :meth:`Slide.settle` waits for; who does not does it later.

    Returns
    -------
    Slide
        Open; close it or use it in a `with` statement.

    Raises
    ------
    UnsupportedSlideError
        When no backend knows the file, a part of the slide is missing, or there is no such scene.
    DamagedSlideError
        When the file is empty, cut short or broken.
    SlideError
        When it is missing or can not be read.
    """
    path = index_of(Path(path))
    try:
        chosen = backend or choose_backend(path)
        if chosen not in BACKENDS:
            raise UnsupportedSlideError(
                f"There is no backend named {chosen!r}.", f"Choose from: {', '.join(BACKENDS)}."
            )
        slide = _opened(path, chosen, scene, fixed=backend is not None)
        if settled:
            slide.settle()
    except OSError as error:
        raise SlideError(describe_os_error(error, path)) from error
    if config is None or not config.color_managed:
        return slide
    from napari_pathseg.slide.color import color_managed

    return color_managed(slide)


def _opened(path: Path, chosen: str, scene: int | None, *, fixed: bool) -> Slide:
    """Open by the chosen backend, or by an extra that reads what it reads not, or not exactly."""
    try:
        slide = BACKENDS[chosen].load()(path, scene)
    except SlideError as error:
        if fixed or chosen != "openslide":
            raise
        return _by_an_extra(path, scene, error)
    if chosen != "openslide" or fixed or slide.metadata.vendor != "dicom":
        return slide
    from napari_pathseg.slide.backend_openslide import OpenSlideSlide

    assert isinstance(slide, OpenSlideSlide)
    if slide.largest_shift() <= INVISIBLE_SHIFT or find_spec("wsidicom") is None:
        return slide
    slide.close()
    return BACKENDS["wsidicom"].load()(path, scene)


def _by_an_extra(path: Path, scene: int | None, error: SlideError) -> Slide:
    """What OpenSlide refuses, by an extra's library; or else which extra to install."""
    for is_kind, extra in ((_is_czi, CZI), (_is_dicom, DICOM)):
        if is_kind(path):
            if find_spec(extra.package) is not None:
                return BACKENDS[extra.backend].load()(path, scene)
            raise type(error)(error.what, f"{error.remedy} {extra.hint}".strip()) from error
    raise error


def _is_czi(path: Path) -> bool:
    return path.is_file() and _head(path).startswith(CZI_MAGIC)


def _is_dicom(path: Path) -> bool:
    from napari_pathseg.slide.backend_openslide import is_dicom

    return any(is_dicom(file) for file in (path.iterdir() if path.is_dir() else (path,)))


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1024)


def index_of(path: Path) -> Path:
    """The file that is opened instead of a data folder that lies beside it, or else `path`."""
    if not path.name or not path.is_dir():
        return path
    beside = (path.with_name(f"{path.name}.mrxs"), path.with_name(f"{path.name[1:-1]}.vsi"))
    fits = (index for index in beside if data_folder(index) == path and index.is_file())
    return next(fits, path)


def data_folder(index: Path) -> Path:
    """Where a MIRAX or VSI slide has its data."""
    return index.with_name(f"_{index.stem}_" if index.suffix.lower() == ".vsi" else index.stem)


def is_mirax_data(path: Path) -> bool:
    """Whether a folder holds the data of a MIRAX slide."""
    return any((path / name).is_file() for name in MIRAX_MEMBERS)


def choose_backend(path: Path) -> str:
    """The key of `BACKENDS` that reads `path`; raises as :func:`open_slide`.

    Data folders of slides are none themselves, or a folder would seem to hold each slide twice.
    """
    if not path.exists():
        raise SlideError(f"{path}: there is no such file.", "Check the path.")
    if path.is_dir():
        return _for_folder(path)
    head = _head(path)
    if not head:
        raise DamagedSlideError(f"{path}: the file is empty.", "Copy it again from its source.")
    suffix = path.suffix.lower()
    if head.startswith(b"PK\x03\x04"):
        return _for_zip(path)
    if head.startswith(TIFF_MAGIC):
        return _for_tiff(path, suffix)
    if head.startswith(CZI_MAGIC) and find_spec(CZI.package) is not None:
        return CZI.backend
    if head[128:132] == b"DICM" or suffix in (".mrxs", ".vms", ".vmu"):
        return _for_openslide(path, suffix)
    if head.startswith(PICTURE_MAGIC):
        return "picture"
    from openslide import OpenSlide

    # Some Zeiss, Sakura and Argos slides are known to OpenSlide by more than their first bytes.
    if OpenSlide.detect_format(path) is not None:
        return "openslide"
    if head.startswith(CZI_MAGIC):
        raise UnsupportedSlideError(
            f"{path}: this is a Zeiss CZI slide that OpenSlide does not know.", CZI.hint
        )
    raise _unknown(path, head)


def _for_folder(path: Path) -> str:
    if any((path / name).is_file() for name in ZARR_MEMBERS):
        return "zarr"
    from napari_pathseg.slide.backend_openslide import is_dicom

    members = sorted(path.iterdir())
    if any(is_dicom(member) for member in members):
        return "openslide"
    if is_mirax_data(path):
        raise UnsupportedSlideError(
            f"{path}: this is the data folder of a MIRAX slide; "
            f"its index {path.name}.mrxs is missing beside it.",
            "Copy that file to the same place.",
        )
    raise UnsupportedSlideError(
        f"{path}: the folder holds neither a DICOM series nor an OME-Zarr slide.",
        "Open a slide file inside it.",
    )


def _for_zip(path: Path) -> str:
    from napari_pathseg.slide.zarr_store import check_archive

    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            check_archive(path, archive.infolist())
    except ZIP_ERRORS as error:
        raise DamagedSlideError(f"{path}: the zip archive is broken.", "Copy it again.") from error
    if any(name in ZARR_MEMBERS for name in names):
        return "zarr"
    if any(Path(name).name in ZARR_MEMBERS for name in names):
        raise UnsupportedSlideError(
            f"{path}: the OME-Zarr lies in a folder inside the zip archive.",
            "Pack the content of the folder, not the folder.",
        )
    raise UnsupportedSlideError(f"{path}: a zip archive without a slide.", "Unpack it first.")


def _for_tiff(path: Path, suffix: str) -> str:
    """OpenSlide for the scanner formats it knows by name, tifffile for all other TIFFs."""
    if suffix == ".vsi":
        return _for_vsi(path)
    from openslide import OpenSlide

    vendor = OpenSlide.detect_format(path)
    return "tiff" if vendor in TIFF_ONLY_VENDORS else "openslide"


def _for_vsi(path: Path) -> str:
    data = data_folder(path)
    if not data.is_dir():
        raise UnsupportedSlideError(
            f"{path}: this is only the index of an Olympus VSI slide; "
            f"its data folder {data.name!r} is missing beside it.",
            "Copy that folder to the same place; reading it needs napari-pathseg[vsi] (slideio).",
        )
    if find_spec(VSI.package) is None:
        raise UnsupportedSlideError(
            f"{path}: this is an Olympus VSI slide, which needs slideio.", VSI.hint
        )
    return VSI.backend


def _for_openslide(path: Path, suffix: str) -> str:
    from openslide import OpenSlide

    if OpenSlide.detect_format(path) is not None:
        return "openslide"
    if suffix == ".mrxs":
        raise UnsupportedSlideError(
            f"{path}: this is only the index of a MIRAX slide; "
            f"its data folder {path.stem!r} is missing beside it.",
            "Copy the folder of the same name to the same place.",
        )
    if suffix in (".vms", ".vmu"):
        raise UnsupportedSlideError(
            f"{path}: this Hamamatsu index lacks the pictures that belong beside it.",
            "Copy all files of the slide together.",
        )
    if find_spec(DICOM.package) is not None:
        return DICOM.backend
    raise UnsupportedSlideError(
        f"{path}: this DICOM file does not hold a whole-slide image that OpenSlide knows.",
        f"Copy all files of the slide together. {DICOM.hint}",
    )


def _unknown(path: Path, head: bytes) -> UnsupportedSlideError:
    for magic, (what, remedy) in FOREIGN.items():
        if head.startswith(magic):
            return UnsupportedSlideError(f"{path}: this is {what}, which is not read.", remedy)
    return UnsupportedSlideError(
        f"{path}: this is not a slide or picture of a known kind.",
        "See the list of formats in the documentation of slides.",
    )
