"""Everything on a desk goes out: training bundle, QuPath GeoJSON, label pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.errors import CancelledError, ExportError
from napari_pathseg.export.bundle import write_bundle
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.geojson import write_geojson
from napari_pathseg.export.labels_tiff import write_labels_tiff
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback
from napari_pathseg.slide.base import Slide


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written, and where."""

    bundle: Path
    geojson: Path
    labels: tuple[Path, ...]
    fields: int
    objects: int


def export_desk(
    folder: Path,
    slide: Slide,
    store: LabelStore | None,
    fields: list[tuple[FieldRecord, Mask]],
    report: ProgressCallback,
    cancel: CancelToken,
) -> Exported:
    """Write all fields of a slide into a folder; for the background.

    Writes `<folder>/training/` (a bundle), `<folder>/<stem>.geojson` (level-0 pixels) and one
    `<folder>/<stem>.<n>.labels.tif` a field.

    Raises
    ------
    ExportError
        When there is nothing to write, or the folder can not be written.
    """
    if not fields:
        raise ExportError(
            "There is nothing to export yet.", "Segment a field or draw something first."
        )
    stem = slide.path.stem.removesuffix(".ome")
    count = len(fields)

    def with_pixels() -> Iterator[ExportField]:
        for number, (record, mask) in enumerate(fields):
            if cancel.cancelled:
                raise CancelledError
            report(Progress(number, count, f"Exporting field {number + 1} of {count}"))
            before = store.proposal(record.id) if store is not None else None
            yield ExportField(record, mask, slide.read(record.field), before=before)

    bundle, geojson = folder / "training", folder / f"{stem}.geojson"
    written = write_bundle(bundle, with_pixels(), cancel=cancel)
    objects = write_geojson(
        geojson, (ExportField(record, mask) for record, mask in fields), cancel=cancel
    )
    labels = []
    for number, (record, mask) in enumerate(fields, start=1):
        path = folder / f"{stem}.{number}.labels.tif"
        write_labels_tiff(path, mask, record.mpp, record.classes)
        labels.append(path)
    return Exported(bundle, geojson, tuple(labels), written, objects)
