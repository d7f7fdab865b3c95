"""The network: shapes, independence of its prompts, and weights that fit or are refused.

Random weights throughout: what is tested here holds for any weights.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from scipy.special import logit

from napari_pathseg.classes import Term
from napari_pathseg.errors import ModelError
from napari_pathseg.models.base import ModelCard, TileQuery
from napari_pathseg.models.image_encoder import mobile_sam_name
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.prompt_encoder import PromptBatch
from napari_pathseg.models.registry import (
    PERMISSIVE,
    SHIPPED,
    load_card,
    load_segmenter_file,
    model_path,
)
from napari_pathseg.models.segmenter import PathsegSegmenter
from napari_pathseg.models.weights import (
    load_weights,
    read_mobile_sam,
    save_beside,
    save_weights,
)
from napari_pathseg.training.finish import card_of, write_model
from napari_pathseg.training.recipe import load_recipe

GLAND = Term("unspecified", "tissue", "gland")
NUCLEUS = Term("unspecified", "nuclei", "nucleus")
OBJECTS = (("tissue", "gland"), ("nuclei", "nucleus"))


@pytest.fixture(scope="module")
def network() -> PathsegNetwork:
    torch.manual_seed(0)
    return PathsegNetwork(OBJECTS, ("colon",)).eval()


@pytest.fixture(scope="module")
def segmenter(network: PathsegNetwork) -> PathsegSegmenter:
    card = ModelCard(
        "test", "0", "0" * 64, "none", False, "", OBJECTS, ("unspecified", "colon"), {}, 0.5, ()
    )
    return PathsegSegmenter(network, card)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (96, 160, 3), dtype=np.uint8)


def test_the_network_is_small_enough_for_a_laptop(network: PathsegNetwork) -> None:
    assert sum(p.numel() for p in network.parameters()) <= 15_000_000


def test_maps_have_the_promised_strides(network: PathsegNetwork) -> None:
    with torch.inference_mode():
        maps = network.image_encoder(torch.rand(1, 3, 96, 160) * 255)
    assert maps.tokens.shape == (1, 256, 6, 10)
    assert maps.middle.shape == (1, 128, 12, 20)
    assert maps.early.shape == (1, 64, 24, 40)


def test_a_term_alone_and_among_others_gets_the_same_mask(
    segmenter: PathsegSegmenter, picture: np.ndarray
) -> None:
    embedding = segmenter.encode(picture)
    alone = segmenter.decode(embedding, [TileQuery(term=GLAND)])[0]
    clicked = TileQuery(points=((10.0, 20.0, True), (30.0, 50.0, False)))
    among = segmenter.decode(embedding, [TileQuery(term=NUCLEUS), clicked, TileQuery(term=GLAND)])[
        2
    ]
    np.testing.assert_allclose(among.logits, alone.logits, atol=1e-5)


def test_an_answer_to_words_holds_no_more_than_its_mask(
    segmenter: PathsegSegmenter, picture: np.ndarray
) -> None:
    """Answers are kept for every tile and term: a view would keep a whole batch alive."""
    answers = segmenter.decode(segmenter.encode(picture), [TileQuery(term=GLAND)] * 3)
    assert all(answer.logits.base is None for answer in answers)
    assert all(answer.candidates.size == 0 for answer in answers)


def test_a_card_shifts_presence_and_mask_of_its_own_objects(
    network: PathsegNetwork, segmenter: PathsegSegmenter, picture: np.ndarray
) -> None:
    card = replace(segmenter.card, offsets={"gland": 0.5}, presence_offsets={"gland": -2.0})
    shifted = PathsegSegmenter(network, card)
    embedding = segmenter.encode(picture)
    queries = [TileQuery(term=GLAND), TileQuery(term=NUCLEUS)]
    (gland, nucleus), (shifted_gland, same) = (
        asked.decode(embedding, queries) for asked in (segmenter, shifted)
    )
    np.testing.assert_allclose(shifted_gland.logits, gland.logits + 0.5, atol=1e-5)
    assert logit(shifted_gland.presence) == pytest.approx(logit(gland.presence) - 2.0, abs=1e-4)
    assert same.presence == nucleus.presence
    np.testing.assert_array_equal(same.logits, nucleus.logits)


def test_padding_points_change_nothing(segmenter: PathsegSegmenter, picture: np.ndarray) -> None:
    """A prompt asked beside one with more points is still the same prompt."""
    embedding = segmenter.encode(picture)
    many = TileQuery(points=tuple((float(i), float(i), True) for i in range(5)))
    alone = segmenter.decode(embedding, [TileQuery(term=GLAND)])[0]
    beside = segmenter.decode(embedding, [TileQuery(term=GLAND), many])[0]
    np.testing.assert_allclose(beside.logits, alone.logits, atol=1e-5)


def test_more_queries_than_fit_at_once_come_back_in_order(
    segmenter: PathsegSegmenter, picture: np.ndarray
) -> None:
    embedding = segmenter.encode(picture)
    queries = [TileQuery(term=GLAND if i % 2 else NUCLEUS) for i in range(11)]
    answers = segmenter.decode(embedding, queries)
    assert len(answers) == 11
    np.testing.assert_allclose(answers[0].logits, answers[10].logits, atol=1e-5)
    assert np.abs(answers[0].logits - answers[1].logits).max() > 1e-3


def test_decoding_makes_no_encoder_pass(segmenter: PathsegSegmenter, picture: np.ndarray) -> None:
    embedding = segmenter.encode(picture)
    before = segmenter.encoder_passes
    segmenter.decode(embedding, [TileQuery(term=GLAND)])
    assert segmenter.encoder_passes == before


def test_every_part_of_a_prompt_matters(network: PathsegNetwork) -> None:
    with torch.inference_mode():
        embedding = network.embed(torch.rand(1, 3, 96, 96) * 255)
        rows = torch.tensor([[0, 0, 0], [0, 1, 0], [-1, -1, -1]])
        prompts = PromptBatch(
            image=torch.zeros(3, dtype=torch.int64),
            term=rows,
            points_xy=torch.tensor([[[5.0, 5.0]]] * 3),
            labels=torch.tensor([[-1], [-1], [1]]),
            mask=torch.zeros(3, 1, 24, 24),
            has_mask=torch.tensor([False, False, True]),
        )
        masks = network.decode(embedding, prompts).text
    assert (masks[0] - masks[1]).abs().max() > 1e-6, "the region is ignored"
    assert (masks[0] - masks[2]).abs().max() > 1e-6, "words or clicks are ignored"


def test_places_mean_the_same_in_tiles_of_any_size(network: PathsegNetwork) -> None:
    encoder = network.prompt_encoder
    small = encoder.grid_position(4, 4, torch.zeros(1, 2))
    large = encoder.grid_position(8, 8, torch.zeros(1, 2))
    moved = encoder.grid_position(4, 4, torch.tensor([[64.0, 0.0]]))
    torch.testing.assert_close(small, large[..., :4, :4])
    torch.testing.assert_close(moved, large[..., 4:, :4])


def test_weights_survive_the_file(network: PathsegNetwork, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    recipe = replace(load_recipe(), working_mpp={"": 0.4, "gland": 1.0})
    write_model(network, path, recipe)
    loaded = load_segmenter_file(path)
    assert loaded.card.objects == OBJECTS
    assert loaded.card.working_mpp == {"gland": 1.0, "nucleus": 0.4}
    assert loaded.knows(Term("lung", "tissue", "gland"))
    write_model(network, path, replace(recipe, withheld=("gland",)))
    assert not load_segmenter_file(path).knows(Term("lung", "tissue", "gland"))
    assert not loaded.knows(Term("lung", "nuclei", "gland"))


def test_a_model_lies_beside_another_as_what_it_adds(
    network: PathsegNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    write_model(network, path, load_recipe())
    base = {k: v for k, v in network.state_dict().items() if k.startswith("image_encoder.")}
    other = PathsegNetwork(OBJECTS, ("colon",))
    # As it comes back from a file.
    rounded = {k: v.half().float() for k, v in network.image_encoder.state_dict().items()}
    other.image_encoder.load_state_dict(rounded)
    recipe = replace(load_recipe(), name="mine", license="CC0")
    for _ in range(2):  # the second time it is replaced
        save_beside(other, base, path, "mine", card_of(other, recipe))
    with safe_open(path, framework="pt") as file:
        beside = {k.removeprefix("mine/") for k in file.keys() if k.startswith("mine/")}  # noqa: SIM118
    assert beside == other.state_dict().keys() - base.keys(), "what MobileSAM has is there twice"

    own, mine = load_card(path), load_card(path, "mine")
    assert (own.name, mine.name, mine.license) == ("pathseg-default", "mine", "CC0")
    assert own.sha256 != mine.sha256, "embeddings of one would be taken for the other's"
    back = PathsegNetwork(OBJECTS, ("colon",))
    load_weights(back, path, "mine", base)
    for name, value in other.state_dict().items():
        torch.testing.assert_close(back.state_dict()[name], value, rtol=1e-3, atol=1e-4)
    load_segmenter_file(path)  # the file's own is still whole
    with pytest.raises(ModelError, match="missing"):
        load_weights(back, path, "mine")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_card(path, "nobody")


def test_what_ships_for_any_use_lies_beside_the_default_and_lacks_only_what_is_mobilesams() -> None:
    assert SHIPPED.stat().st_size < 30_000_000
    default, card = load_card(SHIPPED), load_card(SHIPPED, PERMISSIVE)
    assert default.research_only
    assert not card.research_only
    assert card.taught
    assert card.figures, "nobody knows how good it is"
    network = PathsegNetwork(card.objects, card.regions, context=card.context)
    own = f"{PERMISSIVE}/"
    with safe_open(SHIPPED, framework="pt") as file:
        held = {k.removeprefix(own) for k in file.keys() if k.startswith(own)}  # noqa: SIM118
    fetched = network.state_dict().keys() - held
    assert fetched
    parts = ("image_encoder.", "prompt_encoder.sam.", "mask_decoder.sam.")
    assert all(name.startswith(parts) for name in fetched)


def test_weights_of_another_layout_are_refused_by_key(
    network: PathsegNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(network, path, {})
    other = PathsegNetwork((*OBJECTS, ("tissue", "stroma")), ("colon",))
    with pytest.raises(ModelError, match=r"term_encoder\.object_embedding"):
        load_weights(other, path)


@pytest.mark.parametrize("content", [b"", b"not weights", b"\x80\x04pickle" * 20])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        load_segmenter_file(path)


def test_a_missing_or_unknown_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.safetensors"):
        load_segmenter_file(tmp_path / "gone.safetensors")
    with pytest.raises(ModelError, match="default"):
        model_path("nobody")


def test_a_checkpoint_that_is_not_mobilesam_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mobile_sam.pt"
    torch.save({"image_encoder.x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="sha256"):
        read_mobile_sam(path)


@pytest.mark.parametrize(
    ("official", "ours"),
    [
        ("patch_embed.seq.0.c.weight", "stem.conv1.conv.weight"),
        ("layers.0.blocks.0.conv1.bn.bias", "stages.0.blocks.0.conv1.bn.bias"),
        ("layers.1.downsample.conv2.c.weight", "stages.2.downsample.conv2.conv.weight"),
        ("neck.0.weight", "neck.0.weight"),
        ("norm_head.weight", None),
    ],
)
def test_mobilesam_names_are_ours(official: str, ours: str | None) -> None:
    assert mobile_sam_name(official) == ours


def test_places_may_be_numpy_numbers(segmenter: PathsegSegmenter, picture: np.ndarray) -> None:
    embedding = segmenter.encode(picture)
    box = tuple(np.array([10, 20, 60, 90]))
    answer = segmenter.decode(embedding, [TileQuery(box=box)])[0]  # type: ignore[arg-type]
    same = segmenter.decode(embedding, [TileQuery(box=(10.0, 20.0, 60.0, 90.0))])[0]
    np.testing.assert_allclose(answer.logits, same.logits, atol=1e-6)
