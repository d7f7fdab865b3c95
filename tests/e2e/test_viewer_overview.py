"""A large picture of one level in a real viewer: there at once, exact soon after."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.slide import coarse
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.pyramid import dask_pyramid

if TYPE_CHECKING:
    from napari import Viewer
    from pytestqt.qtbot import QtBot

SHAPE = (4600, 4300)


def write_single_level(path: Path) -> None:
    """Tiles whose shade grows from left to right."""
    across, down = -(-SHAPE[1] // 256), -(-SHAPE[0] // 256)
    row = []
    for column in range(across):
        encoded = io.BytesIO()
        Image.new("RGB", (256, 256), (60 + 10 * column, 90, 150)).save(encoded, "JPEG")
        row.append(encoded.getvalue())
    tifffile.imwrite(
        path,
        iter(row * down),
        shape=(*SHAPE, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric="rgb",
        compression="jpeg",
    )


def test_an_overview_becomes_exact_while_it_is_looked_at(
    viewer: Viewer, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coarse, "LARGE_PIXELS", 1_000_000)
    path = tmp_path / "single.tif"
    write_single_level(path)
    (layer,) = viewer.open(str(path), plugin="napari-pathseg")
    shown = np.asarray(layer.data[-1])
    assert 90 < shown[..., 2].mean() < 200
    with open_slide(path) as slide:
        exact = [level.compute(scheduler="synchronous") for level in dask_pyramid(slide)[2:]]

    def is_exact() -> None:
        (top, left), (bottom, right) = layer.corner_pixels
        truth = exact[layer.data_level - 2][top : bottom + 1, left : right + 1]
        np.testing.assert_array_equal(np.asarray(layer._slice.image.raw), truth)

    qtbot.waitUntil(is_exact, timeout=120_000)
    viewer.layers.clear()
