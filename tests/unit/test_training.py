"""Training: crops, targets, clicks, losses, and a run that goes on where it stopped."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image

from napari_pathseg.classes import Term
from napari_pathseg.errors import PathsegError
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.prompt_encoder import NEGATIVE, POSITIVE
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.training.augment import augment_colors, turn
from napari_pathseg.training.cases import Case, read_cases
from napari_pathseg.training.clicks import box_around, corrections, point_in
from napari_pathseg.training.curves import draw_curves
from napari_pathseg.training.finish import write_model
from napari_pathseg.training.loop import Trainer, build_network
from napari_pathseg.training.losses import bce_loss, dice_loss, mask_loss, soft_iou
from napari_pathseg.training.points import read_point_cases
from napari_pathseg.training.recipe import (
    DEFAULT_RECIPE,
    DatasetRecipe,
    GroupRecipe,
    Recipe,
    load_recipe,
)
from napari_pathseg.training.sampling import TARGET_STRIDE, Sampler

GLAND = Term("colon", "tissue", "gland")
STROMA = Term("colon", "tissue", "stroma")
COLUMNS = ["id", "dataset", "case", "split", "image", "mask", "kind", "terms", "ignore", "mpp"]


@pytest.fixture
def cases(tmp_path: Path) -> list[Case]:
    """Four pictures with a red disk, which is the gland; value 3 is unknown."""
    rows = []
    for i in range(4):
        y, x = np.mgrid[:80, :80]
        mask = np.full((80, 80), 2, np.uint8)
        mask[(y - 30 - 5 * i) ** 2 + (x - 40) ** 2 < 200] = 1
        mask[:, :8] = 3
        picture = np.where((mask == 1)[..., None], (200, 40, 60), (225, 190, 210))
        Image.fromarray(picture.astype(np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(mask).save(tmp_path / f"{i}.mask.png")
        terms = json.dumps({"1": list(vars_of(GLAND)), "2": list(vars_of(STROMA))})
        rows.append([f"c{i}", "toy", f"p{i}", "train", f"{i}.png", f"{i}.mask.png", "semantic"])
        rows[-1] += [terms, "[3]", "1.0"]
    path = tmp_path / "cases.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return read_cases(path)


def vars_of(term: Term) -> tuple[str, str, str]:
    return term.region, term.structure, term.object


@pytest.fixture
def dataset() -> DatasetRecipe:
    absent = (("tissue", "glomerulus"),)
    return DatasetRecipe("toy", "tissue", 1.0, (0.9, 1.1), None, absent, {})


def test_a_case_knows_its_terms_and_what_it_does_not_know(cases: list[Case]) -> None:
    mask = cases[0].read_mask()
    assert cases[0].term_mask(mask, GLAND).sum() == (mask == 1).sum()
    assert not cases[0].known(mask)[:, :8].any()
    assert cases[0].region == "colon"


def test_a_broken_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    path.write_text("id,dataset\na,b\n", encoding="utf-8")
    with pytest.raises(PathsegError, match=r"cases\.csv, line 2"):
        read_cases(path)


def test_targets_lie_on_their_image(cases: list[Case], dataset: DatasetRecipe) -> None:
    """The gland is the only red thing, so that its target must cover the red pixels."""
    rng = np.random.default_rng(1)
    sampler = Sampler(cases, replace(dataset, mpp=(1.0, 1.0)), 64)
    compared = 0
    for _ in range(12):
        sample = sampler.draw(rng)
        targets = {t.term.object: t.target for t in sample.terms}
        assert sample.image.shape == (3, 64, 64)
        if "gland" not in targets or targets["gland"].sum() < 20:
            continue
        inside = targets["gland"].repeat_interleave(2, 0).repeat_interleave(2, 1) > 0.5
        contrast = sample.image[:, inside].mean(1) - sample.image[:, ~inside].mean(1)
        assert contrast.abs().max() > 15, "the target is not where the disk is"
        compared += 1
    assert compared >= 3


def test_terms_known_to_be_absent_are_asked_with_an_empty_target(
    cases: list[Case], dataset: DatasetRecipe
) -> None:
    rng = np.random.default_rng(0)
    sampler = Sampler(cases, dataset, 64)
    drawn = [t for _ in range(30) for t in sampler.draw(rng).terms]
    absent = [t for t in drawn if t.term.object == "glomerulus"]
    assert absent
    assert all(t.target.sum() == 0 for t in absent)


def test_unknown_pixels_do_not_count(cases: list[Case], dataset: DatasetRecipe) -> None:
    sample = Sampler(cases, replace(dataset, mpp=(1.2, 1.2)), 64).draw(np.random.default_rng(0))
    assert 0 < sample.valid.mean() < 1


def test_colors_change_but_stay_colors() -> None:
    picture = np.full((32, 32, 3), (200, 120, 180), np.uint8)
    rng = np.random.default_rng(0)
    out = np.stack([augment_colors(picture, rng)[0, 0] for _ in range(20)])
    assert out.min() >= 0
    assert out.max() <= 255
    assert out.std(axis=0).min() > 5


def test_turning_image_and_mask_keeps_them_together() -> None:
    image = torch.rand(3, 8, 8)
    for turns in range(4):
        assert torch.equal(turn(image, turns, True)[0], turn(image[0], turns, True))


def test_losses_equal_their_formulae() -> None:
    torch.manual_seed(0)
    logits, target = torch.randn(2, 5, 5), (torch.rand(2, 5, 5) > 0.5).float()
    valid = torch.ones(2, 5, 5)
    valid[:, 0] = 0
    p = 1 / (1 + np.exp(-logits.numpy()))
    g, v = target.numpy(), valid.numpy().astype(bool)
    for i in range(2):
        pi, gi = p[i][v[i]], g[i][v[i]]
        bce = -(gi * np.log(pi) + (1 - gi) * np.log(1 - pi)).mean()
        dice = 1 - (2 * (pi * gi).sum() + 1) / ((pi**2).sum() + (gi**2).sum() + 1)
        assert float(bce_loss(logits, target, valid)[i]) == pytest.approx(bce, abs=1e-5)
        assert float(dice_loss(logits.sigmoid(), target, valid)[i]) == pytest.approx(dice, abs=1e-5)
        both = float(mask_loss(logits, target, valid)[i])
        assert both == pytest.approx(2 * bce + dice, abs=1e-5)


def test_iou_of_empty_masks_is_one() -> None:
    empty = torch.zeros(1, 4, 4)
    assert float(soft_iou(empty - 1, empty, empty + 1)) == 1
    assert float(soft_iou(empty + 1, empty, empty + 1)) == 0


def test_clicks_lie_where_a_person_would_click() -> None:
    rng = np.random.default_rng(0)
    mask = torch.zeros(32, 32)
    mask[5:15, 8:20] = 1
    for _ in range(20):
        x, y = point_in(mask, rng)
        assert mask[int(y / TARGET_STRIDE), int(x / TARGET_STRIDE)] == 1
    (x0, y0), (x1, y1) = box_around(mask, rng, noise=0.0).xy[:2].tolist()
    assert (x0, y0, x1, y1) == (16, 10, 40, 30)


def test_corrections_click_at_the_errors_with_the_right_sign() -> None:
    rng = np.random.default_rng(0)
    truth, answer = torch.zeros(32, 32), torch.full((32, 32), -5.0)
    truth[2:12, 2:12] = 1
    answer[20:26, 20:26] = 5
    points = corrections(answer, truth, torch.ones(32, 32), rng, 3)
    labels = {(int(y / 2) < 16, label) for _, y, label in points}
    assert labels == {(True, POSITIVE), (False, NEGATIVE)}


def test_the_shipped_recipe_can_be_read_and_a_broken_one_is_named(tmp_path: Path) -> None:
    recipe = load_recipe()
    assert (
        recipe.rate("prompt_encoder.sam.no_mask_embed.weight") == recipe.rates["prompt_encoder.sam"]
    )
    assert recipe.looked_at("lymphocyte") == recipe.working_mpp[""]
    path = tmp_path / "recipe.toml"
    shipped = DEFAULT_RECIPE.read_text(encoding="utf-8")
    for broken in ("name = 'x'", "name = ", re.sub("(?m)^minutes = .*$", "minutes = 'x'", shipped)):
        path.write_text(broken, encoding="utf-8")
        with pytest.raises(PathsegError, match=r"recipe\.toml"):
            load_recipe(path)


@pytest.mark.parametrize("terms", ["[1]", '{"1": ["colon"]}', "{", ""])
def test_a_broken_line_of_cases_is_named(tmp_path: Path, terms: str) -> None:
    path = tmp_path / "cases.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        row = ["c", "toy", "p", "val", "a.png", "b.png", "semantic", terms, "", "1.0"]
        csv.writer(file).writerows([COLUMNS, row])
    with pytest.raises(PathsegError, match=r"cases\.csv, line 2"):
        read_cases(path)


def test_what_is_no_table_of_cases_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    with pytest.raises(PathsegError, match=r"cases\.csv"):
        read_cases(path)
    path.write_bytes(b"id,dataset\n\xff\xfe\x00")
    with pytest.raises(PathsegError, match=r"cases\.csv is no CSV"):
        read_cases(path)


def test_a_grey_mask_saved_in_colours_is_read_and_one_in_colours_refused(
    cases: list[Case],
) -> None:
    case = cases[0]
    values = case.read_mask()
    Image.fromarray(np.repeat(values[..., None], 3, axis=2).astype(np.uint8)).save(case.mask)
    np.testing.assert_array_equal(case.read_mask(), values)
    colours = np.zeros((80, 80, 3), np.uint8)
    colours[10, 10] = 255, 0, 0
    Image.fromarray(colours).save(case.mask)
    with pytest.raises(PathsegError, match=r"0\.mask\.png: a mask in colours"):
        case.read_mask()
    case.mask.write_bytes(b"no picture")
    with pytest.raises(PathsegError, match=r"0\.mask\.png"):
        case.read_mask()


def test_points_become_disks_with_unknown_rings(tmp_path: Path) -> None:
    Image.new("RGB", (100, 80)).save(tmp_path / "a.png")
    (tmp_path / "a.csv").write_text("x,y,class\n20,30,round\n70,30,odd\n", encoding="utf-8")
    names = "id,dataset,case,split,image,points,organ,mpp\n"
    rows = "a,toy,p,train,a.png,a.csv,colon,0.5\nb,other,p,train,a.png,a.csv,colon,0.5\n"
    (tmp_path / "points.csv").write_text(names + rows, encoding="utf-8")
    (case,) = read_point_cases(tmp_path / "points.csv", {"toy": {"round": "lymphocyte"}})
    mask = case.read_mask()
    term = Term("colon", "nuclei", "lymphocyte")
    inside, known = case.term_mask(mask, term), case.known(mask)
    assert inside[30, 20]
    assert inside.sum() == pytest.approx(np.pi * (2.2 / 0.5) ** 2, rel=0.1)
    assert not known[30, 28], "where the nucleus may end"
    assert not known[30, 70], "a class that is not taught"
    assert known[70, 50]
    assert not inside[70, 50]
    with pytest.raises(PathsegError, match=r"a\.csv"):
        read_point_cases(tmp_path / "a.csv", {"toy": {}})
    with pytest.raises(PathsegError, match=r"no\.csv"):
        read_point_cases(tmp_path / "no.csv", {})


def test_a_model_goes_on_from_another_and_learns_new_terms(
    cases: list[Case], dataset: DatasetRecipe, tmp_path: Path
) -> None:
    recipe = replace(load_recipe(), datasets=(dataset,))
    torch.manual_seed(0)
    old = PathsegNetwork((("tissue", "stroma"),), ("lung",))
    write_model(old, tmp_path / "old.safetensors", recipe)
    grown = build_network(cases, recipe, tmp_path / "old.safetensors").term_encoder
    assert grown.objects == (("tissue", "stroma"), ("tissue", "gland"))
    assert grown.regions == ("unspecified", "lung", "colon")
    kept = old.term_encoder.object_embedding.weight
    assert torch.allclose(grown.object_embedding.weight[:1], kept, atol=1e-3)


def test_curves_are_drawn_from_what_was_logged(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        "step,seconds,group,loss\n1,60,cells,2.0\n2,120,cells,1.0\n", encoding="utf-8"
    )
    (tmp_path / "v.csv").write_text("step,seconds,object,dice\n1,60,a<b,0.5\n", encoding="utf-8")
    draw_curves(tmp_path / "log.csv", tmp_path / "v.csv", tmp_path / "c.svg")
    root = ElementTree.fromstring((tmp_path / "c.svg").read_text(encoding="utf-8"))
    texts = [e.text for e in root.iter() if e.text]
    assert {"cells", "a<b", "loss", "Dice"} <= set(texts)


def test_a_run_goes_on_where_it_stopped(
    cases: list[Case], dataset: DatasetRecipe, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    recipe = Recipe(
        **{f: getattr(load_recipe(), f) for f in Recipe.__slots__}
        | {
            "minutes": 0.0001,  # one step
            "warmup_steps": 1,
            "groups": (GroupRecipe("tissue", 64, 2, 1.0),),
            "datasets": (dataset,),
        }
    )
    cases = [*cases, replace(cases[0], split="val")]
    objects = (("tissue", "gland"), ("tissue", "glomerulus"), ("tissue", "stroma"))
    network = PathsegNetwork(objects, ("colon",))
    frozen = network.image_encoder.stem.conv1.conv.weight.detach().clone()
    run = tmp_path / "run"
    Trainer(network, recipe, cases, run).run()
    first = list(csv.DictReader((run / "log.csv").open(encoding="utf-8")))
    assert [int(r["step"]) for r in first] == [1]
    assert torch.equal(frozen, network.image_encoder.stem.conv1.conv.weight), "a frozen part moved"

    longer = replace(recipe, minutes=(float(first[-1]["seconds"]) + 0.5) / 60)
    again = PathsegNetwork(objects, ("colon",))

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Trainer(again, replace(longer, minutes=9), cases, run).run(interrupt)
    stopped = torch.load(run / "checkpoint.pt", weights_only=True)
    assert stopped["step"] == 2, "the step before the interrupt is kept"
    longer = replace(longer, minutes=(stopped["spent"] + 0.5) / 60)
    average = Trainer(again, longer, cases, run).run()
    steps = [int(r["step"]) for r in csv.DictReader((run / "log.csv").open(encoding="utf-8"))]
    assert steps == list(range(1, len(steps) + 1))
    assert len(steps) > 2
    found = list(csv.DictReader((run / "validation.csv").open(encoding="utf-8")))
    assert {row["object"] for row in found} == {"gland", "stroma"}
    assert (run / "curves.svg").exists()
    write_model(average, tmp_path / "model.safetensors", recipe)
    assert (tmp_path / "model.safetensors").stat().st_size < 30_000_000


def test_what_comes_out_holds_a_share_of_the_start(
    cases: list[Case], dataset: DatasetRecipe, tmp_path: Path
) -> None:
    groups = (GroupRecipe("tissue", 64, 2, 1.0),)
    recipe = replace(
        load_recipe(), minutes=0.0001, warmup_steps=1, ema=0.0, groups=groups, datasets=(dataset,)
    )
    objects = (("tissue", "gland"), ("tissue", "glomerulus"), ("tissue", "stroma"))
    network = PathsegNetwork(objects, ("colon",))
    before = network.query_decoder.norm.weight.detach().clone()
    outs = []
    for share in (0.0, 0.25, 1.0):
        torch.manual_seed(0)
        own = PathsegNetwork(objects, ("colon",))
        own.load_state_dict(network.state_dict())
        trained = Trainer(own, recipe, cases, tmp_path / str(share), of_start=share).run()
        outs.append(trained.query_decoder.norm.weight.detach())
    assert not torch.equal(outs[0], before)
    torch.testing.assert_close(outs[1], outs[0].lerp(before, 0.25))
    assert torch.equal(outs[2], before)


@pytest.mark.parametrize("trainable", [(), ("stages.3", "neck")])
def test_it_learns_on_kept_crops(
    cases: list[Case], dataset: DatasetRecipe, tmp_path: Path, trainable: tuple[str, ...]
) -> None:
    torch.manual_seed(0)
    groups = (GroupRecipe("tissue", 64, 2, 1.0),)
    # What the network was not taught can not be asked, absent or not.
    dataset = replace(dataset, absent=(*dataset.absent, ("tissue", "muscle")))
    recipe = replace(
        load_recipe(),
        minutes=9,
        warmup_steps=1,
        ema=0.0,
        trainable=trainable,
        groups=groups,
        datasets=(dataset,),
    )
    objects = (("tissue", "gland"), ("tissue", "glomerulus"), ("tissue", "stroma"))
    network = PathsegNetwork(objects, ("colon",))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    enough = CancelToken()

    def stop_after_steps(done: Progress) -> None:
        if done.message == "step 16":
            enough.cancel()

    Trainer(network, recipe, cases, tmp_path, kept_crops=4).run(stop_after_steps, enough)
    moved = {n.split(".")[0] for n, v in network.state_dict().items() if not v.equal(before[n])}
    learning = {"pixel_decoder", "query_decoder", "term_encoder", "prompt_encoder", "mask_decoder"}
    assert moved == (learning | {"image_encoder"} if trainable else learning)
    lower = (n for n in before if n.startswith(("image_encoder.stem", "image_encoder.stages.0")))
    assert all(network.state_dict()[n].equal(before[n]) for n in lower), "a kept part moved"
    rows = list(csv.DictReader((tmp_path / "log.csv").open(encoding="utf-8")))
    losses = [float(row["words"]) for row in rows]
    assert np.mean(losses[-3:]) < 0.8 * np.mean(losses[:3]), "it does not learn"
