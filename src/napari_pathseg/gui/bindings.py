"""The keys of the desk, bound only while the panel exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.tools import Tool

KEYS = (
    ("T", "type what to find"),
    ("Enter", "in the line: segment what you see"),
    ("click", "this too"),
    ("Shift+click", "not this"),
    ("P, N", "click adds, click takes away"),
    ("B", "drag a box"),
    ("D, E", "draw, erase"),
    ("[, ]", "smaller, larger brush"),
    ("A, X", "accept, reject"),
    ("Ctrl+Z", "undo anything"),
    ("Ctrl+Shift+Z", "redo"),
    ("Space (hold)", "hide the masks"),
    ("O", "outlines or filled"),
    ("Esc", "cancel, then put the tool down"),
    ("?", "this list"),
)
BRUSH_STEP = 1.25


class Bindings:
    """Binds keys on the viewer and on the layers of the desk; on no other layer.

    napari asks the active layer first and the viewer second, so that a layer's own keys would
    win over the viewer's: the desk's own layers get the desk's keys, all others keep theirs.
    """

    def __init__(
        self,
        controller: PathsegController,
        focus_prompt: Callable[[], None],
        show_keys: Callable[[], None],
    ) -> None:
        self._controller = controller
        editing = controller.editing
        self._actions: dict[str, Callable[[Any], Any]] = {
            "T": lambda _: focus_prompt(),
            "P": lambda _: controller.set_tool(Tool.ADD),
            "N": lambda _: controller.set_tool(Tool.REMOVE),
            "B": lambda _: controller.set_tool(Tool.BOX),
            "D": lambda _: controller.set_tool(Tool.BRUSH),
            "E": lambda _: controller.set_tool(Tool.ERASER),
            "A": lambda _: editing.accept(),
            "X": lambda _: editing.reject(),
            "O": lambda _: controller.outline(),
            "Ctrl-Z": lambda _: editing.undo(),
            "Ctrl-Shift-Z": lambda _: editing.redo(),
            "Escape": lambda _: self._escape(),
            "Space": self._peek,
            "[": lambda _: self._resize(1 / BRUSH_STEP),
            "]": lambda _: self._resize(BRUSH_STEP),
            "Shift-/": lambda _: show_keys(),
            "Shift-?": lambda _: show_keys(),
            "?": lambda _: show_keys(),
        }
        self._bound: list[Any] = []
        self.bind(controller.viewer)

    def bind(self, provider: Any) -> None:
        """Bind the keys on the viewer or on a layer."""
        for key, action in self._actions.items():
            provider.bind_key(key, action, overwrite=True)
        self._bound.append(provider)

    def detach(self) -> None:
        """Give every key back."""
        for provider in self._bound:
            for key in self._actions:
                provider.bind_key(key, None, overwrite=True)
        self._bound.clear()

    def _escape(self) -> None:
        if self._controller.busy:
            self._controller.cancel()
        elif self._controller.tool is not Tool.PAN:
            self._controller.set_tool(Tool.PAN)

    def _peek(self, _provider: Any) -> Iterator[None]:
        """Masks are hidden as long as the key is held."""
        self._controller.hide_masks(True)
        yield
        self._controller.hide_masks(False)

    def _resize(self, ratio: float) -> None:
        desk = self._controller.desk
        if desk is not None and desk.field_layer is not None:
            size = desk.field_layer.brush_size * ratio
            desk.field_layer.brush_size = max(1, round(size + (0.5 if ratio > 1 else -0.5)))
