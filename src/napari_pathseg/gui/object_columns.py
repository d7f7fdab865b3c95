"""What is told of every object: the columns of the table, of the CSV and of napari's features."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from napari_pathseg.gui.measuring import ClassSummary, MeasuredObject, SlideMeasures
from napari_pathseg.gui.provenance import ORIGIN, origin_of
from napari_pathseg.labels.stains import StainPair

Cell = str | float
SIZES, ORIGINS = "Measures", "Origin"


@dataclass(frozen=True, slots=True)
class Column:
    """One thing that is told of an object.

    Attributes
    ----------
    name : str
        In files: lower case, with its unit.
    title : str
        Above the column.
    hint : str
    group : str
        `SIZES` or `ORIGINS`.
    value : callable
        Of an object; "" where it is unknown.
    number : bool
        Whether it can be drawn as a histogram.
    """

    name: str
    title: str
    hint: str
    group: str
    value: Callable[[MeasuredObject], Cell]
    number: bool = False


def columns(stains: StainPair, scaled: bool) -> tuple[Column, ...]:
    """All columns, for slides with or without a scale."""
    return (CLASS, *_shapes(scaled), *_dyes(stains), *_places(), *_origins())


def rows(measures: SlideMeasures, told: Sequence[Column]) -> list[tuple[Cell, ...]]:
    """A row for each object."""
    return [tuple(column.value(one) for column in told) for one in measures.objects]


CLASS = Column("class", "class", "Class of the object", SIZES, lambda o: o.label_class.name)


def _shapes(scaled: bool) -> tuple[Column, ...]:
    if scaled:
        sizes = (
            _measured("area_um2", "area µm²", "Area, holes left out", lambda o: o.measure.area_um2),
            _measured(
                "perimeter_um",
                "perimeter µm",
                "Length of the outline, holes included",
                lambda o: o.measure.perimeter_um,
            ),
        )
    else:
        sizes = (
            _measured("area_px", "area px", "Mask pixels", lambda o: o.measure.area_px),
            _measured(
                "perimeter_px", "perimeter px", "Mask pixels", lambda o: o.measure.perimeter_px
            ),
        )
    return (
        *sizes,
        _measured(
            "circularity",
            "circularity",
            "4 π area / perimeter²: 1 for a disc, less the more winding it is",
            lambda o: o.measure.circularity,
        ),
        _measured(
            "irregularity", "irregularity", "1 - circularity", lambda o: o.measure.irregularity
        ),
    )


def _dyes(stains: StainPair) -> tuple[Column, ...]:
    return tuple(
        _measured(
            f"{dye.lower()}_od",
            dye,
            f"Mean optical density of {dye} after colour deconvolution",
            partial(_dye, i),
        )
        for i, dye in enumerate(stains.dyes)
    )


def _dye(index: int, one: MeasuredObject) -> float:
    return one.dyes[index]


def _places() -> tuple[Column, ...]:
    return (
        Column("y_level0_px", "y px", "Centre, level-0 pixels", SIZES, lambda o: o.center[0]),
        Column("x_level0_px", "x px", "Centre, level-0 pixels", SIZES, lambda o: o.center[1]),
    )


def _origins() -> tuple[Column, ...]:
    return tuple(
        Column(name, name.replace("_", " "), hint, ORIGINS, partial(_origin, name))
        for name, hint in ORIGIN.items()
    )


def _origin(name: str, one: MeasuredObject) -> Cell:
    return origin_of(one.record, one.label_class.value)[name]


def _measured(
    name: str, title: str, hint: str, value: Callable[[MeasuredObject], float | None]
) -> Column:
    return Column(name, title, hint, SIZES, partial(_known, value), number=True)


def _known(value: Callable[[MeasuredObject], float | None], one: MeasuredObject) -> Cell:
    found = value(one)
    return "" if found is None else found


SUMMARY = (
    "slide",
    "class",
    "objects",
    "area_um2",
    "area_level0_px",
    "share_of_tissue",
    "objects_per_mm2_tissue",
    "tissue_mm2",
    "mean_area_um2",
    "mean_circularity",
    "mean_irregularity",
    "dispersion_um",
)
"""Columns of the summary, before those of the dyes."""


def summary_columns(stains: StainPair) -> tuple[str, ...]:
    """Columns of the table of classes."""
    return (*SUMMARY, *(f"mean_{dye.lower()}_od" for dye in stains.dyes))


def summary_row(slide_name: str, found: ClassSummary) -> tuple[Cell, ...]:
    """One class of a slide, in the order of :func:`summary_columns`."""
    tissue = None if found.tissue_um2 is None else found.tissue_um2 / 1e6
    told = (
        found.area_um2,
        found.area_px,
        found.share,
        found.per_mm2,
        tissue,
        found.mean_area_um2,
        found.circularity,
        found.irregularity,
        found.dispersion_um,
        *found.dyes,
    )
    numbers = ("" if value is None else value for value in told)
    return (slide_name, found.label_class.name, found.objects, *numbers)
