"""One slide on the desk: what is open for it and what is stored of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import StoreError
from napari_pathseg.geometry import Pair
from napari_pathseg.gui.counts import Count, count_classes
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.layers import PLACE
from napari_pathseg.gui.overview import PlacedMask, StoredLabels
from napari_pathseg.gui.prompt_layers import Ring
from napari_pathseg.gui.work import FieldWork, State
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.copies import copy_path, is_of, last_change, newest, take_up
from napari_pathseg.labels.journal import LabelStore, store_path
from napari_pathseg.labels.masks import regridded
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.labels.refuge import held_in_refuge, leave_refuge, refuge_of
from napari_pathseg.slide.base import Slide

if TYPE_CHECKING:
    from napari.layers import Image, Labels

    from napari_pathseg.inference.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class StoredField:
    """A field as it comes from the store: its record, its mask, and what is in it."""

    record: FieldRecord
    placed: PlacedMask
    counts: dict[int, Count]


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """What is read from the disk when a slide comes to the desk.

    Attributes
    ----------
    slide : Slide
    store : LabelStore or None
        When its labels can not be opened, what is kept of them elsewhere; None for nothing. Then
        `trouble` says why.
    fields : tuple of StoredField
        Everything that is stored, oldest first.
    copy : Path or None
        Where the labels are copied to beside the slide; None where it has no file.
    newer : Path or None
        A copy that is newer than the store: beside the slide, such as from another computer, or
        what was kept elsewhere while the store could not be written.
    """

    slide: Slide
    store: LabelStore | None
    fields: tuple[StoredField, ...]
    trouble: StoreError | None = None
    copy: Path | None = None
    newer: Path | None = None


def open_desk(
    slide: Slide, labels: Path | None, *, fresh: bool = False, take_newer: bool = False
) -> Opened:
    """Read the stored labels of a slide; for the background.

    Parameters
    ----------
    slide : Slide
        Closed again when this raises.
    labels : Path or None
        Folder of the label stores, None for the user's own.
    fresh : bool
        Put damaged labels aside and start anew.
    take_newer : bool
        Put the stored labels aside for the copy beside the slide.
    """
    identity, name = slide.metadata.identity, slide.path.name
    held = held_in_refuge(identity)
    if held is not None:
        # Its own folder has older labels, which must not go another way meanwhile.
        return _opened_aside(slide, held)
    begin = LabelStore.start_fresh if fresh else LabelStore.open
    store: LabelStore | None = None
    copy = copy_path(slide.path, identity) if slide.path.exists() else None
    aside = refuge_of(identity, name)
    spare = newest(identity, (copy, aside)) or copy
    try:
        if spare is not None and not fresh:
            taken = take_up(spare, store_path(identity, labels), identity, instead=take_newer)
            if taken and spare == aside:
                leave_refuge(spare)
        store = begin(identity, name, labels)
        fields = read_fields(store)
    except StoreError as error:
        if store is not None:
            store.close()
        return _opened_aside(slide, aside, error)
    except BaseException:
        slide.close()
        raise
    newer = spare if spare is not None and _is_newer(spare, identity, fields) else None
    if copy is not None and (newer == copy or _of_another(copy, identity)):
        copy = copy_path(slide.path, identity, own=True)
    return Opened(slide, store, fields, copy=copy, newer=newer)


def _opened_aside(slide: Slide, aside: Path | None, trouble: StoreError | None = None) -> Opened:
    """What was kept elsewhere, where the labels themselves can not or must not be opened."""
    if aside is None:
        return Opened(slide, None, (), trouble)
    try:
        store = LabelStore.open(slide.metadata.identity, slide.path.name, aside.parent)
        return Opened(slide, store, read_fields(store), trouble)
    except StoreError as error:
        return Opened(slide, None, (), trouble or error)


def read_fields(store: LabelStore) -> tuple[StoredField, ...]:
    """Everything that is stored, oldest first."""
    return _locked_together([_stored(store, record) for record in store.fields()])


def release(opened: Opened) -> None:
    """Close what was opened for a desk that will not be."""
    opened.slide.close()
    if opened.store is not None:
        opened.store.close()


def _stored(store: LabelStore, record: FieldRecord) -> StoredField:
    mask = store.load(record.id)[1].astype(np.uint16)
    by_hand = store.corrected(record.id)
    placed = PlacedMask.of(record.field, mask, by_hand, record.classes)
    return StoredField(record, placed, count_classes(mask, record.mpp))


def _locked_together(fields: Sequence[StoredField]) -> tuple[StoredField, ...]:
    """What was drawn in a field is left alone in those that were made over it later, too."""
    found: list[StoredField] = []
    for stored in sorted(fields, key=lambda each: each.record.created):
        mine = stored.placed
        for below in (other.placed for other in found if other.placed.packed.size):
            if below.field.region.intersection(mine.field.region) is not None:
                theirs = regridded(below.by_hand, below.field, mine.field)
                mine = mine.with_hand(mine.by_hand | theirs)
        found.append(replace(stored, placed=mine))
    return tuple(found)


def _is_newer(copy: Path, identity: str, fields: Sequence[StoredField]) -> bool:
    found = last_change(copy, identity) if copy.is_file() else None
    own = max((stored.record.updated for stored in fields), default=None)
    return found is not None and (own is None or found > own)


def _of_another(copy: Path, identity: str) -> bool:
    """Whether the usual place of the copy is taken by what is not this slide's."""
    return copy.is_file() and not is_of(copy, identity)


View = tuple[tuple[float, ...], float]
"""Centre and zoom of the camera."""


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
    plane : tuple of int
        Of a picture with more than two dimensions, the one that is worked on.
    copy : Path or None
        Where the store is copied to beside the slide.
    classes : ClassList
        Every class of the slide; a value means the same in all its fields.
    session : Session or None
        Made in the background with the first request.
    work : FieldWork or None
        The field that can be changed, shown by `field_layer`.
    stored : StoredLabels
        All other fields, shown by `overview`.
    hidden, locked : set of int
        Classes that are not shown, and that nothing may change.
    removed : set of int
        Classes that were taken out; their values are not given away again.
    made : set of int
        Classes that a person added to the list.
    view : View or None
        Where the camera looked before another slide came to the front.
    pointed : tuple of Ring
        Outline of the object that was chosen in a list.
    """

    layer: Image
    slide: Slide
    store: LabelStore | None
    mpp: Pair | None
    plane: tuple[int, ...] = ()
    copy: Path | None = None
    classes: ClassList = field(default_factory=ClassList)
    session: Session | None = None
    work: FieldWork | None = None
    field_layer: Labels | None = None
    overview: Labels | None = None
    hand_layer: Labels | None = None
    stored: StoredLabels = field(default_factory=StoredLabels)
    records: dict[str, FieldRecord] = field(default_factory=dict)
    hidden: set[int] = field(default_factory=set)
    locked: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    made: set[int] = field(default_factory=set)
    view: View | None = None
    pointed: tuple[Ring, ...] = ()
    uncopied: bool = False
    copied_at: float = field(default_factory=time.monotonic)
    _counts: dict[str, dict[int, Count]] = field(default_factory=dict)
    _counted: dict[str, Mask] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """File name of the slide, and which of the slides in the file."""
        return self.slide.name

    @property
    def identity(self) -> str:
        """Hash of the slide's content."""
        return self.slide.metadata.identity

    @property
    def read_only(self) -> str:
        """Why nothing may be changed here, "" where it may."""
        return self.store.reason if self.store is not None and self.store.read_only else ""

    def listed(self) -> tuple[LabelClass, ...]:
        """The classes in use: those of all fields, and those that a person added."""
        records = dict(self.records)
        if self.work is not None:
            records[self.work.id] = self.work.record
        known = self.made.union(*({c.value for c in r.classes} for r in records.values()))
        return tuple(c for c in self.classes if c.value in known - self.removed)

    def add_record(self, record: FieldRecord) -> None:
        """Know a field and its classes."""
        self.records[record.id] = record
        taken = {c.value for c in self.classes}
        new = [c for c in record.classes if c.value not in taken]
        self.classes = ClassList((*self.classes, *new))

    def is_counted(self, field_id: str, mask: Mask) -> bool:
        """Whether the counts of a field are those of this mask."""
        return self._counted.get(field_id) is mask

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

    def counts_in(self, field_id: str) -> dict[int, Count]:
        """Objects and area of each class value in one field."""
        return self._counts.get(field_id, {})

    def objects_in(self, field_id: str) -> int:
        """Objects in one field, of all classes."""
        return sum(count.objects for count in self.counts_in(field_id).values())

    def rescale(self, mpp: Pair) -> None:
        """Another scale: areas change and the session must be made anew."""
        self.mpp = mpp
        self.session = self.view = None
        for field_id, counts in self._counts.items():
            where = self.records[field_id].field.mpp(mpp)
            self._counts[field_id] = {value: c.at(where) for value, c in counts.items()}

    @property
    def is_shown(self) -> bool:
        """Whether the layer for the field under work has shown one."""
        return self.field_layer is not None and PLACE in self.field_layer.metadata

    def layers(self) -> Iterable[Image | Labels]:
        """The layers of this slide that are in the viewer."""
        return (x for x in (self.layer, *self.label_layers()) if x is not None)

    def label_layers(self) -> tuple[Labels, ...]:
        """Those of them that show labels."""
        found = (self.overview, self.field_layer, self.hand_layer)
        return tuple(layer for layer in found if layer is not None)

    def present(self, field_id: str) -> tuple[FieldRecord, Mask] | None:
        """A field as it is now, None when it is not there."""
        if self.work is not None and self.work.id == field_id:
            return self.work.record, self.work.mask
        if field_id not in self.stored.ids():
            return None
        return self.records[field_id], self.stored.get(field_id).mask.astype(np.uint16)

    def fields(self) -> list[tuple[FieldRecord, Mask]]:
        """Every field with its present mask, in the order they were made."""
        ids = [*self.stored.ids(), *([self.work.id] if self.work is not None else [])]
        found = [pair for pair in map(self.present, ids) if pair is not None]
        return sorted(found, key=lambda pair: pair[0].created)

    def put_away(self) -> PlacedMask | None:
        """The field under work becomes one of the stored ones."""
        work, self.work = self.work, None
        if work is None:
            return None
        record, by_hand = work.record, work.state.draft.by_hand
        placed = PlacedMask.of(record.field, work.mask, by_hand, self.classes)
        self.stored.put(record.id, placed)
        self.records[record.id] = record
        return placed

    def take_out(self, field_id: str) -> FieldWork:
        """A stored field becomes the one under work; that one must have been put away."""
        placed, record = self.stored.get(field_id), self.records[field_id]
        self.stored.remove(field_id)
        draft = Draft.of_mask(placed.mask.astype(np.uint16), placed.by_hand)
        state, locked = State(draft, record), frozenset(self.locked)
        self.work = FieldWork(record.field.region, state, self.classes, locked)
        return self.work

    def close(self) -> None:
        """Release store and slide."""
        if self.store is not None:
            self.store.close()
        with contextlib.suppress(OSError):
            self.slide.close()
