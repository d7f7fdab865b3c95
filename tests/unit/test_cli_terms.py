"""`pathseg terms`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from napari_pathseg.cli.main import main


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(main, ["terms", *arguments])
    assert result.exit_code == 0, result.stderr
    return result.stdout


def test_resolve_as_json_keeps_order_and_says_what_is_unknown() -> None:
    facts = json.loads(_run("resolve", "stroma; glomeruli, bicycles; not necrosis", "--json"))
    assert [term["object"] for term in facts["terms"]] == ["stroma", "glomerulus"]
    assert facts["terms"][0] == {
        "region": "unspecified",
        "structure": "tissue",
        "object": "stroma",
        "score": 1.0,
        "mpp": facts["terms"][0]["mpp"],
        "phrase": "stroma",
        "how": "name",
    }
    assert [term["object"] for term in facts["excluded"]] == ["necrosis"]
    assert facts["unknown"] == ["bicycles"]
    assert facts["suggestions"]


def test_resolve_for_people() -> None:
    text = _run("resolve", "nuclei not stroma")
    assert "nucleus" in text
    assert "not stroma" in text
    assert "µm/px" in text


@pytest.mark.parametrize("text", ["", " \n", "x" * 100_000])
def test_no_text_and_too_much_text_are_one_line(text: str) -> None:
    result = CliRunner().invoke(main, ["terms", "resolve", text])
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert len(result.stderr) < 300


@pytest.mark.parametrize("text", ['{"a": 1}', "腎臓 🧬", "'; DROP TABLE", "../../etc", "\u202eabc"])
def test_hostile_text_comes_back_as_typed(text: str) -> None:
    assert json.loads(_run("resolve", text, "--json"))["text"] == text


def test_list_has_every_term_once() -> None:
    entries = json.loads(_run("list", "--json"))
    names = [entry["name"] for entry in entries]
    assert len(names) == len(set(names)) == len(_run("list").splitlines())
    assert {"gland", "glomerulus", "nucleus"} <= set(names)


def test_show_takes_a_synonym() -> None:
    assert json.loads(_run("show", "TILs", "--json"))["name"] == "lymphocyte"
    assert "definition" in _run("show", "lymphocyte")


def test_show_of_an_unknown_name_gives_the_nearest() -> None:
    result = CliRunner().invoke(main, ["terms", "show", "glomerulopathos"])
    assert result.exit_code == 1
    assert "glomerulus" in result.stderr
