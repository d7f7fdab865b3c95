"""QuPath GeoJSON out: one Feature an object, along exact pixel edges.

Source: RFC 7946, and the keys that QuPath reads and writes (`objectType`, `classification`,
`isLocked`, `measurements`, `metadata`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator, Sized
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.config import ObjectForm
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.objects import objects_of
from napari_pathseg.labels.measure import ObjectMeasure
from napari_pathseg.labels.origin import asked_with
from napari_pathseg.labels.raster import Outline, Ring
from napari_pathseg.labels.record import FieldRecord, field_to_json
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

# Ids of objects follow from the field's id, so that the same labels give the same file.
_NAMESPACE = uuid.UUID("b1f6f0ce-3c27-5b1c-9f0e-0d2f6f1f7a55")


def write_geojson(
    path: Path,
    fields: Iterable[ExportField],
    *,
    level0: bool = True,
    objects: ObjectForm = "annotation",
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> int:
    """Write the objects of fields of one slide for QuPath and others.

    Filling the polygons by the pixel-centre rule on a field's own grid gives its class mask back,
    pixel by pixel. The same fields give the same bytes.

    Parameters
    ----------
    path : Path
        Replaced at once when all is written.
    fields : iterable of ExportField
        Read one by one; the total of the progress is 0 when it has no length.
    level0 : bool
        Coordinates are [x, y] in continuous level-0 pixels, y down; if False, pixels of the
        field, for use with the field's image.
    objects : {"annotation", "detection", "cell", "class"}
        QuPath keeps tens of thousands of detections or cells smoothly; annotations can be edited
        there. A cell whose class is a nucleus has its outline as the nucleus too. "class" makes
        one annotation of all objects of a class in a field.

    Returns
    -------
    int
        Objects written.

    Raises
    ------
    ExportError
        When the file can not be written; an older one stays as it was.
    CancelledError
    """
    total = len(fields) if isinstance(fields, Sized) else 0

    def lines() -> Iterator[str]:
        for done, field in enumerate(fields):
            progress(Progress(done, total, f"Writing field {done + 1}"))
            for feature in features(field, level0=level0, objects=objects):
                if cancel is not None:
                    cancel.raise_if_cancelled()
                yield json.dumps(feature, allow_nan=False)

    return write_features(path, lines())


def write_features(path: Path, lines: Iterable[str]) -> int:
    """Write a FeatureCollection of Features that are JSON already; raises as `write_geojson`.

    Returns
    -------
    int
        Features written.
    """
    count = 0
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for line in lines:
            file.write(",\n" if count else "\n")
            file.write(line)
            count += 1
        file.write("\n]}\n")
    return count


def features(
    field: ExportField, *, level0: bool = True, objects: ObjectForm = "annotation"
) -> Iterator[dict[str, Any]]:
    """The GeoJSON Features of a field's objects, from its top to its bottom."""
    if objects == "class":
        field = replace(field, instances=field.mask)
    record = field.record
    told = {c.value: _metadata(record) | asked_with(record, c.value) for c in record.classes}
    for outline, measure in objects_of(field):
        metadata = told[measure.class_value]
        yield object_feature(record, outline, measure, metadata, level0=level0, objects=objects)


def object_feature(
    record: FieldRecord,
    outline: Outline,
    measure: ObjectMeasure,
    metadata: dict[str, str],
    *,
    level0: bool = True,
    objects: ObjectForm = "annotation",
) -> dict[str, Any]:
    """The GeoJSON Feature of one traced and measured object of a field.

    `metadata` is what else QuPath is to keep with the object.
    """
    number = f"class {outline.value}" if objects == "class" else outline.value
    feature = {
        "type": "Feature",
        "id": str(uuid.uuid5(_NAMESPACE, f"{record.id}/{number}")),
        "geometry": _geometry(outline, record, level0),
        "properties": _properties(record, measure, objects, metadata),
    }
    term = record.classes[measure.class_value].term
    if objects == "cell" and term is not None and term.structure == "nuclei":
        feature["nucleusGeometry"] = feature["geometry"]
    return feature


def _properties(
    record: FieldRecord, measure: ObjectMeasure, objects: ObjectForm, metadata: dict[str, str]
) -> dict[str, Any]:
    label_class = record.classes[measure.class_value]
    return {
        "objectType": "annotation" if objects == "class" else objects,
        "classification": {"name": label_class.name, "color": list(label_class.color)},
        "isLocked": False,
        "measurements": _measurements(record, measure),
        "metadata": metadata | {"term": str(label_class.term or label_class.name)},
    }


def _measurements(record: FieldRecord, measure: ObjectMeasure) -> dict[str, float]:
    if measure.area_um2 is None or measure.perimeter_um is None:
        size = {"Area px^2": float(measure.area_px), "Perimeter px": measure.perimeter_px}
    else:
        size = {"Area µm^2": measure.area_um2, "Perimeter µm": measure.perimeter_um}
    numbers = size | {"Circularity": measure.circularity, "Irregularity": measure.irregularity}
    order = [c.value for c in record.classes].index(measure.class_value)
    for name, values in (("Presence", record.presence), ("Score", record.scores)):
        if order < len(values):
            numbers[name] = values[order]
    return numbers


def _metadata(record: FieldRecord) -> dict[str, str]:
    field = record.field
    return {
        "model": record.model,
        "model_sha256": record.model_sha256,
        "model_license": record.model_license,
        "mpp": "" if record.mpp is None else json.dumps(list(record.mpp)),
        "level": str(field.level),
        "downsample": json.dumps(list(field.downsample)),
        "field": record.id,
        "place": json.dumps(field_to_json(field)),
        "slide": record.slide_identity,
        "region": json.dumps(field.region.as_list()),
        "author": record.author,
        "status": record.status,
        "created": record.created.isoformat(),
        "updated": record.updated.isoformat(),
    }


def _geometry(outline: Outline, record: FieldRecord, level0: bool) -> dict[str, Any]:
    polygons = [
        [_ring(ring, record, level0) for ring in polygon.rings] for polygon in outline.polygons
    ]
    if len(polygons) == 1:
        return {"type": "Polygon", "coordinates": polygons[0]}
    return {"type": "MultiPolygon", "coordinates": polygons}


def _ring(ring: Ring, record: FieldRecord, level0: bool) -> list[list[float]]:
    """[x, y] of each point; whole numbers where the downsample is whole."""
    field = record.field
    places: npt.NDArray[np.integer | np.floating] = ring
    if level0:
        moved = ring + np.array([field.y, field.x])
        whole = all(down.is_integer() for down in field.downsample)
        places = moved * np.array(field.downsample, dtype=np.int64 if whole else np.float64)
    found: list[list[float]] = places[:, ::-1].tolist()
    return found
