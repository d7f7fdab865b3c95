"""Label images of an OME-Zarr: ours, and those of others.

Source: https://ngff.openmicroscopy.org/0.5/ and /0.4/ (multiscales, labels, image-label).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import ExportError
from napari_pathseg.export.ome_zarr import OURS, PAIR
from napari_pathseg.export.pictures import DAMAGED
from napari_pathseg.geometry import Pair
from napari_pathseg.labels.raster import Ints
from napari_pathseg.labels.record import FieldRecord

Json = dict[str, Any]

_UM = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}


@dataclass(frozen=True, slots=True, eq=False)
class ZarrLabels:
    """One label image.

    Attributes
    ----------
    name : str
        As the list of labels has it; "" where the folder is a label image of its own.
    mask : integer array (height, width)
    instances : integer array (height, width) or None
        Where we wrote one beside it.
    classes : ClassList
        The values that have a name or a colour, as "label <value>" without a name.
    named : bool
        Whether any has a name.
    record : FieldRecord or None
        Where we wrote it; its slide has no name.
    um : (float, float) or None
        Size of a pixel; None where the file does not say.
    first_um : (float, float)
        Centre of the first pixel from that of the slide's.
    """

    name: str
    mask: Ints
    instances: Ints | None
    classes: ClassList
    named: bool
    record: FieldRecord | None = None
    um: Pair | None = None
    first_um: Pair = (0.0, 0.0)


def read_ome_zarr(path: Path) -> tuple[ZarrLabels, ...]:
    """All label images of an OME-Zarr 0.5 or 0.4; of a pair that we wrote one, with both.

    Parameters
    ----------
    path : Path
        Of the image, or of a label image.

    Raises
    ------
    ExportError
        When the folder holds no labels of one plane, or they are damaged; names it.
    """
    try:
        group = zarr.open_group(path, mode="r")
        found = tuple(_images(group, path))
    except (OSError, AttributeError, EOFError, zlib.error, *DAMAGED) as error:
        raise ExportError(f"{path} holds no OME-Zarr labels or is damaged: {error!r}.") from error
    for each in found:
        if each.instances is not None and each.instances.shape != each.mask.shape:
            raise ExportError(
                f"{path}: its classes have the shape {each.mask.shape}, its objects"
                f" {each.instances.shape}.",
                "Export it again from its source.",
            )
        if each.mask.ndim != 2 or each.mask.dtype.kind not in "ui":
            raise ExportError(f"{path} holds labels of {each.mask.dtype} and {each.mask.shape}.")
    if not found:
        raise ExportError(f"{path} holds no OME-Zarr labels: its list of labels is empty.")
    return found


def is_label_zarr(path: Path, *, alone: bool = False) -> bool:
    """Whether a folder is an OME-Zarr that holds labels; `alone`: nothing else."""
    try:
        group = zarr.open_group(path, mode="r")
        return "image-label" in _ome(group) or ("labels" in group and not alone)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _images(group: zarr.Group, path: Path) -> Iterator[ZarrLabels]:
    if "labels" not in group:
        # Label pyramids beside a slide are a folder each.
        other = path.with_name(path.name.replace(f".{PAIR[0]}.", f".{PAIR[1]}."))
        paired = other != path and is_label_zarr(other)
        yield _image("", group, zarr.open_group(other, mode="r") if paired else None, group)
        return
    labels = cast("zarr.Group", group["labels"])
    names = [str(name) for name in _ome(labels)["labels"]]
    for name in names:
        pairs = {first: first.replace(*PAIR) for first in names if PAIR[0] in first}
        if name in pairs.values() and _record_of(cast("zarr.Group", labels[name]), group):
            continue  # it comes with the classes that we wrote beside it
        beside = pairs.get(name, "")
        pair = cast("zarr.Group", labels[beside]) if beside in names else None
        yield _image(name, cast("zarr.Group", labels[name]), pair, group)


def _image(name: str, own: zarr.Group, pair: zarr.Group | None, root: zarr.Group) -> ZarrLabels:
    ome = _ome(own)
    record = _record_of(own, root)
    mask = _read_level(own)
    instances = None if pair is None or record is None else _read_level(pair)
    described = ome.get("image-label") or {}
    said = ((p["label-value"], p.get("name") or p.get("class")) for p in _listed(described))
    names = {int(value): str(text) for value, text in said if text}
    colors = {int(c["label-value"]): c.get("rgba") for c in described.get("colors") or ()}
    if len(set(names.values())) < len(names):  # each object says its class
        instances, mask, names = mask, *_by_class(mask, names)
        colors = {}
    classes = _classes(names, colors)
    um, first_um = _um_of(ome)
    return ZarrLabels(name, mask, instances, classes, bool(names), record, um, first_um)


def _listed(described: Json) -> list[Json]:
    return list(described.get("properties") or ())


def _by_class(objects: Ints, names: Mapping[int, str]) -> tuple[Ints, dict[int, str]]:
    """A class mask of objects whose classes are named; those without one are left out."""
    classes = {name: number for number, name in enumerate(dict.fromkeys(names.values()), start=1)}
    values, at = np.unique(objects, return_inverse=True)
    table = [classes.get(names.get(value, ""), 0) for value in values.tolist()]
    mask = np.array(table, dtype=np.uint16)[at.reshape(objects.shape)]
    return mask, {number: name for name, number in classes.items()}


def _record_of(own: zarr.Group, root: zarr.Group) -> FieldRecord | None:
    for group in (own, root):
        known = cast("Json", dict(group.attrs).get(OURS) or {})
        if "record" in known:
            record = known["record"]
            return FieldRecord.from_json(record | {"slide": {"name": ""} | record["slide"]})
    return None


def _um_of(ome: Json) -> tuple[Pair | None, Pair]:
    """Size and place of the first pixel, None where the axes have no unit that we know."""
    image = ome["multiscales"][0]
    units = [axis.get("unit") if isinstance(axis, dict) else None for axis in image["axes"][-2:]]
    if len(units) < 2 or any(unit not in _UM for unit in units):
        return None, (0.0, 0.0)
    scale, first = [1.0, 1.0], [0.0, 0.0]
    steps = [*image["datasets"][0]["coordinateTransformations"]]
    steps += image.get("coordinateTransformations") or []
    for step in steps:
        if step["type"] == "identity":
            continue
        values = [float(value) for value in step[step["type"]][-2:]]
        if step["type"] == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            first = [a * b for a, b in zip(first, values, strict=True)]
        else:
            first = [a + b for a, b in zip(first, values, strict=True)]
    (y, x), (top, left), (own_y, own_x) = scale, first, (_UM[str(unit)] for unit in units)
    return (y * own_y, x * own_x), (top * own_y, left * own_x)


def _read_level(group: zarr.Group) -> npt.NDArray[Any]:
    """The finest level of a label image, without axes of one place, such as time and depth."""
    path = _ome(group)["multiscales"][0]["datasets"][0]["path"]
    array = group[path]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{path} is no array")
    if any(length != 1 for length in array.shape[:-2]):
        raise ValueError(f"its labels have the shape {array.shape}, which is more than one plane")
    plane = np.asarray(array[...])
    return plane.reshape(plane.shape[-2:])


def _ome(group: zarr.Group) -> Json:
    """What OME-Zarr says of a group: 0.5 has it under a name of its own, 0.4 has not."""
    attributes = dict(group.attrs)
    return cast("Json", attributes.get("ome", attributes))


def _classes(names: Mapping[int, str], colors: Mapping[int, Any]) -> ClassList:
    found = []
    for value in sorted({*names, *colors} - {0}):
        red, green, blue = [*(colors.get(value) or ())][:3] or (128, 128, 128)
        name = names.get(value) or f"label {value}"
        found.append(LabelClass(value, name, None, (red, green, blue)))
    return ClassList(tuple(found))
