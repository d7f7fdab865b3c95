"""`pathseg explain`, with a segmenter that calls gland whatever is red."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from toy_segmenter import ToySegmenter

from napari_pathseg.cli.main import main
from napari_pathseg.config import SegmentConfig
from napari_pathseg.inference.session import Session
from napari_pathseg.slide.open import open_slide
from napari_pathseg.vocabulary import Vocabulary

DISKS = ((90, 100, 40), (200, 400, 25))
"""y, x, radius; far enough apart that each is alone in the midst of its tile."""
FILES = ("objects.csv", "objects.png", "probability.png", "uncertainty.png")


@pytest.fixture(autouse=True)
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    config = SegmentConfig(tile_px=96, overlap_px=32)

    def open_session(path: Path, *, mpp: tuple[float, float] | None, **_: object) -> Session:
        return Session(open_slide(path), ToySegmenter(), Vocabulary.load(), mpp=mpp, config=config)

    monkeypatch.setattr("napari_pathseg.inference.session.open_session", open_session)


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    y, x = np.mgrid[:300, :500]
    pixels = np.full((300, 500, 3), 150, np.uint8)
    for center_y, center_x, radius in DISKS:
        pixels[(y - center_y) ** 2 + (x - center_x) ** 2 < radius**2] = (240, 40, 40)
    Image.fromarray(pixels).save(tmp_path / "disks.png")
    return tmp_path / "disks.png"


def _explain(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["explain", *map(str, arguments)])


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_maps_objects_and_table(slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _explain(slide, "--prompt", "gland", "--mpp", "0.5", "--out", out, "--json")
    assert result.exit_code == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == sorted(FILES)
    facts = json.loads(result.stdout)
    assert sorted(Path(path).name for path in facts["files"].values()) == sorted(FILES)
    rows = _read(out / "objects.csv")
    assert [row["number"] for row in rows] == ["1", "2"]
    assert [one["importance"] for one in facts["objects"]] == [float(r["importance"]) for r in rows]
    assert float(rows[0]["importance"]) > 10, "without it there is no gland in its tile"
    places = sorted((float(row["y_level0_px"]), float(row["x_level0_px"])) for row in rows)
    np.testing.assert_allclose(places, [disk[:2] for disk in DISKS], atol=3)
    area = 3.1416 * DISKS[0][2] ** 2 / 4
    assert max(float(row["area_um2"]) for row in rows) == pytest.approx(area, rel=0.5)


def test_pictures_show_what_is_there(slide: Path, tmp_path: Path) -> None:
    assert _explain(slide, "--prompt", "gland", "--mpp", "0.5", "--out", tmp_path).exit_code == 0
    scale = 768 / 500
    pictures = {
        name: np.asarray(Image.open(tmp_path / f"{name}.png")).astype(int)
        for name in ("probability", "uncertainty", "objects")
    }
    for picture in pictures.values():
        assert picture.shape[1] == 768
        assert picture.shape[0] > round(300 * scale) + 40, "the bar lies below"
        foot = picture[round(300 * scale) :]
        assert len(np.unique(foot.reshape(-1, 3), axis=0)) > 100, "with many colours"
    np.testing.assert_allclose(pictures["objects"][400, 100], 150, atol=2)  # far from all
    y, x, radius = (round(value * scale) for value in DISKS[0])
    inside = pictures["probability"][y, x]
    assert inside[1] > 120 > inside[2], "yellow: it is there"
    ring = pictures["uncertainty"][y, x : x + 2 * radius]
    assert np.abs(ring - [240, 40, 40]).sum(1)[:10].max() < 60, "sure in the middle"
    assert np.abs(ring - np.array([252, 230, 38])).sum(1).min() < 220, "unsure at the edge"
    edge = pictures["objects"][y, x : x + 2 * radius]
    changed = (np.abs(edge - [240, 40, 40]).sum(1) > 60) & (np.abs(edge - 150).sum(1) > 60)
    assert 1 <= changed.sum() <= 40, "an outline and a number"


def test_only_as_many_objects_as_wanted(slide: Path, tmp_path: Path) -> None:
    arguments = (slide, "--prompt", "gland", "--mpp", "0.5", "--out", tmp_path / "out")
    assert _explain(*arguments, "--objects", "1").exit_code == 0
    (row,) = _read(tmp_path / "out" / "objects.csv")
    assert float(row["y_level0_px"]) == pytest.approx(DISKS[0][0], abs=3), "the largest"


def test_a_region_without_it_is_told_and_has_no_objects(slide: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = _explain(
        slide, "--prompt", "gland", "--mpp", "0.5", "--region", 0, 200, 100, 100, "--out", out
    )
    assert result.exit_code == 0, result.stderr
    assert "No gland in this region" in result.stderr
    assert _read(out / "objects.csv") == []
    assert (out / "objects.png").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--prompt", "bicycle"], "not in the vocabulary"),
        (["--prompt", "gland", "--region", "9000", "9000", "10", "10"], "outside the slide"),
        (["--prompt", ""], "empty"),
    ],
)
def test_what_can_not_be_is_one_line(
    slide: Path, tmp_path: Path, arguments: list[str], said: str
) -> None:
    result = _explain(slide, *arguments, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_prompt_is_needed(slide: Path, tmp_path: Path) -> None:
    result = _explain(slide, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
