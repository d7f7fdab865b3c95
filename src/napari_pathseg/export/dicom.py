"""DICOM out: Segmentation of fields, Microscopy Bulk Simple Annotations of slides.

Source: DICOM PS3.3, A.51 and C.8.20 (Segmentation), A.87 and C.37 (Bulk Annotations), C.8.12
(whole slides). A slide of another format has no DICOM header, so one is made from its hash: it
names no patient.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg import __version__
from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import ExportError
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.fields import ExportField, hidden_name
from napari_pathseg.export.merging import merge_classes
from napari_pathseg.export.objects import FieldObject, objects_of
from napari_pathseg.geometry import Pair, Shape
from napari_pathseg.labels.raster import Outline
from napari_pathseg.labels.record import FieldRecord

MAKER = "napari-pathseg"
SCHEME = "99PATHSEG"
TILE_PX = 512
_NAMESPACE = uuid.UUID("6dc2cb5d-7a3c-5b5e-8cc4-44b3f1c6b0f3")
_WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
# Of the UIDs that highdicom draws by chance.
_FRESH_ROOT = "1.2.826.0.1.3680043.10.511.3"
_SLIDE_AXES = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]

Points = npt.NDArray[np.float64]


def write_dicom_seg(path: Path, field: ExportField) -> None:
    """Write a field's class mask as a binary segmentation, one segment a class.

    Rows and columns are the field's own; its first pixel's place, in millimetres from that of the
    slide, is in the TotalPixelMatrixOriginSequence. The same field gives the same bytes.

    Parameters
    ----------
    path : Path
        Replaced at once when all is written.
    field : ExportField

    Raises
    ------
    ExportError
        When highdicom is not installed, the scale is unknown or the field has no class.
    """
    hd, _ = _packages()
    record = field.record
    if not len(record.classes):
        raise ExportError(f"Field {record.id} has no class, so that DICOM can not hold it.")
    mpp = _known(record)
    place = record.field
    origin_um = (place.y + 0.5) * mpp[0], (place.x + 0.5) * mpp[1]
    header = _header(record, place.shape, mpp, origin_um)
    numbers = np.zeros(max(c.value for c in record.classes) + 1, dtype=np.uint16)
    for number, label_class in enumerate(record.classes, start=1):
        numbers[label_class.value] = number
    written = hd.seg.Segmentation(
        source_images=[header],
        pixel_array=numbers[field.mask][np.newaxis],
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            hd.seg.SegmentDescription(
                segment_number=number,
                segment_label=c.name[:64],
                segmented_property_category=_category(c),
                segmented_property_type=_concept(c),
                algorithm_type="AUTOMATIC" if record.model else "MANUAL",
                algorithm_identification=_algorithm(record),
                display_color=hd.color.CIELabColor.from_rgb(*c.color),
            )
            for number, c in enumerate(record.classes, start=1)
        ],
        content_label="PATHSEG",
        content_description=_ascii(record.texts),
        tile_pixel_array=True,
        tile_size=(TILE_PX, TILE_PX),
        omit_empty_frames=True,
        **_common(record, f"seg {record.id}"),
    )
    _save(written, path, record.updated)


def write_dicom_ann(path: Path, fields: Iterable[ExportField], shape: Shape) -> int:
    """Write the objects of a slide's fields as annotations, one group a class.

    Coordinates are (x, y) in level-0 pixels. An annotation has one ring only: holes and further
    parts of an object are joined to it by lines that go forth and back, so that the even-odd rule
    fills the object exactly.

    Parameters
    ----------
    path : Path
        Replaced at once when all is written.
    fields : iterable of ExportField
        Of one slide; read one by one.
    shape : (int, int)
        Of the slide at level 0.

    Returns
    -------
    int
        Objects written; without any there is no file.

    Raises
    ------
    ExportError
        When highdicom is not installed or the scale is unknown.
    """
    hd, codes = _packages()
    classes = ClassList()
    found: dict[int, list[tuple[Points, float]]] = {}
    records = []
    for field in fields:
        record = field.record
        records.append(record)
        classes, table = merge_classes(classes, record.classes)
        mpp = _known(record)
        for item in objects_of(field):
            ring = _level0_ring(item, record)
            area = item.measure.area_px * mpp[0] * mpp[1]
            found.setdefault(int(table[item.measure.class_value]), []).append((ring, area))
    if not found:
        return 0
    first, newest = records[0], max(record.updated for record in records)
    mpp = _known(first)
    down = first.field.downsample
    slide_mpp = mpp[0] / down[0], mpp[1] / down[1]
    groups = [
        hd.ann.AnnotationGroup(
            number=number,
            uid=_uid(f"group {first.slide_identity} {classes[value].name}"),
            label=classes[value].name[:64],
            annotated_property_category=_category(classes[value]),
            annotated_property_type=_concept(classes[value]),
            graphic_type=hd.ann.GraphicTypeValues.POLYGON,
            graphic_data=[ring for ring, _ in found[value]],
            algorithm_type="AUTOMATIC" if first.model else "MANUAL",
            algorithm_identification=_algorithm(first),
            measurements=[
                hd.ann.Measurements(
                    name=codes.SCT.Area,
                    values=np.array([area for _, area in found[value]], dtype=np.float32),
                    unit=codes.UCUM.SquareMicrometer,
                )
            ],
            display_color=hd.color.CIELabColor.from_rgb(*classes[value].color),
        )
        for number, value in enumerate(sorted(found), start=1)
    ]
    written = hd.ann.MicroscopyBulkSimpleAnnotations(
        source_images=[_header(first, shape, slide_mpp, (slide_mpp[0] / 2, slide_mpp[1] / 2))],
        annotation_coordinate_type=hd.ann.AnnotationCoordinateTypeValues.SCOORD,
        annotation_groups=groups,
        content_label="PATHSEG",
        **_common(first, f"ann {first.slide_identity}"),
    )
    _save(written, path, newest)
    return sum(len(own) for own in found.values())


def _packages() -> tuple[Any, Any]:
    try:
        return import_module("highdicom"), import_module("pydicom.sr.codedict").codes
    except ImportError as error:
        raise ExportError(
            "DICOM needs the package highdicom.", 'Run: pip install "napari-pathseg[dicom]"'
        ) from error


def _known(record: FieldRecord) -> Pair:
    if record.mpp is None:
        raise ExportError(
            f"Field {record.id}: DICOM needs micrometres per pixel, which are unknown.",
            "Set the slide's scale in the panel.",
        )
    return record.mpp


def _common(record: FieldRecord, what: str) -> dict[str, Any]:
    """What both kinds of object are given."""
    key = f"{what} {record.updated.isoformat()}"
    return {
        "series_instance_uid": _uid(f"series {key}"),
        "series_number": 1,
        "sop_instance_uid": _uid(key),
        "instance_number": 1,
        "manufacturer": MAKER,
        "manufacturer_model_name": MAKER,
        "software_versions": __version__,
        "device_serial_number": "1",
    }


def _header(record: FieldRecord, shape: Shape, mpp: Pair, origin_um: Pair) -> Any:
    """The header of the whole-slide image that is referred to, without pixels and names."""
    dataset = import_module("pydicom").Dataset()
    identity = record.slide_identity
    hidden = hidden_name(identity)
    tiles = -(-shape[0] // TILE_PX) * -(-shape[1] // TILE_PX)
    made = record.created
    values: dict[str, Any] = {
        "SOPClassUID": _WHOLE_SLIDE,
        "SOPInstanceUID": _uid(f"image {identity} {shape} {origin_um}"),
        "StudyInstanceUID": _uid(f"study {identity}"),
        "SeriesInstanceUID": _uid(f"slide {identity}"),
        "FrameOfReferenceUID": _uid(f"frame {identity}"),
        "PositionReferenceIndicator": "SLIDE_CORNER",
        "Modality": "SM",
        "ImageType": ["DERIVED", "PRIMARY", "VOLUME", "NONE"],
        "Manufacturer": MAKER,
        "PatientID": hidden,
        "PatientName": f"{hidden}^",
        "PatientBirthDate": "",
        "PatientSex": "",
        "AccessionNumber": "",
        "StudyID": "",
        "StudyDate": made.strftime("%Y%m%d"),
        "StudyTime": made.strftime("%H%M%S"),
        "ContainerIdentifier": hidden,
        "Rows": TILE_PX,
        "Columns": TILE_PX,
        "NumberOfFrames": tiles,
        "SamplesPerPixel": 3,
        "PhotometricInterpretation": "RGB",
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "TotalPixelMatrixRows": shape[0],
        "TotalPixelMatrixColumns": shape[1],
        "TotalPixelMatrixFocalPlanes": 1,
        "ImageOrientationSlide": _SLIDE_AXES,
        "ImagedVolumeWidth": shape[1] * mpp[1] / 1000,
        "ImagedVolumeHeight": shape[0] * mpp[0] / 1000,
        "ImagedVolumeDepth": 0.001,
        "DimensionOrganizationType": "TILED_FULL",
        "NumberOfOpticalPaths": 1,
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.TotalPixelMatrixOriginSequence = [
        _item(
            YOffsetInSlideCoordinateSystem=_decimal(origin_um[0] / 1000),
            XOffsetInSlideCoordinateSystem=_decimal(origin_um[1] / 1000),
        )
    ]
    measures = _item(
        PixelSpacing=[_decimal(mpp[0] / 1000), _decimal(mpp[1] / 1000)],
        SliceThickness=0.001,
        SpacingBetweenSlices=0.001,
    )
    dataset.SharedFunctionalGroupsSequence = [_item(PixelMeasuresSequence=[measures])]
    dataset.OpticalPathSequence = [_item(OpticalPathIdentifier="1")]
    return dataset


def _item(**values: Any) -> Any:
    dataset = import_module("pydicom").Dataset()
    for name, value in values.items():
        setattr(dataset, name, value)
    return dataset


def _decimal(value: float) -> Any:
    """A number as the 16 characters of a DICOM decimal string hold it."""
    return import_module("pydicom.valuerep").DSfloat(value, auto_format=True)


def _category(label_class: LabelClass) -> Any:
    codes = _packages()[1]
    term = label_class.term
    if term is not None and term.structure == "tissue":
        return codes.SCT.Tissue
    return codes.SCT.AnatomicalStructure


def _concept(label_class: LabelClass) -> Any:
    """The class as a coded concept of our own scheme."""
    hd = _packages()[0]
    meaning = label_class.name[:64]
    code = uuid.uuid5(_NAMESPACE, label_class.name).hex[:16]
    return hd.sr.CodedConcept(value=code, scheme_designator=SCHEME, meaning=meaning)


def _algorithm(record: FieldRecord) -> Any:
    if not record.model:
        return None
    hd, codes = _packages()
    return hd.AlgorithmIdentificationSequence(
        name=record.model[:64],
        family=codes.DCM.ArtificialIntelligence,
        version=record.model_sha256[:16] or __version__,
    )


def _ascii(texts: Sequence[str]) -> str | None:
    text = "; ".join(texts).encode("ascii", "replace").decode().replace("\\", "/")
    return text[:64] or None


def _uid(name: str) -> str:
    return f"2.25.{uuid.uuid5(_NAMESPACE, name).int}"


def _level0_ring(item: FieldObject, record: FieldRecord) -> Points:
    """One ring (x, y) in level-0 pixels, not closed."""
    field = record.field
    ring = joined_rings(item.outline) + np.array([field.y, field.x])
    places: Points = (ring * np.array(field.downsample))[:, ::-1]
    return places


def joined_rings(outline: Outline) -> npt.NDArray[np.int64]:
    """All rings of an object as one, (y, x) of field pixels, not closed.

    From the first ring's start a line goes to each other ring and back the same way.
    """
    rings = outline.rings
    start = rings[0][:1]
    parts = [rings[0][:-1]]
    for ring in rings[1:]:
        parts += [start, ring]
    return np.concatenate(parts)


def _save(written: Any, path: Path, when: datetime) -> None:
    """Write with times and UIDs that follow from the labels, so that the bytes do."""
    fresh: dict[str, str] = {}

    def settle(_: Any, element: Any) -> None:
        if element.VR == "DT":
            element.value = when.strftime("%Y%m%d%H%M%S")
        elif element.VR == "UI" and str(element.value).startswith(_FRESH_ROOT):
            key = f"{written.SOPInstanceUID} {len(fresh)}"
            element.value = fresh.setdefault(str(element.value), _uid(key))

    written.walk(settle)
    for element in ("Content", "InstanceCreation", "Series"):
        setattr(written, f"{element}Date", when.strftime("%Y%m%d"))
        setattr(written, f"{element}Time", when.strftime("%H%M%S"))
    with whole_file(path) as part:
        written.save_as(part)
