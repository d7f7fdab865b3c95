"""Levels of a DICOM series opened each by itself, so that OpenSlide reads them unshifted.

OpenSlide takes places in whole pixels of the finest level. A level that is opened alone is the
finest: its places are its own pixels, whatever its downsample is in the series.
"""

from __future__ import annotations

import contextlib
import tempfile
import weakref
from collections.abc import Iterable
from pathlib import Path

import openslide
from openslide.lowlevel import OpenSlideError

from napari_pathseg.geometry import Shape

SERIES = "dicom.SeriesInstanceUID"
CACHE_BYTES = 8 << 20


def levels_alone(
    files: Iterable[Path], series: openslide.OpenSlide, wanted: dict[int, Shape]
) -> dict[int, openslide.OpenSlide]:
    """Handles of levels that lie in one file each, as most do; where none can be made, none.

    Parameters
    ----------
    files : iterable of Path
        Of the folder that holds the series.
    series : OpenSlide
        All of it.
    wanted : dict of int to (int, int)
        Level and its height and width.
    """
    found: dict[int, openslide.OpenSlide] = {}
    uid = series.properties.get(SERIES)
    levels = {shape: level for level, shape in wanted.items()}
    for file in files:
        if len(found) == len(levels):
            break
        handle = _alone(file)
        if handle is None:
            continue
        width, height = handle.dimensions
        level = levels.get((height, width))
        if level is None or level in found or handle.properties.get(SERIES) != uid:
            handle.close()
            continue
        handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
        found[level] = handle
    return found


def _alone(file: Path) -> openslide.OpenSlide | None:
    """A file opened without those beside it, which OpenSlide would take for the same slide."""
    folder = tempfile.TemporaryDirectory(prefix="pathseg-", ignore_cleanup_errors=True)
    link = Path(folder.name) / file.name
    with contextlib.suppress(OSError, OpenSlideError):
        _link(file.resolve(), link)
        handle = openslide.OpenSlide(link)
        weakref.finalize(handle, folder.cleanup)
        return handle
    folder.cleanup()
    return None


def _link(file: Path, link: Path) -> None:
    """A link of whichever kind is allowed here, and between these drives."""
    try:
        link.symlink_to(file)
    except OSError:
        link.hardlink_to(file)
