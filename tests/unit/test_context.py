"""The context branch: what lies around a tile is read, drawn and fused exactly in place."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from toy_segmenter import ToySegmenter

from napari_pathseg.config import SegmentConfig
from napari_pathseg.geometry import Region
from napari_pathseg.inference.context import read_around
from napari_pathseg.inference.embedding_store import EmbeddingStore
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.models.base import EDGE_SHADE, ModelCard, TileQuery
from napari_pathseg.models.context import ContextBranch
from napari_pathseg.models.image_encoder import LowerMaps
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.segmenter import PathsegSegmenter
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.slide.open import open_slide
from napari_pathseg.training.cases import read_cases
from napari_pathseg.training.recipe import DatasetRecipe
from napari_pathseg.training.sampling import Sampler
from napari_pathseg.vocabulary import Vocabulary

OBJECTS = (("tissue", "gland"), ("nuclei", "nucleus"))
CARD = ModelCard("t", "0", "0" * 64, "", False, "", OBJECTS, (), {}, 0.5, (), context=True)


@pytest.fixture(scope="module")
def network() -> PathsegNetwork:
    torch.manual_seed(0)
    return PathsegNetwork(OBJECTS, (), context=True).eval()


@pytest.fixture
def ramp(make_ome_tiff: Callable[..., Path], tmp_path: Path) -> Path:
    """A picture in which a colour tells the place."""
    y, x = np.mgrid[:600, :800]
    picture = np.stack([y / 3, x / 4, (y + x) / 7], axis=-1).astype(np.uint8)
    path = tmp_path / "ramp.png"
    Image.fromarray(picture).save(path)
    return path


@pytest.mark.parametrize("corner", [(128, 192), (0, 0), (400, 640), (-0, 320)])
def test_the_context_is_concentric_with_its_tile(ramp: Path, corner: tuple[int, int]) -> None:
    with open_slide(ramp) as slide:
        session = Session(slide, ToySegmenter(), Vocabulary.load(), mpp=(0.5, 0.5))
        plan = session.plan(Region.whole(slide.shape), 0.5)
        around = read_around(slide, plan.field, plan.shape, Tile(*corner, 128, 128))
    assert around.shape == (64, 64, 3)
    # The middle of each of its pixels, level-0 pixels: four apart, from half a tile before.
    y = corner[0] - 64 + (np.arange(64) + 0.5) * 4
    x = corner[1] - 64 + (np.arange(64) + 0.5) * 4
    inside = ((y > 4) & (y < 596))[:, None] & ((x > 4) & (x < 796))
    place = np.stack(np.broadcast_arrays(y[:, None] / 3, x / 4), axis=-1)
    assert np.abs(around[..., :2] - place)[inside].max() <= 1.5
    beyond = ((y < 0) | (y > 600))[:, None] | ((x < 0) | (x > 800))
    assert (around[beyond] == EDGE_SHADE).all()


def test_pyramid_levels_and_a_single_one_give_the_same_context(
    make_ome_tiff: Callable[..., Path],
) -> None:
    found = []
    for levels in (1, 3):
        path = make_ome_tiff(height=512, width=768, levels=levels, name=f"{levels}.ome.tif")
        with open_slide(path) as slide:
            session = Session(slide, ToySegmenter(), Vocabulary.load())
            plan = session.plan(Region.whole(slide.shape), 1.0)
            found.append(read_around(slide, plan.field, plan.shape, Tile(64, 96, 128, 128)))
    assert np.abs(found[0].astype(int) - found[1]).mean() < 4


def test_a_branch_that_learned_nothing_changes_nothing(network: PathsegNetwork) -> None:
    image, around = torch.rand(1, 3, 96, 64) * 255, torch.rand(1, 3, 48, 32) * 255
    with torch.inference_mode():
        assert torch.equal(network.embed(image).tokens, network.embed(image, around).tokens)


def test_a_place_of_the_context_reaches_the_tokens_over_it() -> None:
    torch.manual_seed(0)
    branch = ContextBranch().eval()
    torch.nn.init.normal_(branch.out.weight)
    # What everything around is like would reach all tokens.
    torch.nn.init.zeros_(branch.everywhere[1].weight)
    tokens, around = torch.zeros(1, 256, 28, 28), torch.randn(1, 256, 14, 14)
    changed = around.clone()
    changed[..., 5, 8] += torch.randn(256)
    with torch.inference_mode():
        moved = (branch(tokens, around) - branch(tokens, changed)).abs().amax(1)[0]
    ys, xs = np.nonzero((moved > 1e-4).numpy())
    # Token 5 of the context lies over tokens (5 - 3.5) * 4 to (6 - 3.5) * 4 of the tile; bilinear
    # resampling reaches half a token of the context further.
    assert (ys.min(), ys.max()) == (4, 11)
    assert (xs.min(), xs.max()) == (16, 23)


def test_what_lies_around_decides_only_where_it_is_wanted(network: PathsegNetwork) -> None:
    taught = PathsegNetwork(OBJECTS, (), context=True).eval()
    taught.load_state_dict(network.state_dict())
    assert taught.context_branch is not None
    torch.nn.init.normal_(taught.context_branch.out.weight)
    segmenter = PathsegSegmenter(taught, CARD)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (64, 64, 3), dtype=np.uint8)
    others = [rng.integers(0, 255, (32, 32, 3), dtype=np.uint8) for _ in range(2)]
    query = [TileQuery(term=segmenter.card.taught[0])]
    seen = [(image,), (image, others[0]), (image, others[1])]
    answers = [segmenter.decode(segmenter.encode(*each), query)[0].logits for each in seen]
    assert not np.allclose(answers[0], answers[1])
    assert not np.allclose(answers[1], answers[2])


class Looking(ToySegmenter):
    """Remembers what it was shown."""

    def __init__(self, *, context: bool) -> None:
        super().__init__()
        self.card = replace(self.card, context=context)
        self.shown: list[list[tuple[int, ...]]] = []

    def encode(self, *seen: np.ndarray) -> object:
        self.shown.append([image.shape for image in seen])
        return super().encode(seen[0])


@pytest.mark.parametrize(("takes", "wanted"), [(True, True), (True, False), (False, True)])
def test_the_context_can_be_switched_off(ome_tiff: Path, takes: bool, wanted: bool) -> None:
    model = Looking(context=takes)
    config = SegmentConfig(tile_px=128, click_px=128, overlap_px=32, context=wanted)
    with open_slide(ome_tiff) as slide:
        session = Session(slide, model, Vocabulary.load(), config=config)
        session.segment(Region(0, 0, 256, 256), [TextPrompt("gland")])
    around = [(64, 64, 3)] if takes and wanted else []
    assert model.shown
    assert all(shapes == [(128, 128, 3), *around] for shapes in model.shown)


def test_another_context_is_another_embedding_on_the_disk(tmp_path: Path) -> None:
    model = Looking(context=True)
    store = EmbeddingStore(tmp_path, 10**9)
    image = np.zeros((64, 64, 3), np.uint8)
    for around in (image[:32, :32], image[:32, :32], image[:32, :32] + 9):
        store.encode(model, image, around)
    assert len(model.shown) == 2


def test_crops_for_training_have_the_same_context_as_tiles_in_use(
    ramp: Path, tmp_path: Path
) -> None:
    Image.fromarray(np.ones((600, 800), np.uint8)).save(tmp_path / "mask.png")
    names = ["id", "dataset", "case", "split", "image", "mask", "kind", "terms", "ignore", "mpp"]
    terms = json.dumps({"1": ["colon", "tissue", "gland"]})
    row = ["c", "toy", "p", "train", ramp.name, "mask.png", "semantic", terms, "[]", "0.5"]
    table = tmp_path / "cases.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([names, row])
    recipe = DatasetRecipe("toy", "tissue", 1.0, (0.5, 0.5), None, (), {})
    sampler = Sampler(read_cases(table), recipe, 128, augmented=False, context=True)
    sample = sampler.draw(np.random.default_rng(3))
    assert sample.around is not None
    assert sample.around.shape == (3, 64, 64)
    small = torch.nn.functional.avg_pool2d(sample.image[None], 4)[0]
    assert (sample.around[:, 16:48, 16:48] - small).abs().mean() < 2
    maps = LowerMaps(torch.zeros(1, 2, 2), around=torch.ones(1, 1, 1))
    assert LowerMaps.stacked([maps, maps]).around is not None
