"""How a text is read: separators, regions, context, negation, PathSegmentor's form.

The grammar knows no terms of its own; a :class:`Lexicon` tells it which words are entries and
regions. It never drops a word that could name something: what is neither a term, a region, part
of a place ("around the gland") nor an everyday word of asking is reported as unknown.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED
from napari_pathseg.vocabulary.lexing import Kind, Token, lex
from napari_pathseg.vocabulary.matching import Hit, normal_words

MULTIPLE = "multiple"

_PROMPT = re.compile(r"\s*(\w+)-level (.+) in (.+) pathology\s*", re.IGNORECASE)
_LABEL = re.compile(r"\s*([^-]+)-(\w+)-(.+?)\s*")


class Lexicon(Protocol):
    """What the grammar asks of a vocabulary; all words in normal form."""

    @property
    def max_words(self) -> int:
        """Longest name, in words."""

    def exact(self, words: Sequence[str]) -> Hit | None:
        """The entry that is called so."""

    def typo(self, words: Sequence[str]) -> Hit | None:
        """The entry that is nearly called so."""

    def meaning(self, phrase: str) -> Hit | None:
        """The entry that an otherwise unknown phrase means."""

    def region(self, words: Sequence[str]) -> str | None:
        """The region that is called so."""


@dataclass(slots=True)
class Found:
    """A term of the text: the typed phrase, its entry and the region stated for it."""

    phrase: str
    hit: Hit
    region: str | None = None


@dataclass(slots=True)
class Parsed:
    """What a text asks for; `near` are entries inside phrases that stay unknown."""

    asked: list[Found] = field(default_factory=list)
    excluded: list[Found] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    near: list[Hit] = field(default_factory=list)


def parse(text: str, lexicon: Lexicon) -> Parsed:
    """Read a text into terms that are asked, terms that are excluded and unknown phrases."""
    parsed = Parsed()
    for line in re.split(r"[;\n\r]+", text):
        if line.strip() and not _read_form(line, lexicon, parsed):
            _Sentence(line, lexicon, parsed).read()
    if text.strip() and not (parsed.asked or parsed.excluded or parsed.unknown):
        parsed.unknown.append(text.strip())
    return parsed


def split_form(text: str) -> tuple[str, str, str] | None:
    """(region, structure, object) of PathSegmentor's prompt form, as typed, or None.

    Source: PathSegmentor (arXiv 2506.20988): "[structure]-level [object] in [region] pathology".
    """
    match = _PROMPT.fullmatch(text)
    if match is None or match[1].lower() not in STRUCTURES:
        return None
    region = match[3].strip()
    return UNSPECIFIED if region.lower() == MULTIPLE else region, match[1].lower(), match[2].strip()


def _split_label(text: str) -> tuple[str, str, str] | None:
    """The same of PathSegmentor's label form "[region]-[structure]-[object]"."""
    match = _LABEL.fullmatch(text)
    if match is None or match[2].lower() not in STRUCTURES:
        return None
    return match[1].strip(), match[2].lower(), match[3]


def _read_form(line: str, lexicon: Lexicon, parsed: Parsed) -> bool:
    """Read a line in PathSegmentor's form or leave it; a strange name or region is unknown."""
    parts = split_form(line) or _split_label(line)
    if parts is None:
        return False
    place, structure, name = parts
    known = place.lower() in (UNSPECIFIED, MULTIPLE)
    region = None if known else lexicon.region(normal_words(place))
    hit = _of_structure(name, structure, lexicon)
    if hit is None or not (known or region):
        parsed.unknown.append(line.strip())
        near = lexicon.exact(normal_words(name))
        parsed.near += [near] if near else []
    else:
        parsed.asked.append(Found(line.strip(), hit, region))
    return True


def _of_structure(name: str, structure: str, lexicon: Lexicon) -> Hit | None:
    """The entry called `name` at this structure; cells and nuclei may stand for each other."""
    words = normal_words(name)
    noun = {"nuclei": "nucleus", "cell": "cell"}.get(structure)
    tries = [words] if noun is None or words[-1:] == [noun] else [words, [*words, noun]]
    hits = [hit for hit in map(lexicon.exact, tries) if hit]
    same = [hit for hit in hits if hit.entry.term.structure == structure]
    alike = [hit for hit in hits if noun and hit.entry.term.structure != "tissue"]
    return next(iter(same + alike), None)


# Words after a name that only say what kind of thing it is.
_ABSORBED = {
    "tissue": frozenset(
        ["tissue", "area", "region", "structure", "compartment", "component", "zone"]
    ),
    "cell": frozenset(["cell"]),
    "nuclei": frozenset(["cell", "nucleus"]),
}


# What may stand inside a name ("connective and soft tissue", "islet of Langerhans").
_INNER = frozenset([Kind.WORD, Kind.AND, Kind.FILLER, Kind.AROUND, Kind.OF])


class _Sentence:
    """Reads one sentence from left to right."""

    def __init__(self, text: str, lexicon: Lexicon, parsed: Parsed) -> None:
        self._text, self._lexicon, self._parsed = text, lexicon, parsed
        self._tokens = lex(text)
        self._at = 0
        self._kind = Kind.WORD  # WORD: asked; AROUND: a place; NOT: excluded
        self._part: list[Found] = []
        self._part_region: str | None = None
        self._found: list[tuple[Found, str | None]] = []
        self._regions: list[str] = []
        self._strange: list[Token] = []
        self._bare_region: Token | None = None

    def read(self) -> None:
        """Add what the sentence says to the parsed text."""
        before = len(self._parsed.unknown)
        while self._at < len(self._tokens):
            self._step(self._tokens[self._at])
        self._end_part()
        only = self._regions[0] if len(set(self._regions)) == 1 else None
        for found, region in self._found:
            found.region = region or only
        if not self._found and self._regions and len(self._parsed.unknown) == before:
            self._parsed.unknown.append(self._text.strip())

    def _step(self, token: Token) -> None:
        if token.kind is Kind.WORD:
            if self._kind is Kind.AROUND:
                self._read_place()
            elif not self._read_term():
                self._strange.append(token)
                self._at += 1
            return
        self._end_strange()
        self._at += 1
        if token.kind is Kind.BREAK:
            self._end_part()
        elif (token.kind is Kind.AND and self._kind is Kind.AROUND) or token.kind is Kind.BUT:
            self._kind = Kind.WORD
        elif token.kind is Kind.NOT:
            self._kind = Kind.NOT
        elif self._kind is Kind.WORD and self._begins_place(token):
            self._kind = Kind.AROUND
        elif token.kind is Kind.STRANGE:
            self._parsed.unknown.append(token.text)

    def _begins_place(self, token: Token) -> bool:
        """Whether a place begins; after no term "of" begins none ("areas of necrosis")."""
        return token.kind is Kind.AROUND or (token.kind is Kind.OF and bool(self._part))

    def _window(self, start: int, length: int) -> list[str] | None:
        """Normal words of `length` tokens that stand together, or None."""
        tokens = self._tokens[start : start + length]
        ends = tokens and tokens[0].kind is tokens[-1].kind is Kind.WORD
        if len(tokens) < length or not ends:
            return None
        if any(t.kind not in _INNER for t in tokens):
            return None
        return [t.normal for t in tokens]

    def _read_term(self) -> bool:
        """Take the longest name or region that starts here; False when there is none."""
        for length in range(self._lexicon.max_words, 0, -1):
            words = self._window(self._at, length)
            if not words:
                continue
            hit = self._lexicon.exact(words)
            if hit is None and (region := self._lexicon.region(words)):
                self._take_region(region, length)
                return True
            plain = all(t.kind is Kind.WORD for t in self._tokens[self._at : self._at + length])
            if hit is None and plain:
                hit = self._lexicon.typo(words)
            if hit:
                self._take(hit, length)
                return True
        return False

    def _take(self, hit: Hit, length: int) -> None:
        start, self._at = self._at, self._at + length
        hit = self._take_whose(hit, start)
        absorbed = _ABSORBED[hit.entry.term.structure]
        while self._next_is_word() and self._tokens[self._at].normal in absorbed:
            self._at += 1
        if self._head_is_strange():
            # "tumor diary" is no tumor: the last noun says what a phrase is about.
            self._strange += self._tokens[start : self._at]
            self._parsed.near.append(hit)
            return
        self._end_strange()
        first, last = self._tokens[start], self._tokens[self._at - 1]
        found = Found(self._text[first.start : last.end], hit)
        if self._kind is Kind.NOT:
            self._parsed.excluded.append(found)
        else:
            self._parsed.asked.append(found)
        self._part.append(found)

    def _take_whose(self, hit: Hit, start: int) -> Hit:
        """Read "stroma of the tumor" as the tumor stroma.

        Takes the words after "of" when they make one name with those from `start` to here.
        """
        if self._at == len(self._tokens) or self._tokens[self._at].kind is not Kind.OF:
            return hit
        owned = [token.normal for token in self._tokens[start : self._at]]
        after = self._at + 1
        while after < len(self._tokens) and self._tokens[after].kind is Kind.FILLER:
            after += 1
        for length in range(self._lexicon.max_words, 0, -1):
            words = self._window(after, length) or []
            whose = self._lexicon.exact([*words, *owned]) if words else None
            if whose is None and words and hit.entry.name in ("nucleus", "cell"):
                owner = self._lexicon.exact(words)
                whose = owner if owner and owner.entry.term.structure != "tissue" else None
            if whose:
                self._at = after + length
                return whose
        return hit

    def _next_is_word(self) -> bool:
        return self._at < len(self._tokens) and self._tokens[self._at].kind is Kind.WORD

    def _head_is_strange(self) -> bool:
        """Whether the word right after a name begins no name and no region."""
        if not self._next_is_word():
            return False
        for length in range(self._lexicon.max_words, 0, -1):
            words = self._window(self._at, length)
            if words and (
                self._lexicon.exact(words)
                or self._lexicon.region(words)
                or self._lexicon.typo(words)
            ):
                return False
        return True

    def _take_region(self, region: str, length: int) -> None:
        self._end_strange()
        self._at += length
        self._part_region = region
        self._regions.append(region)

    def _read_place(self) -> None:
        """Pass over words that say where; only a region among them counts."""
        for length in range(self._lexicon.max_words, 0, -1):
            words = self._window(self._at, length)
            if words and self._lexicon.region(words):
                self._take_region(self._lexicon.region(words) or "", length)
                return
            if words and self._lexicon.exact(words):
                self._at += length
                return
        self._at += 1

    def _end_strange(self) -> None:
        if not self._strange:
            return
        phrase = self._text[self._strange[0].start : self._strange[-1].end]
        hit = self._lexicon.meaning(phrase)
        if hit is None:
            self._parsed.unknown.append(phrase)
        elif self._kind is Kind.NOT:
            self._parsed.excluded.append(Found(phrase, hit))
        else:
            self._parsed.asked.append(Found(phrase, hit))
            self._part.append(self._parsed.asked[-1])
        self._strange = []

    def _end_part(self) -> None:
        self._end_strange()
        self._found += [(found, self._part_region) for found in self._part]
        self._part, self._part_region, self._kind = [], None, Kind.WORD
