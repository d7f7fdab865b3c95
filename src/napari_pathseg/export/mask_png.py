"""Mask PNG with a legend: class values under a palette of the class colours."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError, StoreError
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.pictures import DAMAGED
from napari_pathseg.geometry import Field
from napari_pathseg.labels.raster import Ints
from napari_pathseg.labels.record import (
    classes_from_json,
    classes_to_json,
    field_from_json,
    field_to_json,
)

KEY = "pathseg-classes"
_PLACE = "pathseg-field"
_MAX = 255


def write_mask_png(path: Path, mask: Ints, classes: ClassList, field: Field | None = None) -> Path:
    """Write a class mask that every viewer shows in the class colours.

    Each pixel holds its class value, the palette the colours, black for 0. The legend is a file
    "<name>.legend.json" beside it, and is kept in the PNG too.

    Parameters
    ----------
    path : Path
    mask : integer array (height, width)
        Values from 0 to 255.
    classes : ClassList
    field : Field, optional
        Where on the slide it belongs; kept in the PNG.

    Returns
    -------
    Path
        Of the legend.

    Raises
    ------
    ExportError
        When a value is above 255, or it can not be written.
    """
    if mask.size and (int(mask.min()) < 0 or int(mask.max()) > _MAX):
        raise ExportError(
            f"{path}: the mask has values outside 0 to 255.", "Write a label TIFF instead."
        )
    palette = np.zeros((_MAX + 1, 3), dtype=np.uint8)
    for label_class in classes:
        if label_class.value <= _MAX:
            palette[label_class.value] = label_class.color
    image = Image.fromarray(np.ascontiguousarray(mask, dtype=np.uint8)).convert("P")
    image.putpalette(palette.tobytes())
    legend = json.dumps(classes_to_json(classes), indent=1)
    info = PngInfo()
    info.add_text(KEY, legend)
    if field is not None:
        info.add_text(_PLACE, json.dumps(field_to_json(field)))
    with whole_file(path) as part:
        image.save(part, format="PNG", pnginfo=info)
    beside = path.with_name(f"{path.stem}.legend.json")
    with whole_file(beside) as part:
        part.write_text(legend + "\n", encoding="utf-8", newline="\n")
    return beside


def read_mask_png(path: Path) -> tuple[Ints, ClassList, Field | None]:
    """Mask, classes and place of a palette or grey PNG, where it says them.

    Raises
    ------
    ExportError
        When it can not be read, or holds colours and no class values.
    """
    try:
        with Image.open(path) as image:
            array, legend = np.asarray(image), image.info.get(KEY)
            place = image.info.get(_PLACE)
        classes = classes_from_json(json.loads(legend)) if legend else ClassList()
        field = field_from_json(json.loads(place)) if place else None
    except (*DAMAGED, StoreError) as error:
        raise ExportError(f"{path} is no PNG or is damaged: {error}.") from error
    except OSError as error:
        raise ExportError(f"{path} can not be read: {error.strerror or error}.") from error
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise ExportError(
            f"{path} holds colours and no class values.", "Use a palette or grey PNG."
        )
    return array, classes, field
