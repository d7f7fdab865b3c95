"""A look at DICOM files before OpenSlide's library, which a wrong table of frames can crash."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from napari_pathseg.errors import DamagedSlideError

PIXEL_DATA = b"\xe0\x7f\x10\x00O"
UNDEFINED = b"\xff\xff\xff\xff"
ITEM = b"\xfe\xff\x00\xe0"
ALL_FRAMES = 4096
"""Up to so many frames each is looked at; of more only whether it lies inside the file."""


def check_frames(files: Iterable[Path]) -> None:
    """Refuse files whose table of frames points where no frame begins.

    Parameters
    ----------
    files : iterable of Path
        DICOM files of a series.

    Raises
    ------
    DamagedSlideError
        Naming the file.
    """
    for path in files:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if not _is_sound(data):
                raise DamagedSlideError(
                    f"{path}: its table of frames points outside of its pixel data.",
                    "Copy the slide again from its source, with all files that belong to it.",
                )


def _is_sound(data: mmap.mmap) -> bool:
    start = data.find(PIXEL_DATA)
    if start < 0 or data[start + 8 : start + 12] != UNDEFINED:
        return True  # no pixels, or pixels that are not in frames of their own
    if data[start + 12 : start + 16] != ITEM:
        return False
    (size,) = struct.unpack("<I", data[start + 16 : start + 20])
    first = start + 20 + size
    if size % 4 or first > len(data):
        return False
    offsets = np.frombuffer(data[start + 20 : first], dtype="<u4").astype(np.int64)
    if (first + offsets + 8 > len(data)).any():
        return False
    places = offsets[:ALL_FRAMES] + first
    return all(data[int(place) : int(place) + 4] == ITEM for place in places)
