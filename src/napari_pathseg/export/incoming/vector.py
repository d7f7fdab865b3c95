"""Objects by outline come in: QuPath GeoJSON, COCO."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError
from napari_pathseg.export.coco import read_coco
from napari_pathseg.export.geojson_read import GeoShape, fill_shapes, read_shapes
from napari_pathseg.export.incoming.frame import (
    Frame,
    Incoming,
    IncomingField,
    Where,
    check_slide,
    grids,
    placed,
)
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import field_from_json


def incoming_geojson(path: Path, frame: Frame, where: Where) -> Incoming:
    """Objects of QuPath and others; those that we wrote go back to the fields they came from.

    Raises
    ------
    ExportError
        When the file is damaged, holds no polygon, or objects lie outside the slide.
    """
    shapes, skipped = read_shapes(path)
    if not shapes:
        raise ExportError(
            f"{path} holds no polygon ({skipped} points, lines and objects without geometry).",
            "Export polygons from the other program.",
        )
    check_slide(path, frame, [s.slide for s in shapes if s.slide], where)
    classes = ClassList()
    for shape in shapes:
        classes = classes.with_class(shape.name, None, shape.color)
    by_place: dict[str, list[GeoShape]] = {}
    for shape in shapes:
        by_place.setdefault(shape.place, []).append(shape)
    fields: list[IncomingField] = []
    for place, own in by_place.items():
        for field in _fields(path, frame, place, own, where):
            read = fill_shapes(own, field, classes)
            if read.mask.any():
                fields += placed(path, frame, read.mask, field, where, None, read.instances)
    notes = [f"{skipped} without an area, such as points and lines"] if skipped else []
    return Incoming(path, "GeoJSON", classes, tuple(fields), tuple(notes))


def _fields(
    path: Path, frame: Frame, place: str, shapes: Sequence[GeoShape], where: Where
) -> Iterator[Field]:
    """The field that objects came from, or fields that hold them."""
    if place and where.level is None:
        try:
            yield field_from_json(json.loads(place))
        except (ValueError, KeyError, TypeError) as error:
            raise ExportError(f"{path}: the place of an object is damaged: {error}.") from error
        return
    boxes = np.array([[*s.low, *s.high] for s in shapes])
    yield from grids(path, frame, boxes, where.level)


def incoming_coco(path: Path, frame: Frame, where: Where) -> Incoming:
    """Annotations of COCO; images that we wrote say their place, others are a level each.

    Raises
    ------
    ExportError
        When the file is damaged, or an image does not say where it belongs.
    """
    images = read_coco(path)
    if not images:
        raise ExportError(f"{path} names no image.")
    extra = [image.extra for image in images]
    slides = [str(e["slide"]) for e in extra if "slide" in e]
    check_slide(path, frame, slides, where)
    fields: list[IncomingField] = []
    left_out = 0
    for image in images:
        known = image.extra
        if not where.other_slide and known.get("slide", frame.identity) != frame.identity:
            left_out += 1
            continue
        place = _place(path, known)
        fields += placed(path, frame, image.mask, place, where, None, image.instances)
    notes = [f"{left_out} images of other slides"] if left_out else []
    return Incoming(path, "COCO", images[0].classes, tuple(fields), tuple(notes))


def _place(path: Path, known: Mapping[str, Any]) -> Field | None:
    if "place" not in known:
        return None
    try:
        return field_from_json(known["place"])
    except (ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{path}: the place of an image is damaged: {error!r}.") from error
