"""The house rules, checked: layers, sizes, names, versions, dependencies, quick imports."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

import napari_pathseg

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "napari_pathseg"
MODULES = sorted(SOURCE.rglob("*.py"))
HEAVY = {"napari", "qtpy", "torch", "dask", "PyQt6", "PySide6", "transformers", "skimage", "scipy"}
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
# Distribution names that differ from what is imported.
IMPORT_NAMES = {
    "openslide-python": "openslide",
    "pillow": "PIL",
    "scikit-image": "skimage",
    "segment-anything": "segment_anything",
}
# Declared for what they do for other packages: OpenSlide's library itself,
# and torchvision, which timm and segment-anything import without asking for it.
NOT_IMPORTED = {"openslide-bin", "torchvision"}


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, cwd=ROOT, timeout=120
    )


def _project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _name(requirement: str) -> str:
    return re.split(r"[\[<>=~! ;]", requirement, maxsplit=1)[0].lower()


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def test_layers_and_who_may_import_whom() -> None:
    code = "from importlinter.cli import lint_imports_command as lint; lint()"
    done = _run("-c", code, "--no-logo", "--no-cache")
    assert done.returncode == 0, done.stdout + done.stderr


def test_manifest_is_valid() -> None:
    done = _run("-m", "npe2", "validate", str(SOURCE / "napari.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_manifest_at_the_root_is_the_one_in_the_package() -> None:
    at_root = ROOT / "napari.yaml"
    assert at_root.resolve() == SOURCE / "napari.yaml" or at_root.read_text().strip() == (
        "src/napari_pathseg/napari.yaml"  # a checkout where links are plain files
    )


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_module_is_small_named_well_and_documented(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400, "split it"
    assert path.stem not in FORBIDDEN_NAMES, "name it after what it holds"
    assert path.name == "__init__.py" or text.startswith('"""'), "say what it is for"


@pytest.mark.parametrize(
    "code",
    [
        "import napari_pathseg",
        "import napari_pathseg.cli.main",
        "from napari_pathseg.cli.main import main; main(['--help'], standalone_mode=False)",
        "from napari_pathseg.cli.main import main; main(['segment', '-h'], standalone_mode=False)",
    ],
)
def test_start_is_quick(code: str) -> None:
    report = "import sys; print('LOADED', *sorted({m.split('.')[0] for m in sys.modules}))"
    done = _run("-c", f"{code}\n{report}")
    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.splitlines()[-1].split()[1:])
    assert "napari_pathseg" in loaded
    assert not loaded & HEAVY


def test_versions_agree() -> None:
    stated = _project()["version"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, flags=re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == stated
    assert version("napari-pathseg") == stated
    assert napari_pathseg.__version__ == stated


def test_every_dependency_earns_its_place_in_the_architecture() -> None:
    project = _project()
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {_name(requirement) for group in groups for requirement in group}
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"`([A-Za-z0-9._-]+)(?:\[[a-z]+\])?`", text))
    assert sorted(names - explained) == []


def test_dependencies_are_those_that_the_code_imports() -> None:
    imported = {name.split(".")[0] for path in MODULES for name in _imports(path)}
    third_party = imported - set(sys.stdlib_module_names) - {"napari_pathseg"}
    declared = {_name(requirement) for requirement in _project()["dependencies"]}
    importable = {IMPORT_NAMES.get(name, name) for name in declared - NOT_IMPORTED}
    assert sorted(third_party - importable) == [], "imported and not declared"
    assert sorted(importable - third_party) == [], "declared and not imported"


def test_licence_and_notice_name_what_ships() -> None:
    assert "BSD 3-Clause" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for name in ("MobileSAM", "Segment Anything", "TinyViT", "Apache License"):
        assert name in notice


def _links(path: Path) -> list[str]:
    """Relative targets of a document's links and pictures."""
    text = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text)]
    return [target for target in targets if target and "://" not in target]


@pytest.mark.parametrize(
    "path",
    [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))],
    ids=lambda path: path.name,
)
def test_documents_link_to_what_exists(path: Path) -> None:
    assert [link for link in _links(path) if not (path.parent / link).exists()] == []


def test_every_page_is_in_the_navigation() -> None:
    """The site shows each page of docs/, and names none that is missing."""
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\b([a-z_-]+\.md)$", navigation, flags=re.MULTILINE))
    assert named == {path.name for path in (ROOT / "docs").glob("*.md")}
