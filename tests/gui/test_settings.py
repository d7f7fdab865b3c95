"""What can be set in napari's preferences: kept there, bounded there, obeyed at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from desk_slides import look_at, open_in
from npe2 import PluginManifest

import napari_pathseg
from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.settings import (
    KEYS,
    PLACES,
    NapariSettings,
    Settings,
    SettingsStore,
    apply,
    open_slides_here,
)

MANIFEST = Path(napari_pathseg.__file__).parent / "napari.yaml"


@pytest.fixture
def napari_settings(tmp_path: Path) -> Iterator[NapariSettings]:
    """Settings that napari keeps in a folder of the test."""
    from napari.settings import _clear_plugin_settings_cache, get_plugin_settings

    _clear_plugin_settings_cache()
    get_plugin_settings(path_dir=tmp_path)
    yield NapariSettings()
    _clear_plugin_settings_cache()


def test_settings_are_those_of_the_manifest() -> None:
    configurations = PluginManifest.from_file(MANIFEST).contributions.configurations
    stated = {
        name: (p.default, group)
        for group, configuration in configurations.items()
        if group != KEYS
        for name, p in configuration.properties.items()
    }
    assert stated == {name: (getattr(Settings(), name), at) for name, at in PLACES.items()}


def test_napari_keeps_what_was_set(napari_settings: NapariSettings, tmp_path: Path) -> None:
    told: list[Settings] = []
    napari_settings.changed.connect(told.append)
    napari_settings.put(threshold=0.7, stains="H-DAB")
    assert (told[-1].threshold, told[-1].stains) == (0.7, "H-DAB")
    assert NapariSettings().value == napari_settings.value
    assert "H-DAB" in (tmp_path / "napari-pathseg.yaml").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="less than or equal"):
        napari_settings.put(threshold=1.5)


def test_preferences_are_heard_until_closed(napari_settings: NapariSettings) -> None:
    from napari.settings import get_plugin_settings

    groups = get_plugin_settings("napari-pathseg")
    groups.keys.accept = "Shift-A"
    assert napari_settings.value.keys["accept"] == "Shift-A"
    napari_settings.close()
    groups.keys.accept = "Y"
    assert napari_settings.value.keys["accept"] == "Shift-A"


def test_a_setting_is_obeyed_at_once(
    make_controller: Callable[..., PathsegController], marked_slide: Path
) -> None:
    settings = SettingsStore()
    controller = make_controller(settings=settings)
    settings.changed.connect(lambda value: apply(controller, value))
    open_in(controller, marked_slide)
    look_at(controller, Region(100, 150, 400, 600))
    controller.segment_field("gland")
    settings.put(opacity=0.8, outline_px=5, threshold=0.6, kept_mb=7, context=True)
    assert (controller.config.kept_mb, controller.config.context) == (7, True)
    layers = controller.desk.field_layer, controller.desk.overview
    assert layers[0].opacity == 0.8
    controller.outline()
    assert [layer.contour for layer in layers] == [5, 5]
    controller.segment_field("nucleus")
    assert np.isclose(controller.desk.work.pending.threshold, 0.6)


def test_scanners_files_are_opened_here_unless_a_person_chose_otherwise() -> None:
    from napari.settings import get_settings

    plugins = get_settings().plugins
    before = dict(plugins.extension2reader)
    plugins.extension2reader = {"*.svs": "another"}
    try:
        open_slides_here()
        found = dict(plugins.extension2reader)
    finally:
        plugins.extension2reader = before
    assert found["*.svs"] == "another"
    assert found["*.ndpi"] == "napari-pathseg"
    assert found[f"*.zarr{os.sep}"] == found[f"*?{os.sep}"] == "napari-pathseg"
    assert "*.tif" not in found


def test_folders_are_left_to_another_plugin_that_reads_them() -> None:
    from napari.settings import get_settings
    from npe2 import DynamicPlugin

    plugins = get_settings().plugins
    before = dict(plugins.extension2reader)
    plugins.extension2reader = {}
    other = DynamicPlugin("other-reader")
    try:
        with other:

            @other.contribute.reader(filename_patterns=["*.dcm"], accepts_directories=True)
            def read(path: str) -> None:
                return None

            open_slides_here()
        found = dict(plugins.extension2reader)
    finally:
        plugins.extension2reader = before
    assert found["*.svs"] == "napari-pathseg"
    assert not {"*.dcm", f"*.zarr{os.sep}", f"*?{os.sep}"} & set(found)
