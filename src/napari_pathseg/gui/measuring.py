"""All objects of a slide, measured; for the background."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.geometry import Field, Pair, Region
from napari_pathseg.gui.ground import Ground, ground_of
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.apart import objects_apart
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.measure import (
    MIN_INSTANCE_PX,
    ObjectMeasure,
    measure_classes,
    measure_objects,
)
from napari_pathseg.labels.raster import Instances, outlines
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.stains import StainPair, dye_amounts, sums_by_object
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback
from napari_pathseg.slide.base import Slide

STRIP_ROWS = 512
UM2_PER_MM2 = 1e6


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredObject:
    """One object.

    Attributes
    ----------
    record : FieldRecord
        Of its field.
    label_class : LabelClass
    measure : ObjectMeasure
    center : (float, float)
        Continuous level-0 pixels.
    region : Region
        Bounding box, level-0 pixels.
    dyes : tuple of float
        Mean optical density of each dye.
    """

    record: FieldRecord
    label_class: LabelClass
    measure: ObjectMeasure
    center: Pair
    region: Region
    dyes: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class ClassSummary:
    """All objects of a class on a slide.

    Attributes
    ----------
    label_class : LabelClass
    objects : int
        Of at least `MIN_INSTANCE_PX` mask pixels, as in PathSegmentor 1.7; smaller ones count
        for the area only.
    area_px : float
        Level-0 pixels.
    area_um2 : float or None
    tissue_um2 : float or None
        Tissue in the fields where the class was asked for or drawn.
    mean_area_um2 : float or None
        Of the counted objects, as the means below.
    circularity, irregularity : float
    dispersion_um : float or None
        Mean over the fields that have at least two objects.
    dyes : tuple of float
    """

    label_class: LabelClass
    objects: int
    area_px: float
    area_um2: float | None
    tissue_um2: float | None
    mean_area_um2: float | None
    circularity: float
    irregularity: float
    dispersion_um: float | None
    dyes: tuple[float, ...]

    @property
    def per_mm2(self) -> float | None:
        """Objects a square millimetre of the tissue that was looked at."""
        if not self.tissue_um2:
            return None
        return self.objects / self.tissue_um2 * UM2_PER_MM2

    @property
    def share(self) -> float | None:
        """Part of the tissue that was looked at, 0 to 1."""
        if not self.tissue_um2 or self.area_um2 is None:
            return None
        return min(self.area_um2 / self.tissue_um2, 1.0)


@dataclass(frozen=True, slots=True, eq=False)
class SlideMeasures:
    """Everything that was measured on a slide."""

    slide_name: str
    stains: StainPair
    objects: tuple[MeasuredObject, ...]
    classes: tuple[ClassSummary, ...]

    def ratio(self, first: str, second: str) -> float | None:
        """Area of one class over that of another; None when a class is not there."""
        areas = {c.label_class.name: c.area_px for c in self.classes}
        if not areas.get(second) or first not in areas:
            return None
        return areas[first] / areas[second]


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    """What was measured in a mask, whatever its classes are called."""

    measured: tuple[bytes, Field, StainPair, Pair | None]
    measures: tuple[ObjectMeasure, ...]
    regions: tuple[Region, ...]
    dyes: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """A field with its objects, the classes that were asked for or drawn in it, and those of
    which there are only strokes, such as the corrections of the field below it.
    """

    region: Region
    objects: tuple[MeasuredObject, ...]
    values: frozenset[int]
    strokes: frozenset[int]

    def replaces(self, older: MeasuredObject) -> bool:
        """Whether this field tells what there is of an object of an older field."""
        value = older.label_class.value
        if value not in self.strokes:
            return value in self.values and self.region.contains(*older.center)
        own = (o for o in self.objects if o.label_class.value == value)
        return any(o.region.contains(*older.center) for o in own)


class Measuring:
    """Measures one slide again and again: only fields that have changed are looked at anew."""

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self._ground: Ground | None = None
        self._known: dict[str, _Found] = {}

    def ground(self) -> Ground:
        """Tissue and glass of the slide; read once."""
        if self._ground is None:
            self._ground = ground_of(self._slide)
        return self._ground

    def measure(
        self,
        fields: Sequence[tuple[FieldRecord, Mask]],
        classes: ClassList,
        mpp: Pair | None,
        stains: StainPair,
        report: ProgressCallback,
        cancel: CancelToken,
        store: LabelStore | None = None,
    ) -> SlideMeasures:
        """Measure every object of the given fields, oldest field first.

        Where fields overlap, an object belongs to the newest field that has its centre and in
        which its class was asked for or drawn; a stroke in a field that was asked for other
        classes replaces only what it covers the centre of, and is part of what it lies in.

        Raises
        ------
        SlideError
            When pixels can not be read.
        CancelledError
        """
        ground, looked = self.ground(), []
        for done, (record, mask) in enumerate(fields):
            cancel.raise_if_cancelled()
            report(Progress(done, len(fields), f"Measuring field {done + 1} of {len(fields)}"))
            known = self._known.get(record.id)
            numbers = None if store is None else store.numbers(record.id)
            drawn = hashlib.sha1(mask.tobytes())
            drawn.update(b"" if numbers is None else numbers.tobytes())
            what = drawn.digest(), record.field, stains, mpp
            if known is None or known.measured != what:
                instances = objects_apart(mask, numbers)
                known = _Found(
                    what, *self._found(record.field, mask, instances, mpp, stains, cancel)
                )
                self._known[record.id] = known
            looked.append(_looked(record, known, classes))
        objects = tuple(_once(looked))
        summaries = [_summary(c, looked, objects, ground, mpp) for c in classes]
        present = tuple(s for s in summaries if s is not None)
        return SlideMeasures(self._slide.path.name, stains, objects, present)

    def _found(
        self,
        field: Field,
        mask: Mask,
        instances: Instances,
        mpp: Pair | None,
        stains: StainPair,
        cancel: CancelToken,
    ) -> tuple[tuple[ObjectMeasure, ...], tuple[Region, ...], npt.NDArray[np.float64]]:
        """Measures, bounding boxes and dyes of a field's objects."""
        cancel.raise_if_cancelled()
        traced = outlines(instances)
        cancel.raise_if_cancelled()
        measures = measure_objects(instances, mask, field.mpp(mpp), traced)
        boxes = ndimage.find_objects(instances)
        regions = tuple(_region(field, boxes[m.value - 1]) for m in measures)
        dyes = self._dyes(field, instances, stains, cancel)
        return measures, regions, dyes

    def _dyes(
        self, field: Field, instances: Instances, stains: StainPair, cancel: CancelToken
    ) -> npt.NDArray[np.float64]:
        """Mean amounts by object value, (objects + 1, dyes); a strip of the field at a time."""
        largest, white = int(instances.max(initial=0)), self.ground().white
        sums = np.zeros((largest + 1, len(stains.dyes)))
        pixels = np.zeros(largest + 1)
        for top in range(0, field.height, STRIP_ROWS):
            cancel.raise_if_cancelled()
            rows = min(STRIP_ROWS, field.height - top)
            part = instances[top : top + rows]
            if not part.any():
                continue
            seen = self._slide.read(field.cropped(top, 0, rows, field.width))
            more, count = sums_by_object(dye_amounts(seen, stains, white), part, largest)
            sums += more
            pixels += count
        return sums / np.maximum(pixels, 1)[:, None]


def _looked(record: FieldRecord, found: _Found, classes: ClassList) -> _Looked:
    """Give every object its class of today; pixels of a class that is gone count for nothing."""
    known = {c.value: c for c in classes}
    objects = tuple(
        MeasuredObject(
            record,
            known[m.class_value],
            m,
            record.field.to_level0(*m.centroid),
            region,
            tuple(found.dyes[m.value].tolist()),
        )
        for m, region in zip(found.measures, found.regions, strict=True)
        if m.class_value in known
    )
    asked = {c.value for c, _ in zip(record.classes, record.asked_as, strict=False)}
    drawn = {o.label_class.value for o in objects}
    strokes = drawn - asked if asked else set()
    return _Looked(record.field.region, objects, frozenset(asked | drawn), frozenset(strokes))


def _once(looked: Sequence[_Looked]) -> Iterable[MeasuredObject]:
    """Each object once, in the newest field that looked for its class at its centre."""
    kept: list[MeasuredObject] = []
    for i, field in enumerate(looked):
        newer = [f for f in looked[i + 1 :] if f.region.intersection(field.region)]
        own = [o for o in field.objects if not any(f.replaces(o) for f in newer)]
        kept += [o for o in own if not (o.label_class.value in field.strokes and _in_any(o, kept))]
    return kept


def _in_any(stroke: MeasuredObject, others: Iterable[MeasuredObject]) -> bool:
    """Whether a stroke is part of one of the objects of its class."""
    same = (o for o in others if o.label_class.value == stroke.label_class.value)
    return any(o.region.contains(*stroke.center) for o in same)


def _summary(
    label_class: LabelClass,
    looked: Sequence[_Looked],
    objects: Sequence[MeasuredObject],
    ground: Ground,
    mpp: Pair | None,
) -> ClassSummary | None:
    """The objects of one class; None when it is neither asked for nor drawn."""
    value = label_class.value
    regions = [f.region for f in looked if value in f.values]
    if not regions:
        return None
    mine = [o for o in objects if o.label_class.value == value]
    counted = [o for o in mine if o.measure.area_px >= MIN_INSTANCE_PX]
    areas = [o.measure.area_um2 for o in counted if o.measure.area_um2 is not None]
    area_px = sum(o.measure.area_px * _downsampled(o) for o in mine)
    return ClassSummary(
        label_class,
        len(counted),
        area_px,
        None if mpp is None else area_px * mpp[0] * mpp[1],
        ground.tissue_um2(regions, mpp),
        float(np.mean(areas)) if areas else None,
        _mean([o.measure.circularity for o in counted]),
        _mean([o.measure.irregularity for o in counted]),
        _dispersion(value, looked, mpp),
        tuple(_mean(dye) for dye in zip(*(o.dyes for o in counted), strict=True)),
    )


def _dispersion(value: int, looked: Sequence[_Looked], mpp: Pair | None) -> float | None:
    """Mean over the fields with at least two objects; None without them or without a scale."""
    spread = []
    for field in looked:
        of_class = [o for o in field.objects if o.label_class.value == value]
        scale = of_class[0].record.field.mpp(mpp) if of_class else None
        summed = measure_classes([o.measure for o in of_class], scale)
        spread += [s.dispersion_um for s in summed if s.objects > 1 and s.dispersion_um is not None]
    return _mean(spread) if spread else None


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _downsampled(one: MeasuredObject) -> float:
    """Level-0 pixels in a mask pixel."""
    down_y, down_x = one.record.field.downsample
    return down_y * down_x


def _region(field: Field, box: tuple[slice, slice]) -> Region:
    rows, columns = box
    part = field.cropped(
        rows.start, columns.start, rows.stop - rows.start, columns.stop - columns.start
    )
    return part.region
