"""A whole slide by tiles: the same mask however it is cut, and nothing is done twice."""

from __future__ import annotations

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from marker_segmenter import Embedding, MarkerSegmenter
from torch.nn import functional

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Field, Region, Shape, exact_downsample
from napari_pathseg.inference.scope import tissue_scope, whole_scope
from napari_pathseg.inference.seeing import read_tile
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.slide_plan import plan_slide
from napari_pathseg.inference.tile_log import TileLog, TileResult, tiles_kept
from napari_pathseg.inference.tiling import Tile, tile_starts
from napari_pathseg.inference.whole_slide import (
    LiveTile,
    SlideLabels,
    segment_slide,
    tiles_done_before,
)
from napari_pathseg.models.base import padded
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.vocabulary.vocabulary import Vocabulary

VOCABULARY = Vocabulary.load()
PROMPTS = [TextPrompt("nucleus"), TextPrompt("gland")]


class Planted(Slide):
    """Red and blue disks on pink tissue; the right part is glass."""

    def __init__(self, shape: Shape = (900, 1300), glass_from: int = 10**9) -> None:
        self.path = Path("planted.svs")
        halved = shape[0] // 2, shape[1] // 2
        self.levels = tuple(
            Level(s, exact_downsample(shape, s), (256, 256)) for s in (shape, halved)
        )
        self.metadata = SlideMetadata("planted", "test", (0.5, 0.5), None, "id")
        self.glass_from = glass_from

    def read(self, field: Field) -> RGB:
        y = (np.arange(field.y, field.y + field.height) + 0.5)[:, None] * field.downsample[0]
        x = (np.arange(field.x, field.x + field.width) + 0.5)[None] * field.downsample[1]
        out = np.full((field.height, field.width, 3), (230, 170, 200), np.uint8)
        out[(y % 90 - 45) ** 2 + (x % 90 - 45) ** 2 < 18**2] = (0, 0, 255)
        out[(y % 400 - 200) ** 2 + (x % 400 - 200) ** 2 < 110**2] = (255, 0, 0)
        out[np.broadcast_to(x >= self.glass_from, out.shape[:2])] = 255
        return out

    def close(self) -> None:
        """Nothing to release."""


def session(slide: Slide, tile_px: int = 256, overlap_px: int = 64) -> Session:
    config = SegmentConfig(tile_px=tile_px, overlap_px=overlap_px, max_tiles=1000)
    return Session(slide, MarkerSegmenter(), VOCABULARY, config=config)


def labelled(asked: Session, folder: Path, where: str = "all", **options: object) -> SlideLabels:
    plan = plan_slide(asked, PROMPTS, where)  # type: ignore[arg-type]
    return segment_slide(asked, plan, folder, **options)  # type: ignore[arg-type]


def mask_of(result: SlideLabels) -> np.ndarray:
    with result:
        return result.labels.read(0, 0, *result.labels.shape)


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_the_mask_does_not_depend_on_how_the_slide_is_cut(tmp_path: Path) -> None:
    slide = Planted()
    masks = [
        mask_of(labelled(session(slide, tile, overlap), tmp_path / str(tile)))
        for tile, overlap in ((256, 64), (192, 48))
    ]
    whole = session(slide, 512, 96).segment(Region.whole(slide.shape), PROMPTS).mask
    for value in (1, 2):
        assert iou(masks[0] == value, masks[1] == value) > 0.99
        assert iou(masks[0] == value, whole == value) > 0.99
    assert masks[0].shape == whole.shape


def test_a_field_shows_what_a_whole_slide_has_there(tmp_path: Path) -> None:
    asked = session(Planted())
    whole = mask_of(labelled(asked, tmp_path))
    field = asked.segment(Region(220, 310, 500, 700), PROMPTS)
    there = whole[field.field.y : field.field.y + field.field.height][:, field.field.x :]
    there = there[:, : field.field.width]
    inside = np.s_[70:-70, 70:-70]  # what other inputs show too is blended with them
    for value in (1, 2):
        assert iou(field.mask[inside] == value, there[inside] == value) > 0.99


@pytest.mark.parametrize("model_shape", [(900, 1300), (563, 813), (1400, 2031)])
def test_tiles_read_alone_are_those_of_the_whole_picture(model_shape: Shape) -> None:
    from dataclasses import replace

    slide = Planted()
    asked = session(slide)
    plan = replace(asked.plan(Region.whole(slide.shape), 0.5), shape=model_shape)
    whole = torch.from_numpy(slide.read(plan.field)).permute(2, 0, 1)[None]
    resized = functional.interpolate(whole, model_shape, mode="bilinear", antialias=True)
    picture = resized[0].permute(1, 2, 0).numpy()
    for y, x in itertools.product(*(tile_starts(length, 256, 64) for length in model_shape)):
        alone = read_tile(slide, plan, Tile(y, x, 256, 256)).astype(int)
        there = padded(picture[y : y + 256, x : x + 256], (256, 256))
        assert np.abs(alone - there).max() <= 2


def test_work_that_was_stopped_goes_on_where_it_was(tmp_path: Path) -> None:
    asked, cancel = session(Planted()), CancelToken()

    def stop(progress: Progress) -> None:
        if progress.done == 9:
            cancel.cancel()

    with pytest.raises(CancelledError):
        labelled(asked, tmp_path, progress=stop, cancel=cancel)
    with (tmp_path / "tiles.log").open("r+b") as file:
        file.truncate(file.seek(0, 2) - 100)  # a crash in the midst of writing
    again = session(Planted())
    before = tiles_done_before(again, plan_slide(again, PROMPTS), tmp_path)
    result = labelled(again, tmp_path)
    assert result.tiles_kept == before
    assert 8 <= result.tiles_kept < result.plan.tiles - 8  # those at work are kept too
    assert again.segmenter.encoder_passes == result.plan.tiles - result.tiles_kept
    fresh = labelled(session(Planted()), tmp_path / "fresh")
    assert (mask_of(result) == mask_of(fresh)).all()


class SeveralMarkers(MarkerSegmenter):
    """Takes three tiles at a time, and remembers how many it had in hand."""

    def __init__(self) -> None:
        super().__init__()
        self.lock, self.at_work, self.most = threading.Lock(), 0, 0

    def for_words(self) -> tuple[MarkerSegmenter, int]:
        return self, 3

    def encode(self, image: RGB) -> Embedding:
        with self.lock:
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        time.sleep(0.002)
        with self.lock:
            self.at_work -= 1
        return super().encode(image)


def test_a_model_that_takes_several_tiles_gets_them_and_the_mask_is_the_same(
    tmp_path: Path,
) -> None:
    threads = torch.get_num_threads()
    one, several = session(Planted()), session(Planted())
    several.segmenter = SeveralMarkers()
    wanted = mask_of(labelled(one, tmp_path / "one"))
    assert (mask_of(labelled(several, tmp_path / "several")) == wanted).all()
    assert several.segmenter.most == 3
    assert several.segmenter.encoder_passes == one.segmenter.encoder_passes
    assert torch.get_num_threads() == threads


def test_the_log_of_other_work_is_not_used(tmp_path: Path) -> None:
    result = TileResult(
        np.ones((1, 4, 4), np.float16), np.ones(1, np.float32), np.ones(1, np.float32)
    )
    path = tmp_path / "log"
    for work, kept in (({"a": 1}, 0), ({"a": 1}, 1), ({"a": 2}, 0)):
        with TileLog(path, work) as log:
            assert len(log) == kept
            assert list(tiles_kept(path, work)) == [(0, 3)] * kept
            log.put((0, 3), result)
            assert (log.get((0, 3)).logits == 1).all()


def test_glass_is_not_looked_at_and_costs_nothing(tmp_path: Path) -> None:
    slide = Planted((700, 2400), glass_from=700)
    asked = session(slide)
    mask = mask_of(labelled(asked, tmp_path / "tissue", "tissue"))
    everywhere = plan_slide(asked, PROMPTS, "all").tiles
    assert asked.segmenter.encoder_passes < 0.6 * everywhere
    whole = mask_of(labelled(session(slide), tmp_path / "all", "all"))
    assert (mask == whole).all()


def test_scope_fills_gaps_and_keeps_a_margin() -> None:
    slide = Planted((2000, 4000), glass_from=1600)
    scope = tissue_scope(slide, (0.5, 0.5))
    assert scope.touches(500, 1600, 600, 1700)
    assert not scope.touches(500, 2400, 600, 2500)
    assert whole_scope(slide.shape).touches(1990, 3990, 2000, 4000)


def test_live_tiles_cover_what_was_done_in_place(tmp_path: Path) -> None:
    seen: list[LiveTile] = []
    slide = Planted()
    with labelled(session(slide), tmp_path, live=seen.append) as result:
        assert len(seen) == result.plan.tiles
    assert all(tile.region.stop_y <= slide.shape[0] for tile in seen)
    assert {1, 2} <= set(np.unique(np.concatenate([tile.labels.ravel() for tile in seen])))


def test_a_picture_smaller_than_a_tile_and_one_of_a_few_pixels(tmp_path: Path) -> None:
    for shape in ((70, 90), (5, 3)):
        mask = mask_of(labelled(session(Planted(shape)), tmp_path / str(shape[0])))
        assert mask.shape == shape
