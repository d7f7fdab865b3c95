"""The longest name that starts at a token of a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from napari_pathseg.vocabulary.entry import Entry
from napari_pathseg.vocabulary.lexing import Kind, Token
from napari_pathseg.vocabulary.matching import Hit

# What may stand inside a name or at its end ("connective and soft tissue", "pen mark").
_INNER = frozenset(Kind) - {Kind.NOT, Kind.BUT, Kind.BREAK, Kind.STRANGE}
# What may begin a name of one word.
NAMING = frozenset([Kind.WORD, Kind.NOUN, Kind.QUALIFIER])


class Lexicon(Protocol):
    """What the grammar asks of a vocabulary; all words in normal form."""

    @property
    def max_words(self) -> int:
        """Longest name, in words."""

    def exact(self, words: Sequence[str]) -> Hit | None:
        """The entry that is called so."""

    def typo(self, words: Sequence[str]) -> Hit | None:
        """The entry that is nearly called so."""

    def meaning(self, phrase: str, head: Entry | None) -> Hit | None:
        """The entry that an otherwise unknown phrase means, which may end with `head`."""

    def organs(self, entry: Entry) -> tuple[str, ...]:
        """The regions in which an entry is annotated; none when it may be anywhere."""

    def region(self, words: Sequence[str]) -> str | None:
        """The region that is called so."""


@dataclass(frozen=True, slots=True)
class Name:
    """A term or a bare region in `length` tokens; a region may also stand inside a term's name."""

    length: int
    hit: Hit | None
    region: str | None = None


def name_at(tokens: Sequence[Token], start: int, lexicon: Lexicon, typos: bool) -> Name | None:
    """The longest name that starts at token `start`, or None.

    Parameters
    ----------
    tokens : sequence of Token
    start : int
    lexicon : Lexicon
    typos : bool
        Whether names with typing errors count.
    """
    for length in range(lexicon.max_words, 0, -1):
        window = tokens[start : start + length]
        if len(window) < length or any(token.kind not in _INNER for token in window):
            continue
        if length == 1 and window[0].kind not in NAMING:
            return None
        name = _exact(window, lexicon)
        if name is None and typos and all(token.kind is Kind.WORD for token in window):
            hit = lexicon.typo([token.normal for token in window])
            name = Name(length, hit) if hit else None
        if name:
            return name
    return None


def _exact(window: Sequence[Token], lexicon: Lexicon) -> Name | None:
    words = [token.normal for token in window]
    hit = lexicon.exact(words)
    if hit is None and len(words) > 1 and window[-1].kind is Kind.NOUN:
        # "necrotic areas" is necrotic tissue.
        hit = lexicon.exact([*words[:-1], "tissue"])
    if hit:
        return Name(len(words), hit)
    region = lexicon.region(words)
    if region:
        return Name(len(words), None, region)
    for i in range(1, len(words) - 1):
        # "invasive breast carcinoma" is invasive carcinoma, in the breast.
        region = lexicon.region(words[i : i + 1])
        hit = lexicon.exact(words[:i] + words[i + 1 :]) if region else None
        if hit:
            return Name(len(words), hit, region)
    return None


def owner_after(
    tokens: Sequence[Token], start: int, at: int, hit: Hit, lexicon: Lexicon
) -> tuple[Hit, int] | None:
    """Read "stroma of the tumor" as the tumor stroma, "nuclei of lymphocytes" as lymphocytes.

    Parameters
    ----------
    tokens : sequence of Token
    start, at : int
        The name found so far; `at` is the token after it.
    hit : Hit
        What that name means alone.
    lexicon : Lexicon

    Returns
    -------
    (Hit, int) or None
        What both together mean and the token after them; None when they are no name.
    """
    if at == len(tokens) or tokens[at].kind is not Kind.OF:
        return None
    owned = [token.normal for token in tokens[start:at]]
    after = at + 1
    while after < len(tokens) and tokens[after].kind is Kind.FILLER:
        after += 1
    for stop in range(min(len(tokens), after + lexicon.max_words), after, -1):
        if any(token.kind is not Kind.WORD for token in tokens[after:stop]):
            continue
        words = [token.normal for token in tokens[after:stop]]
        both = lexicon.exact([*words, *owned])
        if both is None and hit.entry.name in ("nucleus", "cell"):
            owner = lexicon.exact(words)
            both = owner if owner and owner.entry.term.structure != "tissue" else None
        if both:
            return both, stop
    return None
