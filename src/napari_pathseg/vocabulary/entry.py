"""One entry of the vocabulary, and what a text was understood as."""

from __future__ import annotations

from dataclasses import dataclass

from napari_pathseg.classes import Color, Term


@dataclass(frozen=True, slots=True)
class Entry:
    """A term with everything that is known of it.

    Attributes
    ----------
    term : Term
        With region "unspecified" unless the object exists in one organ only.
    synonyms : tuple of str
        Lower case: plural, spellings, abbreviations and other names.
    definition : str
        One sentence.
    parent : str or None
        Name (object) of the wider term.
    related : tuple of str
        Names of terms near in meaning.
    mpp : float
        Working resolution: micrometres per pixel at which the object is seen.
    color : (int, int, int)
        Default sRGB colour, the same everywhere.
    codes : tuple of (str, str)
        (ontology, code), such as ("CL", "0000542").
    """

    term: Term
    synonyms: tuple[str, ...]
    definition: str
    parent: str | None
    related: tuple[str, ...]
    mpp: float
    color: Color
    codes: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        """The object's name, which is unique in the vocabulary."""
        return self.term.object


@dataclass(frozen=True, slots=True)
class Match:
    """A phrase of the text and the entry it means.

    Attributes
    ----------
    phrase : str
        As typed.
    entry : Entry
    term : Term
        The entry's term, with the region the text states, if any.
    score : float
        1 for an exact name, less the further the words are from it.
    how : str
        "name", "synonym", "typo" or "meaning".
    """

    phrase: str
    entry: Entry
    term: Term
    score: float
    how: str


@dataclass(frozen=True, slots=True)
class Resolution:
    """How a text was understood; nothing in it is a silent guess.

    Attributes
    ----------
    text : str
        Byte for byte as typed.
    matches : tuple of Match
        Terms asked for, in the order of the text, each once.
    excluded : tuple of Match
        Terms the text rules out ("not stroma").
    unknown : tuple of str
        Phrases without a term.
    suggestions : tuple of Entry
        The nearest entries to the unknown phrases.
    """

    text: str
    matches: tuple[Match, ...]
    excluded: tuple[Match, ...]
    unknown: tuple[str, ...]
    suggestions: tuple[Entry, ...]
