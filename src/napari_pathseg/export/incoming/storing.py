"""Labels that came in become fields of the slide's label store, all of them or none."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError
from napari_pathseg.export.incoming.frame import Frame, Incoming, IncomingField
from napari_pathseg.export.incoming.mapping import ASK, Mapped, mapped_classes
from napari_pathseg.labels.apart import told_apart
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.record import FieldRecord

Prepared = tuple[FieldRecord, npt.NDArray[np.uint16], Instances | None]


class Store(Protocol):
    """Where fields are kept, such as a LabelStore."""

    def fields(self) -> tuple[FieldRecord, ...]:
        """All records."""

    def save_fields(
        self,
        fields: Sequence[tuple[FieldRecord, npt.NDArray[np.integer]]],
        numbers: Mapping[str, Instances] | None = None,
    ) -> None:
        """Store fields, all or none, and which objects of some are to be told apart."""


@dataclass(frozen=True, slots=True)
class Imported:
    """What was stored.

    Attributes
    ----------
    fields : int
        New ones, and those that were there and have been replaced; undo takes them back.
    pixels : int
        With a label.
    classes : ClassList
        Of the slide now.
    ids : tuple of str
        Of the fields.
    """

    fields: int
    pixels: int
    classes: ClassList
    ids: tuple[str, ...]


def classes_of(records: Sequence[FieldRecord]) -> ClassList:
    """All classes of a slide's fields; a value means the same in each."""
    found: dict[int, object] = {}
    classes = []
    for record in records:
        for c in record.classes:
            if c.value not in found:
                found[c.value] = c
                classes.append(c)
    return ClassList(tuple(classes))


def prepare(
    incoming: Incoming,
    mapping: Sequence[Mapped],
    frame: Frame,
    classes: ClassList,
    *,
    author: str = "",
    reviewed: bool = False,
) -> list[Prepared]:
    """Records, masks and numbers of objects as they are to be stored; nothing is stored.

    Parameters
    ----------
    incoming : Incoming
    mapping : sequence of Mapped
    frame : Frame
    classes : ClassList
        Of the slide.
    author : str
    reviewed : bool
        A person vouches for the labels; otherwise they are proposals. Our own files say it.

    Raises
    ------
    ExportError
        When no class is left to import.
    """
    joined, values = mapped_classes(mapping, classes)
    prepared = [
        _prepared(field, incoming, values, joined, frame, author, reviewed)
        for field in incoming.fields
    ]
    if not any(mask.any() for _, mask, _ in prepared):
        asked = [m.source.name for m in mapping if m.why == ASK]
        if asked:
            raise ExportError(
                f"{incoming.path} numbers objects and does not say which class they are.",
                f'Name it (--map "{asked[0]}=nucleus"), or read the numbers as classes.',
            )
        raise ExportError(
            f"{incoming.path}: nothing is left to import.", "Choose at least one of its classes."
        )
    return prepared


def import_labels(
    incoming: Incoming,
    mapping: Sequence[Mapped],
    store: Store,
    frame: Frame,
    *,
    classes: ClassList | None = None,
    author: str = "",
    reviewed: bool = False,
) -> Imported:
    """Store what came in, in one transaction; a field of ours that is there is replaced.

    Parameters
    ----------
    incoming : Incoming
    mapping : sequence of Mapped
    store : Store
    frame : Frame
    classes : ClassList, optional
        Of the slide; those of the stored fields by default.
    author, reviewed
        As in :func:`prepare`.

    Raises
    ------
    ExportError
        When no class is left to import.
    StoreError
        When it can not be saved; nothing is then imported.
    """
    classes = classes_of(store.fields()) if classes is None else classes
    prepared = prepare(incoming, mapping, frame, classes, author=author, reviewed=reviewed)
    known = {record.id: record for record in store.fields()}
    fresh, numbers = [], {}
    for record, mask, own in prepared:
        stored = _renewed(record) if _moved(known.get(record.id), record) else record
        fresh.append((stored, mask))
        if own is not None:
            numbers[stored.id] = own
    store.save_fields(fresh, numbers)
    return Imported(
        len(fresh),
        sum(int(np.count_nonzero(mask)) for _, mask in fresh),
        mapped_classes(mapping, classes)[0],
        tuple(record.id for record, _ in fresh),
    )


def _prepared(
    field: IncomingField,
    incoming: Incoming,
    values: npt.NDArray[np.uint16],
    classes: ClassList,
    frame: Frame,
    author: str,
    reviewed: bool,
) -> Prepared:
    table = np.zeros(65_536, dtype=np.uint16)
    table[: len(values)] = values
    mask: npt.NDArray[np.uint16] = table[field.mask]
    numbers = None if field.objects is None else told_apart(mask, field.objects)
    present = {int(v) for v in np.unique(mask)} - {0}
    mpp = field.field.mpp(frame.mpp)
    if field.record is not None:
        old = field.record
        answered = {_target(c.value, values): c for c in old.classes}
        own = ClassList(tuple(c for c in classes if c.value in present | set(answered)))
        # Answers of the model belong to classes by their order, which is another one here.
        record = replace(
            old,
            field=field.field,
            slide_identity=frame.identity,
            slide_name=frame.name,
            mpp=mpp or old.mpp,
            classes=own,
            updated=datetime.now(UTC),
            asked_as=(),
            presence=(),
            scores=(),
        )
        return _answers(record, old, values), mask, numbers
    record = FieldRecord.new(
        field.field,
        ClassList(tuple(c for c in classes if c.value in present)),
        slide_identity=frame.identity,
        slide_name=frame.name,
        mpp=mpp,
        author=author,
        status="accepted" if reviewed else "proposed",
    )
    return record, mask, numbers


def _target(value: int, values: npt.NDArray[np.uint16]) -> int:
    return int(values[value]) if value < len(values) else 0


def _answers(record: FieldRecord, old: FieldRecord, values: npt.NDArray[np.uint16]) -> FieldRecord:
    """The record with the answers the model gave, its classes first, as records have them."""
    answers = list(zip(old.classes, old.asked_as, old.presence, old.scores, strict=False))
    named = {c.value: c for c in record.classes}
    kept = [
        (named.pop(_target(c.value, values)), asked, presence, score)
        for c, asked, presence, score in answers
        if _target(c.value, values) in named
    ]
    return replace(
        record,
        classes=ClassList((*(k[0] for k in kept), *named.values())),
        asked_as=tuple(k[1] for k in kept),
        presence=tuple(k[2] for k in kept),
        scores=tuple(k[3] for k in kept),
    )


def _moved(stored: FieldRecord | None, record: FieldRecord) -> bool:
    """Whether a field of that id is kept at another place."""
    return stored is not None and stored.field != record.field


def _renewed(record: FieldRecord) -> FieldRecord:
    return replace(record, id=str(uuid.uuid4()))
