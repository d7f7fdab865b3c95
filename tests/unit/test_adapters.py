"""Adapters: their files, the model with them on, and the folder they live in."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from toy_segmenter import GLAND, ToySegmenter

from napari_pathseg.classes import Term
from napari_pathseg.errors import ModelError, PromptError
from napari_pathseg.inference.adapting import adapted
from napari_pathseg.inference.understanding import understand
from napari_pathseg.models.adapted import AdaptedSegmenter, answer_of
from napari_pathseg.models.adapter import Adapter, TermHead, load_adapter, save_adapter
from napari_pathseg.models.adapter_card import (
    MAX_BYTES,
    AdapterCard,
    TaughtTerm,
    read_adapter_card,
)
from napari_pathseg.models.adapter_folder import SWITCHES, AdapterFolder
from napari_pathseg.models.base import TileQuery, gated
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.vocabulary import Vocabulary

CLUMP = Term("unspecified", "tissue", "pigment clump")


def taught(term: Term, *, added: bool) -> TaughtTerm:
    return TaughtTerm(term, added, 0.7, 8, 3, 5, 0.4 if added else None, 0.8)


def make(
    term: Term = CLUMP, *, added: bool = False, name: str = "mine", bias: float = 0.0
) -> Adapter:
    """An adapter whose head says `bias` everywhere."""
    head = TermHead().eval()
    head.out.bias.data.fill_(bias)  # type: ignore[union-attr]
    card = AdapterCard(
        name, "1", "toy 0", "a" * 64, (taught(term, added=added),), "as the toy", "P. Athologist",
        datetime(2026, 1, 2, tzinfo=UTC),
    )  # fmt: skip
    return Adapter(card, (head,))


@pytest.fixture
def image() -> np.ndarray:
    """Red on the left, blue on the right."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32, 0], picture[:, 32:, 2] = 250, 250
    return picture


def test_an_adapter_comes_back_from_its_file_and_is_small(tmp_path: Path) -> None:
    path = tmp_path / "a.adapter.safetensors"
    made = make(bias=0.25)
    for value in made.heads[0].parameters():
        value.data += 0.01 * torch.arange(value.numel()).reshape(value.shape) / value.numel()
    saved = save_adapter(made, path)
    again = load_adapter(path)
    assert again.card == made.card
    assert again.sha256 == saved.sha256 != ""
    assert path.stat().st_size < MAX_BYTES / 10
    for mine, theirs in zip(made.heads[0].parameters(), again.heads[0].parameters(), strict=True):
        assert torch.equal(mine.half().float(), theirs)
    assert list(tmp_path.iterdir()) == [path], "nothing else is left behind"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: p.unlink(), "no such file"),
        (lambda p: p.write_bytes(p.read_bytes()[:-50]), "no adapter"),
        (lambda p: p.write_bytes(b"{}"), "no adapter"),
        (lambda p: p.write_bytes(bytes(MAX_BYTES + 1)), "2 MB"),
        (lambda p: save_file({"x": torch.zeros(1)}, p), "no adapter"),
        (lambda p: _with_card(p, format_version=99), "newer version"),
        (lambda p: _with_card(p, terms=[]), "at least one term"),
        (lambda p: _with_head(p, "0.out.bias", torch.tensor([float("nan")])), "damaged"),
        (lambda p: _with_head(p, "0.out.bias", torch.zeros(2)), "damaged"),
    ],
)
def test_a_file_that_is_no_adapter_is_named(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "a.adapter.safetensors"
    save_adapter(make(), path)
    change(path)
    with pytest.raises(ModelError, match=said) as caught:
        load_adapter(path)
    assert str(path) in str(caught.value)


def _with_card(path: Path, **changes: object) -> None:
    card = read_adapter_card(path).to_json() | changes
    state = {f"0.{k}": v.contiguous() for k, v in TermHead().state_dict().items()}
    save_file(state, path, metadata={"card": json.dumps(card)})


def _with_head(path: Path, key: str, value: torch.Tensor) -> None:
    card = json.dumps(read_adapter_card(path).to_json())
    state = {f"0.{k}": v.contiguous() for k, v in TermHead().state_dict().items()}
    save_file(state | {key: value}, path, metadata={"card": card})


def test_what_no_adapter_teaches_is_bit_for_bit_as_before(image: np.ndarray) -> None:
    base = ToySegmenter()
    with_it = AdaptedSegmenter(base, [make()])
    embedding = with_it.encode(image)
    queries = [TileQuery(term=GLAND), TileQuery(points=((5, 5, True),))]
    for mine, plain in zip(
        with_it.decode(embedding, queries), base.decode(embedding, queries), strict=True
    ):
        assert np.array_equal(mine.logits, plain.logits)
        assert np.array_equal(mine.candidates, plain.candidates)
        assert (mine.score, mine.presence) == (plain.score, plain.presence)
    assert base.encoder_passes == with_it.encoder_passes == 1


def test_a_new_head_on_a_known_word_starts_as_the_base(image: np.ndarray) -> None:
    base = ToySegmenter()
    with_it = AdaptedSegmenter(base, [make(GLAND, added=True)])
    embedding = base.encode(image)
    [plain] = base.decode(embedding, [TileQuery(term=GLAND)])
    [mine] = with_it.decode(embedding, [TileQuery(term=GLAND)])
    assert np.allclose(mine.logits, gated(plain, base.card.presence_gate))
    assert mine.presence > 0.9, "red is there"


def test_a_new_word_can_be_asked_by_its_name(image: np.ndarray) -> None:
    segmenter, vocabulary = adapted(ToySegmenter(), Vocabulary.load(), [make(bias=3.0)])
    [question] = understand([TextPrompt("pigment clump")], vocabulary, segmenter)
    assert question.asked_as == (CLUMP,)
    assert question.working_mpp == 0.7
    answers = segmenter.decode(segmenter.encode(image), [TileQuery(term=CLUMP)])
    assert np.allclose(answers[0].logits, 3.0)
    assert "mine 1" in segmenter.card.identity
    assert segmenter.card.sha256 == "a" * 64


def test_a_new_word_must_not_be_the_synonym_of_another() -> None:
    taken = Vocabulary.load().entry("nucleus").synonyms[0]
    with pytest.raises(PromptError, match="already means"):
        adapted(ToySegmenter(), Vocabulary.load(), [make(Term("unspecified", "nuclei", taken))])


def test_of_two_adapters_for_a_word_the_last_one_answers(image: np.ndarray) -> None:
    both = [make(bias=3.0), make(bias=-2.0, name="later")]
    for order, expected in ((both, -2.0), (both[::-1], 3.0)):
        segmenter = AdaptedSegmenter(ToySegmenter(), order)
        [answer] = segmenter.decode(segmenter.encode(image), [TileQuery(term=CLUMP)])
        assert np.allclose(answer.logits, expected)


def test_adapters_for_other_words_stand_beside_each_other(image: np.ndarray) -> None:
    other = Term("unspecified", "cell", "signet ring")
    segmenter = AdaptedSegmenter(ToySegmenter(), [make(bias=3.0), make(other, bias=-2.0)])
    answers = segmenter.decode(
        segmenter.encode(image), [TileQuery(term=t) for t in (CLUMP, other, GLAND)]
    )
    assert [float(a.logits[0, 0]) for a in answers[:2]] == [3.0, -2.0]
    assert answers[2].logits[0, 0] > 0 > answers[2].logits[0, -1]


def test_places_correct_a_new_word(image: np.ndarray) -> None:
    """The base does not know the word: it continues from the mask that the head gives."""
    segmenter = AdaptedSegmenter(ToySegmenter(), [make(bias=-1.0)])
    embedding = segmenter.encode(image)
    [answer] = segmenter.decode(embedding, [TileQuery(term=CLUMP, points=((20, 40, True),))])
    assert answer.logits[5, 10] > 0
    assert (answer.logits > 0).sum() == 1
    given = np.full((16, 16), -1.0, np.float32)
    [again] = segmenter.decode(
        embedding, [TileQuery(term=CLUMP, points=((20, 40, True),), mask=given)]
    )
    assert np.array_equal(again.logits, answer.logits)


def test_an_adapter_of_another_model_is_refused() -> None:
    other = make()
    other = Adapter(replace(other.card, base_sha256="b" * 64), other.heads)
    with pytest.raises(ModelError, match="not on toy 0"):
        AdaptedSegmenter(ToySegmenter(), [other])


def test_a_model_without_readable_embeddings_says_so(image: np.ndarray) -> None:
    class Blind(ToySegmenter):
        def encode(self, image: np.ndarray, around: object = None) -> object:  # type: ignore[override]
            return object()

    segmenter = AdaptedSegmenter(Blind(), [make()])
    with pytest.raises(ModelError, match="can not be learned from"):
        segmenter.decode(segmenter.encode(image), [TileQuery(term=CLUMP)])


def test_presence_and_score_follow_the_mask() -> None:
    nothing = answer_of(np.full((32, 32), -6.0, np.float32))
    sure = np.full((32, 32), -6.0, np.float32)
    sure[8:16, 8:16] = 6.0
    something = answer_of(sure)
    assert nothing.presence < 0.01 < 0.9 < something.presence
    assert 0.7 < something.score <= 1.0
    assert answer_of(sure / 12).score < something.score, "less certain, lower score"


def test_the_folder_keeps_order_and_switches(tmp_path: Path) -> None:
    folder = AdapterFolder(tmp_path / "adapters")
    base = ToySegmenter().card
    assert folder.installed() == ()
    first, second = folder.keep(make(name="Crypts")), folder.keep(make(name="Crypts"))
    assert [p.name for p in (first, second)] == [
        "crypts.adapter.safetensors", "crypts-2.adapter.safetensors",
    ]  # fmt: skip
    assert len(folder.in_use(base)) == 2
    folder.switch(first, on=False)
    assert [a.sha256 for a in folder.in_use(base)] == [load_adapter(second).sha256]
    folder.switch(first, on=True)
    assert [one.path for one in folder.installed(base)] == [second, first], "the last one counts"
    folder.remove(second)
    assert [one.path for one in AdapterFolder(folder.folder).installed(base)] == [first]


def test_what_can_not_be_used_is_listed_with_why(tmp_path: Path) -> None:
    folder = AdapterFolder(tmp_path)
    path = folder.keep(make())
    other = replace(ToySegmenter().card, sha256="b" * 64)
    [one] = folder.installed(other)
    assert one.on
    assert "another model" in one.trouble
    assert folder.in_use(other) == ()
    path.write_bytes(b"nothing")
    [one] = folder.installed(ToySegmenter().card)
    assert one.card is None
    assert one.name == path.name
    assert folder.in_use(ToySegmenter().card) == ()


def test_an_adapter_is_installed_only_when_it_is_whole(tmp_path: Path) -> None:
    folder, file = AdapterFolder(tmp_path / "adapters"), tmp_path / "x.adapter.safetensors"
    save_adapter(make(), file)
    assert folder.install(file).exists()
    file.write_bytes(b"broken")
    with pytest.raises(ModelError):
        folder.install(file)
    assert len(folder.installed()) == 1


def test_switches_that_can_not_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / SWITCHES).write_text("{", encoding="utf-8")
    with pytest.raises(ModelError, match=SWITCHES):
        AdapterFolder(tmp_path).installed()


def test_an_adapted_model_is_asked_at_once_as_often_as_its_base(image: np.ndarray) -> None:
    class Several(ToySegmenter):
        def for_words(self) -> tuple[ToySegmenter, int]:
            return self, 3

    one = AdaptedSegmenter(ToySegmenter(), [make(bias=2.5)])
    assert one.for_words() == (one, 1)
    several, at_once = AdaptedSegmenter(Several(), [make(bias=2.5)]).for_words()
    assert at_once == 3
    answer = several.decode(several.encode(image), [TileQuery(term=CLUMP)])[0]
    assert np.allclose(answer.logits, 2.5)
