"""What a user gets with `pip install`: the wheel, built here and looked into."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "napari_pathseg"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel as pip would build it, through the hooks of PEP 517, without a network."""
    folder = tmp_path_factory.mktemp("wheel")
    code = f"from hatchling.build import build_wheel; print(build_wheel({str(folder)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return zipfile.ZipFile(folder / done.stdout.splitlines()[-1])


def _metadata(wheel: zipfile.ZipFile, name: str) -> str:
    (found,) = (n for n in wheel.namelist() if n.endswith(f".dist-info/{name}"))
    return wheel.read(found).decode("utf-8")


def test_has_all_modules_and_data(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    wanted = {
        f"napari_pathseg/{path.relative_to(PACKAGE).as_posix()}" for path in PACKAGE.rglob("*.py")
    }
    assert wanted <= names
    for name in ("napari.yaml", "py.typed", "vocabulary/data/terms.json"):
        assert f"napari_pathseg/{name}" in names


def test_has_the_model(wheel: zipfile.ZipFile) -> None:
    """The default model is inside, so that the first start needs no network."""
    from napari_pathseg.models.registry import DEFAULT, model_path

    path = model_path(DEFAULT)
    info = wheel.getinfo(f"napari_pathseg/{path.relative_to(PACKAGE).as_posix()}")
    assert info.file_size == path.stat().st_size
    assert info.file_size < 100_000_000


def test_has_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert len(tops) == 2
    assert "napari_pathseg" in tops
    suffixes = {Path(name).suffix for name in wheel.namelist()}
    assert not suffixes & {".pyc", ".pt", ".part", ".sqlite", ".svs"}


def test_is_found_by_napari_and_by_the_shell(wheel: zipfile.ZipFile) -> None:
    entry_points = _metadata(wheel, "entry_points.txt")
    assert "[napari.manifest]\nnapari-pathseg = napari_pathseg:napari.yaml" in entry_points
    assert "pathseg = napari_pathseg.cli.main:main" in entry_points


def test_brings_no_qt_unless_asked(wheel: zipfile.ZipFile) -> None:
    metadata = Parser().parsestr(_metadata(wheel, "METADATA"))
    required = metadata.get_all("Requires-Dist") or []
    base = [line.lower() for line in required if "extra ==" not in line]
    assert any(line.startswith("napari>") for line in base)
    assert not [line for line in base if "qt5" in line or "qt6" in line or "pyside" in line]
    assert any("napari[all]" in line and "extra == 'all'" in line for line in required)


def test_carries_its_licences(wheel: zipfile.ZipFile) -> None:
    names = [name for name in wheel.namelist() if "/licenses/" in name]
    assert {Path(name).name for name in names} >= {"LICENSE", "NOTICE", "Apache-2.0.txt"}
