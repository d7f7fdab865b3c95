"""What the text encoder sees of a text: its words, their character n-grams, and pairs of words."""

from __future__ import annotations

import itertools
import zlib

from napari_pathseg.vocabulary.matching import normal_words

MAX_WORDS = 32
GRAMS = (3, 4, 5, 6)


def text_words(text: str) -> tuple[str, ...]:
    """The first words of a text in normal form; one empty word for a text without any."""
    return tuple(normal_words(text)[:MAX_WORDS]) or ("",)


def word_pairs(words: tuple[str, ...]) -> tuple[str, ...]:
    """Neighbours in their order: "carcinoma cell" is a cell, a "cell carcinoma" is none."""
    return tuple(f"{first} {second}" for first, second in itertools.pairwise(words))


def feature(piece: str) -> int:
    """The number of a piece of text: its CRC-32."""
    return zlib.crc32(piece.encode("utf-8", "surrogatepass"))


def word_features(word: str) -> list[int]:
    """The word with marked ends, then each n-gram in it; of a pair of words the pair alone.

    Source: Bojanowski et al., "Enriching Word Vectors with Subword Information", TACL 2017.
    """
    marked = f"<{word}>"
    pieces = [marked]
    if " " not in word:
        for size in GRAMS:
            if size < len(marked):
                pieces += [marked[i : i + size] for i in range(len(marked) - size + 1)]
    return [feature(piece) for piece in pieces]
