"""Folders that change in one move, wherever they are named from."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_pathseg.errors import ExportError
from napari_pathseg.export.folder import recover, whole_folder


def fill(path: Path, name: str) -> None:
    recover(path)
    with whole_folder(path) as part:
        (part / name).write_text(name, encoding="utf-8")


def test_the_present_folder_can_be_named_by_a_dot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    monkeypatch.chdir(folder)
    try:
        fill(Path(), "a.txt")
    except ExportError:  # Windows moves no folder that a process stands in: refused, nothing lost
        assert folder.is_dir()
    else:
        assert [path.name for path in folder.iterdir()] == ["a.txt"]
    monkeypatch.chdir(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    folder, link = tmp_path / "bundle", tmp_path / "link"
    folder.mkdir()
    try:
        link.symlink_to(folder, target_is_directory=True)
    except OSError:
        pytest.skip("links need a right here")
    fill(link, "a.txt")
    fill(link, "b.txt")
    assert link.is_symlink()
    assert sorted(path.name for path in folder.iterdir()) == ["a.txt", "b.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "link"]


def test_a_folder_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    fill(folder, "a.txt")
    folder.rename(tmp_path / ".bundle.before")
    recover(folder)
    assert [path.name for path in folder.iterdir()] == ["a.txt"]
