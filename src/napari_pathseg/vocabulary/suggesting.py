"""Nearest entries to words that are not understood, by character n-grams (never for matching)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from napari_pathseg.vocabulary.entry import Entry
from napari_pathseg.vocabulary.matching import normal_words

GRAMS = (2, 3)


def _grams(word: str) -> tuple[str, ...]:
    """Character n-grams of a word with marked ends."""
    marked = f" {word} "
    pieces = (marked[i : i + size] for size in GRAMS for i in range(len(marked) - size + 1))
    return tuple(dict.fromkeys(pieces))


class GramIndex:
    """How alike names and synonyms are written to a text.

    Two words are as alike as the cosine of their TF-IDF n-gram sets; a text and a name as alike as
    the weighted sum over the text's words of the likest word of the name.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._names: list[str] = []
        self._uses: dict[str, list[int]] = defaultdict(list)
        words_of: list[list[str]] = []
        for entry in entries:
            for text in (entry.name, *entry.synonyms):
                words = normal_words(text)
                for word in set(words):
                    self._uses[word].append(len(self._names))
                words_of.append(words)
                self._names.append(entry.name)
        self._words: dict[str, list[str]] = defaultdict(list)
        for word in self._uses:
            for gram in _grams(word):
                self._words[gram].append(word)
        self._rare = math.log(len(self._uses) + 1) + 1
        self._weights = {
            gram: (self._rare - math.log(len(words))) ** 2 for gram, words in self._words.items()
        }
        self._squares = {word: self._square(_grams(word)) for word in self._uses}
        self._sizes = [sum(self._squares[word] for word in words) or 1.0 for words in words_of]

    def _square(self, grams: Iterable[str]) -> float:
        return sum(self._weights.get(gram, self._rare**2) for gram in grams)

    def scores(self, text: str) -> dict[str, float]:
        """Likeness, 0 to 1, of the names that share an n-gram with the text."""
        sums: dict[int, float] = defaultdict(float)
        size = 0.0
        for word in dict.fromkeys(normal_words(text)):
            square = self._square(_grams(word))
            size += square
            for number, likeness in self._likest(word, square).items():
                sums[number] += square * likeness
        best: dict[str, float] = {}
        for number, shared in sums.items():
            score = shared / math.sqrt(size * self._sizes[number])
            best[self._names[number]] = max(best.get(self._names[number], 0.0), score)
        return best

    def _likest(self, word: str, square: float) -> dict[int, float]:
        """For each name how alike its likest word is to `word`."""
        shared: dict[str, float] = defaultdict(float)
        for gram in _grams(word):
            for other in self._words.get(gram, ()):
                shared[other] += self._weights[gram]
        found: dict[int, float] = defaultdict(float)
        for other, weight in shared.items():
            likeness = weight / math.sqrt(square * self._squares[other])
            for number in self._uses[other]:
                found[number] = max(found[number], likeness)
        return found
