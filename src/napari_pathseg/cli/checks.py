"""What can be wrong with an installation, each with its mend.

Packages that may be broken (torch, Qt, OpenGL) are tried in a process of their own: a wrong build
ends that process, not the report.
"""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files, version
from pathlib import Path
from typing import Any, Literal

Status = Literal["ok", "warn", "fail"]

PACKAGES = (
    "napari-pathseg",
    "numpy",
    "torch",
    "torchvision",
    "openvino",
    "timm",
    "segment-anything",
    "napari",
    "qtpy",
    "openslide-python",
    "openslide-bin",
    "tifffile",
    "zarr",
    "dask",
)
QT_BINDINGS = ("PyQt6", "PySide6", "PyQt5", "PySide2")
_QT_API_NAMES = {"pyqt6": "PyQt6", "pyside6": "PySide6", "pyqt5": "PyQt5", "pyside2": "PySide2"}

_TORCH_PROBE = """
import json, torch, torchvision
mps = getattr(torch.backends, "mps", None)
print(json.dumps({
    "cuda": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    "mps": bool(mps and mps.is_available()),
    "threads": torch.get_num_threads(),
}))
"""
_OPENGL_PROBE = """
import json
from qtpy.QtGui import QGuiApplication, QOffscreenSurface, QOpenGLContext
app = QGuiApplication([])
context, surface = QOpenGLContext(), QOffscreenSurface()
surface.create()
if not context.create() or not context.makeCurrent(surface):
    raise SystemExit("Qt can not make an OpenGL context")
from OpenGL.GL import GL_RENDERER, GL_VERSION, glGetString
print(json.dumps([glGetString(name).decode() for name in (GL_VERSION, GL_RENDERER)]))
"""
_MODEL_PROBE = """
import json
from napari_pathseg.models.registry import DEFAULT, load_segmenter, model_path
card = load_segmenter().card
print(json.dumps([card.identity, card.license, card.sha256, str(model_path(DEFAULT))]))
"""
_NMS_FAULT = "operator torchvision::nms does not exist"
_GIGABYTE = 1e9


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check: what was looked at, how it is, and what to do about it."""

    name: str
    status: Status
    detail: str
    mend: str = ""


class _ProbeFailedError(Exception):
    """A probe's process failed; the text is the last line it printed."""


def _probe(code: str, timeout_s: float) -> Any:
    """Run `code` in a fresh interpreter and return the JSON of its last line."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _ProbeFailedError(f"no answer within {timeout_s:.0f} s") from error
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    if done.returncode != 0:
        raise _ProbeFailedError(lines[-1] if lines else f"ended with code {done.returncode}")
    return json.loads(lines[-1])


def check_python() -> Check:
    """The interpreter and the machine."""
    return Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")


def check_packages() -> list[Check]:
    """Versions of the packages that matter, without importing them."""
    checks = []
    for package in PACKAGES:
        try:
            checks.append(Check(package, "ok", version(package)))
        except PackageNotFoundError:
            checks.append(Check(package, "fail", "not installed", f"pip install {package}"))
    return checks


def check_torch(timeout_s: float = 120) -> list[Check]:
    """Whether torch and torchvision are of one build, and the devices torch can use."""
    try:
        found = _probe(_TORCH_PROBE, timeout_s)
    except _ProbeFailedError as error:
        return [_torch_fault(str(error))]
    devices = [f"{os.cpu_count()} CPU cores ({found['threads']} used)", *found["cuda"]]
    if found["mps"]:
        devices.append("Apple GPU (mps)")
    return [
        Check("torch build", "ok", "torch and torchvision work together"),
        Check("devices", "ok", ", ".join(devices)),
    ]


def _torch_fault(line: str) -> Check:
    if _NMS_FAULT in line:
        line = f"torch and torchvision are of different builds ({_NMS_FAULT})"
        mend = (
            "pip uninstall -y torch torchvision, "
            "then pip install torch torchvision in one command from one index"
        )
    else:
        mend = "pip install --force-reinstall torch torchvision"
    return Check("torch build", "fail", line, mend)


def check_qt() -> Check:
    """Whether Qt is there for the viewer."""
    found = [binding for binding in QT_BINDINGS if importlib.util.find_spec(binding)]
    if not found:
        mend = 'pip install "napari-pathseg[all]"'
        return Check("qt", "fail", "no Qt binding: the viewer can not open", mend)
    wanted = os.environ.get("QT_API", "")
    if wanted and _QT_API_NAMES.get(wanted.lower(), wanted) not in found:
        mend = f"unset QT_API, or set it to {found[0].lower()}"
        return Check("qt", "fail", f"QT_API={wanted} is not installed", mend)
    return Check("qt", "ok", ", ".join(f"{name} {version(name)}" for name in found))


def check_opengl(timeout_s: float = 60) -> Check:
    """Whether a window could draw: an off-screen context is made in another process."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        return Check(
            "opengl",
            "warn",
            "no display: the viewer can not open here, the command line works",
            "xvfb-run -a napari, or a desktop session",
        )
    try:
        gl_version, renderer = _probe(_OPENGL_PROBE, timeout_s)
    except _ProbeFailedError as error:
        mend = "update the graphics driver; on Debian: apt install libgl1-mesa-dri libxcb-cursor0"
        return Check("opengl", "fail", str(error), mend)
    return Check("opengl", "ok", f"{gl_version}, {renderer}")


def check_model(timeout_s: float = 120) -> Check:
    """Whether the model that ships can be loaded and is the file that was installed."""
    mend = "pip install --force-reinstall --no-deps napari-pathseg"
    try:
        identity, license_name, sha256, path = _probe(_MODEL_PROBE, timeout_s)
    except _ProbeFailedError as error:
        said = str(error).removeprefix("napari_pathseg.errors.ModelError: ")
        return Check("model", "fail", said, mend)
    recorded = _recorded_sha256(Path(path).name)
    if recorded not in (None, sha256):
        return Check("model", "fail", f"{path} is not the file that was installed", mend)
    return Check("model", "ok", f"{identity}, {license_name}")


def _recorded_sha256(file_name: str) -> str | None:
    """Hexadecimal hash that the installer recorded; None for a checkout, which records none."""
    for file in files("napari-pathseg") or ():
        if file.name == file_name and file.hash is not None:
            padded = file.hash.value + "=" * (-len(file.hash.value) % 4)
            return base64.urlsafe_b64decode(padded).hex()
    return None


def check_disk(folder: Path, warn_gb: float = 5, fail_gb: float = 0.5) -> Check:
    """Free space where labels are kept; the folder need not exist yet."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        mend = f"allow writing to {existing}"
        return Check("data folder", "fail", f"{folder} can not be written", mend)
    free_gb = shutil.disk_usage(existing).free / _GIGABYTE
    status: Status = "ok" if free_gb >= warn_gb else "warn" if free_gb >= fail_gb else "fail"
    mend = "" if status == "ok" else "free some space: labels and caches are written there"
    return Check("data folder", status, f"{folder}, {free_gb:.1f} GB free", mend)
