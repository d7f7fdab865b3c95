"""What is learned from, and what came of it: fields with their corrected labels, and a lesson."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED, ClassList, LabelClass, Term
from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Pair
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models.adapter import HEAD_BYTES, Adapter, TermHead, joined
from napari_pathseg.models.adapter_card import MAX_BYTES, AdapterCard, TaughtTerm
from napari_pathseg.models.base import ModelCard
from napari_pathseg.progress import Progress
from napari_pathseg.slide.scale import unscaled_downsample
from napari_pathseg.vocabulary.vocabulary import Vocabulary

Bool = npt.NDArray[np.bool_]
RGB = npt.NDArray[np.uint8]
MIN_FIELDS = 5
MAX_FIELDS = 50

# A new word is looked at so that its typical object is this wide on the model's pixels, within the
# scales that the encoder was trained at.
OBJECT_PX, FINEST_MPP, COARSEST_MPP = 48.0, 0.2, 1.0
SMALLEST_OBJECT_PX = 12


@dataclass(frozen=True, slots=True, eq=False)
class LessonField:
    """One field that a person has reviewed, with where one term is in it.

    Attributes
    ----------
    id, slide : str
        Of the field; identity of its slide.
    read : callable
        Gives the sRGB pixels (height, width, 3).
    target : bool array (height, width)
        Where the term is.
    mpp : (float, float) or None
        Micrometres per pixel of the field.
    downsample : (float, float)
        Level-0 pixels per pixel of the field.
    """

    id: str
    slide: str
    read: Callable[[], RGB]
    target: Bool
    mpp: Pair | None
    downsample: Pair = (1.0, 1.0)

    @property
    def present(self) -> bool:
        """Whether the term is in it."""
        return bool(self.target.any())


@dataclass(frozen=True, slots=True)
class Point:
    """The learning curve at one step: mean loss since the last one, Dice on held-out fields."""

    step: int
    loss: float
    dice: float | None


@dataclass(frozen=True, slots=True)
class LessonProgress(Progress):
    """A report that shows how the learning goes."""

    curve: tuple[Point, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One field before and after, asked of a head that had not seen it.

    Attributes
    ----------
    before, after : float or None
        Dice; None where the term is not in the field, or the base can not be asked.
    picture : uint8 array (height, width, 3)
        At a quarter of the model's pixels, as all masks here.
    truth, found, found_before : bool array (height, width)
        `found_before` is None where the base can not be asked.
    """

    id: str
    slide: str
    before: float | None
    after: float | None
    picture: RGB
    truth: Bool
    found: Bool
    found_before: Bool | None


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """What was learned of one term.

    Attributes
    ----------
    taught : TaughtTerm
        With the figures before and after.
    heads : tuple of TermHead
        Learned from parts of the fields, the last one from all of them.
    curve : tuple of Point
    outcomes : tuple of Outcome
        One for each field, the figures' own.
    seconds : float
    """

    taught: TaughtTerm
    heads: tuple[TermHead, ...]
    curve: tuple[Point, ...]
    outcomes: tuple[Outcome, ...]
    seconds: float

    @property
    def better(self) -> bool:
        """Whether held-out fields were answered better than before, or at all."""
        after = self.taught.after
        return after is not None and after > (self.taught.before or 0.0)


def term_of(label_class: LabelClass, vocabulary: Vocabulary, structure: str = "tissue") -> Term:
    """The term a class teaches: its own, that of its name, or a new one of that name.

    Parameters
    ----------
    structure : str
        Of a new term: "tissue", "cell" or "nuclei".
    """
    if label_class.term is not None:
        return label_class.term.without_region
    name = " ".join(label_class.name.split())
    if structure not in STRUCTURES:
        raise PathsegError(f"'{structure}' is no structure.", f"One of: {', '.join(STRUCTURES)}.")
    found = vocabulary.resolve(name)
    [match, *more] = found.matches or (None,)
    if match is None or more or found.unknown or match.how not in ("name", "synonym"):
        return Term(UNSPECIFIED, structure, name)
    return match.entry.term.without_region


def lesson_field(
    record: FieldRecord,
    mask: npt.NDArray[np.integer],
    read: Callable[[], RGB],
    term: Term,
    vocabulary: Vocabulary,
) -> LessonField | None:
    """A reviewed field as something to learn a term from.

    Parameters
    ----------
    mask : integer array (height, width)
        Class mask. Classes that the vocabulary knows as kinds of the term count as the term.

    Returns
    -------
    LessonField or None
        None where nobody has reviewed it, or where it was not looked at for this term: without
        the class among the field's nobody can say that the term is absent.
    """
    values = values_of(record.classes, term, vocabulary)
    if record.status == "proposed" or not values:
        return None
    target = np.isin(mask, values)
    down = record.field.downsample
    return LessonField(record.id, record.slide_identity, read, target, record.mpp, down)


def lesson_fields(
    given: Iterable[tuple[FieldRecord, npt.NDArray[np.integer], Callable[[], RGB]]],
    term: Term,
    vocabulary: Vocabulary,
) -> list[LessonField]:
    """All fields that can teach a term, see :func:`lesson_field`; the latest where too many can."""
    dated = [
        (record.updated, field)
        for record, mask, read in given
        if (field := lesson_field(record, mask, read, term, vocabulary)) is not None
    ]
    dated.sort(key=lambda pair: pair[0])
    return [field for _, field in dated][-MAX_FIELDS:]


def values_of(classes: ClassList, term: Term, vocabulary: Vocabulary) -> list[int]:
    """Mask values that are a term or a kind of it."""
    found = []
    for label_class in classes:
        own = term_of(label_class, vocabulary, term.structure)
        wider: list[str] = []
        if any(own.object == entry.name for entry in vocabulary.entries):
            wider = [entry.name for entry in vocabulary.ancestors(own.object)]
        if own == term.without_region or term.object in wider:
            found.append(label_class.value)
    return found


def adapter_of(
    lessons: Sequence[Lesson], base: ModelCard, *, name: str = "", author: str = ""
) -> Adapter:
    """Lessons on one model as an adapter with its card; named after its terms by default.

    All heads of a lesson answer together, unless the lessons are so many that the file would be
    too large: then the one that learned from all fields answers.
    """
    fits = sum(len(lesson.heads) for lesson in lessons) * HEAD_BYTES <= MAX_BYTES
    heads = [joined(lesson.heads if fits else lesson.heads[-1:]) for lesson in lessons]
    terms = " and ".join(lesson.taught.term.object for lesson in lessons)
    card = AdapterCard(
        name=name or terms,
        version="1",
        base_name=f"{base.name} {base.version}",
        base_sha256=base.sha256,
        terms=tuple(lesson.taught for lesson in lessons),
        license=f"as the model it was learned on ({base.license}), and as the labels it learned "
        "from",
        author=author,
        made=datetime.now(UTC),
    )
    return Adapter(card, tuple(heads))


def check_enough(fields: Sequence[LessonField], name: str) -> None:
    """Refuse to learn from too little; PathsegError says how much is missing."""
    present = sum(field.present for field in fields)
    if len(fields) < MIN_FIELDS:
        raise PathsegError(
            f"There are {len(fields)} corrected fields with {name}; it takes {MIN_FIELDS}.",
            f"Correct and accept {MIN_FIELDS - len(fields)} more.",
        )
    if len(fields) > MAX_FIELDS:
        raise PathsegError(
            f"There are {len(fields)} fields; an adapter learns from at most {MAX_FIELDS}.",
            "Choose some of them, or train the whole model (pathseg train --full).",
        )
    if present < 2:
        raise PathsegError(
            f"{name} is in {present} of the {len(fields)} fields.", "Label it in two at least."
        )


def scale_for(fields: Sequence[LessonField]) -> float:
    """Micrometres per pixel at which a new word is looked at, from the width of its objects.

    Without a scale it is the coarsest, at which a picture is shown as one input, unless its
    objects would then be too small to be seen.
    """
    widths: list[float] = []
    seen: list[float] = []
    for field in fields:
        labels, _ = ndimage.label(field.target)
        areas = np.bincount(labels.ravel())[1:]
        own = np.sqrt(4 / np.pi * areas[areas >= SMALLEST_OBJECT_PX])
        if field.mpp is not None:
            widths += (own * math.sqrt(field.mpp[0] * field.mpp[1])).tolist()
        else:
            longest = max(field.target.shape) * field.downsample[0]
            shown = field.downsample[0] / unscaled_downsample(longest, COARSEST_MPP)
            seen += (own * shown).tolist()
    if widths:
        return float(np.clip(_typical(widths) / OBJECT_PX, FINEST_MPP, COARSEST_MPP))
    return FINEST_MPP if seen and _typical(seen) < OBJECT_PX / 2 else COARSEST_MPP


def _typical(widths: Sequence[float]) -> float:
    """The width at which half of all widths laid end to end are narrower: crumbs count little."""
    ordered = np.sort(widths)
    along = np.cumsum(ordered)
    return float(ordered[np.searchsorted(along, along[-1] / 2)])


def divide(fields: Sequence[LessonField], parts: int, seed: int) -> list[list[int]]:
    """Indices of the fields in parts of like size, those of a slide together.

    With fewer slides than parts the fields themselves are divided. Fields that hold the term are
    spread evenly.
    """
    slides = {field.slide for field in fields}
    by_slide = len(slides) >= parts
    groups: dict[str, list[int]] = {}
    for i, field in enumerate(fields):
        groups.setdefault(field.slide if by_slide else field.id, []).append(i)
    order = np.random.default_rng(seed).permutation(len(groups))
    shuffled = [list(groups.values())[i] for i in order]
    # The largest first, each to the part that has least of what it holds.
    shuffled.sort(key=lambda own: (-sum(fields[i].present for i in own), -len(own)))
    divided: list[list[int]] = [[] for _ in range(parts)]
    for own in shuffled:
        least = min(divided, key=lambda part: (sum(fields[i].present for i in part), len(part)))
        least += own
    return [part for part in divided if part]
