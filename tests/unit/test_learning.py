"""Learning a word from corrected fields: what is learned from, how, and what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from toy_segmenter import GLAND, ToySegmenter

from napari_pathseg.classes import ClassList, LabelClass, Term
from napari_pathseg.errors import CancelledError, PathsegError
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models.adapted import AdaptedSegmenter, answer_of, head_logits
from napari_pathseg.models.adapter import WIDTH, TermHead, joined
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.training.learning import learn
from napari_pathseg.training.lesson import (
    COARSEST_MPP,
    FINEST_MPP,
    LessonField,
    LessonProgress,
    adapter_of,
    divide,
    lesson_field,
    scale_for,
    term_of,
)
from napari_pathseg.training.lesson_page import lesson_facts, lesson_page, side_by_side
from napari_pathseg.training.lesson_tiles import cut_field, model_shape
from napari_pathseg.training.lesson_trainer import LearningConfig
from napari_pathseg.vocabulary import Vocabulary

CLUMP = Term("unspecified", "tissue", "pigment clump")
CONFIG = LearningConfig(steps=20, measured_every=10, batch=2, crop_px=24, rate=0.01, encodings=0)
GREEN, RED, YELLOW = (40, 220, 60), (240, 40, 40), (230, 220, 40)


def field(
    number: int, color: tuple[int, int, int] | None, slide: str | None = None, side: int = 128
) -> LessonField:
    """A grey field with a disk of a colour, which is what was labelled, and one of blue."""
    y, x = np.mgrid[:side, :side]
    disk = (y - side / 2 - 4 * number) ** 2 + (x - side / 2) ** 2 < (side / 5) ** 2
    picture = np.full((side, side, 3), 150, np.uint8)
    picture[:20, :20] = (30, 30, 200)
    if color is None:
        disk &= False
    else:
        picture[disk] = color
    name = f"f{number}"
    return LessonField(name, slide or name, lambda: picture, disk, (1.0, 1.0))


def test_a_new_word_is_learned_and_measured_on_fields_held_out() -> None:
    base = ToySegmenter()
    fields = [field(i, GREEN if i < 5 else None) for i in range(6)]
    reports: list[Progress] = []
    lesson = learn(CLUMP, fields, base, config=CONFIG, progress=reports.append)
    assert lesson.better
    assert lesson.taught.before is None
    assert lesson.taught.after is not None
    assert lesson.taught.after > 0.85
    assert (lesson.taught.fields, lesson.taught.present, lesson.taught.slides) == (6, 5, 6)
    assert len(lesson.outcomes) == 6
    absent = [o for o in lesson.outcomes if o.after is None]
    assert len(absent) == 1
    assert absent[0].found.mean() < 0.02, "a field without it is a negative"
    assert base.encoder_passes == 6 * 2, "each field and one variant, once"
    # The head that is kept answers a field that no head has seen.
    fresh = field(1, GREEN, side=160)
    embedding = base.encode(fresh.read())
    found = head_logits(joined(lesson.heads), embedding) > 0
    truth = fresh.target[2::4, 2::4]
    assert 2 * (found & truth).sum() / (found.sum() + truth.sum()) > 0.85
    curves = [r.curve for r in reports if isinstance(r, LessonProgress) and r.curve]
    assert curves, "the curve is told while it grows"
    assert len(curves[-1]) == 2
    assert max(r.done for r in reports) <= reports[-1].total


def test_a_known_word_is_corrected_and_others_stay() -> None:
    """The base takes what is red for gland; the person calls yellow gland too."""
    base = ToySegmenter()
    fields = [field(i, RED if i % 2 else YELLOW) for i in range(6)]
    lesson = learn(GLAND, fields, base, config=replace(CONFIG, steps=40))
    assert lesson.taught.added
    assert lesson.taught.working_mpp == 1.0, "the base's own"
    assert lesson.taught.before is not None
    assert lesson.taught.after is not None
    assert lesson.taught.after > lesson.taught.before + 0.05
    assert all(o.found_before is not None for o in lesson.outcomes)


def test_the_same_fields_and_seed_give_the_same_head() -> None:
    fields = [field(i, GREEN) for i in range(5)]
    config = replace(CONFIG, steps=6, measured_every=3)
    first, second = (learn(CLUMP, fields, ToySegmenter(), config=config) for _ in range(2))
    pairs = zip(joined(first.heads).parameters(), joined(second.heads).parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert first.curve == second.curve


def test_heads_that_are_joined_say_their_mean() -> None:
    torch.manual_seed(0)
    heads = [TermHead() for _ in range(3)]
    for head in heads:
        torch.nn.init.normal_(head.out.weight)
    tokens, pixels = torch.randn(2, 256, 3, 4), torch.randn(2, 64, 12, 16)
    with torch.inference_mode():
        mean = torch.stack([head(tokens, pixels) for head in heads]).mean(0)
        torch.testing.assert_close(joined(heads)(tokens, pixels), mean, rtol=1e-4, atol=1e-5)


def test_an_adapter_of_many_words_stays_small() -> None:
    fields = [field(i, GREEN) for i in range(5)]
    lesson = learn(CLUMP, fields, ToySegmenter(), config=replace(CONFIG, steps=2, measured_every=2))
    few = adapter_of([lesson] * 6, ToySegmenter().card)
    many = adapter_of([lesson] * 7, ToySegmenter().card)
    assert [head.members for head in few.heads] == [4] * 6, "three parts and all fields"
    assert [head.members for head in many.heads] == [1] * 7
    last = lesson.heads[-1].state_dict()
    torch.testing.assert_close(many.heads[0].state_dict()["mix.weight"], last["mix.weight"])
    assert few.heads[0].out.weight.shape[1] == 4 * WIDTH


def test_nothing_better_is_said_so() -> None:
    """Without anything to see, the answer after is not better than the base's."""
    fields = [field(i, RED) for i in range(5)]
    lesson = learn(GLAND, fields, ToySegmenter(), config=replace(CONFIG, steps=1, measured_every=1))
    assert lesson.taught.before is not None
    assert lesson.taught.after is not None
    assert lesson.taught.after >= lesson.taught.before, "the base itself is step 0"


def test_it_stops_when_cancelled() -> None:
    cancel = CancelToken()

    def stop(report: Progress) -> None:
        if report.message.startswith("Learning"):
            cancel.cancel()

    with pytest.raises(CancelledError):
        learn(
            CLUMP, [field(i, GREEN) for i in range(5)], ToySegmenter(),
            config=replace(CONFIG, measured_every=1), progress=stop, cancel=cancel,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([field(i, GREEN) for i in range(4)], "4 corrected fields"),
        ([field(i, GREEN if i == 0 else None) for i in range(5)], "in 1 of the 5"),
        ([field(0, GREEN)] * 51, "at most 50"),
    ],
)
def test_too_little_or_too_much_is_refused(fields: Sequence[LessonField], said: str) -> None:
    with pytest.raises(PathsegError, match=said):
        learn(CLUMP, fields, ToySegmenter(), config=CONFIG)


def test_fields_of_a_slide_are_held_out_together() -> None:
    fields = [field(i, GREEN if i % 3 else None, slide=f"s{i % 4}") for i in range(12)]
    parts = divide(fields, 3, seed=0)
    assert sorted(i for part in parts for i in part) == list(range(12))
    slides = [{fields[i].slide for i in part} for part in parts]
    assert sum(map(len, slides)) == 4, "no slide is in two parts"
    assert all(any(fields[i].present for i in part) for part in parts)
    single = divide([field(i, GREEN, slide="one") for i in range(5)], 3, seed=0)
    assert sorted(map(len, single)) == [1, 2, 2]


def test_a_new_word_is_looked_at_so_that_its_objects_are_seen() -> None:
    disk = field(0, GREEN)  # 51 px wide
    assert scale_for([replace(disk, mpp=(0.5, 0.5))]) == pytest.approx(25.6 / 48, rel=0.05)
    assert scale_for([replace(disk, mpp=(0.05, 0.05))]) == FINEST_MPP
    assert scale_for([replace(disk, mpp=(9.0, 9.0))]) == COARSEST_MPP
    assert scale_for([replace(disk, mpp=None)]) == COARSEST_MPP
    crumbs = disk.target.copy()
    crumbs[2:6, np.arange(128) % 20 < 4] = True  # seven of 4 x 4 pixels beside the disk of 51
    assert scale_for([replace(disk, target=crumbs, mpp=(0.5, 0.5))]) > 0.5, "crumbs count little"
    assert model_shape(replace(disk, mpp=(0.5, 0.5)), 1.0) == (64, 64)
    assert model_shape(replace(disk, mpp=None), 1.0) == (384, 384), "as one input"


def test_tiles_cover_a_field_with_targets_in_their_places() -> None:
    large = field(0, GREEN, side=1200)
    cuts = cut_field(0, large, 1.0, most=100, seed=0)
    assert len(cuts) == 9
    whole = np.zeros((300, 300))
    for cut in cuts:
        height, width = cut.target.shape
        assert cut.image.shape == (4 * height, 4 * width, 3)
        known = cut.valid.numpy() > 0
        inside = cut.target.numpy()[known].sum()
        assert (cut.image[2::4, 2::4][..., 1][known] > 200).sum() == pytest.approx(inside, abs=40)
        whole[cut.y : cut.y + height, cut.x : cut.x + width] = cut.target.numpy()[
            : 300 - cut.y, : 300 - cut.x
        ]
    assert whole.sum() == pytest.approx(large.target.sum() / 16, rel=0.01)
    few = cut_field(0, large, 1.0, most=4, seed=0)
    assert len(few) == 4
    assert any(bool((cut.target > 0.5).any()) for cut in few)


def record(status: str, *classes: LabelClass) -> FieldRecord:
    made = FieldRecord.new(
        Field(0, 0, 0, 8, 8, (1.0, 1.0)),
        ClassList(classes),
        slide_identity="s",
        slide_name="s.svs",
        mpp=(0.5, 0.5),
    )
    return made.with_status(status)  # type: ignore[arg-type]


def test_only_what_was_reviewed_for_the_term_is_learned_from() -> None:
    vocabulary = Vocabulary.load()
    lymphocyte = LabelClass(2, "lymphocyte", vocabulary.entry("lymphocyte").term, (1, 2, 3))
    mine = LabelClass(3, "Pigment  clump", None, (1, 2, 3))
    mask = np.zeros((8, 8), np.uint16)
    mask[:2], mask[4:6] = 2, 3

    def of(status: str, term: Term, *classes: LabelClass) -> LessonField | None:
        pixels = np.zeros((8, 8, 3), np.uint8)
        return lesson_field(record(status, *classes), mask, lambda: pixels, term, vocabulary)

    nucleus = vocabulary.entry("nucleus").term
    found = of("corrected", nucleus, lymphocyte, mine)
    assert found is not None
    assert found.target.sum() == 16, "a lymphocyte is a nucleus"
    assert of("proposed", nucleus, lymphocyte, mine) is None, "nobody looked at it"
    assert of("accepted", nucleus, mine) is None, "nobody looked for nuclei"
    own = of("accepted", term_of(mine, vocabulary), lymphocyte, mine)
    assert own is not None
    assert own.target[4:6].all()
    assert own.target.sum() == 16


def test_a_class_named_as_a_term_is_that_term() -> None:
    vocabulary = Vocabulary.load()
    synonym = vocabulary.entry("gland").synonyms[0]
    assert term_of(LabelClass(1, synonym, None, (0, 0, 0)), vocabulary).object == "gland"
    new = term_of(LabelClass(1, "my  thing", None, (0, 0, 0)), vocabulary, "nuclei")
    assert new == Term("unspecified", "nuclei", "my thing")


def test_a_lesson_is_told_in_figures_and_pictures() -> None:
    fields = [field(i, GREEN if i < 5 else None) for i in range(6)]
    lesson = learn(CLUMP, fields, ToySegmenter(), config=replace(CONFIG, steps=4, measured_every=2))
    facts = lesson_facts(lesson)
    assert facts["dice_before"] is None
    assert len(facts["held_out"]) == 6
    page = lesson_page([lesson], "A <lesson>")
    assert page.count("<figure>") == 6
    assert "A &lt;lesson&gt;" in page
    assert "not known before" in page
    pair = side_by_side(lesson.outcomes[0])
    assert pair.shape == (32, 2 * 32 + 6, 3)


def test_figures_are_those_of_the_model_with_the_adapter() -> None:
    """What a lesson says of a field, a session with the head would show, but for the folds."""
    base = ToySegmenter()
    fields = [field(i, GREEN) for i in range(5)]
    lesson = learn(CLUMP, fields, base, config=CONFIG)
    assert AdaptedSegmenter(base, []).card is base.card
    embedding = base.encode(fields[0].read())
    answer = answer_of(head_logits(joined(lesson.heads), embedding))
    assert answer.presence > 0.5
