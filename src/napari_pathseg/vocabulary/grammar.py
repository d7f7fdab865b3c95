"""How a text is read: separators, regions, places, negation, PathSegmentor's form.

The grammar knows no terms of its own; a :class:`~.phrases.Lexicon` tells it which words are
entries and regions. It never drops a word that could name something: what is neither a term, a
region, part of a place ("around the gland") nor an everyday word of asking is reported as unknown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED
from napari_pathseg.vocabulary.lexing import Kind, Token, lex
from napari_pathseg.vocabulary.matching import Hit, normal_words
from napari_pathseg.vocabulary.phrases import NAMING, Lexicon, name_at, owner_after

MULTIPLE = "multiple"
# What the score of a term is multiplied with when words of its look are left unheeded.
QUALIFIED = 0.9
# From this score on a phrase means the term in it and nothing more ("stromal desmoplasia").
SAME = 0.9

_PROMPT = re.compile(r"\s*(\w+)-level (.+) in (.+) pathology\s*", re.IGNORECASE)
_LABEL = re.compile(r"\s*(?P<region>[^-]+)-(?P<structure>\w+)-(?P<object>.+?)\s*")
# What str(Term) gives: "gland (colon, tissue)".
_SHOWN = re.compile(r"\s*(?P<object>[^(]+) \((?:(?P<region>[^(]+), )?(?P<structure>\w+)\)\s*")


@dataclass(slots=True)
class Found:
    """A term of the text: the typed phrase, its entry and the region stated for it."""

    phrase: str
    hit: Hit
    region: str | None = None


@dataclass(slots=True)
class Parsed:
    """What a text asks for.

    `near` are entries inside or beside phrases that stay unknown, `wider` such phrases together
    with the term that they qualify: from both the user is offered what he may have meant.
    """

    asked: list[Found] = field(default_factory=list)
    excluded: list[Found] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    near: list[Hit] = field(default_factory=list)
    wider: dict[str, str] = field(default_factory=dict)


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


def split_label(text: str) -> tuple[str, str, str] | None:
    """The same of the label form "[region]-[structure]-[object]" and of a term as it is shown."""
    for pattern in (_LABEL, _SHOWN):
        match = pattern.fullmatch(text)
        if match and match["structure"].lower() in STRUCTURES:
            region = (match["region"] or UNSPECIFIED).strip()
            return region, match["structure"].lower(), match["object"].strip()
    return None


def _read_form(line: str, lexicon: Lexicon, parsed: Parsed) -> bool:
    """Read a line in one of the forms or leave it; a strange name or region is unknown."""
    parts = split_form(line) or split_label(line)
    if parts is None:
        return False
    place, structure, name = parts
    anywhere = place.lower() in (UNSPECIFIED, MULTIPLE)
    region = None if anywhere else lexicon.region(normal_words(place))
    hit = of_structure(name, structure, lexicon)
    if hit is None or not (anywhere or region):
        parsed.unknown.append(line.strip())
        near = lexicon.exact(normal_words(name))
        parsed.near += [near] if near else []
    else:
        parsed.asked.append(Found(line.strip(), hit, region))
    return True


def of_structure(name: str, structure: str, lexicon: Lexicon) -> Hit | None:
    """The entry called `name` at this structure ("epithelial" at nuclei: the nucleus).

    Cells and nuclei may stand for each other; tissue never stands for either.
    """
    words = normal_words(name)
    noun = {"nuclei": "nucleus", "cell": "cell", "tissue": "tissue"}[structure]
    tries = [words] if words[-1:] == [noun] else [words, [*words, noun]]
    hits = [hit for hit in map(lexicon.exact, tries) if hit]
    same = [hit for hit in hits if hit.entry.term.structure == structure]
    alike = [h for h in hits if structure != "tissue" and h.entry.term.structure != "tissue"]
    return next(iter(same + alike), None)


# "lymphocyte nuclei" are lymphocytes; for tissue any noun of arrangement may follow.
_ABSORBED = {"tissue": (), "cell": ("cell",), "nuclei": ("cell", "nucleus")}


def _is_bare(hit: Hit) -> bool:
    """Whether words say "nuclei" or "cells" and nothing more."""
    return hit.entry.name in ("nucleus", "cell")


def _fits(meant: Hit, head: Hit) -> bool:
    """Whether a phrase may mean an entry when its last words name another one.

    "Foamy histiocytes" are foam cells, "fibroblastic stroma" is no fibroblast.
    """
    if meant.entry is head.entry:
        return meant.score >= SAME
    structures = meant.entry.term.structure, head.entry.term.structure
    return (structures[0] == "tissue") == (structures[1] == "tissue")


def _is_verb(token: Token) -> bool:
    """Whether a word after a term may begin a place ("cells hugging the vessels")."""
    return token.kind is Kind.WORD and len(token.text) > 5 and token.text.lower().endswith("ing")


class _Sentence:
    """Reads one sentence from left to right."""

    def __init__(self, text: str, lexicon: Lexicon, parsed: Parsed) -> None:
        self._text, self._lexicon, self._parsed = text, lexicon, parsed
        self._tokens = lex(text)
        self._at = 0
        self._kind = Kind.WORD  # WORD: asked; AROUND, OF: a place; NOT: excluded
        self._part: list[Found] = []
        self._part_region: str | None = None
        self._found: list[tuple[Found, str | None]] = []
        self._regions: list[str] = []
        self._strange: list[Token] = []
        # Whether no term came since the last comma, "and" or "not", and where the last one ended.
        self._fresh = True
        self._ended = -1

    def read(self) -> None:
        """Add what the sentence says to the parsed text."""
        before = len(self._parsed.unknown)
        while self._at < len(self._tokens):
            self._step(self._tokens[self._at])
        self._end_part()
        only = self._regions[0] if len(set(self._regions)) == 1 else None
        for found, region in self._found:
            if self._elsewhere(found.hit, region or only):
                self._forget(found)
            else:
                self._place(found, region or only)
        if not self._found and self._regions and len(self._parsed.unknown) == before:
            self._parsed.unknown.append(self._text.strip())

    def _elsewhere(self, hit: Hit, region: str | None) -> bool:
        """Whether a guess by meaning belongs to another organ ("medullary thymus": no kidney)."""
        own = self._lexicon.organs(hit.entry)
        return hit.how == "meaning" and region is not None and len(own) == 1 and region not in own

    def _forget(self, found: Found) -> None:
        """Report a phrase as unknown after all."""
        for kept in (self._parsed.asked, self._parsed.excluded):
            kept[:] = [other for other in kept if other is not found]
        self._parsed.unknown.append(found.phrase)

    def _place(self, found: Found, region: str | None) -> None:
        """Give a term its region; "tubules in the kidney" are renal tubules."""
        found.region = region
        if region:
            words = [*normal_words(region), *normal_words(found.hit.entry.name)]
            found.hit = self._lexicon.exact(words) or found.hit

    def _step(self, token: Token) -> None:
        if token.kind in NAMING or self._begins_name(token) or self._tells_look(token):
            self._read_word(token)
            return
        if token.kind is Kind.FILLER:
            self._at += 1
            return
        if token.kind in (Kind.AND, Kind.BREAK):
            self._share_noun()
            self._fresh = True
        self._end_strange()
        self._at += 1
        if token.kind is Kind.BREAK:
            self._end_part()
        elif token.kind is Kind.BUT or (token.kind is Kind.AND and self._kind is not Kind.NOT):
            self._kind = Kind.WORD
        elif token.kind is Kind.NOT:
            self._kind, self._fresh = Kind.NOT, True
        elif token.kind is Kind.STRANGE:
            self._parsed.unknown.append(token.text)
        elif self._kind is Kind.WORD and self._begins_place(token):
            self._kind = Kind.OF if token.kind is Kind.OF else Kind.AROUND

    def _share_noun(self) -> None:
        """Read "benign and malignant glands" as benign glands and malignant glands."""
        if not self._strange or self._kind in (Kind.AROUND, Kind.OF):
            return
        for at in range(self._at + 1, min(len(self._tokens), self._at + 8)):
            name = name_at(self._tokens, at, self._lexicon, typos=False)
            if name and name.hit:
                noun = self._tokens[at + name.length - 1].normal
                hit = self._lexicon.exact([*(t.normal for t in self._strange), noun])
                if hit:
                    first, last = self._strange[0], self._strange[-1]
                    self._keep(Found(self._text[first.start : last.end], hit))
                    self._strange = []
                return
            if self._tokens[at].kind not in (Kind.WORD, Kind.AND, Kind.BREAK):
                return

    def _begins_name(self, token: Token) -> bool:
        """Whether a word of place or asking begins a name here ("in situ carcinoma")."""
        if token.kind not in (Kind.AROUND, Kind.BESIDE, Kind.FILLER):
            return False
        return name_at(self._tokens, self._at, self._lexicon, typos=False) is not None

    def _tells_look(self, token: Token) -> bool:
        """Whether a word such as "adjacent" tells how the term after it looks."""
        after = self._tokens[self._at + 1 : self._at + 2]
        follows = bool(after) and after[0].kind in NAMING
        return token.kind is Kind.BESIDE and self._fresh and follows

    def _begins_place(self, token: Token) -> bool:
        """Whether a place begins; after no term "of" begins none ("areas of necrosis")."""
        if token.kind is Kind.OF:
            return bool(self._part)
        return token.kind in (Kind.AROUND, Kind.BESIDE)

    def _read_word(self, token: Token) -> None:
        placed = self._kind in (Kind.AROUND, Kind.OF)
        name = name_at(self._tokens, self._at, self._lexicon, typos=not placed)
        if name and name.hit is None:
            self._end_strange()
            self._take_region(name.region)
            self._at += name.length
        elif name and name.hit and not placed:
            self._take(name.hit, name.length)
            self._take_region(name.region)
        elif name:
            self._at += name.length
        elif self._ended == self._at and _is_verb(token):
            self._kind = Kind.AROUND
            self._at += 1
        else:
            # Words of a place need not be known, the owner in "gland of ..." must be.
            if self._kind is not Kind.AROUND and (token.kind is not Kind.NOUN or self._strange):
                self._strange.append(token)
            self._at += 1

    def _take_region(self, region: str | None) -> None:
        if region:
            self._part_region = region
            self._regions.append(region)

    def _take(self, hit: Hit, length: int) -> None:
        start, self._at = self._at, self._at + length
        owner = owner_after(self._tokens, start, self._at, hit, self._lexicon)
        if owner:
            hit, self._at = owner
        self._absorb(hit)
        head = self._strange_head(hit)
        if head or (hit.entry.name == "cell" and not self._only_qualified()):
            # "tumor diary" is no tumor, a "merkel cell" not any cell: the whole has no name here.
            self._at += head
            self._strange += self._tokens[start : self._at]
            self._parsed.near.append(hit)
            return
        first, last = self._tokens[start], self._tokens[self._at - 1]
        if self._strange and self._only_qualified():
            # "large nuclei": the phrase shows that all nuclei are asked for.
            first, self._strange = self._strange[0], []
            hit = replace(hit, score=hit.score * QUALIFIED)
        elif self._strange:
            said = " ".join(token.text for token in self._strange)
            meant = self._meant(f"{said} {self._text[first.start : last.end]}", hit)
            if meant and _fits(meant, hit):
                # "foamy histiocytes" are more than the histiocytes in them.
                first, hit, self._strange = self._strange[0], meant, []
            else:
                self._qualified_by_strange(hit, last)
        elif self._ended == start and self._part and not self._fresh:
            first, hit = self._joined(first, last, hit)
        self._keep(Found(self._text[first.start : last.end], hit))

    def _joined(self, first: Token, last: Token, hit: Hit) -> tuple[Token, Hit]:
        """Read two terms side by side as one, where their meaning says so ("crypt abscess")."""
        before = self._part[-1]
        start = self._text.rindex(before.phrase, 0, first.start)
        meant = self._meant(self._text[start : last.end], hit)
        if meant is None or meant.entry is before.hit.entry or not _fits(meant, hit):
            return first, hit
        self._part.pop()
        for kept in (self._parsed.asked, self._parsed.excluded):
            kept[:] = [other for other in kept if other is not before]
        return next(token for token in self._tokens if token.start == start), meant

    def _qualified_by_strange(self, hit: Hit, last: Token) -> None:
        """Report the strange words before a term as unknown, and what all of it could mean."""
        before = self._strange[0].start
        phrase = self._text[before : self._strange[-1].end]
        self._parsed.wider[phrase] = self._text[before : last.end]
        self._parsed.near.append(hit)
        self._parsed.unknown.append(phrase)
        self._strange = []

    def _meant(self, phrase: str, head: Hit | None = None) -> Hit | None:
        """What a phrase means that ends with a term; words of a place are not asked about."""
        if self._kind not in (Kind.WORD, Kind.NOT):
            return None
        return self._lexicon.meaning(phrase, head.entry if head else None)

    def _only_qualified(self) -> bool:
        """Whether nothing but words of look stands right before."""
        return all(token.kind in (Kind.QUALIFIER, Kind.BESIDE) for token in self._strange)

    def _keep(self, found: Found) -> None:
        kept = self._parsed.excluded if self._kind is Kind.NOT else self._parsed.asked
        kept.append(found)
        self._part.append(found)
        self._fresh, self._ended = False, self._at

    def _absorb(self, hit: Hit) -> None:
        structure = hit.entry.term.structure
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            of_tissue = structure == "tissue" and token.kind is Kind.NOUN
            if not of_tissue and token.normal not in _ABSORBED[structure]:
                return
            self._at += 1

    def _strange_head(self, hit: Hit) -> int:
        """How many tokens after a name make it part of something that has no name here."""
        if self._at == len(self._tokens):
            return 0
        token = self._tokens[self._at]
        if token.kind is not Kind.WORD:
            return int(token.kind is Kind.NOUN)  # A qualifier begins something else.
        name = name_at(self._tokens, self._at, self._lexicon, typos=True)
        if name is None:
            return int(not _is_verb(token))
        tissue = hit.entry.term.structure == "tissue"
        if name.hit is None or tissue == (name.hit.entry.term.structure == "tissue"):
            return 0
        # "gland nuclei" are nuclei of a tissue, a "clear cell carcinoma" is no clear cell.
        return 0 if tissue and not _is_bare(name.hit) else name.length

    def _end_strange(self) -> None:
        if not self._strange:
            return
        phrase = self._text[self._strange[0].start : self._strange[-1].end]
        hit = self._meant(" ".join(token.text for token in self._strange))
        if hit is None:
            self._parsed.unknown.append(phrase)
        else:
            self._keep(Found(phrase, hit))
        self._strange = []

    def _end_part(self) -> None:
        self._end_strange()
        self._found += [(found, self._part_region) for found in self._part]
        self._part, self._part_region, self._kind = [], None, Kind.WORD
