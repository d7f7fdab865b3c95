"""Measurements as CSV: one row an object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_pathseg.export.fields import ExportField, hidden_name
from napari_pathseg.export.objects import objects_of
from napari_pathseg.export.sheet import Cell, write_sheet
from napari_pathseg.labels.measure import ObjectMeasure
from napari_pathseg.labels.origin import asked_with
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

COLUMNS = (
    "slide",
    "field",
    "object",
    "class",
    "term",
    "y_level0_px",
    "x_level0_px",
    "area_px",
    "area_um2",
    "perimeter_px",
    "perimeter_um",
    "circularity",
    "irregularity",
    "mpp_y",
    "mpp_x",
    "level",
    "prompt",
    "model",
    "status",
)


def write_table(
    path: Path,
    fields: Iterable[ExportField],
    *,
    hide_names: bool = True,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> int:
    """Write the measures of all objects; a size in micrometres is empty where it is unknown.

    Parameters
    ----------
    path : Path
        As :func:`~napari_pathseg.export.sheet.write_sheet` writes it.
    fields : iterable of ExportField
        Read one by one.
    hide_names : bool
        Put a hash in the place of slide names, which may name a patient.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    ExportError
        When the file can not be written; an older one stays as it was.
    CancelledError
    """

    def every() -> Iterator[tuple[Cell, ...]]:
        for done, field in enumerate(fields):
            if cancel is not None:
                cancel.raise_if_cancelled()
            progress(Progress(done, 0, f"Measuring field {done + 1}"))
            yield from rows(field, hide_names)

    return write_sheet(path, COLUMNS, every())


def rows(field: ExportField, hide_names: bool = True) -> Iterator[tuple[Cell, ...]]:
    """The rows of a field's objects, in the order of :data:`COLUMNS`."""
    record = field.record
    name = hidden_name(record.slide_identity) if hide_names else record.slide_name
    for _, measure in objects_of(field):
        yield name, *_row(field, measure)


def _row(field: ExportField, measure: ObjectMeasure) -> tuple[Cell, ...]:
    record = field.record
    label_class = record.classes[measure.class_value]
    y, x = record.field.to_level0(*measure.centroid)
    mpp_y, mpp_x = record.mpp or ("", "")
    return (
        record.id,
        measure.value,
        label_class.name,
        str(label_class.term or ""),
        y,
        x,
        measure.area_px,
        "" if measure.area_um2 is None else measure.area_um2,
        measure.perimeter_px,
        "" if measure.perimeter_um is None else measure.perimeter_um,
        measure.circularity,
        measure.irregularity,
        mpp_y,
        mpp_x,
        record.field.level,
        asked_with(record, measure.class_value)["prompt"],
        record.model,
        record.status,
    )
