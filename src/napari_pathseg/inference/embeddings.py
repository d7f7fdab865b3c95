"""Encode what a plan looks at: its tiles' embeddings, and the words already asked of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import NamedTuple

import numpy as np

from napari_pathseg.classes import Term
from napari_pathseg.geometry import Field, Shape
from napari_pathseg.inference.tiling import FloatMap, Tile, resize_map
from napari_pathseg.models.base import (
    OUTPUT_STRIDE,
    Segmenter,
    TileAnswer,
    TileEmbedding,
    TileQuery,
)

WORDS_KEPT = 12  # answers of a tile to the terms asked last, 50 KB each at 448 pixels


@dataclass(slots=True)
class EncodedTile:
    """One tile's embedding; `words` remembers its answers to terms that were asked last."""

    embedding: TileEmbedding
    words: dict[Term, TileAnswer] = dataclass_field(default_factory=dict)

    def answer_words(self, segmenter: Segmenter, terms: tuple[Term, ...]) -> list[TileAnswer]:
        """Answers to terms, each asked once and independent of the others."""
        new = [t for t in dict.fromkeys(terms) if t not in self.words]
        if new:
            answers = segmenter.decode(self.embedding, [TileQuery(term=t) for t in new])
            self.words.update(zip(new, answers, strict=True))
        answered = [self.words[t] for t in terms]
        while len(self.words) > WORDS_KEPT:
            del self.words[next(iter(self.words))]
        return answered


class WordsAnswer(NamedTuple):
    """What words find in a picture, and how sure the model is of it in a field.

    Attributes
    ----------
    logits : float32 array (height, width)
        On the picture's grid; not to be changed.
    presence, score : float
    """

    logits: FloatMap
    presence: float
    score: float


class Corrected(NamedTuple):
    """What clicks, in order, made of the answer to words.

    Attributes
    ----------
    within : tuple
        What else decides: the boxes, and the logit from which a pixel counted as inside.
    clicks : tuple
    logits : float32 array (height, width)
        On the picture's grid; not to be changed.
    """

    within: Hashable
    clicks: tuple[Hashable, ...]
    logits: FloatMap


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """What a plan's tiles cover, encoded.

    Attributes
    ----------
    field : Field
        Its pixels are the model's.
    tiles : tuple of Tile
        Pixels of the field.
    encoded : tuple of EncodedTile
        Of each tile.
    words : dict
        What words found, by what was asked and the field, so that a click costs one tile.
    corrected : dict
        What clicks made of it last, so that one click more costs no more than the first.
    """

    field: Field
    tiles: tuple[Tile, ...]
    encoded: tuple[EncodedTile, ...]
    words: dict[tuple[tuple[Term, ...], Field], WordsAnswer] = dataclass_field(default_factory=dict)
    corrected: dict[tuple[tuple[Term, ...], Field], Corrected] = dataclass_field(
        default_factory=dict
    )

    @property
    def shape(self) -> Shape:
        """Height and width of what is covered, model pixels."""
        return self.field.shape

    def enlarged(self, values: FloatMap) -> FloatMap:
        """A map on the grid of the model's answers, from the picture's first pixel on, on the
        picture's grid.
        """
        (rows, columns), (height, width) = values.shape, self.shape
        large = resize_map(values, (rows * OUTPUT_STRIDE, columns * OUTPUT_STRIDE))
        return np.ascontiguousarray(large[:height, :width])


class EmbeddingCache:
    """The tiles encoded last.

    Parameters
    ----------
    max_tiles : int
        Those in use always stay, however many they are.
    """

    def __init__(self, max_tiles: int) -> None:
        self._max = max_tiles
        self._tiles: OrderedDict[Hashable, EncodedTile] = OrderedDict()

    def get(
        self, keys: Sequence[Hashable], make: Callable[[int], TileEmbedding]
    ) -> tuple[EncodedTile, ...]:
        """The tiles under some keys; `make` encodes the i-th of them where it is not there."""
        for i, key in enumerate(keys):
            if key not in self._tiles:
                self._tiles[key] = EncodedTile(make(i))
            self._tiles.move_to_end(key)
        while len(self._tiles) > max(self._max, len(keys)):
            self._tiles.popitem(last=False)
        return tuple(self._tiles[key] for key in keys)
