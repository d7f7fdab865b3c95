"""GeoJSON in: polygons of QuPath and others become the class mask of a field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList, Color
from napari_pathseg.errors import ExportError, os_reason
from napari_pathseg.geometry import Field
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.scan import Points, fill

_UNCLASSIFIED = "unclassified"
_GREY: Color = (128, 128, 128)


@dataclass(frozen=True, slots=True, eq=False)
class ReadLabels:
    """What was read for a field.

    Attributes
    ----------
    mask : uint16 array (height, width)
        Class mask on the field's grid.
    instances : uint32 array (height, width)
        Object i of the file is value i + 1, seen where no later object covers it.
    classes : ClassList
        As given, with the new ones where they were wanted.
    unknown : mapping of str to int
        Names that are no class, with the number of objects; these are not in the masks.
    outside : int
        Objects of known classes that do not meet the field.
    skipped : int
        Points, lines and objects without geometry.
    """

    mask: npt.NDArray[np.uint16]
    instances: Instances
    classes: ClassList
    unknown: Mapping[str, int]
    outside: int
    skipped: int


@dataclass(frozen=True, slots=True, eq=False)
class GeoShape:
    """One polygon or several of a file.

    Attributes
    ----------
    name : str
        Of its class, "unclassified" without one.
    color : (int, int, int)
    rings : list of float arrays (points, 2)
        Closed, (y, x), exteriors and holes alike.
    place, slide : str
        The field it was made in, as JSON, and its slide's identity, where we wrote it.
    """

    name: str
    color: Color
    rings: list[Points]
    place: str = ""
    slide: str = ""

    @property
    def low(self) -> list[float]:
        """Least y and x."""
        found: list[float] = np.min([ring.min(axis=0) for ring in self.rings], axis=0).tolist()
        return found

    @property
    def high(self) -> list[float]:
        """Largest y and x."""
        found: list[float] = np.max([ring.max(axis=0) for ring in self.rings], axis=0).tolist()
        return found


def read_geojson(
    path: Path, field: Field, classes: ClassList, *, add_classes: bool = False, level0: bool = True
) -> ReadLabels:
    """Read polygons and fill them by the pixel-centre, even-odd rule on a field's grid.

    Parameters
    ----------
    path : Path
        A FeatureCollection, a list of Features or one Feature; Polygon or MultiPolygon.
    field : Field
        Where to, and at which level.
    classes : ClassList
        Known by `classification.name`; QuPath's derived classes are "Tumor: Positive".
    add_classes : bool
        Give unknown names a new class each, in the order of the file, with the file's colour.
    level0 : bool
        Coordinates are level-0 pixels; if False, pixels of the field.

    Raises
    ------
    ExportError
        When the file can not be read or is no GeoJSON, or a coordinate is no number; names the
        file and the object.
    """
    shapes, skipped = read_shapes(path)
    if add_classes:
        for shape in shapes:
            classes = classes.with_class(shape.name, None, shape.color)
    return fill_shapes(shapes, field, classes, skipped=skipped, level0=level0)


def read_shapes(path: Path) -> tuple[list[GeoShape], int]:
    """All polygons of a file, and the number of objects without one; raises as `read_geojson`."""
    shapes = []
    skipped = 0
    for number, feature in enumerate(_features(_load(path), path), start=1):
        shape = _shape(feature, f"{path}: object {number}")
        if shape is None:
            skipped += 1
        else:
            shapes.append(shape)
    return shapes, skipped


def fill_shapes(
    shapes: Sequence[GeoShape],
    field: Field,
    classes: ClassList,
    *,
    skipped: int = 0,
    level0: bool = True,
) -> ReadLabels:
    """The shapes of known classes on a field's grid, as `read_geojson` gives them."""
    unknown = Counter(s.name for s in shapes if classes.named(s.name) is None)
    down = np.array(field.downsample if level0 else (1.0, 1.0))
    first = np.array((field.y, field.x) if level0 else (0, 0))
    objects, numbers = [], []
    values = np.zeros(len(shapes) + 1, dtype=np.uint16)
    outside = 0
    for number, shape in enumerate(shapes, start=1):
        label_class = classes.named(shape.name)
        if label_class is None:
            continue
        rings = [ring / down - first for ring in shape.rings]
        if not _meets(rings, field):
            outside += 1
            continue
        values[number] = label_class.value
        objects.append(rings)
        numbers.append(number)
    instances = fill(field.shape, objects, numbers)
    return ReadLabels(values[instances], instances, classes, dict(unknown), outside, skipped)


def _meets(rings: list[Points], field: Field) -> bool:
    low = np.min([ring.min(axis=0) for ring in rings], axis=0)
    high = np.max([ring.max(axis=0) for ring in rings], axis=0)
    return bool((high > 0).all() and low[0] < field.height and low[1] < field.width)


def _load(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path} can not be read: {os_reason(error)}.") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(
            f"{path} is no GeoJSON: {error}.", "Export it again from the other program."
        ) from error


def _features(value: object, path: Path) -> Iterator[Mapping[str, Any]]:
    """All Features, the children that QuPath nests inside others included, parents first."""
    if isinstance(value, list):
        for item in value:
            yield from _features(item, path)
    elif isinstance(value, dict) and value.get("type") == "FeatureCollection":
        yield from _features(value.get("features", []), path)
    elif isinstance(value, dict) and value.get("type") == "Feature":
        yield value
        properties = value.get("properties")
        if isinstance(properties, dict):
            yield from _features(properties.get("childObjects") or [], path)
    else:
        raise ExportError(
            f"{path} holds something that is no GeoJSON Feature.",
            "Export it again as GeoJSON FeatureCollection.",
        )


def _shape(feature: Mapping[str, Any], place: str) -> GeoShape | None:
    rings = _rings(feature.get("geometry"), place)
    if not rings:
        return None
    properties = feature.get("properties")
    name, color = _classification(properties)
    metadata = properties.get("metadata") if isinstance(properties, dict) else None
    known = metadata if isinstance(metadata, dict) else {}
    return GeoShape(
        name, color, rings, str(known.get("place") or ""), str(known.get("slide") or "")
    )


def _rings(geometry: object, place: str) -> list[Points]:
    """All rings of the polygons of a geometry; none of points and lines."""
    values = geometry if isinstance(geometry, dict) else {}
    coordinates: Any = values.get("coordinates")
    match values.get("type"):
        case "GeometryCollection":
            parts = values.get("geometries")
            own = parts if isinstance(parts, list) else []
            return [ring for part in own for ring in _rings(part, place)]
        case "Polygon":
            polygons = [coordinates]
        case "MultiPolygon":
            polygons = coordinates
        case _:
            return []
    return [_ring(ring, place) for polygon in _items(polygons, place) for ring in polygon or ()]


def _items(value: object, place: str) -> list[Any]:
    if not isinstance(value, list) or not all(isinstance(item, list) for item in value):
        raise ExportError(f"{place}: the coordinates are not lists of rings.")
    return value


def _ring(values: object, place: str) -> Points:
    """(y, x) of a ring of [x, y] or [x, y, z]."""
    try:
        points = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ExportError(f"{place}: a coordinate is no number.") from error
    if points.ndim != 2 or points.shape[1] < 2 or not np.isfinite(points).all():
        raise ExportError(f"{place}: a ring is no list of finite [x, y] pairs.")
    if len(points) < 4 or not np.array_equal(points[0], points[-1]):
        raise ExportError(
            f"{place}: a ring is not closed: its last point must be its first.",
            "Export it again from the other program.",
        )
    found: Points = points[:, 1::-1]
    return found


def _classification(properties: object) -> tuple[str, Color]:
    """Name and colour, in QuPath's present and older forms."""
    values = properties if isinstance(properties, dict) else {}
    classification = values.get("classification")
    if isinstance(classification, str):
        return classification or _UNCLASSIFIED, _GREY
    if not isinstance(classification, dict):
        return _UNCLASSIFIED, _GREY
    names = classification.get("names")
    if classification.get("name") is None and isinstance(names, list):
        return ": ".join(str(part) for part in names), _color(classification)
    name, parent = classification.get("name"), classification.get("parentClass")
    while isinstance(parent, dict) and parent.get("name"):  # before QuPath 0.4
        name, parent = f"{parent['name']}: {name}", parent.get("parentClass")
    return str(name or _UNCLASSIFIED), _color(classification)


def _color(classification: Mapping[str, Any]) -> Color:
    color, packed = classification.get("color"), classification.get("colorRGB")
    if isinstance(color, list) and len(color) >= 3 and all(isinstance(c, int) for c in color):
        red, green, blue = (min(max(c, 0), 255) for c in color[:3])
        return red, green, blue
    if isinstance(packed, int):
        return packed >> 16 & 255, packed >> 8 & 255, packed & 255
    return _GREY
