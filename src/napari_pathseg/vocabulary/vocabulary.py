"""The vocabulary: what terms there are and what a text asks for."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.classes import UNSPECIFIED, Color, Term
from napari_pathseg.errors import PromptError, UnknownTermError
from napari_pathseg.prompts import MAX_TEXT_LENGTH
from napari_pathseg.vocabulary import grammar
from napari_pathseg.vocabulary.completing import Completer, Completion
from napari_pathseg.vocabulary.entry import Entry, Match, Resolution
from napari_pathseg.vocabulary.matching import Hit, Matcher, compact, normal_words
from napari_pathseg.vocabulary.suggesting import GramIndex
from napari_pathseg.vocabulary.termfile import (
    TermFile,
    own_terms_path,
    parse_terms,
    read_terms,
    write_terms,
)

if TYPE_CHECKING:
    from napari_pathseg.vocabulary.encoder import TextEncoder
    from napari_pathseg.vocabulary.meaning import MeaningIndex

# Gives the text encoder when a phrase is met that no name, synonym or typing error explains.
EncoderSource = Callable[[], "TextEncoder"]

# Shown where a phrase resembles nothing.
_COMMON = ("nucleus", "gland", "tumor")


def _as_chosen(entry: Entry, content: TermFile) -> Entry:
    color = content.colors.get(entry.name, entry.color)
    return replace(entry, color=color, mpp=content.mpps.get(entry.name, entry.mpp))


def _shipped_encoder() -> TextEncoder:
    from napari_pathseg.vocabulary.encoder import shipped_encoder

    return shipped_encoder()


class Vocabulary:
    """Terms with their tree, found by what pathologists type. Immutable.

    Parameters
    ----------
    content : TermFile
        Regions and entries; names and synonyms must be unique in any spelling.
    own : frozenset of str
        Names of the entries that the user added.
    encoder : callable, optional
        Gives the text encoder, which is asked about phrases that nothing else explains; None:
        such phrases stay unknown.

    Raises
    ------
    PromptError
        When a name occurs twice or a parent does not exist.
    """

    def __init__(
        self,
        content: TermFile,
        own: frozenset[str] = frozenset(),
        encoder: EncoderSource | None = None,
    ) -> None:
        chosen = tuple(_as_chosen(entry, content) for entry in content.entries)
        self._content = content = replace(content, entries=chosen)
        self._own, self._encoder = own, encoder
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
        content = parse_terms(file.read_text(encoding="utf-8"), "terms.json")
        shipped = cls(content, encoder=_shipped_encoder)
        return shipped if extra is None else shipped.with_terms(read_terms(extra))

    @classmethod
    def of_user(cls) -> Vocabulary:
        """The vocabulary that ships with what the user added and chose, if anything."""
        path = own_terms_path()
        return cls.load(path if path.exists() else None)

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
        """The colour of an entry or chosen for a name; for any other name a lasting one."""
        if name in self._by_name:
            return self._by_name[name].color
        if name in self._content.colors:
            return self._content.colors[name]
        palette = sorted({entry.color for entry in self.entries})
        return palette[zlib.crc32(name.encode("utf-8", "surrogatepass")) % len(palette)]

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
        """The entries nearest to a text, nearest first.

        Relatives of the term it names come first, then entries that mean nearly the same or, for
        a text that speaks of no tissue, are written alike.

        Parameters
        ----------
        text : str
        n : int
            At most so many.
        among : iterable of Term or str, optional
            Only entries of these terms (their regions do not matter) or names.
        """
        allowed = None if among is None else {t if isinstance(t, str) else t.object for t in among}
        text = text[:MAX_TEXT_LENGTH]
        meant = self._meanings.scores(text) if self._meanings else {}
        scores = meant or self._grams.scores(text)
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

    def complete(self, prefix: str, n: int = 10) -> tuple[Completion, ...]:
        """The entries of which a name, a synonym or a word in one begins like this."""
        return self._completer.complete(prefix, n)

    @cached_property
    def _completer(self) -> Completer:
        return Completer(self.entries)

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

    def organs(self, entry: Entry) -> tuple[str, ...]:
        """The regions in which an entry is annotated; none when it may be anywhere."""
        return self._content.places.get(entry.name, ())

    def region(self, words: Sequence[str]) -> str | None:
        """The region that these normal words name."""
        return self._regions.get("".join(words))

    def meaning(self, phrase: str, head: Entry | None = None) -> Hit | None:
        """The entry that the text encoder, if there is one, finds for a phrase ending in one."""
        if self._meanings is None:
            return None
        below = {e.name: (head.name,) for e in self.descendants(head.name)} if head else {}
        answer = self._meanings.understood(phrase, lambda name: below.get(name, ()))
        return Hit(self.entry(answer[0]), answer[1], "meaning") if answer else None

    @cached_property
    def _meanings(self) -> MeaningIndex | None:
        if self._encoder is None:
            return None
        from napari_pathseg.vocabulary.meaning import MeaningIndex

        return MeaningIndex(self.entries, self._encoder())

    # What users add and choose.

    @property
    def own(self) -> TermFile:
        """The user's own terms, colours and resolutions: what is kept and shared as a file."""
        return replace(
            self._content,
            regions={},
            entries=tuple(entry for entry in self.entries if entry.name in self._own),
            places={k: v for k, v in self._content.places.items() if k in self._own},
            sources=(),
        )

    def chosen_mpp(self, name: str) -> float | None:
        """The working resolution that the user chose for a term, if any."""
        return self._content.mpps.get(name)

    def with_encoder(self, encoder: EncoderSource | None) -> Vocabulary:
        """Return this vocabulary with another text encoder, or with none."""
        return Vocabulary(self._content, self._own, encoder)

    def with_terms(self, added: TermFile) -> Vocabulary:
        """Return this vocabulary and what a term file adds; PromptError when a name is taken.

        A term that is there already, the same in all, is taken once.
        """
        new = tuple(e for e in added.entries if self._by_name.get(e.name) != e)
        content = replace(
            self._content,
            regions={**self._content.regions, **added.regions},
            entries=(*self.entries, *new),
            places={**self._content.places, **added.places},
            colors={**self._content.colors, **added.colors},
            mpps={**self._content.mpps, **added.mpps},
        )
        own = self._own | {entry.name for entry in added.entries}
        return Vocabulary(content, own, self._encoder)

    def add(self, entry: Entry) -> Vocabulary:
        """Return this vocabulary and a term of the user's own; PromptError when it is taken."""
        return self.with_terms(TermFile(entries=(entry,)))

    def without(self, name: str) -> Vocabulary:
        """Return this vocabulary without a term of the user's own.

        Raises
        ------
        PromptError
            When the term ships, or others lie below it.
        """
        if name not in self._own:
            raise PromptError(f"{name!r} is no term of your own.", "Only these can be removed.")
        kept = tuple(entry for entry in self.entries if entry.name != name)
        places = {key: value for key, value in self._content.places.items() if key != name}
        content = replace(self._content, entries=kept, places=places)
        return Vocabulary(content, self._own - {name}, self._encoder)

    def with_color(self, name: str, color: Color) -> Vocabulary:
        """Return this vocabulary with a colour that a term or class has from now on."""
        return self.with_terms(TermFile(colors={name: color}))

    def with_mpp(self, name: str, mpp: float) -> Vocabulary:
        """Return this vocabulary with a term looked at with so many micrometres per pixel."""
        return self.with_terms(TermFile(mpps={self.entry(name).name: mpp}))

    def save(self, path: Path) -> None:
        """Write what users added and chose to a file that :meth:`load` reads."""
        write_terms(self.own, path)
