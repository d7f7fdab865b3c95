"""The vocabulary: what terms there are and what a text asks for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from importlib import resources
from pathlib import Path

from napari_pathseg.classes import UNSPECIFIED, Color, Term
from napari_pathseg.errors import PromptError, UnknownTermError, describe_os_error
from napari_pathseg.prompts import MAX_TEXT_LENGTH
from napari_pathseg.vocabulary import grammar
from napari_pathseg.vocabulary.entry import Entry, Match, Resolution
from napari_pathseg.vocabulary.matching import Hit, Matcher, compact, normal_words
from napari_pathseg.vocabulary.suggesting import GramIndex
from napari_pathseg.vocabulary.termfile import TermFile, format_terms, parse_terms, read_terms

# A later stage for phrases that no name, synonym or typo explains: phrase -> (entry name, score).
Meaning = Callable[[str], tuple[str, float] | None]

# Shown where an unknown phrase resembles nothing.
_COMMON = ("nucleus", "gland", "tumor")


def prompt_text(term: Term) -> str:
    """The term in PathSegmentor's form, such as "nuclei-level lymphocyte in colon pathology".

    Source: PathSegmentor (arXiv 2506.20988); an unspecified region is written "multiple".
    """
    region = grammar.MULTIPLE if term.region == UNSPECIFIED else term.region
    return f"{term.structure}-level {term.object} in {region} pathology"


def parse_prompt_text(text: str) -> Term | None:
    """The inverse of :func:`prompt_text`; None for a text of any other form."""
    parts = grammar.split_form(text)
    return Term(*parts) if parts else None


class Vocabulary:
    """Terms with their tree, found by what pathologists type. Immutable.

    Parameters
    ----------
    content : TermFile
        Regions and entries; names and synonyms must be unique in any spelling.
    own : frozenset of str
        Names of the entries that the user added.
    meaning : callable, optional
        Asked about phrases that nothing else explains.

    Raises
    ------
    PromptError
        When a name occurs twice or a parent does not exist.
    """

    def __init__(
        self,
        content: TermFile,
        own: frozenset[str] = frozenset(),
        meaning: Meaning | None = None,
    ) -> None:
        self._content, self._own, self._meaning = content, own, meaning
        self._by_name = {entry.name: entry for entry in content.entries}
        self._check()
        self._matcher = Matcher(content.entries)
        self._regions = {
            compact(text): region
            for region, others in content.regions.items()
            for text in (region, *others)
        }
        self._children: dict[str | None, list[str]] = {}
        for entry in content.entries:
            self._children.setdefault(entry.parent, []).append(entry.name)

    @classmethod
    def load(cls, extra: Path | None = None) -> Vocabulary:
        """The vocabulary that ships, and the user's own terms in the file `extra`, if any.

        Raises
        ------
        PromptError
            When `extra` can not be read or clashes with a term that ships.
        """
        file = resources.files("napari_pathseg.vocabulary") / "data" / "terms.json"
        shipped = cls(parse_terms(file.read_text(encoding="utf-8"), "terms.json"))
        return shipped if extra is None else shipped.with_terms(read_terms(extra))

    def _check(self) -> None:
        claimed: dict[str, str] = {}
        for entry in self.entries:
            for text in (entry.name, *entry.synonyms):
                owner = claimed.setdefault(compact(text), entry.name)
                if owner != entry.name or (text == entry.name and self._by_name[text] is not entry):
                    raise PromptError(
                        f"{text!r} of the term {entry.name!r} already means {owner!r}.",
                        "Use another name or leave the synonym out.",
                    )
            if entry.parent is not None and entry.parent not in self._by_name:
                raise PromptError(
                    f"The parent {entry.parent!r} of the term {entry.name!r} does not exist.",
                    "Name a term of the vocabulary.",
                )
        for entry in self.entries:
            self.ancestors(entry.name)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """All entries, in the order of the files."""
        return self._content.entries

    @property
    def regions(self) -> tuple[str, ...]:
        """All regions, "unspecified" first."""
        return (UNSPECIFIED, *self._content.regions)

    @cached_property
    def categories(self) -> tuple[Term, ...]:
        """Every region x structure x object in which an entry is known to be annotated."""
        return tuple(
            Term(region, entry.term.structure, entry.name)
            for entry in self.entries
            for region in self._content.places.get(entry.name) or (entry.term.region,)
        )

    def entry(self, name: str) -> Entry:
        """The entry with exactly this name.

        Raises
        ------
        UnknownTermError
            With the nearest names.
        """
        if name in self._by_name:
            return self._by_name[name]
        near = tuple(entry.name for entry in self.suggest(name))
        raise UnknownTermError(
            f"The vocabulary has no term {name!r}.", f"Near: {', '.join(near)}.", (name,), near
        )

    def children(self, name: str) -> tuple[Entry, ...]:
        """The entries right below an entry."""
        return tuple(self._by_name[child] for child in self._children.get(name, ()))

    def descendants(self, name: str) -> tuple[Entry, ...]:
        """All entries below an entry, nearest first."""
        found: list[Entry] = []
        layer = self.children(name)
        while layer:
            found += layer
            layer = tuple(child for entry in layer for child in self.children(entry.name))
        return tuple(found)

    def ancestors(self, name: str) -> tuple[Entry, ...]:
        """All entries above an entry, nearest first."""
        found: list[Entry] = []
        parent = self.entry(name).parent
        while parent is not None:
            if parent == name or any(entry.name == parent for entry in found):
                raise PromptError(
                    f"The term {name!r} is its own parent's parent.", "Give it another parent."
                )
            found.append(self._by_name[parent])
            parent = found[-1].parent
        return tuple(found)

    def color(self, name: str) -> Color:
        """The colour of an entry; for any other name a lasting one of theirs."""
        if name in self._by_name:
            return self._by_name[name].color
        palette = sorted({entry.color for entry in self.entries})
        return palette[zlib.crc32(name.encode("utf-8", "surrogatepass")) % len(palette)]

    # What a text means.

    def resolve(self, text: str) -> Resolution:
        """What a text asks for.

        Raises
        ------
        PromptError
            When the text is empty or longer than `prompts.MAX_TEXT_LENGTH`.
        """
        if not text.strip():
            raise PromptError("The prompt is empty.", 'Type what to look for, such as "gland".')
        if len(text) > MAX_TEXT_LENGTH:
            raise PromptError(
                f"The prompt has {len(text):,} characters; at most {MAX_TEXT_LENGTH:,} are read.",
                "Shorten it.",
            )
        parsed = grammar.parse(text, self)
        unknown = tuple(dict.fromkeys(parsed.unknown))
        return Resolution(
            text,
            self._matches(parsed.asked),
            self._matches(parsed.excluded),
            unknown,
            self._suggestions([parsed.wider.get(p, p) for p in unknown], parsed.near),
        )

    def _matches(self, found: Iterable[grammar.Found]) -> tuple[Match, ...]:
        matches: dict[Term, Match] = {}
        for item in found:
            entry = item.hit.entry
            term = entry.term
            if item.region:
                term = Term(item.region, term.structure, term.object)
            matches.setdefault(term, Match(item.phrase, entry, term, item.hit.score, item.hit.how))
        return tuple(matches.values())

    def _suggestions(self, unknown: Sequence[str], near: Sequence[Hit]) -> tuple[Entry, ...]:
        found = {hit.entry.name: hit.entry for hit in near}
        for phrase in unknown[:10]:
            found |= {entry.name: entry for entry in self.suggest(phrase)}
        return tuple(found.values())

    def suggest(
        self, text: str, n: int = 3, among: Iterable[Term | str] | None = None
    ) -> tuple[Entry, ...]:
        """The entries nearest to a text, nearest first: relatives of the term it names, then
        entries that are written alike.

        Parameters
        ----------
        text : str
        n : int
            At most so many.
        among : iterable of Term or str, optional
            Only entries of these terms (their regions do not matter) or names.
        """
        allowed = None if among is None else {t if isinstance(t, str) else t.object for t in among}
        scores = self._grams.scores(text[:MAX_TEXT_LENGTH])
        hit = self.exact(normal_words(text)) or self.typo(normal_words(text))
        for rank, entry in enumerate(self._relatives(hit.entry) if hit else ()):
            scores[entry.name] = scores.get(entry.name, 0.0) + 2 - rank / len(self.entries)
        region = self._regions.get(compact(text))
        for category in self.categories:
            if region and category.region == region:
                scores[category.object] = scores.get(category.object, 0.0) + 1
        for rank, name in enumerate(_COMMON):
            scores.setdefault(name, -rank)
        ranked = sorted(scores, key=lambda name: (-scores[name], name))
        names = [name for name in ranked if name in self._by_name]
        return tuple(self._by_name[name] for name in names if allowed is None or name in allowed)[
            :n
        ]

    def _relatives(self, entry: Entry) -> tuple[Entry, ...]:
        """An entry, what lies below and above it, what is related and its siblings."""
        related = tuple(self._by_name[name] for name in entry.related if name in self._by_name)
        siblings = self.children(entry.parent) if entry.parent else ()
        near = (entry, *self.descendants(entry.name), *self.ancestors(entry.name))
        return tuple(dict.fromkeys((*near, *related, *siblings)))

    @cached_property
    def _grams(self) -> GramIndex:
        return GramIndex(self.entries)

    def complete(self, prefix: str, n: int = 10) -> tuple[Entry, ...]:
        """The entries of which a name, a synonym or a word in one begins like this."""
        typed = " ".join(prefix.lower().split())
        if not typed:
            return ()
        wanted = " ".join(normal_words(prefix)) or typed
        ranks: dict[str, tuple[int, int]] = {}
        for name, written, normal in self._completions:
            if written.startswith(typed):
                rank = 0
            elif normal.startswith(wanted):
                rank = 1
            elif f" {typed}" in written or f" {wanted}" in normal:
                rank = 2
            else:
                continue
            ranks[name] = min((rank, len(written)), ranks.get(name, (rank, len(written))))
        # Sorting is stable: of equals the first in the file comes first.
        return tuple(self._by_name[name] for name in sorted(ranks, key=ranks.__getitem__)[:n])

    @cached_property
    def _completions(self) -> tuple[tuple[str, str, str], ...]:
        """Entry name, a text that means it, and the text in normal form."""
        return tuple(
            (entry.name, text.lower(), " ".join(normal_words(text)))
            for entry in self.entries
            for text in (entry.name, *entry.synonyms)
        )

    # The lexicon that the grammar reads with.

    @property
    def max_words(self) -> int:
        """Longest name, in words."""
        return self._matcher.max_words

    def exact(self, words: Sequence[str]) -> Hit | None:
        """The entry whose name or synonym these normal words are."""
        return self._matcher.exact(words)

    def typo(self, words: Sequence[str]) -> Hit | None:
        """The one entry that these normal words miss by a typing error."""
        return self._matcher.typo(words)

    def region(self, words: Sequence[str]) -> str | None:
        """The region that these normal words name."""
        return self._regions.get("".join(words))

    def meaning(self, phrase: str) -> Hit | None:
        """The entry that the meaning stage, if there is one, finds for a phrase."""
        answer = self._meaning(phrase) if self._meaning else None
        return Hit(self.entry(answer[0]), answer[1], "meaning") if answer else None

    # The user's own terms.

    def with_meaning(self, meaning: Meaning | None) -> Vocabulary:
        """Return this vocabulary with a stage for phrases that nothing else explains."""
        return Vocabulary(self._content, self._own, meaning)

    def with_terms(self, added: TermFile) -> Vocabulary:
        """Return this vocabulary and more terms; PromptError when a name is taken."""
        content = TermFile(
            {**self._content.regions, **added.regions},
            (*self.entries, *added.entries),
            {**self._content.places, **added.places},
        )
        own = self._own | {entry.name for entry in added.entries}
        return Vocabulary(content, own, self._meaning)

    def add(self, entry: Entry) -> Vocabulary:
        """Return this vocabulary and a term of the user's own; PromptError when it is taken."""
        return self.with_terms(TermFile(entries=(entry,)))

    def save(self, path: Path) -> None:
        """Write the user's own terms to a file that :meth:`load` reads; PromptError on failure."""
        own = [entry for entry in self.entries if entry.name in self._own]
        text = format_terms(own, self._content.places, {})
        try:
            path.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise PromptError(describe_os_error(error, path), "Choose another folder.") from error
