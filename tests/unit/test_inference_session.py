"""The session: places, words, clicks and boxes, with a segmenter whose answers are known exactly.

The segmenter finds planted colours, so that every mask can be compared with the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.classes import Term
from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import (
    CancelledError,
    PromptError,
    RegionError,
    UnknownScaleError,
    UnknownTermError,
)
from napari_pathseg.geometry import Field, Region, exact_downsample
from napari_pathseg.gui.messages import read_and_found
from napari_pathseg.inference.corrections import Click, correct
from napari_pathseg.inference.embeddings import EncodedPicture, EncodedTile
from napari_pathseg.inference.segmentation import IN_CHANNELS, ON_GLASS, logit
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.models.base import ModelCard, TileAnswer, TileQuery
from napari_pathseg.progress import CancelToken
from napari_pathseg.prompts import MAX_TEXT_LENGTH, BoxPrompt, PointPrompt, TextPrompt
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.open import open_slide
from napari_pathseg.vocabulary.vocabulary import Vocabulary

RED, BLUE = np.array([255, 0, 0]), np.array([0, 0, 255])
OBJECTS = (
    ("tissue", "gland"),
    ("nuclei", "nucleus"),
    ("tissue", "tumor epithelium"),
    ("nuclei", "lymphocyte"),
)


class PlantedSlide(Slide):
    """A white slide of 2000 x 3000 with red disks (glands) and small blue ones (nuclei)."""

    def __init__(self, mpp: float | None = 0.5) -> None:
        self.path = Path("planted.svs")
        shapes = [(2000, 3000), (501, 751), (125, 188)]
        self.levels = tuple(Level(s, exact_downsample(shapes[0], s), (256, 256)) for s in shapes)
        pair = None if mpp is None else (mpp, mpp)
        self.metadata = SlideMetadata("planted", "test", pair, None, "id")

    @staticmethod
    def truth(y: np.ndarray, x: np.ndarray, kind: str) -> np.ndarray:
        from_gland = (y % 400 - 200) ** 2 + (x % 500 - 250) ** 2
        if kind == "red":
            return from_gland < 80**2
        return ((y % 80 - 40) ** 2 + (x % 100 - 50) ** 2 < 12**2) & (from_gland > 120**2)

    def read(self, field: Field) -> RGB:
        y = field.origin[0] + (np.arange(field.height) + 0.5)[:, None] * field.downsample[0]
        x = field.origin[1] + (np.arange(field.width) + 0.5)[None] * field.downsample[1]
        out = np.full((*field.shape, 3), 255, np.uint8)
        out[self.truth(y, x, "red")] = RED
        out[self.truth(y, x, "blue")] = BLUE
        return out

    def close(self) -> None:
        pass


class Planted:
    """Red is gland and tumor epithelium, blue is nucleus; a click finds what it lies on."""

    def __init__(self) -> None:
        self.encoder_passes = 0
        self.decoded = 0
        mpp = {"gland": 1.0, "nucleus": 0.5, "tumor epithelium": 1.0}
        self.card = ModelCard("p", "0", "0" * 64, "", False, "", OBJECTS, (), mpp, 0.01, ())

    def knows(self, term: Term) -> bool:
        return (term.structure, term.object) in OBJECTS

    def encode(self, image: np.ndarray) -> np.ndarray:
        self.encoder_passes += 1
        return image

    def decode(self, image: np.ndarray, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        self.decoded += len(queries)
        return [self._answer(image, q) for q in queries]

    def _answer(self, image: np.ndarray, query: TileQuery) -> TileAnswer:
        height, width = image.shape[0] // 4, image.shape[1] // 4
        small = image.reshape(height, 4, width, 4, 3).mean(axis=(1, 3))
        color = BLUE if query.term and query.term.structure == "nuclei" else RED
        if query.box is not None or (query.term is None and query.points):
            color = RED
        logits = (120.0 - np.abs(small - color).sum(axis=2)).astype(np.float32) / 10
        if query.mask is not None:
            logits = query.mask  # does not follow clicks, so that the fallback is used
        if query.box is not None:
            y0, x0, y1, x1 = (int(v / 4) for v in query.box)
            outside = np.ones(logits.shape, bool)
            outside[y0:y1, x0:x1] = False
            logits = np.where(outside, np.float32(-9), logits)
        present = 0.99 if (logits > 0).any() else 0.001
        return TileAnswer(logits, np.stack([logits] * 3), 0.9, present)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def session(vocabulary: Vocabulary) -> Session:
    return Session(PlantedSlide(), Planted(), vocabulary)


def truth_on(field: Field, kind: str) -> np.ndarray:
    y = field.origin[0] + (np.arange(field.height) + 0.5)[:, None] * field.downsample[0]
    x = field.origin[1] + (np.arange(field.width) + 0.5)[None] * field.downsample[1]
    return PlantedSlide.truth(y, x, kind)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def center(mask: np.ndarray) -> np.ndarray:
    return np.argwhere(mask).mean(axis=0)


@pytest.mark.parametrize(
    "region",
    [Region(0, 0, 2000, 3000), Region(401, 503, 399, 597), Region(1203, 1, 797, 2999)],
)
def test_a_mask_lies_on_its_object_at_any_level(session: Session, region: Region) -> None:
    result = session.segment(region, [TextPrompt("gland")])
    truth = truth_on(result.field, "red")
    assert result.mask.shape == result.field.shape
    assert dice(result.mask > 0, truth) > 0.9
    assert np.abs(center(result.mask > 0) - center(truth)).max() <= 1.0


def test_each_term_is_read_at_its_own_resolution_and_comes_back_on_one_field(
    session: Session,
) -> None:
    region = Region(403, 507, 797, 993)
    result = session.segment(region, [TextPrompt("glands; nuclei")])
    assert [c.name for c in result.classes] == ["gland", "nucleus"]
    assert result.field.level == 0
    assert result.working_mpp == pytest.approx(0.5)
    nuclei = truth_on(result.field, "blue")
    assert dice(result.mask == 2, nuclei) > 0.8
    assert np.abs(center(result.mask == 2) - center(nuclei)).max() <= 1.0
    assert dice(result.mask == 1, truth_on(result.field, "red")) > 0.9


def test_a_class_asked_alone_and_with_others_is_the_same(session: Session) -> None:
    region = Region(0, 0, 800, 800)
    alone = session.segment(region, [TextPrompt("nucleus")]).logits[0]
    beside = session.segment(region, [TextPrompt("nucleus"), TextPrompt("lymphocyte")]).logits[0]
    np.testing.assert_allclose(alone, beside, atol=1e-5)


def test_a_field_is_encoded_once_however_often_it_is_asked(session: Session) -> None:
    region = Region(0, 0, 900, 900)
    session.segment(region, [TextPrompt("gland")])
    passes = session.segmenter.encoder_passes
    session.segment(region, [TextPrompt("tumor epithelium")])
    session.segment(region, [TextPrompt("gland"), PointPrompt(200, 250, positive=False)])
    assert session.segmenter.encoder_passes == passes


def test_the_threshold_costs_no_pass(session: Session) -> None:
    result = session.segment(Region(0, 0, 900, 900), [TextPrompt("gland")])
    before = session.segmenter.encoder_passes, session.segmenter.decoded
    areas = [(result.with_threshold(t).mask > 0).sum() for t in (0.1, 0.5, 0.9)]
    assert (session.segmenter.encoder_passes, session.segmenter.decoded) == before
    assert areas[0] >= areas[1] >= areas[2] > 0


def test_a_negative_click_takes_away_one_object_and_a_positive_one_brings_it_back(
    session: Session,
) -> None:
    region = Region(0, 0, 800, 1000)
    words = TextPrompt("gland")
    before = session.segment(region, [words]).mask > 0
    place = (230.0, 280.0)  # inside the first gland
    taken = session.segment(region, [words, PointPrompt(*place, positive=False)])
    after = taken.mask > 0
    y, x = (int(v) for v in taken.field.from_level0(*place))
    assert before[y, x]
    assert not after[y, x]
    gone = before & ~after
    truth = truth_on(taken.field, "red")
    quarter = np.zeros_like(truth)
    quarter[: truth.shape[0] // 2, : truth.shape[1] // 2] = True
    assert not (gone & ~quarter).any(), "another gland changed"
    back = session.segment(
        region, [words, PointPrompt(*place, positive=False), PointPrompt(*place)]
    )
    assert (back.mask > 0)[y, x]


def test_clicks_that_were_answered_are_not_asked_again(
    session: Session, vocabulary: Vocabulary
) -> None:
    region, words = Region(0, 0, 800, 1000), TextPrompt("gland")
    place = (230.0, 280.0)
    clicks = [PointPrompt(*place, positive=positive) for positive in (False, True, False)]
    session.segment(region, [words, *clicks[:2]])
    decoded = session.segmenter.decoded
    more = session.segment(region, [words, *clicks])
    assert 0 < session.segmenter.decoded - decoded <= 2, "the two before were asked again"
    anew = Session(PlantedSlide(), Planted(), vocabulary).segment(region, [words, *clicks])
    np.testing.assert_array_equal(more.logits, anew.logits)

    # Taken back, at another threshold or with another box they are answered by themselves.
    for prompts, threshold in (
        ([words, clicks[0]], 0.5),
        ([words, *clicks[:2]], 0.9),
        ([words, BoxPrompt(100, 100, 400, 400), *clicks[:2]], 0.5),
    ):
        again = session.segment(region, prompts, threshold=threshold)
        other = Session(PlantedSlide(), Planted(), vocabulary)
        expected = other.segment(region, prompts, threshold=threshold)
        np.testing.assert_array_equal(again.logits, expected.logits)


@pytest.mark.parametrize("positive", [True, False])
def test_a_click_heeds_what_the_threshold_shows(positive: bool) -> None:
    """A pixel of 60 % is outside at a threshold of 0.8 and inside at 0.4: a click changes it."""
    pixels = np.full((256, 256, 3), 255, np.uint8)
    pixels[64:128, 64:128] = RED
    field = Field(0, 0, 0, 256, 256, (1.0, 1.0))
    tile = EncodedTile(Planted().encode(pixels))
    picture = EncodedPicture(field, (Tile(0, 0, 256, 256),), (tile,))
    soft = np.full((256, 256), logit(0.6 if positive else 0.45), np.float32)
    cut = logit(0.8 if positive else 0.4)
    click = Click(90.5, 90.5, positive)
    out = correct(soft, [click], (Term("unspecified", "tissue", "gland"),), picture, Planted(), cut)
    assert (out[90, 90] > cut) == positive
    changed = np.argwhere(out != soft)
    assert changed.min() >= 60
    assert changed.max() < 132


def test_a_place_is_seen_in_the_same_inputs_wherever_the_field_starts(session: Session) -> None:
    words = [TextPrompt("nucleus")]
    first = session.segment(Region(100, 100, 700, 900), words)
    passes = session.segmenter.encoder_passes
    moved = session.segment(Region(300, 350, 700, 900), words)
    assert 0 < session.segmenter.encoder_passes - passes < passes, "some are known already"
    passes = session.segmenter.encoder_passes
    back = session.segment(Region(101, 99, 690, 895), words)
    assert session.segmenter.encoder_passes == passes, "panning back is free"
    at = np.s_[250:600, 300:800]
    for other in (moved, back):
        down, right = first.field.y - other.field.y, first.field.x - other.field.x
        there = other.logits[0, 250 + down : 600 + down, 300 + right : 800 + right]
        np.testing.assert_allclose(there, first.logits[0][at], atol=5e-3)


def test_what_lies_beside_a_field_can_be_encoded_before_it_is_asked(session: Session) -> None:
    words = [TextPrompt("nucleus")]
    session.segment(Region(800, 1000, 500, 500), words)
    shown = session.segmenter.encoder_passes
    cancel = CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        session.look_ahead(Region(800, 1000, 500, 500), words, cancel=cancel)
    count = session.look_ahead(Region(800, 1000, 500, 500), words)
    assert session.segmenter.encoder_passes == count > shown
    for y, x in ((700, 1000), (900, 1100), (800, 900)):
        session.segment(Region(y, x, 500, 500), words)
    assert session.segmenter.encoder_passes == count
    session.config = replace(session.config, cached_tiles=count - 1)
    assert session.look_ahead(Region(800, 1000, 500, 500), words) == 0, "more than are kept"


def test_a_box_keeps_what_is_inside(session: Session) -> None:
    region = Region(0, 0, 800, 1000)
    result = session.segment(region, [TextPrompt("gland"), BoxPrompt(400, 0, 800, 500)])
    ys, xs = np.nonzero(result.mask)
    places = [result.field.to_level0(y, x) for y, x in zip(ys, xs, strict=True)]
    assert places
    assert all(400 - 4 <= y <= 800 and x <= 500 + 4 for y, x in places)


def test_a_box_alone_selects_what_is_inside(session: Session) -> None:
    result = session.segment(Region(0, 0, 800, 1000), [BoxPrompt(100, 100, 300, 400)])
    assert [c.name for c in result.classes] == ["object"]
    assert result.answers[0].term is None
    assert (result.mask > 0).any()
    first = truth_on(result.field, "red")
    first[:, first.shape[1] // 2 :] = False
    first[first.shape[0] // 2 :] = False
    assert dice(result.mask > 0, first) > 0.85


def test_a_wide_term_is_asked_as_its_taught_part_and_says_so(session: Session) -> None:
    result = session.segment(Region(0, 0, 400, 500), [TextPrompt("tumor")])
    assert result.answers[0].asked_as == (Term("unspecified", "tissue", "tumor epithelium"),)
    assert "tumor epithelium" in result.notes[0]


def test_a_qualified_term_is_named_after_what_the_model_can_tell(session: Session) -> None:
    result = session.segment(Region(0, 0, 400, 500), [TextPrompt("tumour glands")])
    assert [c.name for c in result.classes] == ["gland"]
    assert "tumour glands" in result.notes[0]


@pytest.mark.parametrize("text", ["mitotic figure", "necrosis", "elastic lamina", "xyzzy"])
def test_a_word_that_was_not_taught_is_never_guessed(session: Session, text: str) -> None:
    with pytest.raises(UnknownTermError) as raised:
        session.segment(Region(0, 0, 400, 500), [TextPrompt(text)])
    assert raised.value.unknown
    assert session.segmenter.encoder_passes == 0


@pytest.mark.parametrize("text", ["", "   \n", "a" * 100_000, "not gland"])
def test_a_prompt_that_asks_for_nothing_is_refused(session: Session, text: str) -> None:
    with pytest.raises(PromptError) as raised:
        session.segment(Region(0, 0, 400, 500), [TextPrompt(text)])
    assert len(str(raised.value)) < 500
    assert len(text) <= MAX_TEXT_LENGTH or "100,000" in str(raised.value)


def test_places_outside_are_refused(session: Session) -> None:
    words = TextPrompt("gland")
    for prompt in (PointPrompt(5000, 0), BoxPrompt(2500, 0, 2600, 10)):
        with pytest.raises(RegionError, match="outside"):
            session.segment(Region(0, 0, 400, 500), [words, prompt])
    with pytest.raises(RegionError, match="2000 x 3000"):
        session.segment(Region(9000, 0, 10, 10), [words])


def test_a_field_that_is_too_large_says_what_to_do(vocabulary: Vocabulary) -> None:
    config = SegmentConfig(tile_px=256, overlap_px=32, max_tiles=4)
    session = Session(PlantedSlide(), Planted(), vocabulary, config=config)
    with pytest.raises(RegionError, match=r"tiles.*Zoom in"):
        session.segment(Region(0, 0, 2000, 3000), [TextPrompt("nucleus")])
    assert session.segmenter.encoder_passes == 0


@pytest.mark.parametrize("mpp", [1e-9, 1e-4, 1e3, 1e9])
def test_an_absurd_scale_is_refused_at_once(vocabulary: Vocabulary, mpp: float) -> None:
    session = Session(PlantedSlide(mpp=mpp), Planted(), vocabulary)
    if mpp > 1:
        with pytest.raises(RegionError, match="tiles"):
            session.segment(Region(0, 0, 2000, 3000), [TextPrompt("nucleus")])
    else:
        with pytest.raises(UnknownScaleError, match="resolution"):
            session.segment(Region(0, 0, 2000, 3000), [TextPrompt("gland")])
    assert session.segmenter.encoder_passes == 0


def test_words_need_a_scale_that_is_never_guessed(vocabulary: Vocabulary) -> None:
    session = Session(PlantedSlide(mpp=None), Planted(), vocabulary)
    with pytest.raises(UnknownScaleError, match=r"planted\.svs.*--mpp"):
        session.segment(Region(0, 0, 400, 500), [TextPrompt("gland")])
    given = Session(PlantedSlide(mpp=None), Planted(), vocabulary, mpp=(0.5, 0.5))
    assert (given.segment(Region(0, 0, 400, 500), [TextPrompt("gland")]).mask > 0).any()


def test_clicks_need_no_scale(vocabulary: Vocabulary) -> None:
    session = Session(PlantedSlide(mpp=None), Planted(), vocabulary)
    assert (session.segment(Region(0, 0, 400, 500), [PointPrompt(230, 280)]).mask > 0).any()


@pytest.mark.parametrize("start", [0, 1, 5, 9])
def test_a_click_alone_is_seen_near_and_in_the_whole_field_wherever_the_field_starts(
    vocabulary: Vocabulary, start: int
) -> None:
    """At a coarse level the window is a pixel longer than its region."""
    config = SegmentConfig(click_px=192, screen_px=384, overlap_px=32)
    session = Session(PlantedSlide(), Planted(), vocabulary, config=config)
    region = Region(start, start, 1990, 2990)
    result = session.segment(region, [PointPrompt(1000, 1250)])
    assert result.field.level == 1
    assert session.segmenter.encoder_passes == 2
    y, x = result.field.from_level0(1000, 1250)
    near = (slice(int(y) - 30, int(y) + 30), slice(int(x) - 30, int(x) + 30))
    found, truth = (result.mask > 0)[near], truth_on(result.field, "red")[near]
    assert dice(found, truth) > 0.75
    assert np.abs(center(found) - center(truth)).max() <= 1.0


def test_a_click_on_bare_glass_is_said_to_be_a_guess(
    tmp_path: Path, vocabulary: Vocabulary
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(238, 250, (400, 400, 1), np.uint8).repeat(3, axis=2)
    pixels[200:] = (215, 160, 200)  # pale tissue
    path = tmp_path / "edge.png"
    Image.fromarray(pixels).save(path)
    region = Region(0, 0, 400, 400)
    with open_slide(path) as slide:
        session = Session(slide, Planted(), vocabulary)
        for prompts, guessed in (
            ([PointPrompt(80, 200)], True),
            ([PointPrompt(4, 396)], True),
            ([PointPrompt(300, 200)], False),
            ([PointPrompt(300, 200), PointPrompt(80, 200, positive=False)], False),
            ([BoxPrompt(20, 20, 90, 90)], False),
            ([TextPrompt("gland"), PointPrompt(80, 200)], False),
        ):
            notes = session.segment(region, prompts).notes
            assert (ON_GLASS in notes) is guessed, prompts


@pytest.mark.parametrize("prompt", [TextPrompt("gland"), PointPrompt(80, 200)])
def test_of_channels_it_is_said_that_the_model_was_not_taught_them(
    tmp_path: Path, vocabulary: Vocabulary, prompt: TextPrompt | PointPrompt
) -> None:
    path = tmp_path / "dapi.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 60, (2, 400, 400), np.uint8)
    tifffile.imwrite(path, pixels, metadata={"axes": "CYX"}, photometric="minisblack")
    with open_slide(path) as slide:
        session = Session(slide, Planted(), vocabulary, mpp=(0.5, 0.5))
        result = session.segment(Region(0, 0, 400, 400), [prompt])
    assert IN_CHANNELS in result.notes
    found = replace(result, logits=np.ones_like(result.logits))
    message = read_and_found(found)
    assert IN_CHANNELS in message.text
    assert message.kind == "warning"


def test_clicks_nearby_find_the_embedding_made_already(session: Session) -> None:
    region = Region(0, 0, 1000, 1000)
    session.segment(region, [PointPrompt(230, 280)])
    session.segment(region, [PointPrompt(230, 280), PointPrompt(235, 290, positive=False)])
    assert session.segmenter.encoder_passes == 2
    session.segment(region, [PointPrompt(800, 850)])
    assert session.segmenter.encoder_passes == 3, "the whole field is known"


@pytest.mark.parametrize(("near", "wide"), [(0.9, 0.4), (0.4, 0.9)])
def test_of_what_is_seen_near_and_in_the_whole_field_the_surer_is_taken(
    vocabulary: Vocabulary, near: float, wide: float
) -> None:
    config = SegmentConfig(click_px=192, screen_px=1024)
    segmenter = Planted()
    answer = segmenter._answer

    def graded(image: np.ndarray, query: TileQuery) -> TileAnswer:
        is_near = (image == RED).all(axis=2).mean() > 0.3
        return replace(answer(image, query), score=near if is_near else wide)

    segmenter._answer = graded
    session = Session(PlantedSlide(), segmenter, vocabulary, config=config)
    result = session.segment(Region(0, 0, 1000, 1000), [PointPrompt(200, 250)])
    assert result.answers[0].score == max(near, wide)
    beyond_the_window = result.candidates[:, 500:, 600:] > 0
    assert beyond_the_window.any(axis=(1, 2)).tolist() == [wide > near, near > wide]
    assert np.array_equal(result.logits[0], result.candidates[0])
    for prompts in (
        [BoxPrompt(150, 200, 250, 300)],
        [PointPrompt(200, 250), PointPrompt(210, 250)],
    ):
        assert session.segment(Region(0, 0, 1000, 1000), prompts).answers[0].score == near


def test_what_several_clicks_mean_goes_on_beyond_their_window(vocabulary: Vocabulary) -> None:
    config = SegmentConfig(click_px=128, screen_px=1024)
    session = Session(PlantedSlide(), Planted(), vocabulary, config=config)
    view, disk = Region(0, 0, 1000, 1000), (np.s_[115:285], np.s_[165:335])
    small = session.segment(view, [PointPrompt(200, 250), PointPrompt(205, 250)])
    assert session.segmenter.encoder_passes == 2, "its window is smaller than the disk"
    found, truth = small.mask > 0, truth_on(small.field, "red")
    assert dice(found[disk], truth[disk]) > 0.85
    assert found.sum() < 1.2 * truth[disk].sum(), "other disks do not hang together with it"
    lone = session.segment(view, [PointPrompt(40, 50), PointPrompt(60, 50)])
    assert session.segmenter.encoder_passes == 3
    assert not (lone.mask[500:] > 0).any()


def test_a_click_finds_nothing_beyond_its_window(vocabulary: Vocabulary) -> None:
    config = SegmentConfig(click_px=192, screen_px=1024, looks=("near",))
    session = Session(PlantedSlide(), Planted(), vocabulary, config=config)
    result = session.segment(Region(0, 0, 1000, 1000), [PointPrompt(200, 250)])
    assert session.segmenter.encoder_passes == 1
    rows, columns = np.nonzero(result.mask)
    assert len(rows) > 0
    assert rows.max() < 200 + 192
    assert columns.max() < 250 + 192


def test_a_plain_picture_is_looked_at_as_it_is(tmp_path: Path, vocabulary: Vocabulary) -> None:
    """A cut-out PNG never says its scale; its pixels are all there is."""
    picture = np.full((120, 200, 3), 255, np.uint8)
    picture[40:80, 60:120] = RED
    Image.fromarray(picture).save(tmp_path / "cut.png")
    with open_slide(tmp_path / "cut.png") as slide:
        result = Session(slide, Planted(), vocabulary).segment(
            Region.whole(slide.shape), [TextPrompt("gland")]
        )
    assert result.mask.shape == (120, 200)
    assert result.mpp is None
    assert dice(result.mask > 0, (picture == RED).all(axis=2)) > 0.9


def test_cancelling_stops_between_tiles(vocabulary: Vocabulary) -> None:
    config = SegmentConfig(tile_px=256, overlap_px=32, max_tiles=400)
    session = Session(PlantedSlide(), Planted(), vocabulary, config=config)
    cancel = CancelToken()

    def stop_at_three(progress: object) -> None:
        if session.segmenter.encoder_passes == 3:
            cancel.cancel()

    with pytest.raises(CancelledError):
        session.segment(
            Region(0, 0, 2000, 3000), [TextPrompt("gland")], progress=stop_at_three, cancel=cancel
        )
    assert 3 <= session.segmenter.encoder_passes <= 4, "the tile at hand may end"


def test_a_mask_hardly_depends_on_the_tiling(vocabulary: Vocabulary) -> None:
    masks = []
    for tile in (256, 512):
        config = SegmentConfig(tile_px=tile, overlap_px=64, max_tiles=400)
        session = Session(PlantedSlide(), Planted(), vocabulary, config=config)
        masks.append(session.segment(Region(0, 0, 2000, 3000), [TextPrompt("gland")]).mask > 0)
    union = (masks[0] | masks[1]).sum()
    assert (masks[0] & masks[1]).sum() / union > 0.99


@pytest.mark.parametrize(
    "wrong",
    [{"tile_px": 500}, {"click_px": 32}, {"overlap_px": 512}, {"threshold": 0.0}],
)
def test_a_config_that_can_not_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"\d"):
        SegmentConfig(**wrong)  # type: ignore[arg-type]
