"""napari's own Save: Labels layers as GeoJSON, label TIFF, OME-TIFF, PNG or OME-Zarr."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.classes import PALETTE, ClassList, LabelClass
from napari_pathseg.errors import ExportError
from napari_pathseg.export.canvas import Canvas, Loaded
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.geojson import write_geojson
from napari_pathseg.export.labels_tiff import write_labels_tiff
from napari_pathseg.export.mask_png import write_mask_png
from napari_pathseg.export.ome_tiff import write_ome_tiff
from napari_pathseg.geometry import Field
from napari_pathseg.gui.layers import KEY, PLACE
from napari_pathseg.labels.record import FieldRecord

Layer = tuple[Any, dict[str, Any], str]
HAND = "hand"
"""What the layer that hatches corrections is marked with; it holds no classes."""
_MAX_PX = 1 << 28
_NAMESPACE = uuid.UUID("0b0d2c8e-54ab-5f5a-9a3c-3a3b2f1f8c11")


def write_layers(path: str, layers: Sequence[Layer]) -> list[str]:
    """Write the Labels layers among `layers`, in the form that the suffix names.

    GeoJSON holds all of them; of the other forms the first Labels layer with something in it is
    written to `path`, further ones beside it with their names.

    Parameters
    ----------
    path : str
        Ends with .geojson, .labels.tif, .ome.tif, .tif or .png.
    layers : sequence of (data, attributes, kind)
        As napari gives them.

    Returns
    -------
    list of str
        Paths that were written; empty when no Labels layer is among them.

    Raises
    ------
    ExportError
        When a layer is too large, or can not be written.
    """
    target = Path(path)
    fields = [
        _field(data, meta)
        for data, meta, kind in layers
        if kind == "labels" and meta.get("metadata", {}).get(KEY) != HAND
    ]
    own = [field for field in fields if field.mask.any()] or fields[:1]
    if not own:
        return []
    if target.name.lower().endswith(".geojson"):
        write_geojson(target, own)
        return [str(target)]
    written = []
    for number, field in enumerate(own):
        place = target if number == 0 else _beside(target, number + 1)
        _write(place, field)
        written.append(str(place))
    return written


def _write(path: Path, field: ExportField) -> None:
    name, record = path.name.lower(), field.record
    if name.endswith((".ome.tif", ".ome.tiff")):
        write_ome_tiff(path, Canvas([Loaded(record, field)], record.field))
    elif name.endswith(".png"):
        write_mask_png(path, field.mask, record.classes, record.field)
    else:
        write_labels_tiff(path, field.mask, record.mpp, record.classes, record.field)


def _beside(path: Path, number: int) -> Path:
    stem, dot, suffix = path.name.partition(".")
    return path.with_name(f"{stem}-{number}{dot}{suffix}")


def _field(data: Any, meta: Mapping[str, Any]) -> ExportField:
    """A layer's labels with the place and scale that napari shows them at."""
    finest = data[0] if isinstance(data, Sequence) else data  # a pyramid is a sequence
    shape = tuple(int(n) for n in finest.shape)
    if len(shape) != 2 or shape[0] * shape[1] > _MAX_PX:
        raise ExportError(
            f"The layer {meta.get('name')!r} has the shape {shape}: it is not one field.",
            "Use the tab Export of the PathSeg panel, which writes whole slides.",
        )
    mask = np.asarray(finest[:, :]).astype(np.uint16)
    micrometres = [str(unit) in ("um", "micrometer", "micron") for unit in meta.get("units", ())]
    scale = [abs(float(s)) for s in meta.get("scale", (1.0, 1.0))][-2:]
    first = [float(t) for t in meta.get("translate", (0.0, 0.0))][-2:]
    known = all(micrometres) and bool(micrometres)
    # napari's origin is the centre of a pixel: whole pixels of the layer lie before the first.
    y, x = (round(t / s) for t, s in zip(first, scale, strict=True))
    field = meta.get("metadata", {}).get(PLACE)
    place = field if isinstance(field, Field) else Field(0, y, x, shape[0], shape[1], (1.0, 1.0))
    record = FieldRecord.new(
        place,
        _classes(mask, meta),
        slide_identity="",
        slide_name="",
        mpp=(scale[0], scale[1]) if known else None,
        status="accepted",
    )
    stamp = datetime(2000, 1, 1, tzinfo=UTC)
    named = uuid.uuid5(_NAMESPACE, f"{meta.get('name')} {place}")
    fixed = {"id": str(named), "created": stamp.isoformat(), "updated": stamp.isoformat()}
    return ExportField(FieldRecord.from_json(record.to_json() | fixed), mask)


def _classes(mask: Any, meta: Mapping[str, Any]) -> ClassList:
    """The desk's classes where the layer is of a desk, else one for each value."""
    shown = meta.get("metadata", {}).get("colors")
    if meta.get("metadata", {}).get(KEY) and isinstance(shown, tuple):
        classes = shown[0]
        if isinstance(classes, ClassList):
            return classes
    values = [int(value) for value in np.unique(mask) if value]
    return ClassList(
        tuple(LabelClass(v, f"label {v}", None, PALETTE[v % len(PALETTE)]) for v in values)
    )
