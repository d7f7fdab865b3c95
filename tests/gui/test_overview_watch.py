"""Coarse levels that become exact in the background are shown as they come."""

from __future__ import annotations

from types import SimpleNamespace

import dask.array as da
import numpy as np
import numpy.typing as npt
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.gui import overview_watch


class Coarse:
    """Two coarse levels of four."""

    def __init__(self) -> None:
        self.levels = [None, None]
        self.pieces, self.pieces_done, self.changes = 4, 0, 0
        self.ended = self.is_blank = False
        self.errors: tuple[DamagedSlideError, ...] = ()

    def stop(self) -> None:
        self.ended = True


class Changing:
    """Pixels that dask looks at anew each time; it would copy an array of numpy."""

    shape, dtype, ndim = (64, 64, 3), np.dtype(np.uint8), 3
    shade = 0

    def __getitem__(self, key: tuple[slice, ...]) -> npt.NDArray[np.uint8]:
        return np.full(self.shape, self.shade, np.uint8)[key]


@pytest.fixture
def shown(qapp: object) -> SimpleNamespace:
    viewer, coarse, pixels = ViewerModel(), Coarse(), Changing()
    finest = da.zeros((512, 512, 3), dtype=np.uint8, chunks=128)
    middle = [da.zeros((side, side, 3), dtype=np.uint8, chunks=128) for side in (256, 128)]
    live = da.from_array(pixels, name="now", asarray=False, inline_array=True)
    layer = Image([finest, *middle, live], rgb=True, multiscale=True, cache=False)
    viewer.add_layer(layer)
    seen: list[str] = []
    layer.events.set_data.connect(lambda _: seen.append("drawn"))
    watch = overview_watch._Watch(viewer, coarse, "now", "slide.tif")  # type: ignore[arg-type]
    return SimpleNamespace(
        viewer=viewer, coarse=coarse, layer=layer, watch=watch, seen=seen, pixels=pixels
    )


def test_what_changed_is_drawn_and_nothing_else(shown: SimpleNamespace) -> None:
    shown.layer.data_level = 3
    shown.seen.clear()
    assert shown.watch.tick()
    assert shown.seen == []
    shown.coarse.changes, shown.coarse.pieces_done = 3, 2
    assert shown.watch.tick()
    assert shown.seen == ["drawn"]
    assert shown.watch.tick()
    assert shown.seen == ["drawn"]
    shown.layer.data_level = 0
    shown.seen.clear()
    shown.coarse.changes = 4
    assert shown.watch.tick()
    assert shown.seen == []
    shown.coarse.ended = True
    assert not shown.watch.tick()
    assert shown.seen == ["drawn"]


def test_the_coarsest_level_is_drawn_anew_too(shown: SimpleNamespace) -> None:
    shown.layer.data_level = 3
    shown.layer.refresh(extent=False)
    assert np.asarray(shown.layer._slice.image.raw).max() == 0
    shown.pixels.shade = 90
    shown.coarse.changes = 1
    assert shown.watch.tick()
    assert np.asarray(shown.layer._slice.image.raw).min() == 90


def test_places_that_can_not_be_read_are_told_once(
    shown: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_warning", told.append)
    shown.coarse.errors = (DamagedSlideError("slide.tif: tile 7 is broken."),)
    shown.coarse.ended = True
    assert not shown.watch.tick()
    assert told == [
        "1 place in the overview can not be read and is only guessed. slide.tif: tile 7 is broken."
    ]


def test_a_layer_that_is_removed_is_watched_no_more(shown: SimpleNamespace) -> None:
    assert shown.watch.tick()
    shown.viewer.layers.clear()
    assert not shown.watch.tick()


def test_what_is_grey_while_a_picture_is_decoded_is_told_once(
    shown: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_info", told.append)
    shown.coarse.is_blank = True
    assert shown.watch.tick()
    assert shown.watch.tick()
    assert told == ["slide.tif: what is grey comes in seconds."]
