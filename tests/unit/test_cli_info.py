"""`pathseg info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from napari_pathseg.cli.main import main


def test_json_tells_levels_and_scale(ome_tiff: Path) -> None:
    result = CliRunner().invoke(main, ["info", str(ome_tiff), "--json"])
    assert result.exit_code == 0, result.stderr
    facts = json.loads(result.stdout)
    assert facts["shape"] == [512, 768]
    assert facts["mpp"] == [0.5, 0.5]
    shapes = [level["shape"] for level in facts["levels"]]
    assert shapes == [[512, 768], [256, 384], [128, 192]]
    assert [level["downsample"] for level in facts["levels"]] == [1, 2, 4]


def test_downsample_is_exact_where_sides_do_not_divide(
    make_ome_tiff: Callable[..., Path],
) -> None:
    path = make_ome_tiff(height=1001, width=1003, levels=2)
    result = CliRunner().invoke(main, ["info", str(path), "--json"])
    down = json.loads(result.stdout)["levels"][1]["downsample_yx"]
    assert down == [1001 / 500, 1003 / 501]
    assert "downsample 2.002 x 2.001996008" in CliRunner().invoke(main, ["info", str(path)]).stdout


def test_unknown_scale_is_said(make_ome_tiff: Callable[..., Path]) -> None:
    path = make_ome_tiff(mpp=None)
    text = CliRunner().invoke(main, ["info", str(path)]).stdout
    assert "unknown: give it with --mpp" in text
    facts = json.loads(CliRunner().invoke(main, ["info", str(path), "--json"]).stdout)
    assert facts["mpp"] is None


def test_picture(tmp_path: Path) -> None:
    path = tmp_path / "naïve name.png"
    Image.new("RGB", (30, 20), "white").save(path)
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 0
    assert "20 x 30 px (height x width)" in result.stdout


@pytest.mark.parametrize("content", [b"", b"II*\0" + bytes(40), b"not a slide at all"])
def test_a_file_that_is_no_slide_is_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "broken.svs"
    path.write_bytes(content)
    result = CliRunner().invoke(main, ["info", str(path)])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "broken.svs" in result.stderr
