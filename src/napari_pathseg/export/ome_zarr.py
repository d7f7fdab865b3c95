"""OME-Zarr 0.5: a field's image with its class and instance masks as labels.

Source: https://ngff.openmicroscopy.org/0.5/ (multiscales, labels, image-label).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import zarr

from napari_pathseg.export.canvas import Canvas
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.folder import check_ours, recover, whole_folder
from napari_pathseg.geometry import Pair, world_scale, world_translate
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken

Json = dict[str, Any]

_VERSION = "0.5"
_CHUNK = 512
# Where the whole record is, besides what OME-Zarr has words for; also how we know our own files.
OURS = "napari-pathseg"
# Names of the two label images that belong together.
PAIR = ("classes", "instances")


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
    values = field.mask.astype(np.uint16), field.objects()
    masks: dict[str, npt.NDArray[Any]] = dict(zip(PAIR, values, strict=True))
    root = zarr.open_group(part, mode="w", zarr_format=3)
    _write_level(root, np.moveaxis(pixels, 2, 0), ("c", "y", "x"))
    image = _multiscales(field.record, ("c", "y", "x"), f"field {field.record.id}")
    root.attrs.update({"ome": image, OURS: {"record": _without_name(field.record)}})
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
    group.attrs.update({"ome": ome, OURS: {"record": _without_name(record)}})


def is_ours(path: Path) -> bool:
    """Whether a folder is an OME-Zarr that we wrote."""
    return OURS in json.loads((path / "zarr.json").read_bytes())["attributes"]


def _write_level(group: zarr.Group, data: npt.NDArray[Any], axes: Sequence[str]) -> None:
    chunks = tuple(3 if a == "c" else min(_CHUNK, n) for a, n in zip(axes, data.shape, strict=True))
    group.create_array("0", data=data, chunks=chunks, dimension_names=list(axes))


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


def _without_name(record: FieldRecord) -> Json:
    values = record.to_json()
    values["slide"] = {"identity": record.slide_identity}
    return values
