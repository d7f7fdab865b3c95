"""One slide on the desk: what is open for it and what is stored of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import StoreError
from napari_pathseg.geometry import Field, Pair
from napari_pathseg.gui.counts import Count, count_classes
from napari_pathseg.gui.overview import PlacedMask, StoredLabels
from napari_pathseg.gui.sources import open_source
from napari_pathseg.gui.work import FieldWork
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.slide.base import Slide

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_pathseg.inference.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What is read from the disk when a slide comes to the desk.

    Attributes
    ----------
    slide : Slide
    store : LabelStore or None
        None when its labels can not be opened; `trouble` says why.
    fields : tuple of (FieldRecord, mask)
        Everything that is stored, oldest first.
    """

    slide: Slide
    store: LabelStore | None
    fields: tuple[tuple[FieldRecord, Mask], ...]
    trouble: StoreError | None = None


def open_desk(path: Path, labels: Path | None, *, fresh: bool = False) -> Opened:
    """Open a slide and read its stored labels; for the background.

    Parameters
    ----------
    path : Path
        Of the slide.
    labels : Path or None
        Folder of the label stores, None for the user's own.
    fresh : bool
        Put damaged labels aside and start anew.

    Raises
    ------
    SlideError
        When the slide can not be opened.
    """
    slide = open_source(path)
    identity, name = slide.metadata.identity, path.name
    begin = LabelStore.start_fresh if fresh else LabelStore.open
    store: LabelStore | None = None
    try:
        store = begin(identity, name, labels)
        loaded = [store.load(record.id) for record in store.fields()]
    except StoreError as error:
        if store is not None:
            store.close()
        return Opened(slide, None, (), error)
    except BaseException:
        slide.close()
        raise
    fields = tuple((record, mask.astype(np.uint16)) for record, mask in loaded)
    return Opened(slide, store, fields)


@dataclass(slots=True, eq=False)
class Desk:
    """State of one slide in the viewer.

    Attributes
    ----------
    layer : napari.layers.Image
        The slide's own layer.
    slide : Slide
    store : LabelStore or None
    mpp : (float, float) or None
        The file's, or the one a person gave.
    classes : ClassList
        Every class of the slide; a value means the same in all its fields.
    session : Session or None
        Made in the background with the first request.
    work : FieldWork or None
        The field that can be changed, shown by `field_layer`.
    stored : StoredLabels
        All other fields, shown by `overview`.
    """

    layer: Image
    slide: Slide
    store: LabelStore | None
    mpp: Pair | None
    classes: ClassList = field(default_factory=ClassList)
    session: Session | None = None
    work: FieldWork | None = None
    field_layer: Labels | None = None
    overview: Labels | None = None
    stored: StoredLabels = field(default_factory=StoredLabels)
    records: dict[str, FieldRecord] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    _counts: dict[str, dict[int, Count]] = field(default_factory=dict)
    _counted: dict[str, Mask] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """File name of the slide."""
        return self.slide.path.name

    @property
    def identity(self) -> str:
        """Hash of the slide's content."""
        return self.slide.metadata.identity

    def add_record(self, record: FieldRecord) -> None:
        """Know a field and its classes."""
        self.records[record.id] = record
        taken = {c.value for c in self.classes}
        new = [c for c in record.classes if c.value not in taken]
        self.classes = ClassList((*self.classes, *new))

    def recount(self, field_id: str, mask: Mask, where: Field) -> None:
        """Count the objects of a field where its mask is another one than last time."""
        if self._counted.get(field_id) is not mask:
            self.counted(field_id, mask, count_classes(mask, where.mpp(self.mpp)))

    def counted(self, field_id: str, mask: Mask, counts: dict[int, Count]) -> None:
        """Take over counts of a field's mask."""
        self._counts[field_id] = counts
        self._counted[field_id] = mask

    def forget(self, field_id: str) -> None:
        """A field was deleted."""
        self._counts.pop(field_id, None)
        self._counted.pop(field_id, None)
        self.records.pop(field_id, None)
        self.stored.remove(field_id)

    def counts(self) -> dict[int, Count]:
        """Objects and area of each class value over all fields."""
        total: dict[int, Count] = {}
        for counts in self._counts.values():
            for value, count in counts.items():
                total[value] = total[value] + count if value in total else count
        return total

    def rescale(self, mpp: Pair) -> None:
        """Another scale: areas change and the session must be made anew."""
        self.mpp = mpp
        self.session = None
        self._counted.clear()
        for field_id in list(self._counts):
            mask, where = self._pixels(field_id)
            self.recount(field_id, mask, where)

    def layers(self) -> Iterable[Image | Labels]:
        """The layers of this slide that are in the viewer."""
        return (x for x in (self.layer, self.overview, self.field_layer) if x is not None)

    def fields(self) -> list[tuple[FieldRecord, Mask]]:
        """Every field with its present mask, in the order they were made."""
        found = [(self.records[i], self.stored.get(i).mask) for i in self.stored.ids()]
        if self.work is not None:
            found.append((self.work.record, self.work.mask))
        return sorted(found, key=lambda pair: pair[0].created)

    def put_away(self) -> PlacedMask | None:
        """The field under work becomes one of the stored ones."""
        work, self.work = self.work, None
        if work is None:
            return None
        placed = PlacedMask(work.record.field, work.mask)
        self.stored.put(work.record.id, placed)
        self.records[work.record.id] = work.record
        return placed

    def close(self) -> None:
        """Release store and slide."""
        if self.store is not None:
            self.store.close()
        with contextlib.suppress(OSError):
            self.slide.close()

    def _pixels(self, field_id: str) -> tuple[Mask, Field]:
        if self.work is not None and self.work.record.id == field_id:
            return self.work.mask, self.work.record.field
        placed = self.stored.get(field_id)
        return placed.mask, placed.field
