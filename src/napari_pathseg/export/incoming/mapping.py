"""What the classes of a file become on the slide: by name, by the vocabulary, or as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList, Color, LabelClass, Term
from napari_pathseg.errors import ExportError, PromptError
from napari_pathseg.export.incoming.frame import Incoming
from napari_pathseg.vocabulary import Vocabulary

SAME, FILE, WORD, OWN, ASK, LEFT_OUT = (
    "the slide's class of this name",
    "the file says its term",
    "a term of the vocabulary",
    "not in the vocabulary: a class of your own",
    "objects: say which class they are",
    "left out",
)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What one class of a file becomes.

    Attributes
    ----------
    source : LabelClass
        As in the file.
    pixels : int
        It has so many.
    target : str
        Name of the class on the slide, "" to leave it out.
    term : Term or None
    color : (int, int, int)
    why : str
        How that was found, for people.
    near : tuple of str
        Terms of the vocabulary that resemble the name, where it is not known.
    """

    source: LabelClass
    pixels: int
    target: str
    term: Term | None
    color: Color
    why: str
    near: tuple[str, ...] = ()


def propose(incoming: Incoming, classes: ClassList, vocabulary: Vocabulary) -> tuple[Mapped, ...]:
    """A mapping to look at: nothing that resembles a term only is taken for it.

    Parameters
    ----------
    incoming : Incoming
    classes : ClassList
        Of the slide.
    vocabulary : Vocabulary
    """
    pixels = np.zeros(max((c.value for c in incoming.classes), default=0) + 1, dtype=np.int64)
    for field in incoming.fields:
        counted = np.bincount(field.mask.ravel(), minlength=len(pixels))
        pixels += counted[: len(pixels)]
    mapping = (
        _propose(c, int(pixels[c.value]), classes, vocabulary)
        for c in incoming.classes
        if pixels[c.value]
    )
    # What a file calls its objects may be no class: "labels", "0", "instances".
    return tuple(
        replace(m, target="", why=ASK) if m.why == OWN and m.source.name in incoming.asked else m
        for m in mapping
    )


def _propose(source: LabelClass, pixels: int, classes: ClassList, vocabulary: Vocabulary) -> Mapped:
    known = classes.named(source.name)
    if known is not None:
        return Mapped(source, pixels, known.name, known.term, known.color, SAME)
    if source.term is not None:
        return Mapped(source, pixels, source.name, source.term, source.color, FILE)
    return renamed(
        Mapped(source, pixels, source.name, None, source.color, OWN),
        source.name,
        classes,
        vocabulary,
    )


def renamed(mapped: Mapped, name: str, classes: ClassList, vocabulary: Vocabulary) -> Mapped:
    """The same class under a name that a person gave, or "" to leave it out."""
    name = name.strip()
    if not name:
        return replace(mapped, target="", term=None, why=LEFT_OUT, near=())
    known = classes.named(name)
    if known is not None:
        return replace(mapped, target=name, term=known.term, color=known.color, why=SAME, near=())
    try:
        found = vocabulary.resolve(name)
    except PromptError:
        return replace(mapped, target=name, term=None, why=OWN, near=())
    sure = [m for m in found.matches if m.how in ("name", "synonym")]
    if len(found.matches) == len(sure) == 1 and not found.unknown and not found.excluded:
        entry = sure[0].entry
        same = classes.named(entry.name)
        if same is not None:
            return replace(
                mapped, target=same.name, term=same.term, color=same.color, why=SAME, near=()
            )
        return replace(
            mapped, target=entry.name, term=sure[0].term, color=entry.color, why=WORD, near=()
        )
    near = dict.fromkeys([*(m.entry.name for m in found.matches)])
    near |= dict.fromkeys(entry.name for entry in found.suggestions)
    color = mapped.source.color
    return replace(mapped, target=name, term=None, color=color, why=OWN, near=tuple(near)[:3])


def with_changes(
    mapping: Sequence[Mapped],
    changes: Mapping[str, str],
    classes: ClassList,
    vocabulary: Vocabulary,
) -> tuple[Mapped, ...]:
    """The mapping with what a person said: name in the file -> class, "" to leave it out.

    Raises
    ------
    ExportError
        When the file has no class of a name; tells which it has.
    """
    names = [mapped.source.name for mapped in mapping]
    for name in changes:
        if name not in names:
            raise ExportError(
                f"The file has no class {name!r}.", f"It has: {', '.join(names) or 'none'}."
            )
    return tuple(
        renamed(m, changes[m.source.name], classes, vocabulary) if m.source.name in changes else m
        for m in mapping
    )


def mapped_classes(
    mapping: Sequence[Mapped], classes: ClassList
) -> tuple[ClassList, npt.NDArray[np.uint16]]:
    """The slide's classes with the new ones, and the value there of each value of the file."""
    values = np.zeros(max((m.source.value for m in mapping), default=0) + 1, dtype=np.uint16)
    for m in mapping:
        if m.target:
            classes = classes.with_class(m.target, m.term, m.color)
            found = classes.named(m.target)
            assert found is not None
            values[m.source.value] = found.value
    return classes, values
