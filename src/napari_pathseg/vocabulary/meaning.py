"""What a phrase means that no name, synonym or typing error explains: the nearest entry."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache

import numpy as np

from napari_pathseg.vocabulary.encoder import FloatArray, TextEncoder
from napari_pathseg.vocabulary.entry import Entry
from napari_pathseg.vocabulary.features import text_words
from napari_pathseg.vocabulary.matching import SYNONYM_SCORE

# A phrase is taken for an entry when it is this near, this much nearer than to any other, and
# this likely to speak of tissue at all; chosen on tests/data/phrases.csv, phrases_later.csv and
# words of no list that is reported.
NEAR = 0.75
NEARER = 0.05
RELEVANT = 0.50
# What the cosines of a text are multiplied with that is one word out of the nearest name: it may
# be offered, but is never taken for it.
PART = 0.7


def _is_part(text: str, name: str) -> bool:
    """Whether a text is one word out of a longer name: "knife" is no knife mark."""
    words, others = text_words(text), text_words(name)
    return len(words) == 1 < len(others) and words[0] in others


@lru_cache(maxsize=2)
def _vectors(encoder: TextEncoder, texts: tuple[str, ...]) -> FloatArray:
    """Of the names of all entries; a vocabulary with other colours has the same names."""
    return encoder.embed(texts)


class MeaningIndex:
    """Vectors of all names and synonyms.

    Parameters
    ----------
    entries : iterable of Entry
    encoder : TextEncoder
    """

    def __init__(self, entries: Iterable[Entry], encoder: TextEncoder) -> None:
        entries = tuple(entries)
        self._encoder = encoder
        self._names = [entry.name for entry in entries]
        counts = [1 + len(entry.synonyms) for entry in entries]
        self._starts = np.cumsum([0, *counts[:-1]])
        texts = tuple(text for entry in entries for text in (entry.name, *entry.synonyms))
        self._texts, self._vectors = texts, _vectors(encoder, texts)

    def scores(self, text: str) -> dict[str, float]:
        """Cosine of the text and the nearest name of each entry; none for an everyday text."""
        vectors = self._encoder.embed([text])
        if not vectors.any() or self._encoder.relevance(vectors)[0] < RELEVANT:
            return {}
        # Not `@`: BLAS would wake its threads for less than a millisecond of work.
        each = np.einsum("td,d->t", self._vectors, vectors[0])
        if _is_part(text, self._texts[int(each.argmax())]):
            each *= PART
        cosines = np.maximum.reduceat(each, self._starts)
        return dict(zip(self._names, cosines.tolist(), strict=True))

    def understood(
        self, text: str, wider: Callable[[str], Iterable[str]]
    ) -> tuple[str, float] | None:
        """The one entry that the text is near enough to, with a score, or None.

        Parameters
        ----------
        text : str
        wider : callable
            Gives, for the name of the nearest entry, entries that may be as near as it.
        """
        scores = self.scores(text)
        if not scores:
            return None
        name = max(scores, key=scores.__getitem__)
        beside = {name, *wider(name)}
        second = max((score for other, score in scores.items() if other not in beside), default=0.0)
        if scores[name] < NEAR or scores[name] - second < NEARER:
            return None
        return name, min(scores[name], SYNONYM_SCORE)
