"""FieldRecord: all that is known of a field's mask, with an exact JSON form."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from napari_pathseg.classes import ClassList, LabelClass, Term
from napari_pathseg.errors import StoreError
from napari_pathseg.geometry import Field, Pair
from napari_pathseg.prompts import (
    BoxPrompt,
    LassoPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    TextPrompt,
)

Status = Literal["proposed", "corrected", "accepted"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class FieldRecord:
    """The provenance of one field's mask.

    Attributes
    ----------
    id : str
        UUID of the field, its name in the store and in every export.
    field : Field
        The level pixels the mask belongs to.
    slide_identity : str
        Hash of the slide's content (`SlideMetadata.identity`).
    slide_name : str
        File name, for people.
    mpp : (float, float) or None
        Micrometres per *field* pixel, (y, x), as in `Segmentation.mpp`; None when unknown.
    classes : ClassList
        What the mask's values mean.
    prompts : tuple of Prompt
        All that was asked, byte for byte; level-0 pixels.
    asked_as : tuple of tuple of Term
        For each class the model answered, in the order of `classes`, the taught terms that were
        asked. Classes drawn by hand stand after them and have no answer.
    presence, scores : tuple of float
        In the same order: probability that the class occurs, and the model's own estimate of
        the mask's quality.
    model : str
        Name and version of the model, "" for a mask drawn by hand.
    model_sha256 : str
    working_mpp : float or None
        Micrometres per pixel the model looked at.
    author : str
    created, updated : datetime
        With a time zone.
    status : "proposed", "corrected" or "accepted"
    model_license : str
        What the model's card says of its use; goes out with every export.
    asked_by : tuple of tuple of int
        In the order of `asked_as`, which of `prompts` each class was asked with; empty where
        that was not written down, as by versions before it was.
    """

    id: str
    field: Field
    slide_identity: str
    slide_name: str
    mpp: Pair | None
    classes: ClassList
    prompts: tuple[Prompt, ...]
    asked_as: tuple[tuple[Term, ...], ...]
    presence: tuple[float, ...]
    scores: tuple[float, ...]
    model: str
    model_sha256: str
    working_mpp: float | None
    author: str
    created: datetime
    updated: datetime
    status: Status = "proposed"
    model_license: str = ""
    asked_by: tuple[tuple[int, ...], ...] = ()

    @classmethod
    def new(
        cls,
        field: Field,
        classes: ClassList,
        *,
        slide_identity: str,
        slide_name: str,
        mpp: Pair | None,
        prompts: Sequence[Prompt] = (),
        asked_as: Sequence[Sequence[Term]] = (),
        presence: Sequence[float] = (),
        scores: Sequence[float] = (),
        model: str = "",
        model_sha256: str = "",
        model_license: str = "",
        working_mpp: float | None = None,
        author: str = "",
        status: Status = "proposed",
    ) -> FieldRecord:
        """A record with a new id, made now."""
        now = datetime.now(UTC)
        return cls(
            id=str(uuid.uuid4()),
            field=field,
            slide_identity=slide_identity,
            slide_name=slide_name,
            mpp=mpp,
            classes=classes,
            prompts=tuple(prompts),
            asked_as=tuple(tuple(terms) for terms in asked_as),
            presence=tuple(float(p) for p in presence),
            scores=tuple(float(s) for s in scores),
            model=model,
            model_sha256=model_sha256,
            working_mpp=working_mpp,
            author=author,
            created=now,
            updated=now,
            status=status,
            model_license=model_license,
        )

    def with_status(self, status: Status) -> FieldRecord:
        """The same record with another status, updated now."""
        return replace(self, status=status, updated=datetime.now(UTC))

    def without_class(self, value: int) -> FieldRecord:
        """The same record without a class and its answer, updated now."""
        keep = [i for i, c in enumerate(self.classes) if c.value != value]
        answered = [i for i in keep if i < len(self.asked_as)]
        return replace(
            self,
            classes=ClassList(tuple(c for c in self.classes if c.value != value)),
            asked_as=tuple(self.asked_as[i] for i in answered),
            presence=tuple(self.presence[i] for i in answered),
            scores=tuple(self.scores[i] for i in answered),
            asked_by=tuple(self.asked_by[i] for i in answered if i < len(self.asked_by)),
            updated=datetime.now(UTC),
        )

    def with_class_changed(self, changed: LabelClass) -> FieldRecord:
        """The same record with another name or colour for a class, updated now."""
        classes = self.classes.with_changed(changed)
        return replace(self, classes=classes, updated=datetime.now(UTC))

    @property
    def texts(self) -> tuple[str, ...]:
        """The words among the prompts, as typed."""
        return tuple(p.text for p in self.prompts if isinstance(p, TextPrompt))

    def prompts_of(self, value: int) -> tuple[Prompt, ...]:
        """What a class was asked with; none for one that was drawn by hand.

        All prompts of the field where it was not written down which of them were.
        """
        values = [c.value for c in self.classes]
        index = values.index(value) if value in values else len(values)
        if index == len(values) or (self.asked_as and index >= len(self.asked_as)):
            return ()
        if index >= len(self.asked_by):
            return self.prompts
        return tuple(self.prompts[i] for i in self.asked_by[index])

    def to_json(self) -> Json:
        """Plain values for `json.dumps`; :meth:`from_json` gives back an equal record."""
        return {
            "id": self.id,
            "slide": {"identity": self.slide_identity, "name": self.slide_name},
            "field": field_to_json(self.field),
            "region": self.field.region.as_list(),
            "mpp": None if self.mpp is None else list(self.mpp),
            "classes": classes_to_json(self.classes),
            "prompts": [_prompt_to_json(p) for p in self.prompts],
            "asked_as": [[t.facts for t in terms] for terms in self.asked_as],
            "asked_by": [list(indices) for indices in self.asked_by],
            "presence": list(self.presence),
            "scores": list(self.scores),
            "model": {
                "name": self.model,
                "sha256": self.model_sha256,
                "license": self.model_license,
                "working_mpp": self.working_mpp,
            },
            "author": self.author,
            "created": self.created.isoformat(),
            "updated": self.updated.isoformat(),
            "status": self.status,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> FieldRecord:
        """The record that :meth:`to_json` wrote; keys it does not know are passed over.

        Raises
        ------
        StoreError
            When a value is missing or of another kind; names it.
        """
        try:
            return cls._from_json(values)
        except KeyError as error:
            raise StoreError(f"The record of a field lacks the value {error}.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise StoreError(f"The record of a field is damaged: {error}.") from error

    @classmethod
    def _from_json(cls, values: Mapping[str, Any]) -> FieldRecord:
        if values["status"] not in get_args(Status):
            raise ValueError(f"unknown status {values['status']!r}")
        slide, model, mpp = values["slide"], values["model"], values["mpp"]
        return cls(
            id=values["id"],
            field=field_from_json(values["field"]),
            slide_identity=slide["identity"],
            slide_name=slide["name"],
            mpp=None if mpp is None else (float(mpp[0]), float(mpp[1])),
            classes=classes_from_json(values["classes"]),
            prompts=tuple(_prompt_from_json(p) for p in values["prompts"]),
            asked_as=tuple(tuple(Term(**t) for t in terms) for terms in values["asked_as"]),
            presence=tuple(float(p) for p in values["presence"]),
            scores=tuple(float(s) for s in values["scores"]),
            model=model["name"],
            model_sha256=model["sha256"],
            working_mpp=model["working_mpp"],
            author=values["author"],
            created=datetime.fromisoformat(values["created"]),
            updated=datetime.fromisoformat(values["updated"]),
            status=values["status"],
            model_license=model["license"],
            asked_by=_indices(values.get("asked_by", ()), len(values["prompts"])),
        )


def field_to_json(field: Field) -> Json:
    """Level, first pixel, shape and exact downsample of a field."""
    return {
        "level": field.level,
        "y": field.y,
        "x": field.x,
        "height": field.height,
        "width": field.width,
        "downsample": list(field.downsample),
    }


def field_from_json(values: Mapping[str, Any]) -> Field:
    """The inverse of :func:`field_to_json`."""
    down_y, down_x = values["downsample"]
    numbers = (values[key] for key in ("level", "y", "x", "height", "width"))
    level, y, x, height, width = (int(number) for number in numbers)
    return Field(level, y, x, height, width, (float(down_y), float(down_x)))


def classes_to_json(classes: ClassList) -> list[Json]:
    """One object for each class: value, name, term or null, sRGB colour."""
    return [
        {
            "value": c.value,
            "name": c.name,
            "term": None if c.term is None else c.term.facts,
            "color": list(c.color),
        }
        for c in classes
    ]


def classes_from_json(values: Sequence[Mapping[str, Any]]) -> ClassList:
    """The inverse of :func:`classes_to_json`."""
    return ClassList(tuple(_class_from_json(value) for value in values))


def _class_from_json(value: Mapping[str, Any]) -> LabelClass:
    red, green, blue = (int(part) for part in value["color"])
    term = None if value["term"] is None else Term(**value["term"])
    return LabelClass(int(value["value"]), value["name"], term, (red, green, blue))


def _indices(values: Sequence[Sequence[int]], count: int) -> tuple[tuple[int, ...], ...]:
    """Lists of places in a list of `count`."""
    found = tuple(tuple(int(i) for i in indices) for indices in values)
    if any(not 0 <= i < count for indices in found for i in indices):
        raise ValueError(f"a class was asked by prompts that are not there: {found}")
    return found


def _prompt_to_json(prompt: Prompt) -> Json:
    match prompt:
        case TextPrompt(text):
            return {"text": text}
        case PointPrompt(y, x, positive):
            return {"point": [y, x], "positive": positive}
        case BoxPrompt(y0, x0, y1, x1):
            return {"box": [y0, x0, y1, x1]}
        case ScribblePrompt(path, positive):
            return {"scribble": [list(place) for place in path], "positive": positive}
        case LassoPrompt(outline, positive):
            return {"lasso": [list(place) for place in outline], "positive": positive}


def _prompt_from_json(value: Mapping[str, Any]) -> Prompt:
    if "text" in value:
        return TextPrompt(value["text"])
    if "point" in value:
        y, x = value["point"]
        return PointPrompt(y, x, value["positive"])
    if "scribble" in value:
        return ScribblePrompt(_places(value["scribble"]), value["positive"])
    if "lasso" in value:
        return LassoPrompt(_places(value["lasso"]), value["positive"])
    y0, x0, y1, x1 = value["box"]
    return BoxPrompt(y0, x0, y1, x1)


def _places(values: Sequence[Sequence[float]]) -> tuple[tuple[float, float], ...]:
    return tuple((y, x) for y, x in values)
