"""Evaluation: figures of a segmenter whose answers are known, and the command that prints them."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from napari_pathseg.classes import Term
from napari_pathseg.cli import evaluate as command
from napari_pathseg.cli.main import main
from napari_pathseg.errors import PathsegError, PromptError
from napari_pathseg.inference.evaluation import (
    PROTOCOLS,
    Measured,
    Truth,
    evaluate,
)
from napari_pathseg.inference.panoptic import panoptic_quality
from napari_pathseg.inference.report import calibration, summarize
from napari_pathseg.inference.report_page import worth_a_look
from napari_pathseg.labels.overlap import dice_and_iou
from napari_pathseg.models.base import ModelCard, TileAnswer, TileQuery
from napari_pathseg.vocabulary.vocabulary import Vocabulary

GLAND, STROMA = Term("colon", "tissue", "gland"), Term("colon", "tissue", "stroma")
OBJECTS = (("tissue", "gland"), ("tissue", "stroma"))


class Reddish:
    """Red is gland; nothing is ever stroma; a click or box finds all red."""

    card = ModelCard("r", "0", "0" * 64, "", False, "", OBJECTS, (), {}, 0.1, ())
    encoder_passes = 0

    def encode(self, image: np.ndarray) -> np.ndarray:
        return image

    def decode(self, image: np.ndarray, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        height, width = image.shape[0] // 4, image.shape[1] // 4
        green = image[..., 1].reshape(height, 4, width, 4).mean(axis=(1, 3))
        red = np.where(green < 128, 8.0, -8.0).astype(np.float32)
        none = np.full_like(red, -8.0)
        stroma = [query.term is not None and query.term.object == "stroma" for query in queries]
        return [TileAnswer(none if s else red, red[None], 0.9, 0.01 if s else 0.99) for s in stroma]

    def knows(self, term: Term) -> bool:
        return (term.structure, term.object) in OBJECTS


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


@pytest.fixture
def truth(tmp_path: Path) -> Truth:
    """A red square of 160 pixels in a picture of 512."""
    mask = np.zeros((512, 512), bool)
    mask[160:320, 160:320] = True
    picture = np.where(mask[..., None], (200, 20, 20), (250, 250, 250)).astype(np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    known = np.ones_like(mask)
    return Truth("toy", tmp_path / "a.png", 1.0, GLAND, mask, known, mask.astype(np.int32))


@pytest.mark.parametrize("prompt", PROTOCOLS)
def test_a_perfect_answer_scores_near_one(
    truth: Truth, vocabulary: Vocabulary, prompt: str
) -> None:
    (found,) = evaluate([truth], Reddish(), vocabulary, prompt)
    assert found.dice > 0.95
    assert found.iou == pytest.approx(found.dice / (2 - found.dice))
    assert (found.term, found.image, found.present) == ("gland", "a.png", True)


def test_an_absent_term_counts_by_what_was_marked(truth: Truth, vocabulary: Vocabulary) -> None:
    empty = np.zeros_like(truth.mask)
    absent = [
        Truth("toy", truth.image, 1.0, term, empty, truth.known, empty.astype(np.int32))
        for term in (STROMA, GLAND)
    ]
    rightly, wrongly = evaluate(absent, Reddish(), vocabulary, "text")
    assert not rightly.present
    assert rightly.false_area == 0
    assert wrongly.false_area == pytest.approx(160**2 / 512**2, rel=0.05)
    report = summarize([rightly, wrongly])
    assert report["rows"] == []
    assert [(row["term"], row["within"]) for row in report["absent"]] == [
        ("gland", 0.0),
        ("stroma", 1.0),
    ]


def test_what_is_unknown_does_not_count(truth: Truth, vocabulary: Vocabulary) -> None:
    known = np.zeros_like(truth.known)
    known[:, :240] = True
    half = Truth("toy", truth.image, 1.0, GLAND, truth.mask & known, known, truth.objects)
    (found,) = evaluate([half], Reddish(), vocabulary, "text")
    assert found.dice > 0.95


def test_a_mask_of_another_size_is_named(truth: Truth, vocabulary: Vocabulary) -> None:
    other = replace(truth, mask=truth.mask[:300], known=truth.known[:300])
    with pytest.raises(PathsegError, match=r"a\.png has 512 x 512 pixels and its mask 512 x 300"):
        list(evaluate([other], Reddish(), vocabulary, "text"))


def test_an_unknown_kind_of_prompt_is_named(truth: Truth, vocabulary: Vocabulary) -> None:
    with pytest.raises(PromptError, match="scribble"):
        next(evaluate([truth], Reddish(), vocabulary, "scribble"))


def test_overlaps_of_nothing_and_of_halves() -> None:
    none, left, whole = np.zeros(4, bool), np.array([1, 1, 0, 0], bool), np.ones(4, bool)
    assert dice_and_iou(none, none) == (1.0, 1.0)
    assert dice_and_iou(none, whole) == (0.0, 0.0)
    assert dice_and_iou(left, whole) == pytest.approx((2 / 3, 1 / 2))


def test_panoptic_quality_by_hand() -> None:
    truth = np.zeros((10, 20), int)
    truth[:, :5], truth[:, 10:15] = 1, 2
    found = np.zeros_like(truth)
    found[:, :4], found[:8, 15:20] = 1, 2
    # One match of IoU 0.8, one object missed, one invented.
    assert panoptic_quality(found, truth) == pytest.approx(0.8 / (1 + 0.5 + 0.5))
    assert panoptic_quality(truth, truth) == 1
    assert panoptic_quality(0 * truth, 0 * truth) is None


def test_touching_objects_count_one_by_one(truth: Truth, vocabulary: Vocabulary) -> None:
    halves = truth.objects.copy()
    halves[:, 240:] *= 2
    single = replace(truth, objects=halves, single=True)
    (found,) = evaluate([single], Reddish(), vocabulary, "text")
    assert found.dice > 0.95
    assert found.panoptic == pytest.approx(0.0), "one object over two is no match"
    (row,) = summarize([found])["rows"]
    assert row["panoptic"] == found.panoptic


def test_a_score_that_is_the_iou_is_calibrated(truth: Truth, vocabulary: Vocabulary) -> None:
    (found,) = evaluate([truth], Reddish(), vocabulary, "text")
    exact = [replace(found, score=v, iou=v) for v in (0.05, 0.5, 1.0)]
    assert calibration(exact)["error"] == 0
    assert [b["n"] for b in calibration(exact)["bins"]] == [1, 1, 1]
    off = [replace(found, score=0.9, iou=0.4), replace(found, score=0.9, iou=0.6)]
    assert calibration(off)["error"] == pytest.approx(0.4)


def test_the_page_shows_the_best_the_median_and_the_worst(truth: Truth) -> None:
    one = Measured("toy", "gland", "text", "a.png", 0.5, 0.4, True, 0.0, 1.0)
    ones = [replace(one, dice=d) for d in (0.2, 0.9, 0.6, 0.7)]
    chosen = [(name, m.dice) for name, m in worth_a_look(ones)]
    assert chosen == [("best", 0.9), ("median", 0.6), ("worst", 0.2)]
    assert worth_a_look(ones[:1]) == [("best", ones[0])]


def test_the_command_offers_every_protocol() -> None:
    assert set(command._KINDS) == set(PROTOCOLS)


def test_the_command_writes_its_report(
    truth: Truth, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_pathseg.models.registry.load_segmenter", lambda _: Reddish())
    Image.fromarray(truth.mask.astype(np.uint8)).save(tmp_path / "a.mask.png")
    row = {
        "id": "a",
        "dataset": "toy",
        "case": "p",
        "split": "val",
        "image": "a.png",
        "mask": "a.mask.png",
        "kind": "binary",
        "terms": json.dumps({"1": ["colon", "tissue", "gland"]}),
        "ignore": "",
        "mpp": "1.0",
    }
    with (tmp_path / "cases.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(row))
        writer.writeheader()
        writer.writerow(row)
    arguments = ["evaluate", str(tmp_path / "cases.csv"), "--out", str(tmp_path / "out"), "--json"]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert json.loads(done.stdout) == report
    (figures,) = report["rows"]
    assert (figures["dataset"], figures["term"], figures["n"]) == ("toy", "gland", 1)
    assert figures["low"] <= figures["dice"] <= figures["high"]
    assert figures["dice"] > 0.95
    lines = (tmp_path / "out" / "images.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["image"] for line in lines] == ["a.png"]
    look = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert look.count("data:image/jpeg;base64,") == 1
    assert "gland, best: Dice 0.9" in look or "gland, best: Dice 1.0" in look
    assert report["working_mpp"] is None
    assert "µm/px" not in look
    coarse = CliRunner().invoke(main, [*arguments, "--working-mpp", "2"])
    assert json.loads(coarse.stdout)["working_mpp"] == 2.0
    assert coarse.stdout != done.stdout
    again = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "All words looked for at 2 µm/px." in again
    nothing = CliRunner().invoke(main, [*arguments, "--split", "test"])
    assert nothing.exit_code == 1
    assert "no case has split 'test'" in nothing.stderr
