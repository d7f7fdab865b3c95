"""The first slide is seen while napari makes its layer, where it will be."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from pytestqt.qtbot import QtBot
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QWidget

from napari_pathseg.gui.widgets import first_look
from napari_pathseg.gui.widgets.first_look import FirstLook, fitted, is_wanted


@pytest.fixture
def viewer(qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> Any:
    canvas = QWidget()
    canvas.resize(400, 200)
    qtbot.addWidget(canvas)
    canvas.show()
    model = ViewerModel()
    qt_viewer = SimpleNamespace(canvas=SimpleNamespace(native=canvas))
    monkeypatch.setattr(first_look, "DRAWN_MS", 1)
    return SimpleNamespace(
        window=SimpleNamespace(_qt_viewer=qt_viewer),
        layers=model.layers,
        dims=model.dims,
        theme=model.theme,
        add=model.add_image,
    )


def test_it_lies_where_the_layer_will_be_and_goes_with_it(viewer: Any, qtbot: QtBot) -> None:
    pixels = np.zeros((10, 30, 3), np.uint8)
    pixels[:, :15] = 200, 30, 60
    canvas = viewer.window._qt_viewer.canvas.native
    look = FirstLook(viewer, pixels, (50.0, 100.0))  # pixels that are not square
    gone: list[object] = []
    look.destroyed.connect(gone.append)
    seen = canvas.grab().toImage()
    assert QColor(seen.pixel(20, 100)).getRgb()[:3] == (200, 30, 60)
    assert QColor(seen.pixel(380, 100)).getRgb()[:3] == (0, 0, 0)
    assert fitted(200, 400, (50.0, 100.0)).height() == 190
    viewer.add(np.zeros((20, 20), np.uint8))
    qtbot.waitUntil(lambda: bool(gone))


def test_only_before_the_first_layer(viewer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, first_look.LATE, raising=False)
    assert is_wanted(viewer)
    assert not is_wanted(ViewerModel())  # it has no window
    monkeypatch.setitem(sys.modules, first_look.LATE, object())
    assert not is_wanted(viewer)
    monkeypatch.delitem(sys.modules, first_look.LATE)
    viewer.dims.ndisplay = 3
    assert not is_wanted(viewer)
