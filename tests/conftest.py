"""What all tests share: folders of their own, one thread, and tiny slides with known content."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import settings

RGB = npt.NDArray[np.uint8]


def pytest_configure() -> None:
    """Give torch one thread and no other runtime, here and in the commands that tests start."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    # Every test has empty caches: the compiled encoder would be made again by each.
    os.environ.setdefault("PATHSEG_RUNTIME", "torch")
    # The same examples each time: a change is judged by what it changed.
    settings.register_profile("repeatable", derandomize=True)
    settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep all tests that show windows in one process when several share the work."""
    for item in items:
        if item.path.parent.name in ("gui", "e2e"):
            item.add_marker(pytest.mark.xdist_group("screen"))


@pytest.fixture(autouse=True)
def user_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for everything that is kept for the user: labels, caches, settings."""
    folder = tmp_path_factory.mktemp("user")
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(folder / name.split("_")[1].lower()))
    if sys.platform == "darwin":  # where older platformdirs heed no XDG variable
        monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(folder / "data"))
    monkeypatch.setenv("NAPARI_CONFIG", str(folder / "napari.yaml"))
    return folder


def tissue(height: int, width: int) -> RGB:
    """An H&E-like picture in which no two places are alike: a ramp, a grid and round nuclei."""
    y, x = np.mgrid[:height, :width]
    red = 230 - 40 * y // max(height - 1, 1)
    green = 190 - 60 * x // max(width - 1, 1)
    blue = 210 + 20 * ((y // 16 + x // 16) % 2)
    picture = np.stack([red, green, blue], axis=-1).astype(np.uint8)
    nuclei = (y % 48 - 24) ** 2 + (x % 64 - 32) ** 2 < 64
    picture[nuclei] = (90, 50, 130)
    return picture


def halved(picture: RGB) -> RGB:
    """Every 2 x 2 pixels averaged, as scanners make their levels."""
    height, width = (side // 2 * 2 for side in picture.shape[:2])
    blocks = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
    return blocks.mean(axis=(1, 3)).round().astype(np.uint8)


@pytest.fixture
def make_ome_tiff(tmp_path: Path) -> Callable[..., Path]:
    """A function that writes a tiled pyramidal OME-TIFF of :func:`tissue` and returns its path.

    ``make_ome_tiff(height=512, width=768, levels=3, mpp=0.5, name="slide.ome.tif")``;
    ``mpp=None`` leaves the scale out.
    """

    def make(
        height: int = 512,
        width: int = 768,
        levels: int = 3,
        mpp: float | None = 0.5,
        name: str = "slide.ome.tif",
    ) -> Path:
        path = tmp_path / name
        picture = tissue(height, width)
        scale = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
        options = {"tile": (128, 128), "photometric": "rgb", "compression": "deflate"}
        with tifffile.TiffWriter(path, ome=True) as writer:
            writer.write(picture, subifds=levels - 1, metadata={"axes": "YXS", **scale}, **options)
            for _ in range(levels - 1):
                picture = halved(picture)
                writer.write(picture, subfiletype=1, **options)
        return path

    return make


@pytest.fixture
def ome_tiff(make_ome_tiff: Callable[..., Path]) -> Path:
    """A slide of 512 x 768 pixels at 0.5 micrometres with three levels."""
    return make_ome_tiff()
