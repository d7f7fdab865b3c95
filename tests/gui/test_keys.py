"""The keys: one table for what is bound, what is listed and what can be set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from desk_slides import open_in
from npe2 import PluginManifest

import napari_pathseg
from napari_pathseg.gui.bindings import Bindings
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.keys import ACTIONS, Keys
from napari_pathseg.gui.tools import Tool

MANIFEST = Path(napari_pathseg.__file__).parent / "napari.yaml"


def press(provider: object, key: str) -> object:
    """What napari calls for a key."""
    from napari.utils.key_bindings import coerce_keybinding

    return provider.keymap[coerce_keybinding(key)](provider)


PANEL = ("type_prompt", "show_keys")


@pytest.fixture
def bind(controller: PathsegController) -> Callable[..., Bindings]:
    def make(**chosen: str) -> Bindings:
        return Bindings(controller, dict.fromkeys(PANEL, lambda: None), Keys(chosen))

    return make


def test_every_key_can_be_set_in_the_preferences() -> None:
    configurations = PluginManifest.from_file(MANIFEST).contributions.configurations
    settable = {name: p.default for name, p in configurations["keys"].properties.items()}
    assert settable == {action.name: action.key for action in ACTIONS}


def test_every_key_does_something(bind: Callable[..., Bindings]) -> None:
    assert bind().names == {action.name for action in ACTIONS}


def test_no_two_actions_share_a_key() -> None:
    assert Keys().shared() == ()
    assert Keys({"accept": "x"}).shared() == (("accept", "reject"),)


def test_a_chosen_key_replaces_the_old_one(
    controller: PathsegController, bind: Callable[..., Bindings], marked_slide: Path
) -> None:
    open_in(controller, marked_slide)
    bindings = bind(box="Shift-Q")
    bindings.bind(controller.desk.layer)
    press(controller.desk.layer, "Shift-Q")
    assert controller.tool is Tool.BOX
    with pytest.raises(KeyError):
        press(controller.desk.layer, "B")
    bindings.use(Keys({"box": ""}))
    with pytest.raises(KeyError):
        press(controller.desk.layer, "Shift-Q")
    bindings.detach()
    assert not controller.desk.layer.keymap
    assert not controller.viewer.keymap


def test_a_key_that_is_none_is_named(
    controller: PathsegController, bind: Callable[..., Bindings]
) -> None:
    bind(accept="Ctrl-Banana")
    assert controller.message.kind == "warning"
    assert "Ctrl-Banana" in controller.message.text


def test_keys_read_as_people_write_them() -> None:
    keys = Keys({"undo": "Ctrl-Shift-Z", "cancel": "Escape", "smaller_brush": "Ctrl--"})
    shown = [keys.shown(name) for name in ("undo", "cancel", "smaller_brush", "accept")]
    assert shown == ["Ctrl+Shift+Z", "Esc", "Ctrl+-", "A"]
    assert ("A", "accept") in keys.listed()
    assert all(key for key, _ in Keys({"accept": ""}).listed())
