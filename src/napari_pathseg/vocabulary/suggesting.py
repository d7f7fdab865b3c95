"""Nearest entries to words that are not understood, by character n-grams (never for matching)."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from napari_pathseg.vocabulary.entry import Entry
from napari_pathseg.vocabulary.matching import normal_words

GRAMS = (2, 3)


def _grams(text: str) -> set[str]:
    """Character n-grams inside each word, with marked word ends."""
    grams: set[str] = set()
    for word in normal_words(text):
        marked = f" {word} "
        for size in GRAMS:
            grams.update(marked[i : i + size] for i in range(len(marked) - size + 1))
    return grams


class GramIndex:
    """Cosine similarity of TF-IDF vectors (presence only) of n-grams over names and synonyms."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        documents = [(e.name, _grams(text)) for e in entries for text in (e.name, *e.synonyms)]
        self._names = [name for name, _ in documents]
        self._postings: dict[str, list[int]] = defaultdict(list)
        for number, (_, grams) in enumerate(documents):
            for gram in grams:
                self._postings[gram].append(number)
        total = len(documents) + 1
        self._squares = {
            gram: (math.log(total / len(found)) + 1) ** 2 for gram, found in self._postings.items()
        }
        self._norms = [
            math.sqrt(sum(self._squares[gram] for gram in grams)) for _, grams in documents
        ]

    def scores(self, text: str) -> dict[str, float]:
        """Similarity, 0 to 1, of the names that share an n-gram with the text."""
        grams = sorted(gram for gram in _grams(text) if gram in self._squares)
        norm = math.sqrt(sum(self._squares[gram] for gram in grams))
        sums: dict[int, float] = defaultdict(float)
        for gram in grams:
            for number in self._postings[gram]:
                sums[number] += self._squares[gram]
        best: dict[str, float] = {}
        for number, total in sums.items():
            score = total / (norm * self._norms[number])
            best[self._names[number]] = max(best.get(self._names[number], 0.0), score)
        return best
