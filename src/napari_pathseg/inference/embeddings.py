"""Encode a picture once: its tiles' embeddings, and the words already asked of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from napari_pathseg.classes import Term
from napari_pathseg.geometry import Shape
from napari_pathseg.inference.embedding_store import EmbeddingStore
from napari_pathseg.inference.tiling import Tile, cut
from napari_pathseg.models.base import Segmenter, TileAnswer, TileEmbedding, TileQuery
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback
from napari_pathseg.slide.base import RGB

WORDS_KEPT = 1024  # answers of a tile to a term, 50 KB each at 448 pixels


@dataclass(slots=True)
class EncodedPicture:
    """The tiles of one picture of `shape` (model pixels) and their embeddings.

    `words` remembers the answers of tiles to terms that were asked last, so that a click costs
    one tile.
    """

    shape: Shape
    tiles: tuple[Tile, ...]
    embeddings: tuple[TileEmbedding, ...]
    words: dict[tuple[int, Term], TileAnswer] = field(default_factory=dict)

    def answer_words(
        self, segmenter: Segmenter, index: int, terms: tuple[Term, ...]
    ) -> list[TileAnswer]:
        """Answers of one tile to terms, each asked once and independent of the others."""
        new = [t for t in dict.fromkeys(terms) if (index, t) not in self.words]
        if new:
            answers = segmenter.decode(self.embeddings[index], [TileQuery(term=t) for t in new])
            for term, answer in zip(new, answers, strict=True):
                self.words[index, term] = answer
        answered = [self.words[index, t] for t in terms]
        while len(self.words) > WORDS_KEPT:
            del self.words[next(iter(self.words))]
        return answered


def encode_picture(
    picture: RGB,
    tiles: tuple[Tile, ...],
    segmenter: Segmenter,
    progress: ProgressCallback,
    cancel: CancelToken,
    store: EmbeddingStore | None = None,
    around: Callable[[Tile], RGB] | None = None,
) -> EncodedPicture:
    """Encode an sRGB picture (height, width, 3) tile by tile, but for tiles that `store` has.

    `around` gives the context of a tile, for a model that looks at it.

    Raises
    ------
    CancelledError
        Between two tiles, once cancelled.
    """
    shape = (picture.shape[0], picture.shape[1])
    embeddings = []
    for i, tile in enumerate(tiles):
        cancel.raise_if_cancelled()
        progress(Progress(i, len(tiles), "encoding the field"))
        seen = (cut(picture, tile),) if around is None else (cut(picture, tile), around(tile))
        embeddings.append(store.encode(segmenter, *seen) if store else segmenter.encode(*seen))
    progress(Progress(len(tiles), len(tiles), "encoding the field"))
    return EncodedPicture(shape, tiles, tuple(embeddings))


class EmbeddingCache:
    """The pictures encoded last, bounded by their number of tiles.

    Parameters
    ----------
    max_tiles : int
        The picture in use always stays, however many tiles it has.
    """

    def __init__(self, max_tiles: int) -> None:
        self._max = max_tiles
        self._pictures: OrderedDict[Hashable, EncodedPicture] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], EncodedPicture]) -> EncodedPicture:
        """The picture under a key, encoded now if it is not there."""
        if key not in self._pictures:
            self._pictures[key] = make()
        self._pictures.move_to_end(key)
        while len(self._pictures) > 1 and self._tiles() > self._max:
            self._pictures.popitem(last=False)
        return self._pictures[key]

    def _tiles(self) -> int:
        return sum(len(p.tiles) for p in self._pictures.values())
