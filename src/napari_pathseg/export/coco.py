"""COCO instance annotations out and in: exact run lengths, or polygons for tools without them.

Source: the COCO data format (cocodataset.org, Data format, Object detection) and the run lengths of
its mask API: pixels column by column, counts that begin with the background.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.config import Outlining
from napari_pathseg.errors import ExportError
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.merging import merge_classes
from napari_pathseg.export.objects import bands_of, measured
from napari_pathseg.geometry import Shape
from napari_pathseg.labels.raster import Instances, Outline
from napari_pathseg.labels.record import FieldRecord, field_to_json
from napari_pathseg.labels.scan import fill
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

Json = dict[str, Any]
Runs = dict[int, list[int]]

_GREY = (128, 128, 128)


@dataclass(frozen=True, slots=True, eq=False)
class CocoImage:
    """The annotations of one image.

    Attributes
    ----------
    file_name : str
    mask : uint16 array (height, width)
        Class mask; the values are the category ids.
    instances : uint32 array (height, width)
        The i-th annotation of the image is value i, from 1, seen where no later one covers it.
    classes : ClassList
    extra : mapping
        What the file says of the image besides.
    """

    file_name: str
    mask: npt.NDArray[np.uint16]
    instances: Instances
    classes: ClassList
    extra: Mapping[str, Any]


def write_coco(
    path: Path,
    fields: Iterable[ExportField],
    *,
    segmentation: Outlining = "rle",
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> int:
    """Write the objects of fields as COCO annotations; the images are those of the bundle.

    Parameters
    ----------
    path : Path
        Replaced at once when all is written. `file_name` is "images/<id>.png", as in the bundle
        that lies beside it.
    fields : iterable of ExportField
        Read one by one.
    segmentation : {"rle", "polygon"}
        Run lengths are exact. COCO polygons know no holes: an object with holes is written as run
        lengths in either case.

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

    def told(field: ExportField) -> Iterator[Json]:
        for annotation in annotations_of(field, segmentation):
            if cancel is not None:
                cancel.raise_if_cancelled()
            yield annotation

    def images() -> Iterator[tuple[FieldRecord, Iterator[Json]]]:
        for done, field in enumerate(fields):
            progress(Progress(done, 0, f"Writing field {done + 1}"))
            yield field.record, told(field)

    return write_annotations(path, images())


def write_annotations(
    path: Path, fields: Iterable[tuple[FieldRecord, Iterable[dict[str, Any]]]]
) -> int:
    """Write fields whose :func:`annotations_of` are at hand; as :func:`write_coco` does.

    Returns
    -------
    int
        Objects written.
    """
    count = 0
    images: list[Json] = []
    classes = ClassList()
    with whole_file(path) as part, part.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"info": {"description": "napari-pathseg labels", "version": "1"},')
        file.write('\n"annotations": [')
        for number, (record, own) in enumerate(fields, start=1):
            classes, values = merge_classes(classes, record.classes)
            images.append(_image(number, record))
            for annotation in own:
                category = int(values[annotation.pop("value")])
                head = {"id": count + 1, "image_id": number, "category_id": category}
                file.write(",\n" if count else "\n")
                file.write(json.dumps(head | annotation, allow_nan=False))
                count += 1
        rest = {"images": images, "categories": [_category(c) for c in classes]}
        file.write("],\n" + json.dumps(rest, allow_nan=False)[1:] + "\n")
    return count


def read_coco(path: Path) -> list[CocoImage]:
    """Read annotations with run lengths or polygons; later objects cover earlier ones.

    Raises
    ------
    ExportError
        When the file can not be read or is no COCO file, or an annotation is damaged; names it.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise ExportError(f"{path} can not be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} is no COCO file: {error}.") from error
    try:
        classes = ClassList(tuple(_class(c) for c in content["categories"]))
        by_image: dict[int, list[Json]] = {image["id"]: [] for image in content["images"]}
        for annotation in content["annotations"]:
            by_image[annotation["image_id"]].append(annotation)
        return [_read(image, by_image[image["id"]], classes) for image in content["images"]]
    except (KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise ExportError(f"{path} is no COCO file or is damaged: {error!r}.") from error


def runs_of(instances: Instances, first_row: int = 0, height: int | None = None) -> Runs:
    """COCO run lengths of every object, over the whole mask.

    Parameters
    ----------
    instances : uint32 array (rows, width)
        All rows of the mask, or those from `first_row` on.
    first_row : int
    height : int, optional
        Of the whole mask, where these are some of its rows.

    Returns
    -------
    dict
        Counts by value: background, object, background, ... in columns; their sum is the size.
    """
    rows, width = instances.shape
    whole = rows if height is None else height
    # A row of background ends each column, so that no run goes on in the next one.
    pad = int(rows < whole)
    flat = np.pad(instances, ((0, pad), (0, 0))).T.ravel()
    if not flat.any():
        return {}
    start = np.flatnonzero(np.r_[True, flat[1:] != flat[:-1]])
    stop = np.r_[start[1:], flat.size]
    inside = flat[start] != 0
    value, start, stop = flat[start][inside], start[inside], stop[inside]
    length = stop - start
    start = start // (rows + pad) * whole + start % (rows + pad) + first_row
    order = np.lexsort((start, value))
    value, ends = value[order], np.stack([start, start + length], axis=1)[order]
    first = np.flatnonzero(np.r_[True, value[1:] != value[:-1]])
    found = {}
    for low, high in zip(first, [*first[1:], len(value)], strict=True):
        marks = ends[low:high].ravel()
        counts = np.diff(marks, prepend=0, append=whole * width).tolist()
        found[int(value[low])] = counts if counts[-1] else counts[:-1]
    return found


def annotations_of(field: ExportField, segmentation: Outlining) -> Iterator[dict[str, Any]]:
    """A field's objects as COCO has them, with the class value in the place of ids."""
    shape = field.record.field.shape
    for band in bands_of(field):
        runs = runs_of(band.instances, band.top, shape[0])
        for outline, measure in measured(band, field.record.mpp):
            points = np.concatenate([p.exterior for p in outline.polygons])
            (y0, x0), (y1, x1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
            yield {
                "value": measure.class_value,
                "segmentation": _segmentation(outline, runs[outline.value], shape, segmentation),
                "area": measure.area_px,
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "iscrowd": 0,
            }


def _segmentation(
    outline: Outline, counts: list[int], shape: Shape, wanted: Outlining
) -> Json | list[list[int]]:
    if wanted == "polygon" and not any(polygon.holes for polygon in outline.polygons):
        return [p.exterior[:-1, ::-1].ravel().tolist() for p in outline.polygons]
    return {"size": list(shape), "counts": counts}


def _image(number: int, record: FieldRecord) -> Json:
    height, width = record.field.shape
    return {
        "id": number,
        "file_name": f"images/{record.id}.png",
        "height": height,
        "width": width,
        "field": record.id,
        "place": field_to_json(record.field),
        "slide": record.slide_identity,
        "region": record.field.region.as_list(),
        "mpp": None if record.mpp is None else list(record.mpp),
        "prompt": "; ".join(record.texts),
        "model": record.model,
        "license_note": record.model_license,
    }


def _category(label_class: LabelClass) -> Json:
    term = label_class.term
    return {
        "id": label_class.value,
        "name": label_class.name,
        "supercategory": "" if term is None else term.structure,
        "color": list(label_class.color),
    }


def _class(category: Mapping[str, Any]) -> LabelClass:
    red, green, blue = category.get("color", _GREY)
    return LabelClass(int(category["id"]), str(category["name"]), None, (red, green, blue))


def _read(image: Mapping[str, Any], annotations: Sequence[Json], classes: ClassList) -> CocoImage:
    shape = int(image["height"]), int(image["width"])
    values = np.zeros(len(annotations) + 1, dtype=np.uint16)
    instances = np.zeros(shape, dtype=np.uint32)
    for number, annotation in enumerate(annotations, start=1):
        values[number] = classes[annotation["category_id"]].value
        instances[_pixels(annotation["segmentation"], shape)] = number
    return CocoImage(str(image["file_name"]), values[instances], instances, classes, image)


def _pixels(segmentation: Any, shape: Shape) -> tuple[npt.NDArray[np.int64], ...]:
    """Rows and columns of an object's pixels."""
    if isinstance(segmentation, list):
        return _polygon_pixels(segmentation, shape)
    counts = segmentation["counts"]
    runs = np.array(decode_counts(counts) if isinstance(counts, str) else counts, dtype=np.int64)
    if list(segmentation["size"]) != list(shape) or runs.sum() > shape[0] * shape[1]:
        raise ValueError("run lengths that do not fit the image")
    start, length = (np.cumsum(runs) - runs)[1::2], runs[1::2]
    step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
    columns, rows = np.divmod(np.repeat(start, length) + step, shape[0])
    return rows, columns


def _polygon_pixels(rings: list[Any], shape: Shape) -> tuple[npt.NDArray[np.int64], ...]:
    """Those inside any of the rings: COCO's polygons of an object are united."""
    parts = [np.asarray(ring, dtype=np.float64).reshape(-1, 2)[:, ::-1] for ring in rings]
    points = np.concatenate(parts)
    low = np.clip(np.floor(points.min(axis=0)), 0, shape).astype(np.int64)
    high = np.clip(np.ceil(points.max(axis=0)), low, shape).astype(np.int64)
    window = int(high[0] - low[0]), int(high[1] - low[1])
    inside = fill(window, [[part - low] for part in parts], [1] * len(parts))
    rows, columns = np.nonzero(inside)
    return rows + low[0], columns + low[1]


def decode_counts(text: str) -> list[int]:
    """Run lengths from the text form of COCO's mask API.

    Six bits a character from "0" on, the sixth says that more follow; from the fourth number on
    the difference to the number two before is stored.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        if len(counts) > 2:
            value += counts[-2]
        counts.append(value)
        value = shift = 0
    return counts
