"""A TIFF that ends before what it lists is told: tifffile would leave it out without a word."""

from __future__ import annotations

import struct
from pathlib import Path

import tifffile

from napari_pathseg.errors import DamagedSlideError

MOST_TAGS = 4096
"""Of a page, as tifffile has it."""

MEANT = {
    258: "bits per sample",
    270: "description",
    273: "places of strips",
    279: "sizes of strips",
    282: "resolution",
    283: "resolution",
    320: "colours",
    324: "places of tiles",
    325: "sizes of tiles",
    330: "smaller levels",
    347: "JPEG tables",
    34675: "colour profile",
}
"""What a tag says without which a page is read wrongly, or not at all."""

VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 9: 4, 10: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Of the types that these tags have."""


def check_end(tif: tifffile.TiffFile, path: Path) -> None:
    """Refuse a file of which the end is missing, though its first level may be whole.

    Pages are listed one after the other, each naming the place of the next; levels, planes and
    the label may stand behind a whole level 0, and what a page says of itself behind all of them.

    Raises
    ------
    DamagedSlideError
        Naming the first part that is missing.
    """
    form, file = tif.tiff, tif.filehandle
    place = tif.pages.first.offset
    for number in range(1, len(tif.pages) + 2):
        if place == 0:
            return
        count = _number(file, place, form.tagnoformat)
        if count is not None and count > MOST_TAGS:
            return  # no list: a broken reference, not a file cut short
        tags, tags_bytes = place + form.tagnosize, (count or 0) * form.tagsize
        following = None if count is None else _number(file, tags + tags_bytes, form.offsetformat)
        if following is None:
            raise _cut_short(path, file, f"page {number} and what follows are missing")
        file.seek(tags)
        missing = None if form.is_ndpi else _tag_behind(file.size, file.read(tags_bytes), form)
        if missing is not None:
            raise _cut_short(path, file, f"page {number} lacks its {missing}")
        place = following


def _tag_behind(file_bytes: int, tags: bytes, form: tifffile.tifffile.TiffFormat) -> str | None:
    """What the first tag is about whose values lie behind the end; None where all are there."""
    for code, kind, count, value in struct.iter_unpack(form.tagheaderformat, tags):
        size = count * VALUE_BYTES.get(kind, 0)
        if code in MEANT and size > form.offsetsize:
            (place,) = struct.unpack(form.offsetformat, value)
            if place + size > file_bytes:
                return MEANT[code]
    return None


def _number(file: tifffile.FileHandle, place: int, form: str) -> int | None:
    """The number at a place of a file; None behind its end."""
    size = struct.calcsize(form)
    if place + size > file.size:
        return None
    file.seek(place)
    return int(struct.unpack(form, file.read(size))[0])


def _cut_short(path: Path, file: tifffile.FileHandle, what: str) -> DamagedSlideError:
    return DamagedSlideError(
        f"{path}: the file is cut short: {what} ({file.size} bytes are there).",
        "Copy the slide again from its source.",
    )
