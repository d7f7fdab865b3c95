"""`pathseg terms`."""

from __future__ import annotations

import json
from pathlib import Path

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


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the user's terms are kept, in a folder of the test."""
    path = tmp_path / "user" / "terms.json"
    monkeypatch.setattr("napari_pathseg.vocabulary.termfile.own_terms_path", lambda: path)
    monkeypatch.setattr("napari_pathseg.vocabulary.vocabulary.own_terms_path", lambda: path)
    return path


def test_own_terms_are_added_shared_taken_over_and_removed(own_file: Path, tmp_path: Path) -> None:
    _run("add", "elastic lamina", "--structure", "tissue", "--parent", "artery", "--mpp", "0.5",
         "--synonym", "elastica", "--definition", "Elastic sheet.")  # fmt: skip
    facts = json.loads(_run("show", "elastica", "--json"))
    assert (facts["name"], facts["parent"], facts["mpp"]) == ("elastic lamina", "artery", 0.5)
    again = CliRunner().invoke(main, ["terms", "add", "Elastica", "--structure", "tissue"])
    assert again.exit_code == 1
    assert "already means 'elastic lamina'" in again.stderr
    _run("export", str(tmp_path / "shared.json"))
    _run("import", str(tmp_path / "shared.json"))
    _run("remove", "elastic lamina")
    assert json.loads(_run("resolve", "elastica", "--json"))["terms"] == []
    _run("import", str(tmp_path / "shared.json"))
    assert own_file.read_bytes() == (tmp_path / "shared.json").read_bytes()
    assert json.loads(_run("resolve", "elastica", "--json"))["terms"][0]["mpp"] == 0.5


@pytest.mark.usefixtures("own_file")
def test_a_class_list_is_told_and_its_unknown_names_are_kept_when_asked(tmp_path: Path) -> None:
    listed = tmp_path / "classes.txt"
    listed.write_text("Tumour\nBlorb\n", encoding="utf-8")
    rows = json.loads(_run("import", str(listed), "--json"))
    assert [row["term"] and row["term"]["object"] for row in rows] == ["tumor", None]
    assert rows[1]["suggestions"]
    assert json.loads(_run("resolve", "blorb", "--json"))["unknown"] == ["blorb"]
    _run("import", str(listed), "--add-unknown", "cell")
    (term,) = json.loads(_run("resolve", "blorbs", "--json"))["terms"]
    assert (term["object"], term["structure"]) == ("Blorb", "cell")
