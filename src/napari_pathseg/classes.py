"""Classes: the terms of a session, each with the label value and colour of its mask."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

UNSPECIFIED = "unspecified"
STRUCTURES = ("tissue", "cell", "nuclei")

Color = tuple[int, int, int]
PALETTE: tuple[Color, ...] = (
    (30, 60, 255),
    (255, 180, 30),
    (30, 120, 0),
    (255, 60, 90),
    (60, 180, 240),
    (90, 0, 0),
    (180, 255, 180),
)
"""Colours that are told apart, and from stained tissue, with any kind of colour vision.

Searched for: of the saturated colours that differ from what haematoxylin and eosin leave (purple,
pink, near white) as an outline and as a fill, the seven that differ most from each other.
"""

MORE_COLORS: tuple[Color, ...] = (
    (255, 255, 90),
    (90, 150, 120),
    (180, 210, 120),
    (90, 120, 255),
    (60, 90, 30),
    (180, 150, 0),
    (0, 60, 30),
)
"""For further classes: as far from tissue, but told apart from all others by most eyes only."""


@dataclass(frozen=True, slots=True, order=True)
class Term:
    """A place in PathSegmentor's hierarchy: region x structure x object.

    Source: PathSegmentor (arXiv 2506.20988), section on the PathSeg label hierarchy.
    """

    region: str
    structure: str
    object: str

    @property
    def without_region(self) -> Term:
        """The same structure and object, wherever it is."""
        return Term(UNSPECIFIED, self.structure, self.object)

    @property
    def facts(self) -> dict[str, str | None]:
        """Plain values for JSON."""
        return {"region": self.region, "structure": self.structure, "object": self.object}

    def __str__(self) -> str:
        place = "" if self.region == UNSPECIFIED else f"{self.region}, "
        return f"{self.object} ({place}{self.structure})"


def term_facts(term: Term | None) -> dict[str, str | None]:
    """Plain values for JSON of a term, also where a class has none."""
    return term.facts if term else {"region": UNSPECIFIED, "structure": None, "object": None}


@dataclass(frozen=True, slots=True)
class LabelClass:
    """One class of a mask.

    Attributes
    ----------
    value : int
        The value of the class in a class mask; 0 is background and never a class.
    name : str
        What the user sees, usually the term's object.
    term : Term or None
        None for a class of the user's own that is not in the vocabulary.
    color : (int, int, int)
        sRGB, 0 to 255.
    """

    value: int
    name: str
    term: Term | None
    color: Color


@dataclass(frozen=True, slots=True)
class ClassList:
    """Classes in the order of their values, each value and name once."""

    classes: tuple[LabelClass, ...] = ()

    def __post_init__(self) -> None:
        values = [c.value for c in self.classes]
        names = [c.name for c in self.classes]
        if len(set(values)) != len(values) or len(set(names)) != len(names) or 0 in values:
            raise ValueError(f"class values and names must be unique and not 0: {self.classes}")

    def __iter__(self) -> Iterator[LabelClass]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def __getitem__(self, value: int) -> LabelClass:
        """The class of a mask value; KeyError when there is none."""
        for label_class in self.classes:
            if label_class.value == value:
                return label_class
        raise KeyError(value)

    def named(self, name: str) -> LabelClass | None:
        """The class with this name, or None."""
        return next((c for c in self.classes if c.name == name), None)

    def with_class(self, name: str, term: Term | None, color: Color) -> ClassList:
        """The list and one class more, with the next free value; itself if the name is there.

        Terms share colours: where another class has this one already, it gets one of
        :data:`PALETTE` that is free, or of :data:`MORE_COLORS`.
        """
        if self.named(name):
            return self
        taken = {c.color for c in self.classes}
        if color in taken:
            free = (other for other in (*PALETTE, *MORE_COLORS) if other not in taken)
            color = next(free, color)
        value = max((c.value for c in self.classes), default=0) + 1
        return ClassList((*self.classes, LabelClass(value, name, term, color)))

    def of_term(self, term: Term | None) -> LabelClass | None:
        """The class of a term, whatever it is called, or None."""
        return next((c for c in self.classes if term is not None and c.term == term), None)

    def with_changed(self, changed: LabelClass) -> ClassList:
        """The list with another name or colour for the class of this value."""
        return ClassList(tuple(changed if c.value == changed.value else c for c in self.classes))

    @classmethod
    def from_names(cls, names: Sequence[str], colors: Sequence[Color]) -> ClassList:
        """Classes 1..n without terms."""
        pairs = zip(names, colors, strict=True)
        return cls(tuple(LabelClass(i, n, None, c) for i, (n, c) in enumerate(pairs, start=1)))
