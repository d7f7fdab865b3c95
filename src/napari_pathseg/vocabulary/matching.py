"""From words to entries: normalisation, exact names and synonyms, bounded typo correction."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from napari_pathseg.vocabulary.entry import Entry


def word_set(text: str) -> frozenset[str]:
    """The words of a text that lists words."""
    return frozenset(text.split())


ONE_EDIT_LENGTH = 5
TWO_EDITS_LENGTH = 9
SYNONYM_SCORE = 0.95

# Latin and Greek plurals that no rule below reaches.
_IRREGULAR = {
    "septa": "septum",
    "lumina": "lumen",
    "foramina": "foramen",
    "ganglia": "ganglion",
    "cilia": "cilium",
    "ova": "ovum",
    "fila": "filum",
    "matrices": "matrix",
    "apices": "apex",
    "cortices": "cortex",
    "indices": "index",
}

# Real words that lie one or two edits from a term and must never be corrected into it.
_LOOKALIKES = word_set(
    """
    aplasia bidding bland blending blond bloom breeding brood cancel cello crept crypto crystal
    duce fabric gladly glance glans gloss grand granule grass hypoplasia hypotrophy inlet insult
    melanie morrow muscat mussel nervy never philip purcell square starring stoma storm stream
    strong strophe temper timber timor tremor tudor tumbler tutor vain veil venue villa villain
    """
)


def fold(text: str) -> str:
    """Unicode NFKC, no case, no accents."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text).casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def _singular(word: str) -> str:
    """Singular of an English, Latin or Greek noun; other words stay, always the same way."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) < 4:
        return word
    rules = (
        ("mata", "ma"),
        ("thelia", "thelium"),
        ("ae", "a"),
        ("ies", "y"),
        ("oses", "osis"),
        ("yses", "ysis"),
        ("stases", "stasis"),
        ("sses", "ss"),
        ("uses", "us"),
        ("xes", "x"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("i", "us"),
    )
    for plural, singular in rules:
        if word.endswith(plural) and len(word) > len(plural) + 1:
            return word[: -len(plural)] + singular
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


_ABBREVIATIONS = re.compile(r"(?<=^[A-Z]{3})s$|(?<=^[A-Z]{4})s$")
_SPELLINGS = (
    (re.compile(r"(?<=\w)our(?=\w*$)"), "or"),
    (re.compile(r"[oa]e"), "e"),
    (re.compile(r"^leuc"), "leuk"),
    (re.compile(r"\b(fib|cent)re$"), r"\1er"),
    (re.compile(r"^grey"), "gray"),
    (re.compile(r"is(e|ed|ation|ing)$"), r"iz\1"),
    (re.compile(r"ph"), "f"),
)


@lru_cache(maxsize=16_384)
def normal_word(word: str) -> str:
    """One form for all spellings and numbers of a word: a key, not for reading.

    British and American spelling, ae/e and oe/e, English and Latin plurals come out the same.
    """
    # "TDLUs": the plural of an abbreviation, which no rule for words would see.
    folded = _singular(fold(_ABBREVIATIONS.sub("", word)))
    for pattern, replacement in _SPELLINGS:
        folded = pattern.sub(replacement, folded)
    return folded


_WORD = re.compile(r"[^\W_]+")


def normal_words(text: str) -> list[str]:
    """The words of a text in normal form; hyphens and other signs only part them."""
    composed = unicodedata.normalize("NFKC", text).replace("’", "'").replace("'s", "")
    return [normal_word(word) for word in _WORD.findall(composed)]


def compact(text: str) -> str:
    """The key of a text: its normal words without spaces, so that "Ki-67" equals "ki67"."""
    return "".join(normal_words(text))


def edit_distance(a: str, b: str, limit: int) -> int:
    """Optimal string alignment distance (one swap of neighbours costs one), cut at limit + 1.

    Source: Damerau, Commun. ACM 7 (1964) 171, in its restricted form.
    """
    if abs(len(a) - len(b)) > limit:
        return limit + 1
    before: list[int] = []
    previous = list(range(len(b) + 1))
    for i, char in enumerate(a, start=1):
        current = [i]
        for j, other in enumerate(b, start=1):
            cost = min(previous[j] + 1, current[j - 1] + 1, previous[j - 1] + (char != other))
            if i > 1 and j > 1 and char == b[j - 2] and a[i - 2] == other:
                cost = min(cost, before[j - 2] + 1)
            current.append(cost)
        if min(current) > limit:
            return limit + 1
        before, previous = previous, current
    return previous[-1]


def allowed_edits(length: int) -> int:
    """How many typing errors a key of this length may hold."""
    return (length >= ONE_EDIT_LENGTH) + (length >= TWO_EDITS_LENGTH)


def _letters(key: str) -> int:
    """Bit set of the characters of a key."""
    bits = 0
    for char in key:
        bits |= 1 << (ord(char) % 64)
    return bits


_ADJECTIVES = ("al", "ic", "ar", "ous", "oid", "ary", "ive", "ed", "ing", "ant", "ent")


def _other_ending(key: str, candidate: str) -> bool:
    """Whether `key` is an adjective by its ending and `candidate` is not."""
    return any(key.endswith(end) and not candidate.endswith(end) for end in _ADJECTIVES)


@dataclass(frozen=True, slots=True)
class Hit:
    """An entry that words were found to mean; `how` as in :class:`~.entry.Match`."""

    entry: Entry
    score: float
    how: str


class Matcher:
    """Names and synonyms of entries, found in any spelling and number, with small typing errors.

    Parameters
    ----------
    entries : iterable of Entry
        A later entry that claims a name or synonym of an earlier one does not get it.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        entries = tuple(entries)
        self._exact: dict[str, Hit] = {}
        self._typos: dict[tuple[str, ...], Hit | None] = {}
        self._near: dict[tuple[str, int], list[tuple[str, int]]] = defaultdict(list)
        self._words: dict[str, list[str]] = {}
        self.max_words = 1
        for entry in entries:
            self._add(entry.name, Hit(entry, 1.0, "name"))
        for entry in entries:
            for synonym in entry.synonyms:
                self._add(synonym, Hit(entry, SYNONYM_SCORE, "synonym"))
        for entry in entries:
            for form in _derived_forms(entry):
                self._add(form, Hit(entry, SYNONYM_SCORE, "synonym"))
        for key in self._exact:
            self._near[key[0], len(key)].append((key, _letters(key)))

    def _add(self, text: str, hit: Hit) -> None:
        words = normal_words(text)
        key = "".join(words)
        if key:
            self._exact.setdefault(key, hit)
            if len(words) > len(self._words.get(key, ())):
                self._words[key] = words
            self.max_words = max(self.max_words, len(words) + 1)

    def exact(self, words: Sequence[str]) -> Hit | None:
        """The entry whose name or synonym these normal words are, or None."""
        return self._exact.get("".join(words))

    def typo(self, words: Sequence[str]) -> Hit | None:
        """The one entry that these normal words miss by a typing error, or None.

        The first letter must be right, words shorter than five letters are never corrected, a
        word more than the name has is no typing error, nor is an adjective's ending ("mucosal" is
        not "mucosa"), and two entries equally near make no match.
        """
        key = "".join(words)
        limit = allowed_edits(len(key))
        if not limit or any(word in _LOOKALIKES for word in words):
            return None
        memo = tuple(words)
        if memo not in self._typos:
            if len(self._typos) > 4096:
                self._typos.clear()
            self._typos[memo] = self._nearest(key, memo, limit)
        return self._typos[memo]

    def _nearest(self, key: str, words: tuple[str, ...], limit: int) -> Hit | None:
        letters = _letters(key)
        found: dict[str, Entry] = {}
        best = limit
        for length in range(len(key) - limit, len(key) + limit + 1):
            for candidate, bits in self._near.get((key[0], length), ()):
                if (letters ^ bits).bit_count() > 2 * limit or _other_ending(key, candidate):
                    continue
                distance = _word_distance(words, self._words[candidate], best)
                if distance < best:
                    best, found = distance, {}
                if distance == best:
                    entry = self._exact[candidate].entry
                    found[entry.name] = entry
        if len(found) != 1:
            return None
        return Hit(next(iter(found.values())), SYNONYM_SCORE - 0.1 * best, "typo")


def _word_distance(words: Sequence[str], others: Sequence[str], limit: int) -> int:
    """Typing errors between two names; limit + 1 when one word alone holds too many.

    Names that were written together ("plasmacel") may hold one error; a name with more words than
    the other has is another name.
    """
    if len(words) < len(others):
        distance = edit_distance("".join(words), "".join(others), 1)
        return distance if distance <= min(limit, 1) else limit + 1
    if len(words) > len(others):
        return limit + 1
    total = 0
    for word, other in zip(words, others, strict=True):
        allowed = min(limit, allowed_edits(min(len(word), len(other))))
        distance = edit_distance(word, other, allowed)
        if distance > allowed:
            return limit + 1
        total += distance
    return total


def _derived_forms(entry: Entry) -> list[str]:
    """Names by rule: "epithelial cell" for a nucleus, "lymphocyte nucleus" for a cell."""
    names = (entry.name, *entry.synonyms)
    if entry.term.structure == "tissue":
        return []
    stems = [name.removesuffix(" nucleus") for name in names if name.endswith(" nucleus")]
    forms = [f"{stem} cell" for stem in stems]
    if entry.term.structure == "nuclei":
        forms += [f"{name} nucleus" for name in names if not name.endswith("nucleus")]
    return forms
