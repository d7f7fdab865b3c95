"""Label TIFF: a class mask as one plain 16-bit page, with its resolution in the tags."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError, StoreError, os_reason
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.pictures import DAMAGED
from napari_pathseg.geometry import Field, Pair
from napari_pathseg.labels.raster import Ints
from napari_pathseg.labels.record import (
    classes_from_json,
    classes_to_json,
    field_from_json,
    field_to_json,
)

_TILE = 512
_TILED_FROM = 4096
_UM_PER_CM = 10_000.0


@dataclass(frozen=True, slots=True, eq=False)
class LabelsTiff:
    """What a label TIFF holds.

    Attributes
    ----------
    mask : integer array (height, width)
    mpp : (float, float) or None
        Micrometres per pixel, (y, x), to the precision of a TIFF rational (1e-9).
    classes : ClassList
        Empty when the file does not say.
    field : Field or None
        Where on the slide it belongs, None when the file does not say.
    pictures : int
        In the file; this is the first.
    """

    mask: Ints
    mpp: Pair | None
    classes: ClassList
    field: Field | None = None
    pictures: int = 1


def write_labels_tiff(
    path: Path, mask: Ints, mpp: Pair | None, classes: ClassList, field: Field | None = None
) -> None:
    """Write a class mask; the same mask gives the same bytes.

    Parameters
    ----------
    path : Path
        Replaced at once when all is written.
    mask : integer array (height, width)
        0 = background.
    mpp : (float, float) or None
        Micrometres per pixel of the mask, (y, x); left out of the file when None.
    classes : ClassList
        What the values mean; kept as JSON in ImageDescription.
    field : Field, optional
        Where on the slide it belongs; kept there too.

    Raises
    ------
    ExportError
        When a value does not fit into 16 bits or the file can not be written.
    """
    if mask.size and (int(mask.min()) < 0 or int(mask.max()) > np.iinfo(np.uint16).max):
        raise ExportError(f"{path}: the mask has values outside 0 to 65535.")
    resolution = None if mpp is None else (_UM_PER_CM / mpp[1], _UM_PER_CM / mpp[0])
    known: dict[str, Any] = {"classes": classes_to_json(classes)}
    if field is not None:
        known["field"] = field_to_json(field)
    with whole_file(path) as part:
        tifffile.imwrite(
            part,
            np.ascontiguousarray(mask, dtype=np.uint16),
            photometric="minisblack",
            compression="zlib",
            predictor=False,
            tile=(_TILE, _TILE) if max(mask.shape) > _TILED_FROM else None,
            description=json.dumps(known),
            metadata=None,
            software=False,
            resolution=resolution,
            resolutionunit="CENTIMETER" if resolution else None,
        )


def read_labels_tiff(path: Path) -> LabelsTiff:
    """Read a label TIFF of ours, or the first picture of any with one integer channel.

    Raises
    ------
    ExportError
        When it can not be read or holds no label mask; names the file.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            _check_tags(tiff, page)
            array = page.asarray()
            mpp, description = _mpp(page), page.description
            pictures = sum(len(series) for series in tiff.series)
    except OSError as error:
        raise ExportError(f"{path} can not be read: {os_reason(error)}.") from error
    except DAMAGED as error:
        raise ExportError(f"{path} is no TIFF or is damaged: {error}.") from error
    if array.ndim != 2 or array.dtype.kind not in "ui" or array.size == 0:
        raise ExportError(
            f"{path} holds no label mask but {array.dtype} pixels of shape {array.shape}."
        )
    classes, field = known_of(description, str(path))
    return LabelsTiff(array, mpp, classes, field, pictures)


def _check_tags(tiff: tifffile.TiffFile, page: tifffile.TiffPage) -> None:
    """ValueError when a tag lies beyond the end of the file, as those written last do in a copy
    that broke off; tifffile leaves such a tag out.
    """
    tiff.filehandle.seek(page.offset)
    (count,) = struct.unpack(tiff.tiff.tagnoformat, tiff.filehandle.read(tiff.tiff.tagnosize))
    if len(page.tags) < count:
        raise ValueError("it breaks off before the end of what it says of itself")


def _mpp(page: tifffile.TiffPage) -> Pair | None:
    unit_um = {2: 25_400.0, 3: _UM_PER_CM}.get(int(page.resolutionunit))
    if unit_um is None or "XResolution" not in page.tags or "YResolution" not in page.tags:
        return None
    per_unit = [page.tags[name].value for name in ("YResolution", "XResolution")]
    if any(above == 0 or below == 0 for above, below in per_unit):
        return None
    (y_above, y_below), (x_above, x_below) = per_unit
    return unit_um * y_below / y_above, unit_um * x_below / x_above


def known_of(description: str, place: str) -> tuple[ClassList, Field | None]:
    """Classes and field of a description of ours; nothing of any other.

    Raises
    ------
    ExportError
        When it is damaged; names `place`.
    """
    if not description.startswith('{"classes"'):
        return ClassList(), None
    try:
        known = json.loads(description)
        field = field_from_json(known["field"]) if "field" in known else None
        return classes_from_json(known["classes"]), field
    except (StoreError, ValueError, TypeError, KeyError) as error:
        raise ExportError(f"{place}: its list of classes is damaged: {error}.") from error
