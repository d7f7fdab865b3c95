"""The review queue: which field a person should look at next, on all open slides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from napari_pathseg.geometry import Pair, Region
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.masks import LabelArray
from napari_pathseg.labels.overlap import dice_and_iou
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback

UM2_PER_MM2 = 1e6
REVIEWED = ("accepted", "corrected")


@dataclass(frozen=True, slots=True)
class QueuedField:
    """A field in the queue.

    Attributes
    ----------
    identity : str
        Of its slide.
    slide_name : str
    record : FieldRecord
    """

    identity: str
    slide_name: str
    record: FieldRecord

    @property
    def reviewed(self) -> bool:
        """Whether a person accepted or corrected it."""
        return self.record.status in REVIEWED

    @property
    def sureness(self) -> float:
        """How sure the model is of its worst class, 0 to 1; 1 for what was drawn by hand.

        A class counts by its score where it was found, and by how far its presence is from
        undecided where it was not.
        """
        return min(
            (
                score if presence >= UNDECIDED else 1 - 2 * presence * (1 - score)
                for score, presence in zip(self.record.scores, self.record.presence, strict=True)
            ),
            default=1.0,
        )

    @property
    def what(self) -> str:
        """The words that were asked, or the classes."""
        return "; ".join(self.record.texts) or ", ".join(c.name for c in self.record.classes)


UNDECIDED = 0.5


def queue(fields: Iterable[QueuedField], *, reviewed_too: bool) -> tuple[QueuedField, ...]:
    """The fields to look at, those the model is least sure of first.

    Parameters
    ----------
    fields : iterable of QueuedField
        Of all open slides.
    reviewed_too : bool
        Put those that were accepted or corrected behind the others; they are left out otherwise.
    """
    kept = [f for f in fields if reviewed_too or not f.reviewed]
    return tuple(sorted(kept, key=lambda f: (f.reviewed, f.sureness, f.slide_name, f.record.id)))


def after(queued: Sequence[QueuedField], present: str | None, step: int = 1) -> QueuedField | None:
    """The field `step` places behind the present one, round and round; the first without one."""
    if not queued:
        return None
    ids = [f.record.id for f in queued]
    if present not in ids:
        return queued[0 if step > 0 else -1]
    return queued[(ids.index(present) + step) % len(queued)]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the model proposed against what the person made of it, in one field.

    Attributes
    ----------
    dice : float
        Mean over the classes that are in either.
    classes : tuple of (class value, dice)
    """

    dice: float
    classes: tuple[tuple[int, float], ...]


def agreement(before: LabelArray, after_: LabelArray) -> Agreement:
    """Dice of each class before and after correction; 1 where neither has any."""
    values = sorted({*np.unique(before).tolist(), *np.unique(after_).tolist()} - {0})
    found = tuple((v, dice_and_iou(before == v, after_ == v)[0]) for v in values)
    mean = float(np.mean([d for _, d in found])) if found else 1.0
    return Agreement(mean, found)


@dataclass(frozen=True, slots=True)
class Progressed:
    """How far the review is.

    Attributes
    ----------
    fields, reviewed : int
        Of all open slides.
    objects : int
        In reviewed fields.
    reviewed_mm2, segmented_mm2 : float or None
        Fields that overlap count once; None while a slide has no scale.
    """

    fields: int
    reviewed: int
    objects: int
    reviewed_mm2: float | None
    segmented_mm2: float | None


def progressed(
    slides: Iterable[tuple[Sequence[QueuedField], Pair | None]], objects: int
) -> Progressed:
    """Sum up the fields of each slide with its scale."""
    total, done, area_done, area_all, scaled = 0, 0, 0.0, 0.0, True
    for fields, mpp in slides:
        total += len(fields)
        done += sum(f.reviewed for f in fields)
        if mpp is None:
            scaled = scaled and not fields
            continue
        pixel = mpp[0] * mpp[1] / UM2_PER_MM2
        area_all += pixel * union_px([f.record.field.region for f in fields])
        area_done += pixel * union_px([f.record.field.region for f in fields if f.reviewed])
    mm2 = (area_done, area_all) if scaled else (None, None)
    return Progressed(total, done, objects, *mm2)


def union_px(regions: Sequence[Region]) -> int:
    """Pixels of all regions together, each once: strips between their upper and lower edges."""
    begins: dict[int, list[Region]] = {}
    for region in regions:
        begins.setdefault(region.y, []).append(region)
    edges = sorted({y for r in regions for y in (r.y, r.stop_y)})
    crossing: list[Region] = []
    total = 0
    for top, bottom in pairwise(edges):
        crossing = [r for r in crossing if r.stop_y > top] + begins.get(top, [])
        total += (bottom - top) * _covered(sorted(crossing, key=lambda r: r.x))
    return total


def _covered(regions: Sequence[Region]) -> int:
    """Columns that regions cover, from left to right."""
    reach, covered = 0, 0
    for i, region in enumerate(regions):
        start = region.x if i == 0 else max(region.x, reach)
        covered += max(region.stop_x - start, 0)
        reach = max(region.stop_x, start)
    return covered


class Agreements:
    """Compares proposals with what became of them, each state of a field once."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[FieldRecord, Agreement]] = {}

    def known(self, record: FieldRecord) -> Agreement | None:
        """What was found for a field as it is now."""
        found = self._known.get(record.id)
        return found[1] if found is not None and found[0] == record else None

    def compare(
        self,
        fields: Sequence[tuple[LabelStore, FieldRecord, Mask]],
        report: ProgressCallback,
        cancel: CancelToken,
    ) -> None:
        """Read what was proposed in each field and compare it; for the background.

        Raises
        ------
        StoreError
            When a store can not be read.
        CancelledError
        """
        for done, (store, record, mask) in enumerate(fields):
            cancel.raise_if_cancelled()
            report(Progress(done, len(fields), "Comparing with what was proposed"))
            before = store.proposal(record.id)
            same = before.shape == mask.shape
            self._known[record.id] = record, agreement(before if same else mask, mask)
