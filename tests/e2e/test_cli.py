"""The command line as a user runs it: a process, the model that ships, a slide with known truth."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pathseg.export.labels_tiff import read_labels_tiff
from napari_pathseg.geometry import Field
from napari_pathseg.slide.synthetic import SyntheticSlide

PLACE = Field(0, 1200, 1200, 512, 512, (1.0, 1.0))
COMMAND = [sys.executable, "-m", "napari_pathseg.cli"]


def pathseg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def generated() -> SyntheticSlide:
    return SyntheticSlide((4096, 4096), mpp=0.5, seed=3)


@pytest.fixture(scope="module")
def slide(generated: SyntheticSlide, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A part of the generated slide as a file that says its resolution."""
    path = tmp_path_factory.mktemp("slide") / "generated.tif"
    per_cm = (1e4 / 0.5, 1e4 / 0.5)
    tifffile.imwrite(
        path,
        generated.read(PLACE),
        tile=(256, 256),
        photometric="rgb",
        compression="deflate",
        resolution=per_cm,
        resolutionunit="CENTIMETER",
    )
    return path


@pytest.fixture(scope="module")
def run(
    slide: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """One run of `segment` with the model that ships, and where it wrote."""
    out = tmp_path_factory.mktemp("results") / "new folder"
    return pathseg("segment", slide, "--prompt", "nuclei", "--out", out, "--json"), out


def test_nuclei_are_found_where_they_are(
    run: tuple[subprocess.CompletedProcess[str], Path], generated: SyntheticSlide
) -> None:
    done, out = run
    assert done.returncode == 0, done.stderr
    found = read_labels_tiff(out / "generated.labels.tif").mask == 1
    truth = generated.truth(PLACE, "nuclei")
    dice = 2 * (found & truth).sum() / (found.sum() + truth.sum())
    assert dice > 0.5
    # A shift of the mask against the tissue would cost overlap in one direction and not in another.
    overlap = {
        (dy, dx): (np.roll(found, (dy, dx), (0, 1)) & truth).sum()
        for dy in (-3, 0, 3)
        for dx in (-3, 0, 3)
    }
    assert max(overlap, key=overlap.__getitem__) == (0, 0)


def test_three_files_that_agree(run: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    done, out = run
    assert sorted(path.name for path in out.iterdir()) == [
        "generated.geojson",
        "generated.json",
        "generated.labels.tif",
    ]
    facts = json.loads((out / "generated.json").read_text())
    assert json.loads(done.stdout) == facts
    labels = read_labels_tiff(out / "generated.labels.tif")
    assert list(labels.mask.shape) == facts["shape"]
    assert facts["terms"][0]["pixels"] == (labels.mask == 1).sum()
    assert {c.name for c in labels.classes} == {"nucleus"}
    features = json.loads((out / "generated.geojson").read_text())["features"]
    assert len(features) > 50
    assert {f["properties"]["classification"]["name"] for f in features} == {"nucleus"}


def test_a_word_it_was_not_taught_ends_in_one_line(slide: Path, tmp_path: Path) -> None:
    done = pathseg("segment", slide, "--prompt", "bicycle", "--out", tmp_path / "out")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "'bicycle'" in done.stderr
    assert "Near: " in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="waits for the work by /proc")
@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_a_shutdown_leave_nothing(
    slide: Path, tmp_path: Path, told: signal.Signals
) -> None:
    code, stderr = _interrupted(slide, tmp_path / "out", told)
    assert code == 128 + told, stderr
    assert stderr.endswith("pathseg: cancelled; nothing was written.\n")
    assert not (tmp_path / "out").exists()


def _interrupted(slide: Path, out: Path, told: signal.Signals) -> tuple[int, str]:
    arguments = ["segment", str(slide), "--prompt", "nuclei", "--out", str(out)]
    process = subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # Once torch is there the command is at work, and far from its end.
    maps = Path(f"/proc/{process.pid}/maps")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (maps.exists() and "libtorch" in maps.read_text()):
        time.sleep(0.05)
    process.send_signal(told)
    _, stderr = process.communicate(timeout=60)
    return process.returncode, stderr


def test_a_closed_pipe_is_no_error() -> None:
    process = subprocess.Popen(
        [*COMMAND, "terms", "list", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(timeout=60)


@pytest.mark.skipif(
    sys.platform.startswith("linux") and not os.environ.get("DISPLAY"), reason="needs a display"
)
def test_doctor_finds_this_installation_whole() -> None:
    done = pathseg("doctor", "--json")
    checks = {check["name"]: check for check in json.loads(done.stdout)}
    assert done.returncode == 0, [c for c in checks.values() if c["status"] == "fail"]
    for name in ("torch build", "model", "qt", "opengl"):
        assert checks[name]["status"] == "ok"
