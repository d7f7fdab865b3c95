"""`pathseg train --from` and `pathseg segment --adapter`, with a small model that sees colours."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from toy_segmenter import GLAND, ToySegmenter

from napari_pathseg.classes import ClassList, LabelClass, Term
from napari_pathseg.cli.evaluate import evaluate
from napari_pathseg.cli.segment import segment
from napari_pathseg.cli.train import train
from napari_pathseg.errors import PathsegError
from napari_pathseg.export.bundle import read_bundle_lines, read_splits, write_bundle
from napari_pathseg.export.fields import ExportField
from napari_pathseg.geometry import Field
from napari_pathseg.inference import adapting
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models import registry
from napari_pathseg.models.adapter_card import read_adapter_card
from napari_pathseg.models.base import TileEmbedding, TileQuery
from napari_pathseg.training import learning
from napari_pathseg.training.bundle_cases import COARSE, FINE, bundle_cases, bundle_recipe
from napari_pathseg.training.loop import Trainer
from napari_pathseg.training.sampling import Sampler
from napari_pathseg.vocabulary import Vocabulary

SMALL = learning.LearningConfig(
    steps=18, measured_every=9, batch=2, crop_px=24, rate=0.01, encodings=0
)
GREEN = (40, 220, 60)


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small model, and short lessons."""
    for module in (registry, adapting):
        monkeypatch.setattr(module, "load_segmenter", lambda _name, **_: ToySegmenter())
    monkeypatch.setattr(learning, "LearningConfig", lambda: SMALL)


def picture(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Grey with a green disk, and where the disk is."""
    y, x = np.mgrid[:128, :128]
    disk = (y - 60 - 3 * number) ** 2 + (x - 64) ** 2 < 600
    pixels = np.full((128, 128, 3), 150, np.uint8)
    pixels[disk] = GREEN
    return pixels, disk


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a bundle of fields with a class of one's own and some nuclei."""
    nucleus = Vocabulary.load().entry("nucleus").term

    def make(count: int, status: str = "accepted") -> Path:
        classes = ClassList(
            (
                LabelClass(1, "Pigment clump", None, (0, 90, 0)),
                LabelClass(2, "nucleus", nucleus, (0, 0, 90)),
            )
        )
        fields = []
        for i in range(count):
            pixels, disk = picture(i)
            record = FieldRecord.new(
                Field(0, 0, 0, 128, 128, (1.0, 1.0)),
                classes,
                slide_identity=f"s{i}",
                slide_name=f"{i}.svs",
                mpp=(1.0, 1.0),
            )
            record = replace(record, id=f"f{i}", created=datetime(2026, 1, 1, tzinfo=UTC))
            fields.append(
                ExportField(record.with_status(status), disk.astype(np.uint16), pixels)  # type: ignore[arg-type]
            )
        write_bundle(tmp_path / "bundle", fields)
        return tmp_path / "bundle"

    return make


def run(command: click.Command, *arguments: object) -> str:
    done = CliRunner().invoke(command, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_bundle_becomes_an_adapter_that_finds_the_new_word(
    make_bundle: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = run(train, "--from", make_bundle(5), "--out", out, "--author", "P. Athologist")
    path = out / "pigment-clump.adapter.safetensors"
    assert str(path) in said
    assert "nucleus is in 0 of the 5 fields" in said, "what was left out is told"
    card = read_adapter_card(path)
    assert card.author == "P. Athologist"
    assert json.loads((out / "card.json").read_text())["terms"][0]["fields"] == 5
    [facts] = json.loads((out / "report.json").read_text())["terms"]
    assert facts["new"]
    assert facts["dice_after"] > 0.8
    assert (out / "report.html").read_text().count("<figure>") == 5

    slide = tmp_path / "fresh.png"
    pixels, disk = picture(2)
    Image.fromarray(pixels).save(slide)
    run(
        segment, slide, "--prompt", "pigment clump", "--mpp", "1", "--adapter", path,
        "--out", tmp_path / "found",
    )  # fmt: skip
    facts = json.loads((tmp_path / "found" / "fresh.json").read_text())
    assert "Pigment clump 1" in facts["model"]
    assert facts["terms"][0]["pixels"] == pytest.approx(disk.sum(), rel=0.3)


def test_a_class_is_chosen_by_its_name(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    bundle = make_bundle(5)
    run(
        train,
        "--from",
        bundle,
        "--term",
        "pigment CLUMP",
        "--name",
        "Mine",
        "--out",
        tmp_path / "o",
    )
    assert read_adapter_card(tmp_path / "o" / "mine.adapter.safetensors").name == "Mine"
    with pytest.raises(PathsegError, match="It has: Pigment clump, nucleus"):
        run(train, "--from", bundle, "--term", "spleen", "--out", tmp_path / "o")
    with pytest.raises(PathsegError, match="in 0 of the 5"):
        run(train, "--from", bundle, "--term", "nuclei", "--out", tmp_path / "o")


@pytest.mark.parametrize(
    ("count", "status"), [(4, "accepted"), (6, "proposed")], ids=["too few", "not reviewed"]
)
def test_a_bundle_without_enough_is_refused(
    make_bundle: Callable[..., Path], tmp_path: Path, count: int, status: str
) -> None:
    with pytest.raises(PathsegError, match="no class has enough reviewed fields"):
        run(train, "--from", make_bundle(count, status), "--out", tmp_path / "out")


def test_cases_or_a_bundle_but_not_both(tmp_path: Path) -> None:
    for arguments in ([], ["x.csv", "--from", "y"], ["x.csv", "--full"]):
        done = CliRunner().invoke(train, [*arguments, "--out", str(tmp_path)])
        assert done.exit_code == 2


def test_a_bundle_becomes_cases_and_a_recipe_for_the_whole_model(
    make_bundle: Callable[..., Path],
) -> None:
    bundle = make_bundle(6)
    lines = read_bundle_lines(bundle)
    cases = bundle_cases(bundle, lines, read_splits(bundle), Vocabulary.load())
    assert {case.dataset for case in cases} == {FINE, COARSE}
    assert {case.split for case in cases} == {"train", "val"}
    recipe = bundle_recipe(cases, ToySegmenter().card)
    assert {d.name for d in recipe.datasets} == {FINE, COARSE}
    assert recipe.looked_at("gland") == 1.0, "what the model knows stays as it was"
    own = [c for c in cases if c.dataset == COARSE and c.split == "train"]
    dataset = next(d for d in recipe.datasets if d.name == COARSE)
    sample = Sampler(own, dataset, 64).draw(np.random.default_rng(0))
    clump = Term("unspecified", "tissue", "Pigment clump")
    assert clump in {t.term.without_region for t in sample.terms}
    with pytest.raises(PathsegError, match="no reviewed field"):
        bundle_cases(bundle, [], read_splits(bundle), Vocabulary.load())


def test_the_whole_model_is_trained_further_and_measured(
    make_bundle: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All but the steps themselves, which have tests of their own."""

    class SeesClumps(ToySegmenter):
        """Red is a clump."""

        def __init__(self) -> None:
            super().__init__()
            own = (("tissue", "Pigment clump"),)
            self.card = replace(self.card, objects=own, working_mpp={"Pigment clump": 1.0})

        def knows(self, term: Term) -> bool:
            return term.object == "Pigment clump"

        def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[Any]:
            return super().decode(embedding, [replace(q, term=GLAND) for q in queries])

    for module in (registry, adapting):
        monkeypatch.setattr(module, "load_segmenter", lambda _name, **_: SeesClumps())
    stops: list[type[BaseException]] = [KeyboardInterrupt]

    def untrained(self: Trainer, _progress: object) -> object:
        if stops:
            raise stops.pop()
        return self._network

    monkeypatch.setattr(Trainer, "run", untrained)
    bundle, out = make_bundle(6), tmp_path / "out"
    arguments = [str(a) for a in ("--from", bundle, "--full", "--out", out)]
    stopped = CliRunner().invoke(train, arguments)
    assert stopped.exit_code == 130
    assert "the same command goes on from" in stopped.stderr
    assert not (out / "model.safetensors").exists()
    said = run(train, *arguments)
    assert "Dice after" in said
    assert "Pigment clump" in said
    card = registry.load_card(out / "model.safetensors")
    assert card.name.endswith("-corrected")
    assert ("tissue", "Pigment clump") in card.objects
    assert [(f.dataset, f.term, f.n) for f in card.figures] == [
        ("corrected fields kept for validation", "Pigment clump", 1)
    ]
    shipped = registry.load_card(registry.model_path(registry.DEFAULT))
    assert (card.context, card.offsets) == (shipped.context, shipped.offsets)
    assert card.license == shipped.license
    measured = run(evaluate, bundle, "--out", tmp_path / "measured")
    assert "corrected, coarse" in measured
