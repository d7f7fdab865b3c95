"""`pathseg doctor`: every fault is named with its mend."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from napari_pathseg.cli import checks
from napari_pathseg.cli.checks import Check
from napari_pathseg.cli.main import main


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """A function that makes every probe end with this line."""
    real = checks._probe

    def make(line: str) -> None:
        monkeypatch.setattr(
            checks, "_probe", lambda code, limit: real(f"raise RuntimeError({line!r})", 30)
        )

    return make


def test_probe_gives_the_last_line() -> None:
    assert checks._probe("print('noise'); print('[1, 2]')", 30) == [1, 2]


def test_probe_survives_a_crash() -> None:
    with pytest.raises(checks._ProbeFailedError, match="code"):
        checks._probe("import os; os._exit(3)", 30)


def test_probe_does_not_wait_for_ever() -> None:
    with pytest.raises(checks._ProbeFailedError, match="no answer"):
        checks._probe("import time; time.sleep(60)", 0.5)


def test_torchvision_of_another_build_is_named_with_its_mend(
    broken: Callable[[str], None],
) -> None:
    broken("operator torchvision::nms does not exist")
    (check,) = checks.check_torch()
    assert check.status == "fail"
    assert "different builds" in check.detail
    assert "pip install torch torchvision" in check.mend


def test_any_other_fault_of_torch_is_told_in_its_own_words(
    broken: Callable[[str], None],
) -> None:
    broken("libc10.so: cannot open shared object file")
    (check,) = checks.check_torch()
    assert check.status == "fail"
    assert "libc10.so" in check.detail


def test_missing_qt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    check = checks.check_qt()
    assert check.status == "fail"
    assert "napari-pathseg[all]" in check.mend


def test_qt_api_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "PyQt6" or None)
    monkeypatch.setattr(checks, "version", lambda name: "6.0")
    monkeypatch.setenv("QT_API", "pyside6")
    assert checks.check_qt().status == "fail"
    monkeypatch.setenv("QT_API", "pyqt6")
    assert checks.check_qt() == Check("qt", "ok", "PyQt6 6.0")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="displays are named on Linux only")
def test_no_display_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert checks.check_opengl().status == "warn"


def test_no_opengl(broken: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")
    broken("Qt can not make an OpenGL context")
    check = checks.check_opengl()
    assert check.status == "fail"
    assert "graphics driver" in check.mend


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "PACKAGES", ("numpy", "no-such-package"))
    present, missing = checks.check_packages()
    assert present.status == "ok"
    assert missing == Check(
        "no-such-package", "fail", "not installed", "pip install no-such-package"
    )


@pytest.mark.parametrize(("free_gb", "status"), [(50, "ok"), (2, "warn"), (0.1, "fail")])
def test_disk(free_gb: float, status: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = SimpleNamespace(free=free_gb * 1e9)
    monkeypatch.setattr(checks.shutil, "disk_usage", lambda path: usage)
    check = checks.check_disk(tmp_path / "not" / "yet" / "there")
    assert check.status == status
    assert bool(check.mend) == (status != "ok")
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("same", [True, False])
def test_a_changed_model_file_is_found(same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = hashlib.sha256(b"weights")
    recorded = base64.urlsafe_b64encode(digest.digest()).decode().rstrip("=")
    file = SimpleNamespace(name="m.safetensors", hash=SimpleNamespace(value=recorded))
    monkeypatch.setattr(checks, "files", lambda name: [file])
    sha256 = digest.hexdigest() if same else "0" * 64
    answer = ["default 1", "research only", sha256, "/x/m.safetensors"]
    monkeypatch.setattr(checks, "_probe", lambda code, limit: answer)
    check = checks.check_model()
    assert check.status == ("ok" if same else "fail")


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warn", 0), ("fail", 1)])
def test_command_ends_with_1_when_something_fails(
    status: checks.Status, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [Check("python", "ok", "3.12"), Check("qt", status, "so it is", "do this")]
    monkeypatch.setattr("napari_pathseg.cli.doctor._all_checks", lambda: iter(found))
    told = CliRunner().invoke(main, ["doctor"])
    assert told.exit_code == code
    assert "do this" in told.stdout
    as_json = CliRunner().invoke(main, ["doctor", "--json"])
    assert as_json.exit_code == code
    assert json.loads(as_json.stdout)[1] == {
        "name": "qt",
        "status": status,
        "detail": "so it is",
        "mend": "do this",
    }
