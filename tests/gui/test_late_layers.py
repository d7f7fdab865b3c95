"""A layer that is drawn before its pixels are there is drawn again when they are."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from napari.components import ViewerModel
from napari.layers import Image
from tests.shared.slow_slide import SlowSlide

from napari_pathseg.geometry import Field
from napari_pathseg.gui import late_layers
from napari_pathseg.slide.cache import ChunkCache
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
