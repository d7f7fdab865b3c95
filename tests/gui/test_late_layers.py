"""A layer that is drawn before its pixels are there is drawn again when they are."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from napari.components import ViewerModel
from napari.layers import Image
from tests.shared.slow_slide import SlowSlide

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.geometry import Field
from napari_pathseg.gui import late_layers
from napari_pathseg.gui.reader import read_slides
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.pixels import BLANK
from napari_pathseg.slide.pyramid import viewer_pyramid

SHAPES = ((4096, 4096), (512, 512))
FINE, COARSE = 200, 50


class Slow(SlowSlide):
    """Level 0 has another shade than what is coarser."""

    def __init__(self) -> None:
        super().__init__(SHAPES)

    def pixels(self, field: Field) -> npt.NDArray[np.uint8]:
        shade = COARSE if field.level else FINE
        return np.full((*field.shape, 3), shade, np.uint8)


@pytest.fixture
def shown(qapp: object, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    polled: list[Any] = []
    monkeypatch.setattr(late_layers, "poll", lambda tick, _ms: polled.append(tick))
    monkeypatch.setattr(late_layers, "PATIENCE_S", 0.0)
    viewer, slide = ViewerModel(), Slow()
    found = viewer_pyramid(
        slide,
        channel=None,
        cache=ChunkCache(64 << 20),
        keep_bytes=0,
        patience=late_layers.patience_s,
    )
    assert found.late is not None
    late_layers.watch_late(viewer, found.late, found.levels[-1].name)  # type: ignore[arg-type]
    layer = Image(found.levels, rgb=True, multiscale=True, cache=False)
    viewer.add_layer(layer)
    layer.corner_pixels = np.array([[1024, 1024, 0], [1999, 1999, 2]])[:, : layer.ndim]
    return SimpleNamespace(
        viewer=viewer, slide=slide, layer=layer, late=found.late, levels=found.levels, polled=polled
    )


def drawn(layer: Image) -> set[int]:
    """Shades that are on the screen."""
    return {int(shade) for shade in np.unique(layer._slice.image.raw)}


def test_the_layer_is_drawn_coarse_and_then_exact(shown: SimpleNamespace) -> None:
    shown.layer.data_level = 0
    shown.layer.refresh(extent=False)
    assert drawn(shown.layer) == {COARSE}
    (tick,) = shown.polled
    assert tick()  # nothing came yet
    assert drawn(shown.layer) == {COARSE}
    shown.slide.may_read.set()
    for _ in range(300):
        if not shown.late.waiting:
            break
        threading.Event().wait(0.02)
        if not tick() and len(shown.polled) > 1:
            tick = shown.polled.pop()
    assert drawn(shown.layer) == {FINE}
    assert not tick()


def test_a_script_gets_the_pixels_and_so_does_a_picture_to_be_kept(shown: SimpleNamespace) -> None:
    shown.slide.may_read.set()
    assert (np.asarray(shown.levels[0][2048:2500, :300]) == FINE).all()
    assert shown.polled == []

    def export_figure() -> None:
        shown.layer.data_level = 0
        shown.layer.refresh(extent=False)

    export_figure()
    assert drawn(shown.layer) == {FINE}
    assert shown.polled == []


def test_a_viewer_that_is_gone_is_not_drawn(shown: SimpleNamespace) -> None:
    shown.layer.data_level = 0
    shown.layer.refresh(extent=False)
    (tick,) = shown.polled
    shown.viewer.layers.clear()
    shown.slide.may_read.set()
    for _ in range(300):
        if not tick():
            break
        threading.Event().wait(0.02)
    assert not tick()


def test_a_broken_tile_is_grey_in_the_viewer_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broken.tif"
    pixels = np.random.default_rng(0).integers(0, 150, (1500, 1400, 3), dtype=np.uint8)
    tifffile.imwrite(
        path, pixels, photometric="rgb", tile=(256, 256), compression="jpeg", metadata=None
    )
    with tifffile.TiffFile(path) as tif:
        place = tif.pages.first.dataoffsets[7]  # row 1, column 1
    data = bytearray(path.read_bytes())
    data[place : place + 400] = bytes(400)
    path.write_bytes(data)
    viewer, told = ViewerModel(), []
    monkeypatch.setattr("napari.current_viewer", lambda: viewer)
    monkeypatch.setattr("napari.utils.notifications.show_warning", told.append)
    ((levels, options, _kind),) = read_slides(str(path))
    layer = viewer.add_layer(Image(levels, **options))
    seen = np.asarray(layer._slice.image.raw)  # the whole, half as large
    assert seen.shape == (750, 700, 3)
    assert (seen[128:256, 128:256] == BLANK).all()
    assert (seen[:128] < 160).all()
    assert [str(path) in text and "tile 7" in text for text in told] == [True]
    with pytest.raises(DamagedSlideError, match="tile 7"):
        np.asarray(levels[0][300:310, 300:310])
