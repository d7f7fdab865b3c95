"""The keys of the desk, bound only while the panel exists."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.keys import Keys
from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.tools import Tool

BRUSH_STEP = 1.25
QUESTION = "?"


class Bindings:
    """Binds keys on the viewer and on the layers of the desk; on no other layer.

    napari asks the active layer first and the viewer second, so that a layer's own keys would
    win over the viewer's: the desk's own layers get the desk's keys, all others keep theirs.
    """

    def __init__(
        self,
        controller: PathsegController,
        panel: Mapping[str, Callable[[], None]],
        keys: Keys | None = None,
    ) -> None:
        self._controller = controller
        editing = controller.editing
        self._actions: dict[str, Callable[[Any], Any]] = {
            "click_adds": lambda _: controller.set_tool(Tool.ADD),
            "click_removes": lambda _: controller.set_tool(Tool.REMOVE),
            "box": lambda _: controller.set_tool(Tool.BOX),
            "lasso": lambda _: controller.set_tool(Tool.LASSO),
            "scribble": lambda _: controller.set_tool(Tool.SCRIBBLE),
            "next_candidate": lambda _: controller.refining.next_candidate(),
            "brush": lambda _: controller.set_tool(Tool.BRUSH),
            "eraser": lambda _: controller.set_tool(Tool.ERASER),
            "fill": lambda _: controller.set_tool(Tool.FILL),
            "polygon": lambda _: controller.set_tool(Tool.POLYGON),
            "split": lambda _: controller.set_tool(Tool.SPLIT),
            "join": lambda _: controller.set_tool(Tool.JOIN),
            "smaller_brush": lambda _: self._resize(1 / BRUSH_STEP),
            "larger_brush": lambda _: self._resize(BRUSH_STEP),
            "accept": lambda _: editing.accept(),
            "reject": lambda _: editing.reject(),
            "undo": lambda _: editing.undo(),
            "redo": lambda _: editing.redo(),
            "last_change": lambda _: controller.fields.go_to_last_change(),
            "next_in_review": lambda _: controller.reviewing.step(),
            "back_in_review": lambda _: controller.reviewing.step(-1),
            "peek": self._peek,
            "outline": lambda _: controller.outline(),
            "next_map": lambda _: controller.explaining.show_next(),
            "show_corrected": lambda _: controller.show_hand(),
            "cancel": lambda _: self._escape(),
        }
        self._actions |= {name: _without_provider(run) for name, run in panel.items()}
        self._bound: list[Any] = []
        self._taken: dict[str, Callable[[Any], Any]] = {}
        self.keys = keys or Keys()
        self.use(self.keys)
        self.bind(controller.viewer)

    @property
    def names(self) -> set[str]:
        """The actions that keys are bound to."""
        return set(self._actions)

    def use(self, keys: Keys) -> None:
        """Take other keys from now on; those that are none are named in a message."""
        bound, self._bound = self._bound, []
        for provider in bound:
            self._release(provider)
        self.keys, self._taken = keys, {}
        wrong = []
        for name, action in self._actions.items():
            for key in _spellings(keys[name]):
                if _is_key(key):
                    self._taken.setdefault(key, action)
                else:
                    wrong.append(key)
        for number in range(1, 10):
            self._taken.setdefault(str(number), _selecting(self._controller, number))
        for provider in bound:
            self.bind(provider)
        if wrong:
            text = f"{', '.join(wrong)}: no key of that name. Preferences > PathSeg > Keys."
            self._controller.say(Message(text, "warning"))

    def bind(self, provider: Any) -> None:
        """Bind the keys on the viewer or on a layer."""
        for key, action in self._taken.items():
            provider.bind_key(key, action, overwrite=True)
        self._bound.append(provider)

    def detach(self) -> None:
        """Give every key back."""
        for provider in self._bound:
            self._release(provider)
        self._bound.clear()

    def _release(self, provider: Any) -> None:
        for key in self._taken:
            provider.bind_key(key, None, overwrite=True)

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


def _without_provider(run: Callable[[], None]) -> Callable[[Any], None]:
    return lambda _provider: run()


def _selecting(controller: PathsegController, number: int) -> Callable[[Any], None]:
    return lambda _provider: controller.classing.select_number(number)


def _spellings(key: str) -> tuple[str, ...]:
    """How a key may arrive; a question mark needs Shift on most keyboards."""
    if key == QUESTION:
        return QUESTION, f"Shift-{QUESTION}", "Shift-/"
    return (key,) if key else ()


def _is_key(key: str) -> bool:
    """Whether napari knows a key by this name; it takes any other text without a word."""
    from napari.utils.key_bindings import coerce_keybinding

    last = key[-1] if key[-2:-1] in ("", "-") else key.rsplit("-", 1)[-1]
    return len(last) == 1 or str(coerce_keybinding(last).parts[0].key) != "unknown"
