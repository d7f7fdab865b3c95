"""The objects of a field with outline and measures, traced band by band so that memory stays
bounded by the field's pixels and not by the number of its objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from napari_pathseg.export.fields import ExportField
from napari_pathseg.geometry import Pair
from napari_pathseg.labels.measure import ObjectMeasure, measure_objects
from napari_pathseg.labels.raster import Instances, Ints, Outline, outlines

BAND_PX = 1 << 20
"""Pixels that are traced at once."""
MIN_ROWS = 64


class FieldObject(NamedTuple):
    """One object: its outline in field pixels, and its measures."""

    outline: Outline
    measure: ObjectMeasure


class Band(NamedTuple):
    """Some rows of a field, with the objects that begin in them and no others."""

    top: int
    instances: Instances
    classes: Ints


def objects_of(field: ExportField) -> Iterator[FieldObject]:
    """The objects of a field, those that begin in the same rows together, by their values."""
    for band in bands_of(field):
        yield from measured(band, field.record.mpp)


def measured(band: Band, mpp: Pair | None) -> Iterator[FieldObject]:
    """The objects of a band, in the order of their values."""
    traced = outlines(band.instances)
    for outline, measure in zip(
        traced, measure_objects(band.instances, band.classes, mpp, traced), strict=True
    ):
        y, x = measure.centroid
        yield FieldObject(outline.moved(band.top, 0), replace(measure, centroid=(y + band.top, x)))


def bands_of(field: ExportField) -> Iterator[Band]:
    """The field's objects in groups; each object comes once and whole."""
    instances = field.classed_objects()
    height, width = instances.shape
    rows = max(BAND_PX // max(width, 1), MIN_ROWS)
    if height <= rows:
        if instances.any():
            yield Band(0, instances, field.mask)
        return
    values, top, bottom = _extents(instances)
    begins = top // rows
    for number in np.unique(begins).tolist():
        own = values[begins == number]
        first, last = number * rows, int(bottom[begins == number].max()) + 1
        window = instances[first:last]
        kept = np.where(np.isin(window, own), window, 0).astype(np.uint32)
        yield Band(first, kept, field.mask[first:last])


def _extents(
    instances: Instances,
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Values of all objects with their first and last row."""
    by_row = [np.unique(row) for row in instances]
    row = np.repeat(np.arange(len(by_row)), [len(found) for found in by_row])
    value = np.concatenate(by_row)
    row, value = row[value > 0], value[value > 0]
    values, first = np.unique(value, return_index=True)
    last = np.zeros(len(values), dtype=np.int64)
    np.maximum.at(last, np.searchsorted(values, value), row)
    return values, row[first], last
