"""OME-Zarr 0.5: a field's image with its class and instance masks as labels, out and in.

Source: https://ngff.openmicroscopy.org/0.5/ (multiscales, labels, image-label).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import zarr

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import ExportError
from napari_pathseg.export.canvas import Canvas
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.folder import check_ours, recover, whole_folder
from napari_pathseg.geometry import Pair, world_scale, world_translate
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken

Json = dict[str, Any]

_VERSION = "0.5"
_CHUNK = 512
# Where the whole record is, besides what OME-Zarr has words for; also how we know our own files.
_OURS = "napari-pathseg"
_UM = {"nanometer": 1e-3, "micrometer": 1.0, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6}


@dataclass(frozen=True, slots=True, eq=False)
class ZarrLabels:
    """Labels of an OME-Zarr image.

    Attributes
    ----------
    mask : uint16 array (height, width)
    instances : uint32 array (height, width) or None
    classes : ClassList
    record : FieldRecord or None
        Where we wrote it; its slide has no name.
    um : (float, float) or None
        Size of a pixel; None where the file does not say.
    first_um : (float, float)
        Centre of the first pixel from that of the slide's.
    """

    mask: npt.NDArray[np.uint16]
    instances: Instances | None
    classes: ClassList
    record: FieldRecord | None = None
    um: Pair | None = None
    first_um: Pair = (0.0, 0.0)


def write_ome_zarr(path: Path, field: ExportField) -> None:
    """Write a field with its image; world places are those that napari shows the slide at.

    Parameters
    ----------
    path : Path
        A folder, by custom "*.ome.zarr": new, empty, or written by this function before.
    field : ExportField
        With image.

    Raises
    ------
    ExportError
        When the folder is something else, there is no image, or it can not be written; the
        folder is then as it was.
    """
    recover(path)
    check_ours(path, is_ours, "no OME-Zarr of napari-pathseg")
    with whole_folder(path, empty=True) as part:
        fill_ome_zarr(part, field)


def fill_ome_zarr(part: Path, field: ExportField) -> None:
    """Write a field with its image into a folder that is nobody's yet."""
    pixels = field.pixels()
    masks: dict[str, npt.NDArray[Any]] = {
        "classes": field.mask.astype(np.uint16),
        "instances": field.objects(),
    }
    root = zarr.open_group(part, mode="w", zarr_format=3)
    _write_level(root, np.moveaxis(pixels, 2, 0), ("c", "y", "x"))
    image = _multiscales(field.record, ("c", "y", "x"), f"field {field.record.id}")
    root.attrs.update({"ome": image, _OURS: {"record": _without_name(field.record)}})
    labels = root.create_group("labels")
    labels.attrs["ome"] = {"version": _VERSION, "labels": sorted(masks)}
    for name, mask in masks.items():
        group = labels.create_group(name)
        _write_level(group, mask, ("y", "x"))
        ome = _multiscales(field.record, ("y", "x"), name)
        group.attrs["ome"] = ome | {"image-label": _image_label(field.record, name)}


def write_zarr_labels(
    path: Path, canvas: Canvas, name: str, image: str, cancel: CancelToken
) -> None:
    """Write a canvas's classes or instances as a label pyramid of its own.

    Chunks without a label are not stored.

    Parameters
    ----------
    path : Path
        A folder that is nobody's yet.
    canvas : Canvas
    name : "classes" or "instances"
    image : str
        Where the image is, seen from the label group; "" when it is no OME-Zarr.
    cancel : CancelToken

    Raises
    ------
    CancelledError
    """
    group = zarr.open_group(path, mode="w", zarr_format=3)
    levels = canvas.levels()
    for index, level in enumerate(levels):
        chunk = min(_CHUNK, level.shape[0]), min(_CHUNK, level.shape[1])
        array = group.create_array(
            str(index),
            shape=level.shape,
            dtype="uint16" if name == "classes" else "uint32",
            chunks=chunk,
            fill_value=0,
            dimension_names=["y", "x"],
        )
        for y in range(0, level.shape[0], _CHUNK):
            for x in range(0, level.shape[1], _CHUNK):
                cancel.raise_if_cancelled()
                window = canvas.window(level, y, x, _CHUNK, _CHUNK, name)
                if window.any():
                    array[y : y + window.shape[0], x : x + window.shape[1]] = window
    record = canvas.record
    scales = [level.scale for level in levels]
    label = _image_label(record, name)
    label["source"] = {"image": image} if image else {}
    ome = _multiscales(record, ("y", "x"), name, scales) | {"image-label": label}
    group.attrs.update({"ome": ome, _OURS: {"record": _without_name(record)}})


def read_ome_zarr(path: Path) -> ZarrLabels:
    """Read the masks that we write, or the first label image of any OME-Zarr 0.5.

    Raises
    ------
    ExportError
        When the folder holds no 2-D labels, or they are damaged; names it.
    """
    try:
        group = zarr.open_group(path, mode="r")
        names = _ome(group["labels"])["labels"] if "labels" in group else []
        ours = [name for name in ("classes", "pathseg-classes") if name in names]
        chosen = ours[0] if ours else names[0] if names else ""
        own = cast("zarr.Group", group[f"labels/{chosen}"] if chosen else group)
        mask = _read_level(own)
        beside = chosen.replace("classes", "instances")
        paired = ours and beside in names
        instances = _read_level(cast("zarr.Group", group[f"labels/{beside}"])) if paired else None
        classes = _classes(_ome(own).get("image-label", {}), mask)
        um, first_um = _um_of(_ome(own))
        record = _record_of(own) or _record_of(group)
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise ExportError(f"{path} holds no OME-Zarr labels or is damaged: {error!r}.") from error
    if mask.ndim != 2 or mask.dtype.kind not in "ui" or int(mask.max(initial=0)) > 65_535:
        raise ExportError(f"{path} holds labels of {mask.dtype} and shape {mask.shape}.")
    wide = None if instances is None else instances.astype(np.uint32)
    return ZarrLabels(mask.astype(np.uint16), wide, classes, record, um, first_um)


def _record_of(group: zarr.Group) -> FieldRecord | None:
    known = cast("Json", dict(group.attrs).get(_OURS) or {})
    if "record" not in known:
        return None
    record = known["record"]
    return FieldRecord.from_json(record | {"slide": {"name": ""} | record["slide"]})


def _um_of(ome: Json) -> tuple[Pair | None, Pair]:
    """Size and place of the first pixel, None where the axes have no unit that we know."""
    image = ome["multiscales"][0]
    units = [axis.get("unit") for axis in image["axes"][-2:]]
    if len(units) < 2 or any(unit not in _UM for unit in units):
        return None, (0.0, 0.0)
    scale, first = [1.0, 1.0], [0.0, 0.0]
    steps = [*image["datasets"][0]["coordinateTransformations"]]
    steps += image.get("coordinateTransformations", [])
    for step in steps:
        values = [float(value) for value in step[step["type"]][-2:]]
        if step["type"] == "scale":
            scale = [a * b for a, b in zip(scale, values, strict=True)]
            first = [a * b for a, b in zip(first, values, strict=True)]
        else:
            first = [a + b for a, b in zip(first, values, strict=True)]
    (y, x), (top, left), (own_y, own_x) = scale, first, (_UM[unit] for unit in units)
    return (y * own_y, x * own_x), (top * own_y, left * own_x)


def is_ours(path: Path) -> bool:
    """Whether a folder is an OME-Zarr that we wrote."""
    return _OURS in json.loads((path / "zarr.json").read_bytes())["attributes"]


def _write_level(group: zarr.Group, data: npt.NDArray[Any], axes: Sequence[str]) -> None:
    chunks = tuple(3 if a == "c" else min(_CHUNK, n) for a, n in zip(axes, data.shape, strict=True))
    group.create_array("0", data=data, chunks=chunks, dimension_names=list(axes))


def _read_level(group: zarr.Group) -> npt.NDArray[Any]:
    """All of the finest level of a label image."""
    path = _ome(group)["multiscales"][0]["datasets"][0]["path"]
    array = group[path]
    if not isinstance(array, zarr.Array):
        raise TypeError(f"{path} is no array")
    return np.asarray(array[...])


def _ome(group: object) -> Json:
    attributes = cast("zarr.Group", group).attrs
    return cast("Json", attributes["ome"])


def _multiscales(
    record: FieldRecord, axes: Sequence[str], name: str, scales: Sequence[int] = (1,)
) -> Json:
    field, mpp = record.field, record.mpp
    slide_mpp: Pair | None = None
    if mpp is not None:
        slide_mpp = mpp[0] / field.downsample[0], mpp[1] / field.downsample[1]
    unit = {} if mpp is None else {"unit": "micrometer"}
    places: dict[str, Json] = {
        "c": {"name": "c", "type": "channel"},
        "y": {"name": "y", "type": "space"} | unit,
        "x": {"name": "x", "type": "space"} | unit,
    }
    flat = len(axes) - 2
    datasets = []
    for index, scale in enumerate(scales):
        own_y, own_x = world_scale(field.downsample, slide_mpp)
        y, x = own_y * scale, own_x * scale
        # Corner on corner: the middle of a coarser first pixel lies further in.
        top, left = world_translate(field, slide_mpp)
        top, left = top + (scale - 1) / 2 * own_y, left + (scale - 1) / 2 * own_x
        transformations = [
            {"type": "scale", "scale": [1.0] * flat + [y, x]},
            {"type": "translation", "translation": [0.0] * flat + [top, left]},
        ]
        datasets.append({"path": str(index), "coordinateTransformations": transformations})
    image = {"name": name, "axes": [places[axis] for axis in axes], "datasets": datasets}
    return {"version": _VERSION, "multiscales": [image]}


def _image_label(record: FieldRecord, name: str) -> Json:
    source = {"source": {"image": "../../"}}
    if name != "classes" or not len(record.classes):
        return source
    return {
        "colors": [{"label-value": c.value, "rgba": [*c.color, 255]} for c in record.classes],
        "properties": [
            {"label-value": c.value, "name": c.name, "term": str(c.term or "")}
            for c in record.classes
        ],
    } | source


def _classes(label: Mapping[str, Any], mask: npt.NDArray[Any]) -> ClassList:
    """The classes that are named, and the values without a name as "label <value>"."""
    names = {p["label-value"]: p.get("name") for p in label.get("properties", ())}
    colors = {c["label-value"]: c.get("rgba", ()) for c in label.get("colors", ())}
    values = {int(v) for v in np.unique(mask)} | set(names)
    found = []
    for value in sorted(values - {0}):
        red, green, blue = [*colors.get(value, ())][:3] or (128, 128, 128)
        name = names.get(value) or f"label {value}"
        found.append(LabelClass(value, name, None, (red, green, blue)))
    return ClassList(tuple(found))


def _without_name(record: FieldRecord) -> Json:
    values = record.to_json()
    values["slide"] = {"identity": record.slide_identity}
    return values
