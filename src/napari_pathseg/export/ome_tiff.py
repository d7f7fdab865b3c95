"""OME-TIFF label pyramid: classes and instances as two pictures of one file.

Source: OME-TIFF specification (docs.openmicroscopy.org, ome-model): levels in SubIFDs, physical
sizes and plane positions in the OME-XML, class names in a MapAnnotation.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import tifffile

from napari_pathseg.errors import ExportError
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.canvas import TILE_PX, Canvas, CanvasLevel
from napari_pathseg.export.pictures import DAMAGED
from napari_pathseg.geometry import world_translate
from napari_pathseg.labels.raster import Ints
from napari_pathseg.labels.record import classes_to_json, field_to_json
from napari_pathseg.progress import CancelToken

_NAMESPACE = uuid.UUID("c2d9be6e-8a5b-54f5-a3ef-6cf3f0b0a9f4")
_BIG_PX = 1 << 28
_UM_PER_CM = 10_000.0
KEY = "pathseg"


def write_ome_tiff(path: Path, canvas: Canvas, *, cancel: CancelToken | None = None) -> None:
    """Write a canvas with all its levels, tile by tile; the same labels give the same bytes.

    Image 0 holds class values (uint16), image 1 one value an object (uint32).

    Parameters
    ----------
    path : Path
        Replaced at once when all is written.
    canvas : Canvas
    cancel : CancelToken, optional

    Raises
    ------
    ExportError
        When it can not be written.
    CancelledError
    """
    levels = canvas.levels()
    big = canvas.grid.height * canvas.grid.width > _BIG_PX
    with whole_file(path) as part, tifffile.TiffWriter(part, ome=True, bigtiff=big) as writer:
        for name in ("classes", "instances"):
            for index, level in enumerate(levels):
                writer.write(
                    _watched(canvas, level, name, cancel),
                    shape=level.shape,
                    dtype="uint16" if name == "classes" else "uint32",
                    tile=(TILE_PX, TILE_PX),
                    compression="zlib",
                    photometric="minisblack",
                    software=False,
                    **_options(canvas, index, len(levels), name, level),
                )


def read_second(path: Path) -> Ints:
    """The object numbers (height, width) of a file of ours.

    Raises
    ------
    ExportError
        When there are none, or they are damaged; names the file.
    """
    try:
        with tifffile.TiffFile(path) as tiff:
            objects: Ints = tiff.series[1].levels[0].asarray()
    except (OSError, *DAMAGED) as error:
        raise ExportError(f"{path}: its numbers of objects are damaged: {error}.") from error
    return objects


def _watched(canvas: Canvas, level: CanvasLevel, name: str, cancel: CancelToken | None) -> Any:
    for tile in canvas.tiles(level, name):
        if cancel is not None:
            cancel.raise_if_cancelled()
        yield tile


def _options(
    canvas: Canvas, index: int, count: int, name: str, level: CanvasLevel
) -> dict[str, Any]:
    options: dict[str, Any] = {"subifds": count - 1} if index == 0 else {"subfiletype": 1}
    if canvas.mpp is not None:
        um = [own * level.scale for own in canvas.mpp]
        options["resolution"] = _UM_PER_CM / um[1], _UM_PER_CM / um[0]
        options["resolutionunit"] = "CENTIMETER"
    options["metadata"] = _metadata(canvas, name) if index == 0 else None
    return options


def _metadata(canvas: Canvas, name: str) -> dict[str, Any]:
    grid, mpp = canvas.grid, canvas.mpp
    record = canvas.record
    known = {
        "classes": classes_to_json(canvas.classes),
        "field": field_to_json(grid),
        "slide": record.slide_identity,
    }
    facts: dict[str, Any] = {
        "axes": "YX",
        "Name": name,
        "UUID": str(uuid.uuid5(_NAMESPACE, json.dumps([_state(canvas), field_to_json(grid)]))),
        "MapAnnotation": {KEY: json.dumps(known)}
        | {f"class {c.value}": c.name for c in canvas.classes},
    }
    if mpp is not None:
        slide_mpp = mpp[0] / grid.downsample[0], mpp[1] / grid.downsample[1]
        top, left = world_translate(grid, slide_mpp)
        facts |= {"PhysicalSizeY": mpp[0], "PhysicalSizeYUnit": "µm"}
        facts |= {"PhysicalSizeX": mpp[1], "PhysicalSizeXUnit": "µm"}
        facts["Plane"] = {
            "PositionY": [top],
            "PositionX": [left],
            "PositionYUnit": ["µm"],
            "PositionXUnit": ["µm"],
        }
    return facts


def _state(canvas: Canvas) -> list[list[str]]:
    """What the file's identity follows from."""
    return [[p.record.id, p.record.updated.isoformat()] for p in canvas.pieces]
