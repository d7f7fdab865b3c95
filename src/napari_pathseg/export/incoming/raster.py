"""Masks come in: label TIFF and PNG, OME-TIFF, OME-Zarr, DICOM SEG, training bundles."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_pathseg.classes import ClassList, Color, LabelClass
from napari_pathseg.errors import ExportError, StoreError
from napari_pathseg.export.bundle import read_bundle_field, read_bundle_lines
from napari_pathseg.export.incoming.frame import (
    Frame,
    Incoming,
    IncomingField,
    Mask,
    Where,
    by_scale,
    check_slide,
    placed,
)
from napari_pathseg.export.incoming.meaning import Meant, Numbers, meant
from napari_pathseg.export.labels_tiff import read_labels_tiff
from napari_pathseg.export.mask_png import read_mask_png
from napari_pathseg.export.merging import merge_classes
from napari_pathseg.export.ome_tiff import KEY, read_second
from napari_pathseg.export.ome_zarr_read import ZarrLabels, read_ome_zarr
from napari_pathseg.labels.record import classes_from_json, field_from_json

_GREY = (128, 128, 128)


def incoming_tiff(path: Path, frame: Frame, where: Where) -> Incoming:
    """A label TIFF or OME-TIFF, ours with the objects that it has beside the classes.

    Raises
    ------
    ExportError
        When it is damaged, holds no labels, or nothing says where it belongs.
    """
    known = _ome_known(path)
    if known is not None:
        check_slide(path, frame, [known["slide"]] if known.get("slide") else [], where)
    read = read_labels_tiff(path)
    try:
        classes = classes_from_json(known["classes"]) if known else read.classes
        field = field_from_json(known["field"]) if known else read.field
    except (StoreError, KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{path}: what it says of its labels is damaged: {error!r}.") from error
    objects = read_second(path) if known else None
    own = meant(
        path, read.mask, classes, named=bool(len(classes)), objects=objects, said=where.numbers
    )
    notes = (
        () if known or read.pictures == 1 else (f"all but the first of {read.pictures} pictures",)
    )
    return _incoming(
        path,
        "label TIFF",
        own,
        placed(path, frame, own.mask, field, where, None, own.objects),
        notes,
    )


def _incoming(
    path: Path, kind: str, own: Meant, fields: Iterator[IncomingField], notes: tuple[str, ...] = ()
) -> Incoming:
    asked = (own.classes[1].name,) if own.numbers == "objects" else ()
    return Incoming(path, kind, own.classes, tuple(fields), notes, own.numbers, asked)


def _ome_known(path: Path) -> dict[str, Any] | None:
    """What our OME-TIFF says besides pixels."""
    try:
        with tifffile.TiffFile(path) as tiff:
            text = tiff.ome_metadata
        if not text or KEY not in text:
            return None
        return _find_key(tifffile.xml2dict(text))
    except (OSError, ValueError, KeyError, TypeError, tifffile.TiffFileError, SyntaxError):
        return None  # what is wrong with the file is said when its pixels are read


def _find_key(tree: Any) -> dict[str, Any] | None:
    """The first map entry of our key."""
    if isinstance(tree, dict):
        if tree.get("K") == KEY and "value" in tree:
            found: dict[str, Any] = json.loads(str(tree["value"]))
            return found
        tree = list(tree.values())
    if isinstance(tree, (list, tuple)):
        for item in tree:
            known = _find_key(item)
            if known is not None:
                return known
    return None


def incoming_png(path: Path, frame: Frame, where: Where) -> Incoming:
    """A mask PNG, in colours of a palette or in grey; raises as :func:`incoming_tiff`."""
    mask, classes, field = read_mask_png(path)
    own = meant(path, mask, classes, named=bool(len(classes)), said=where.numbers)
    fields = placed(path, frame, own.mask, field, where, None, own.objects)
    return _incoming(path, "mask PNG", own, fields)


def incoming_zarr(path: Path, frame: Frame, where: Where) -> Incoming:
    """All label images of an OME-Zarr, each as fields of its own.

    Raises
    ------
    ExportError
        When the folder holds no 2-D labels, they are damaged, or nothing says where they belong.
    """
    classes = ClassList()
    fields: list[IncomingField] = []
    asked: list[str] = []
    numbers: Numbers = ""
    for read in read_ome_zarr(path):
        own = meant(
            path,
            read.mask,
            read.classes,
            named=read.named,
            name=read.name,
            objects=read.instances,
            said=where.numbers,
        )
        if own.numbers == "objects":
            asked.append(own.classes[1].name)
        numbers = own.numbers or numbers
        classes, table = merge_classes(classes, own.classes)
        fields += _placed_zarr(path, frame, read, replace(own, mask=table[own.mask]), where)
    return Incoming(path, "OME-Zarr labels", classes, tuple(fields), (), numbers, tuple(asked))


def _placed_zarr(
    path: Path, frame: Frame, read: ZarrLabels, own: Meant, where: Where
) -> Iterator[IncomingField]:
    field = record = None
    if read.record is not None:
        check_slide(path, frame, [read.record.slide_identity], where)
        field = read.record.field
        record = read.record if read.named else None
    elif where.corner is None and where.level is None:
        shape = int(own.mask.shape[0]), int(own.mask.shape[1])
        field = by_scale(path, frame, shape, read.um, read.first_um)
    yield from placed(path, frame, own.mask, field, where, record, own.objects)


def incoming_dicom(path: Path, frame: Frame, where: Where) -> Incoming:
    """The segments of a DICOM Segmentation of a slide; a later segment covers an earlier one.

    Raises
    ------
    ExportError
        When highdicom is not installed, the file is no tiled segmentation or is damaged, or it
        lies outside the slide.
    """
    try:
        hd = import_module("highdicom")
        errors = import_module("pydicom.errors")
    except ImportError as error:
        raise ExportError(
            "DICOM needs the package highdicom.", 'Run: pip install "napari-pathseg[dicom]"'
        ) from error
    try:
        read = hd.seg.segread(path)
        classes = ClassList(tuple(_segment(read, n) for n in read.segment_numbers))
        shape = int(read.TotalPixelMatrixRows), int(read.TotalPixelMatrixColumns)
        mask = np.zeros(shape, dtype=np.uint16)
        for number in read.segment_numbers:
            own = read.get_total_pixel_matrix(segment_numbers=[number])
            mask[np.asarray(own)[..., 0] > 0] = number
        um, first_um = _dicom_place(read)
    except OSError as error:
        raise ExportError(f"{path} can not be read: {error.strerror or error}.") from error
    except (
        errors.InvalidDicomError,
        AttributeError,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        RuntimeError,
        EOFError,
    ) as error:
        raise ExportError(f"{path} is no DICOM segmentation of a slide: {error}.") from error
    field = by_scale(path, frame, shape, um, first_um) if where.corner is None else None
    return Incoming(path, "DICOM SEG", classes, tuple(placed(path, frame, mask, field, where)))


def _segment(read: Any, number: int) -> LabelClass:
    described = read.get_segment_description(number)
    color = _GREY
    if "RecommendedDisplayCIELabValue" in described:
        color = _rgb(described.RecommendedDisplayCIELabValue)
    return LabelClass(number, str(described.segment_label), None, color)


def _rgb(values: Sequence[int]) -> Color:
    """The sRGB colour of 16-bit CIELab values (PS3.3, C.10.7.1.1)."""
    from skimage.color import lab2rgb

    light, a, b = (int(value) / 65_535 for value in values)
    rgb = lab2rgb([[[light * 100, a * 255 - 128, b * 255 - 128]]])[0, 0]
    red, green, blue = (round(float(part) * 255) for part in rgb)
    return red, green, blue


def _dicom_place(read: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    """Micrometres per pixel, and those of the first pixel's centre from the slide's first."""
    measures = read.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    um = float(measures.PixelSpacing[0]) * 1000, float(measures.PixelSpacing[1]) * 1000
    origin = read.TotalPixelMatrixOriginSequence[0]
    y = float(origin.YOffsetInSlideCoordinateSystem) * 1000
    x = float(origin.XOffsetInSlideCoordinateSystem) * 1000
    return um, (y, x)


def incoming_bundle(path: Path, frame: Frame, where: Where) -> Incoming:
    """The fields of a training bundle that belong to the slide, with all their provenance.

    Raises
    ------
    ExportError
        When the bundle is damaged or holds no field of the slide.
    """
    lines = read_bundle_lines(path)
    check_slide(path, frame, [line["slide"]["identity"] for line in lines], where)
    classes = ClassList()
    fields: list[IncomingField] = []
    left_out = 0
    for line in lines:
        if line["slide"]["identity"] != frame.identity and not where.other_slide:
            left_out += 1
            continue
        field = read_bundle_field(path, line, image=False)
        classes, table = merge_classes(classes, field.record.classes)
        mask: Mask = table[field.mask]
        place = field.record.field
        fields += placed(path, frame, mask, place, where, field.record, field.objects())
    notes = [f"{left_out} fields of other slides"] if left_out else []
    return Incoming(path, "training bundle", classes, tuple(fields), tuple(notes))
