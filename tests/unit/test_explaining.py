"""Uncertainty and the importance of objects, with a segmenter whose answers are known."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy_segmenter import GLAND, ToyEmbedding, ToySegmenter

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import CancelledError, PromptError
from napari_pathseg.geometry import Field, Region, exact_downsample
from napari_pathseg.inference.explaining import (
    highest_probability,
    object_importance,
    objects_in,
    uncertainty,
)
from napari_pathseg.inference.heat import heat, laid_over
from napari_pathseg.inference.segmentation import Segmentation
from napari_pathseg.inference.session import Session
from napari_pathseg.models.base import TileAnswer, TileQuery
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import PointPrompt, TextPrompt
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.vocabulary import Vocabulary

SIDE = 640
RED = (240, 40, 40)
DISKS = ((100, 120, 40), (110, 300, 20), (500, 520, 30))
"""Red disks: y, x, radius in level-0 pixels."""


class DiskSlide(Slide):
    """A grey slide of two levels with red disks."""

    def __init__(self) -> None:
        self.path = Path("disks.svs")
        shapes = [(SIDE, SIDE), (SIDE // 2, SIDE // 2)]
        self.levels = tuple(Level(s, exact_downsample(shapes[0], s), (64, 64)) for s in shapes)
        self.metadata = SlideMetadata("disks", "test", (0.5, 0.5), None, "id")

    def read(self, field: Field) -> RGB:
        y = (np.arange(field.height)[:, None] + field.y + 0.5) * field.downsample[0]
        x = (np.arange(field.width)[None] + field.x + 0.5) * field.downsample[1]
        out = np.full((*field.shape, 3), 150, np.uint8)
        for center_y, center_x, radius in DISKS:
            out[(y - center_y) ** 2 + (x - center_x) ** 2 < radius**2] = RED
        return out

    def close(self) -> None:
        pass


class SureByArea(ToySegmenter):
    """The more red there is in a tile, the surer it is of glands."""

    def _answer(self, color: object, query: TileQuery) -> TileAnswer:
        answer = super()._answer(color, query)  # type: ignore[arg-type]
        share = float((answer.logits > 0).mean())
        return replace(answer, presence=0.5 + share)


class LooksAround(SureByArea):
    """Keeps the contexts it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.card = replace(self.card, context=True)
        self.contexts: list[RGB] = []

    def encode(self, image: RGB, around: RGB | None = None) -> ToyEmbedding:
        assert around is not None
        self.contexts.append(around)
        return super().encode(image)


@pytest.fixture
def session() -> Session:
    config = SegmentConfig(tile_px=192, overlap_px=64)
    return Session(DiskSlide(), SureByArea(), Vocabulary.load(), config=config)


def glands(session: Session, region: Region) -> Segmentation:
    return session.segment(region, [TextPrompt("gland")])


def test_uncertainty_is_the_binary_entropy_of_the_least_sure_class(session: Session) -> None:
    segmentation = glands(session, Region(0, 0, 64, 64))
    p = np.array([[0.5, 0.1], [0.999, 0.75]])
    logits = np.log(p / (1 - p)).astype(np.float32)
    sure = np.full_like(logits, -300.0)
    bits = uncertainty(replace(segmentation, logits=np.stack([sure, logits])))
    truth = -(p * np.log2(p) + (1 - p) * np.log2(1 - p))
    assert bits.dtype == np.float32
    np.testing.assert_allclose(bits, truth, atol=1e-5)
    assert uncertainty(replace(segmentation, logits=sure[None])).max() == 0
    np.testing.assert_allclose(
        highest_probability(replace(segmentation, logits=logits[None])), p, atol=1e-5
    )


@pytest.mark.parametrize("origin", [0, 7])
def test_each_object_is_weighed_by_what_its_tile_loses(session: Session, origin: int) -> None:
    region = Region(origin, origin, SIDE - origin, SIDE - origin)
    segmentation = glands(session, region)
    passes = session.segmenter.encoder_passes
    reports: list[Progress] = []
    found = object_importance(session, segmentation, region, progress=reports.append)
    assert session.segmenter.encoder_passes - passes == len(DISKS), "the field is not encoded again"
    assert (reports[-1].done, reports[-1].total) == (3, 3)
    assert [o.importance for o in found.objects] == sorted(
        (o.importance for o in found.objects), reverse=True
    )
    by_area = sorted(found.objects, key=lambda o: -o.area_px)
    down_y, down_x = segmentation.field.downsample
    for one, (y, x, radius) in zip(by_area, sorted(DISKS, key=lambda disk: -disk[2]), strict=True):
        np.testing.assert_allclose(one.centroid, (y, x), atol=2 * down_y)
        area = math.pi * radius**2
        assert one.area_px * down_y * down_x == pytest.approx(area, rel=0.5), "toys see coarsely"
        assert one.area_um2 == pytest.approx(one.area_px * down_y * down_x * 0.25)
        assert (found.instances == one.label).sum() == one.area_px
        assert one.importance > 1, "without it there is less red"
    largest, _, smallest = by_area
    assert largest.importance > smallest.importance, "they share a tile"


def test_the_importance_is_the_ratio_of_the_losses(session: Session) -> None:
    """One object alone in one tile: without it the presence is that of a tile without red."""
    region = Region(400, 420, 190, 190)
    found = object_importance(session, glands(session, region), region)
    (only,) = found.objects
    _, encoded = session.look(region, 1.0)
    (answer,) = session.segmenter.decode(encoded.encoded[0].embedding, [TileQuery(term=GLAND)])
    share = float((answer.logits > 0).mean())
    assert only.importance == pytest.approx(math.log(0.5) / math.log(0.5 + share), rel=1e-6)


def test_only_the_largest_are_looked_at(session: Session) -> None:
    region = Region(0, 0, SIDE, SIDE)
    found = object_importance(session, glands(session, region), region, most=1)
    (one,) = found.objects
    np.testing.assert_allclose(one.centroid, DISKS[0][:2], atol=2)
    assert len(np.unique(found.instances)) == 4, "all are numbered"


def test_cancel_stops_within_one_pass(session: Session) -> None:
    region = Region(0, 0, SIDE, SIDE)
    segmentation = glands(session, region)
    cancel, passes = CancelToken(), session.segmenter.encoder_passes

    def report(progress: Progress) -> None:
        if progress.done == 1 and "object" in progress.message:
            cancel.cancel()

    with pytest.raises(CancelledError):
        object_importance(session, segmentation, region, progress=report, cancel=cancel)
    assert session.segmenter.encoder_passes - passes <= 2


def test_a_model_that_looks_around_does_not_see_the_object_there(session: Session) -> None:
    segmenter = LooksAround()
    wide = Session(
        session.slide, segmenter, session.vocabulary, config=replace(session.config, context=True)
    )
    region = Region(400, 420, 190, 190)
    segmentation = glands(wide, region)
    (before,) = segmenter.contexts
    found = object_importance(wide, segmentation, region)
    assert len(found.objects) == 1
    after = segmenter.contexts[-1]
    assert len(segmenter.contexts) == 2
    assert after.shape == before.shape
    changed = (before != after).any(axis=-1)
    redness = [(c[..., 0].astype(int) - c[..., 2])[changed].max() for c in (before, after)]
    assert redness[0] > 150
    assert redness[1] < 100


def test_clicks_alone_are_not_explained(session: Session) -> None:
    region = Region(0, 0, SIDE, SIDE)
    segmentation = session.segment(region, [PointPrompt(100, 120)])
    with pytest.raises(PromptError, match="words"):
        object_importance(session, segmentation, region)


def test_a_segmentation_on_another_grid_keeps_its_places(session: Session) -> None:
    """As the panel has it, which lays a word on the grid of the field under work."""
    region = Region(0, 0, SIDE, SIDE)
    segmentation = glands(session, region)
    fine = Field(0, 0, 0, SIDE, SIDE, (1.0, 1.0))
    repeats = SIDE // segmentation.field.height
    logits = segmentation.logits.repeat(repeats, axis=1).repeat(repeats, axis=2)
    moved = replace(segmentation, field=fine, logits=logits, mpp=(0.5, 0.5))
    here, there = (object_importance(session, s, region).objects for s in (segmentation, moved))
    assert [o.importance for o in there] == pytest.approx([o.importance for o in here], rel=0.1)
    for one, other in zip(here, there, strict=True):
        np.testing.assert_allclose(one.centroid, other.centroid, atol=2)


def test_nuclei_that_touch_are_parted_and_glands_are_not(session: Session) -> None:
    segmentation = glands(session, Region(0, 0, 128, 128))
    y, x = np.mgrid[: segmentation.field.height, : segmentation.field.width]
    two = ((y - 30) ** 2 + (x - 20) ** 2 < 100) | ((y - 30) ** 2 + (x - 36) ** 2 < 100)
    logits = np.where(two, 5.0, -5.0).astype(np.float32)[None]
    gland = replace(segmentation, logits=logits)
    assert objects_in(gland).max() == 1
    (one,) = gland.classes
    assert one.term is not None
    nucleus = replace(one, term=replace(one.term, structure="nuclei", object="nucleus"))
    parted = replace(gland, classes=replace(gland.classes, classes=(nucleus,)))
    assert objects_in(parted).max() == 2


def test_what_is_nothing_is_not_seen_on_the_picture() -> None:
    picture = np.full((2, 3, 3), 200, np.uint8)
    values = np.array([[0.0, 0.5, 1.0], [0.0, 0.0, 0.0]], np.float32)
    shown = laid_over(picture, values)
    assert (shown[values == 0] == 200).all()
    assert heat(np.array([1.0])).tolist() == [[253, 231, 37, 255]]
    assert shown[0, 2, 0] > shown[0, 2, 2], "yellow"
