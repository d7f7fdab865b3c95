"""Words on the tiles of a picture: the same from one thread and from several."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch

from napari_pathseg.classes import LabelClass, Term
from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Field
from napari_pathseg.inference.answering import answer_question
from napari_pathseg.inference.embeddings import EncodedPicture, EncodedTile
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.inference.understanding import Question
from napari_pathseg.models.base import ModelCard, TileAnswer, TileEmbedding, TileQuery
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.segmenter import PathsegSegmenter
from napari_pathseg.progress import CancelToken

GLAND = Term("unspecified", "tissue", "gland")
OBJECTS = (("tissue", "gland"),)
QUESTION = Question(LabelClass(1, "gland", GLAND, (1, 2, 3)), (GLAND,), 1.0)
SIDE = 96
FIELD = Field(0, 0, 0, SIDE, 3 * SIDE, (1.0, 1.0))


class Watched(PathsegSegmenter):
    """Remembers which threads asked it, and how many threads torch had there."""

    def __init__(self, network: PathsegNetwork, card: ModelCard) -> None:
        super().__init__(network, card)
        self.seen: set[tuple[str, int]] = set()

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        self.seen.add((threading.current_thread().name, torch.get_num_threads()))
        return super().decode(embedding, queries)


@pytest.fixture(scope="module")
def segmenter() -> Watched:
    torch.manual_seed(0)
    card = ModelCard(
        "test", "0", "0" * 64, "none", False, "", OBJECTS, ("unspecified",), {}, 0.5, ()
    )
    return Watched(PathsegNetwork(OBJECTS, ()), card)


@pytest.fixture
def picture(segmenter: Watched) -> EncodedPicture:
    rng = np.random.default_rng(0)
    tiles = tuple(Tile(0, SIDE * i, SIDE, SIDE) for i in range(3))
    images = rng.integers(0, 255, (3, SIDE, SIDE, 3), dtype=np.uint8)
    encoded = tuple(EncodedTile(segmenter.encode(image)) for image in images)
    return EncodedPicture(FIELD, tiles, encoded)


@pytest.fixture
def threads() -> Iterator[None]:
    kept = torch.get_num_threads()
    yield
    torch.set_num_threads(kept)


def _ask(picture: EncodedPicture, segmenter: Watched) -> np.ndarray:
    found = answer_question(QUESTION, picture, FIELD, (), segmenter, 0.5, CancelToken())
    return found.logits


@pytest.mark.usefixtures("threads")
def test_several_threads_give_what_one_gives(picture: EncodedPicture, segmenter: Watched) -> None:
    torch.set_num_threads(1)
    alone = _ask(picture, segmenter)
    assert {name for name, _ in segmenter.seen} == {threading.current_thread().name}
    for tile in picture.encoded:
        tile.words.clear()
    picture.words.clear()
    picture.corrected.clear()
    segmenter.seen.clear()
    torch.set_num_threads(2)
    together = _ask(picture, segmenter)
    assert all(name.startswith("pathseg-answer") for name, _ in segmenter.seen)
    assert np.array_equal(alone, together)


@pytest.mark.usefixtures("threads")
def test_each_step_has_one_thread_and_all_are_given_back(
    picture: EncodedPicture, segmenter: Watched
) -> None:
    torch.set_num_threads(2)
    segmenter.seen.clear()
    _ask(picture, segmenter)
    assert {count for _, count in segmenter.seen} == {1}
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("threads")
def test_a_cancelled_question_ends_and_gives_the_threads_back(
    picture: EncodedPicture, segmenter: Watched
) -> None:
    torch.set_num_threads(2)
    token = CancelToken()
    token.cancel()
    segmenter.seen.clear()
    with pytest.raises(CancelledError):
        answer_question(QUESTION, picture, FIELD, (), segmenter, 0.5, token)
    assert not segmenter.seen
    assert torch.get_num_threads() == 2
