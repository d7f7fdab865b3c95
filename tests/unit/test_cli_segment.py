"""`pathseg segment`, with a segmenter that sees dark pixels as nuclei and the rest as stroma."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from rasterio import Affine
from rasterio.features import rasterize
from scipy import ndimage

from napari_pathseg.cli import results
from napari_pathseg.cli.main import main
from napari_pathseg.config import SegmentConfig
from napari_pathseg.export.labels_tiff import read_labels_tiff
from napari_pathseg.inference.session import Session
from napari_pathseg.models.base import ModelCard, TileAnswer, TileQuery
from napari_pathseg.slide.open import open_slide
from napari_pathseg.vocabulary.vocabulary import Vocabulary

CARD = ModelCard(
    name="by colour",
    version="1",
    sha256="ab" * 32,
    license="none",
    research_only=False,
    summary="",
    objects=(("nuclei", "nucleus"), ("tissue", "stroma"), ("tissue", "gland")),
    regions=(),
    working_mpp={"nucleus": 0.5, "stroma": 0.5, "gland": 0.5},
    presence_gate=0.1,
    figures=(),
)


@dataclass(frozen=True)
class _Tile:
    shape: tuple[int, int]
    dark: np.ndarray


class ByColour:
    """Nuclei are dark; stroma is all else; there is never a gland; a box is all nuclei."""

    card = CARD
    encoder_passes = 0

    def encode(self, image: np.ndarray) -> _Tile:
        self.encoder_passes += 1
        height, width = image.shape[:2]
        red = image[:, :, 0].reshape(height // 4, 4, width // 4, 4).mean(axis=(1, 3))
        return _Tile((height, width), red < 145)

    def decode(self, embedding: _Tile, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        return [self._answer(embedding, query) for query in queries]

    def _answer(self, tile: _Tile, query: TileQuery) -> TileAnswer:
        name = query.term.object if query.term else "nucleus"
        inside = {"nucleus": tile.dark, "stroma": ~tile.dark, "gland": tile.dark & False}[name]
        logits = np.where(inside, 8.0, -8.0).astype(np.float32)
        presence = 0.98 if inside.any() else 0.02
        return TileAnswer(logits, logits[None].repeat(3, axis=0), 0.9, presence)

    def knows(self, term: Any) -> bool:
        return (term.structure, term.object) in CARD.objects


@pytest.fixture(autouse=True)
def by_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_session(
        path: Path, *, mpp: tuple[float, float] | None, config: SegmentConfig, **_: object
    ) -> Session:
        small = replace(config, tile_px=256, overlap_px=64, max_tiles=12)
        return Session(open_slide(path), ByColour(), Vocabulary.load(), mpp=mpp, config=small)

    monkeypatch.setattr("napari_pathseg.inference.session.open_session", open_session)


def _segment(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["segment", *map(str, arguments)])


def _refused(result: Result, *said: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stderr.count("\n") == 1
    for words in said:
        assert words in result.stderr


def test_nuclei_are_where_they_are(ome_tiff: Path, tmp_path: Path) -> None:
    region = (96, 128, 192, 256)
    out = tmp_path / "out"
    result = _segment(ome_tiff, "--prompt", "nuclei", "--region", *map(str, region), "--out", out)
    assert result.exit_code == 0, result.stderr
    labels = read_labels_tiff(out / "slide.ome.labels.tif")
    assert labels.mask.shape == (192, 256)
    assert labels.mpp == pytest.approx((0.5, 0.5))
    parts, count = ndimage.label(labels.mask)
    assert count == 16
    centers = np.array(ndimage.center_of_mass(labels.mask, parts, range(1, count + 1))) + 0.5
    truth = [(24.5 + 48 * i, 32.5 + 64 * j) for i in range(4) for j in range(4)]
    assert np.abs(centers - np.array(truth)).max() < 1.0


def test_resolution_is_in_the_tags(ome_tiff: Path, tmp_path: Path) -> None:
    assert _segment(ome_tiff, "--prompt", "nuclei", "--out", tmp_path).exit_code == 0
    with tifffile.TiffFile(tmp_path / "slide.ome.labels.tif") as tiff:
        page = tiff.pages.first
        assert page.dtype == np.uint16
        numerator, denominator = page.tags["XResolution"].value
        assert int(page.resolutionunit) == 3  # pixels per centimetre
        assert numerator / denominator == pytest.approx(1e4 / 0.5)


@pytest.mark.parametrize("mpp", [0.5, 0.125])
def test_outlines_rasterised_by_others_equal_the_labels(
    mpp: float, ome_tiff: Path, tmp_path: Path
) -> None:
    """At both levels: with 0.125 µm/px the slide is read at its level 2."""
    arguments = ["--prompt", "nuclei", "--prompt", "stroma", "--mpp", str(mpp)]
    region = ["--region", "64", "64", "128", "256"]
    assert _segment(ome_tiff, *arguments, *region, "--out", tmp_path).exit_code == 0
    mask = read_labels_tiff(tmp_path / "slide.ome.labels.tif").mask
    facts = json.loads((tmp_path / "slide.ome.json").read_text())
    assert facts["level"] == (0 if mpp == 0.5 else 2)
    (down_y, down_x), (y0, x0) = facts["downsample"], facts["origin"]
    features = json.loads((tmp_path / "slide.ome.geojson").read_text())["features"]
    values = {term["name"]: term["value"] for term in facts["terms"]}
    shapes = [(f["geometry"], values[f["properties"]["classification"]["name"]]) for f in features]
    transform = Affine(down_x, 0, x0, 0, down_y, y0)
    drawn = rasterize(shapes, out_shape=mask.shape, transform=transform, dtype="uint16")
    assert (mask > 0).any()
    np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize("order", [("nuclei", "stroma"), ("stroma", "nuclei")])
def test_value_i_is_the_i_th_prompt(order: tuple[str, str], ome_tiff: Path, tmp_path: Path) -> None:
    texts = [part for text in order for part in ("--prompt", text)]
    assert _segment(ome_tiff, *texts, "--out", tmp_path).exit_code == 0
    mask = read_labels_tiff(tmp_path / "slide.ome.labels.tif").mask
    assert mask[24, 32] == order.index("nuclei") + 1
    assert mask[2, 2] == order.index("stroma") + 1
    terms = json.loads((tmp_path / "slide.ome.json").read_text())["terms"]
    assert [term["prompt"] for term in terms] == list(order)
    assert [term["value"] for term in terms] == [1, 2]


def test_terms_of_one_prompt_are_classes_in_its_order(ome_tiff: Path, tmp_path: Path) -> None:
    assert _segment(ome_tiff, "--prompt", "stroma; nuclei", "--out", tmp_path).exit_code == 0
    terms = json.loads((tmp_path / "slide.ome.json").read_text())["terms"]
    assert [(term["object"], term["value"]) for term in terms] == [("stroma", 1), ("nucleus", 2)]
    assert {term["prompt"] for term in terms} == {"stroma; nuclei"}


def test_json_tells_all_and_is_what_is_printed(ome_tiff: Path, tmp_path: Path) -> None:
    region = ["--region", "0", "256", "128", "128"]
    result = _segment(
        ome_tiff, "--prompt", "nuclei", "--point", "24", "288", "--negative-point", "2", "258",
        "--box", "0", "256", "100", "380", *region, "--out", tmp_path, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts == json.loads((tmp_path / "slide.ome.json").read_text())
    assert facts["prompts"] == ["nuclei"]
    assert facts["points"] == [[24, 288]]
    assert facts["negative_points"] == [[2, 258]]
    assert facts["boxes"] == [[0, 256, 100, 380]]
    assert facts["region"] == [0, 256, 128, 128]
    assert (facts["level"], facts["downsample"], facts["mpp"]) == (0, [1, 1], [0.5, 0.5])
    assert facts["model_sha256"] == CARD.sha256
    assert facts["model"] == CARD.identity
    assert facts["working_mpp"] == 0.5
    assert facts["seconds"] > 0
    (term,) = facts["terms"]
    assert (term["structure"], term["object"]) == ("nuclei", "nucleus")
    assert term["presence"] == pytest.approx(0.98)
    assert all(Path(path).is_file() for path in facts["files"].values())
    assert len(facts["files"]) == len(list(tmp_path.glob("slide.ome.*"))) - 1  # and the slide


def test_nothing_found_is_said(ome_tiff: Path, tmp_path: Path) -> None:
    result = _segment(ome_tiff, "--prompt", "gland", "--out", tmp_path)
    assert result.exit_code == 0
    assert "No gland in this region (presence 0.02)" in result.stderr
    assert not read_labels_tiff(tmp_path / "slide.ome.labels.tif").mask.any()


@pytest.mark.parametrize("text", ["bicycle", "kidney stone", "{'a': 1}", "腎臓", "../../etc"])
def test_unknown_word_is_one_line_and_writes_nothing(
    text: str, ome_tiff: Path, tmp_path: Path
) -> None:
    result = _segment(ome_tiff, "--prompt", "nuclei", "--prompt", text, "--out", tmp_path / "out")
    _refused(result)
    assert not (tmp_path / "out").exists()


def test_word_the_model_was_not_taught_gives_the_nearest(ome_tiff: Path, tmp_path: Path) -> None:
    result = _segment(ome_tiff, "--prompt", "urothelium", "--out", tmp_path / "out")
    _refused(result, "urothelium", "Near: ")


@pytest.mark.parametrize("text", ["", "  \n", "gland " * 20_000])
def test_empty_and_endless_prompts(text: str, ome_tiff: Path, tmp_path: Path) -> None:
    result = _segment(ome_tiff, "--prompt", text, "--out", tmp_path / "out")
    _refused(result)
    assert len(result.stderr) < 400


def test_a_prompt_that_repeats_another_is_refused(ome_tiff: Path, tmp_path: Path) -> None:
    arguments = ["--prompt", "nuclei", "--prompt", "nucleus", "--prompt", "stroma"]
    _refused(_segment(ome_tiff, *arguments, "--out", tmp_path / "out"), "'nucleus'")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "nothing to look for"),
        (["--box", "10", "10", "10", "50"], "no area"),
        (["--prompt", "nuclei", "--region", "0", "0", "0", "5"], "no area"),
        (["--prompt", "nuclei", "--region", "9000", "0", "5", "5"], "outside the slide"),
        (["--prompt", "nuclei", "--point", "-3", "5"], "outside"),
        (["--negative-point", "50", "50"], "not meant"),
        (["--prompt", "nuclei", "--box", "600", "0", "700", "10"], "outside"),
    ],
)
def test_wrong_places_are_one_line(
    arguments: list[str], said: str, ome_tiff: Path, tmp_path: Path
) -> None:
    _refused(_segment(ome_tiff, *arguments, "--out", tmp_path / "out"), said)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--prompt", "nuclei", "--mpp", "nan"],
        ["--prompt", "nuclei", "--mpp", "0"],
        ["--prompt", "nuclei", "--mpp", "353"],
        ["--point", "nan", "3"],
        ["--box", "0", "0", "inf", "5"],
    ],
)
def test_numbers_that_are_none_are_wrong_usage(
    arguments: list[str], ome_tiff: Path, tmp_path: Path
) -> None:
    assert _segment(ome_tiff, *arguments, "--out", tmp_path / "out").exit_code == 2
    assert not (tmp_path / "out").exists()


def test_region_over_the_edge_is_cut_and_said(ome_tiff: Path, tmp_path: Path) -> None:
    region = ["--region", "448", "704", "200", "200"]
    result = _segment(ome_tiff, "--prompt", "nuclei", *region, "--out", tmp_path, "--json")
    assert result.exit_code == 0
    facts = json.loads(result.stdout)
    assert facts["region"] == [448, 704, 64, 64]
    assert "was cut to the slide" in facts["warnings"][0]


def test_a_slide_without_scale_needs_mpp(
    make_ome_tiff: Callable[..., Path], tmp_path: Path
) -> None:
    slide = make_ome_tiff(mpp=None)
    _refused(_segment(slide, "--prompt", "nuclei", "--out", tmp_path / "out"), "--mpp")
    result = _segment(slide, "--prompt", "nuclei", "--mpp", "0.5", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "is used in place of" not in result.stderr
    labels = read_labels_tiff(tmp_path / "out" / "slide.ome.labels.tif")
    assert labels.mpp == pytest.approx((0.5, 0.5))


def test_overruling_the_slide_is_said(ome_tiff: Path, tmp_path: Path) -> None:
    result = _segment(ome_tiff, "--prompt", "nuclei", "--mpp", "0.25", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    assert "--mpp 0.25 is used in place of the 0.5 x 0.5" in result.stderr


def test_words_are_looked_for_as_closely_as_wanted(ome_tiff: Path, tmp_path: Path) -> None:
    result = _segment(ome_tiff, "--prompt", "nuclei", "--working-mpp", "1", "--out", tmp_path)
    assert result.exit_code == 0, result.stderr
    facts = json.loads((tmp_path / "slide.ome.json").read_text(encoding="utf-8"))
    assert facts["working_mpp"] == 1.0
    assert facts["field_mpp"] == pytest.approx([1.0, 1.0])
    (nuclei,) = facts["terms"]
    assert nuclei["pixels"] > 0


def test_too_large_for_one_field_says_region(
    make_ome_tiff: Callable[..., Path], tmp_path: Path
) -> None:
    slide = make_ome_tiff(height=1024, width=1024)
    _refused(_segment(slide, "--prompt", "nuclei", "--out", tmp_path / "out"), "--region")


def test_a_file_in_the_place_of_the_folder(ome_tiff: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    result = _segment(ome_tiff, "--prompt", "nuclei", "--out", tmp_path / "taken" / "deeper")
    _refused(result, "taken is a file")
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_file_system_that_takes_no_files_is_told_at_once(
    ome_tiff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(results.tempfile, "TemporaryDirectory", refuse)
    monkeypatch.setattr(Session, "segment", lambda *_, **__: pytest.fail("the work was done"))
    result = _segment(ome_tiff, "--prompt", "nuclei", "--out", tmp_path / "out")
    _refused(result, f"{tmp_path} can not be written: read-only file system")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_what_was_there(
    ome_tiff: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    assert _segment(ome_tiff, "--prompt", "nuclei", "--out", out).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}

    def full(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("napari_pathseg.export.atomic.flush", full)
    _refused(_segment(ome_tiff, "--prompt", "stroma", "--out", out), "no space", f"in {out}.")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
