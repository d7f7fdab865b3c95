"""Where an object comes from: who asked what of which model, and what was changed since."""

from __future__ import annotations

from collections.abc import Mapping

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Pair
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Job
from napari_pathseg.labels.origin import asked_with
from napari_pathseg.labels.record import FieldRecord

Origin = dict[str, str | float]
ORIGIN = {
    "prompt": "The words that were asked, as typed",
    "clicks": "Places that were clicked, level-0 pixels (y, x); - is 'not this'",
    "gestures": "Boxes, strokes and outlines that were given, level-0 pixels (y, x)",
    "score": "The model's own estimate of its quality, 0 to 1",
    "presence": "Probability that the class is in the field, 0 to 1",
    "status": "proposed by the model, corrected by a person, or accepted",
    "model": "Name and version of the model; empty for what was drawn by hand",
    "model_sha256": "Hash of the model's weights",
    "looked_at_um": "Micrometres per pixel that the model looked at",
    "level": "Pyramid level of the mask, 0 is full resolution",
    "mpp": "Micrometres per mask pixel",
    "region": "Field: y, x, height, width in level-0 pixels",
    "author": "Who was at the computer",
    "created": "When the field was made",
    "updated": "When it was changed last",
    "field": "Id of the field in the label store and in every export",
}
"""What is told of an object, and what it means."""


def origin_of(record: FieldRecord, value: int) -> Origin:
    """All of :data:`ORIGIN` for the objects of one class in a field.

    Parameters
    ----------
    record : FieldRecord
        Of the field.
    value : int
        Of the class.
    """
    values = [c.value for c in record.classes]
    index = values.index(value) if value in values else len(values)
    answered = index < len(record.asked_as)
    return {
        **asked_with(record, value),
        "score": record.scores[index] if answered else "",
        "presence": record.presence[index] if answered else "",
        "status": record.status,
        "model": record.model if answered else "",
        "model_sha256": record.model_sha256 if answered else "",
        "looked_at_um": record.working_mpp if answered and record.working_mpp else "",
        "level": record.field.level,
        "mpp": _mpp(record.mpp),
        "region": ", ".join(str(side) for side in record.field.region.as_list()),
        "author": record.author,
        "created": record.created.isoformat(timespec="seconds"),
        "updated": record.updated.isoformat(timespec="seconds"),
        "field": record.id,
    }


def features_of(record: FieldRecord, classes: ClassList) -> Mapping[str, list[str | float]]:
    """The features of a field's Labels layer, where a label is a class: one row each."""
    rows: list[Origin] = [{"class": c.name, **origin_of(record, c.value)} for c in classes]
    index: dict[str, list[str | float]] = {"index": [c.value for c in classes]}
    return index | {name: [row[name] for row in rows] for name in ("class", *ORIGIN)}


class Origins:
    """Keeps the features of the editable field's layer: napari shows them at the pointer."""

    def __init__(self, controller: PathsegController) -> None:
        self._controller = controller
        self._shown: dict[str, tuple[FieldRecord, ClassList]] = {}
        controller.changed.connect(self.refresh)
        self.refresh()

    def refresh(self) -> None:
        """Give every field's layer its features where they are not there yet."""
        for desk in self._controller.desks:
            self._refresh(desk)

    def _refresh(self, desk: Desk) -> None:
        if desk.work is None or desk.field_layer is None or not len(desk.classes):
            return
        told = desk.work.record, desk.classes
        if self._shown.get(desk.identity) == told:
            return
        self._shown[desk.identity] = told

        def show(features: Mapping[str, list[str | float]]) -> None:
            if desk.field_layer is not None and self._shown.get(desk.identity) is told:
                desk.field_layer.features = features

        # napari takes long to take them: after the mask is shown, not with it.
        self._controller.mender.submit(
            Job("Telling origins", lambda _report, _cancel: features_of(*told), show, _raise)
        )


def _raise(error: BaseException) -> None:
    raise error


def _mpp(mpp: Pair | None) -> str | float:
    return "" if mpp is None else round((mpp[0] + mpp[1]) / 2, 5)
