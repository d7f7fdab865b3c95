"""The keys of the desk: what each does, and which one it is now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyAction:
    """Something that has a key.

    Attributes
    ----------
    name : str
        In `Bindings`, and in the manifest under `configurations.keys`.
    key : str
        By default, in napari's notation: "Ctrl-Shift-Z".
    text : str
        What it does, for the list of keys.
    """

    name: str
    key: str
    text: str


ACTIONS = (
    KeyAction("type_prompt", "T", "type what to find"),
    KeyAction("click_adds", "P", "clicks add: this too"),
    KeyAction("click_removes", "N", "clicks take away: not this"),
    KeyAction("box", "B", "drag a box"),
    KeyAction("lasso", "L", "draw around something"),
    KeyAction("scribble", "S", "scribble over something"),
    KeyAction("next_candidate", "C", "next candidate of a click"),
    KeyAction("brush", "D", "draw"),
    KeyAction("eraser", "E", "erase"),
    KeyAction("fill", "F", "fill an area"),
    KeyAction("polygon", "G", "draw a polygon"),
    KeyAction("split", "K", "cut objects"),
    KeyAction("join", "J", "join objects"),
    KeyAction("smaller_brush", "[", "smaller brush"),
    KeyAction("larger_brush", "]", "larger brush"),
    KeyAction("accept", "A", "accept"),
    KeyAction("reject", "X", "reject"),
    KeyAction("undo", "Ctrl-Z", "undo anything"),
    KeyAction("redo", "Ctrl-Shift-Z", "redo"),
    KeyAction("last_change", "Z", "go to the last change"),
    KeyAction("next_in_review", "U", "next field of the review"),
    KeyAction("back_in_review", "Shift-U", "field before in the review"),
    KeyAction("peek", "Space", "hide the masks (hold)"),
    KeyAction("outline", "O", "outlines or filled"),
    KeyAction("next_map", "M", "mask, probability, uncertainty"),
    KeyAction("show_corrected", "H", "hatch what was corrected"),
    KeyAction("cancel", "Escape", "cancel, then put the tool down"),
    KeyAction("show_keys", "?", "this list"),
)
GESTURES = (
    ("Enter", "in the line: segment what you see"),
    ("Click", "this too"),
    ("Shift+Click", "not this"),
    ("Drag", "pan"),
    ("1 to 9", "select a class"),
)
"""What has no key of its own to choose."""

NAMES = {"Escape": "Esc", "Control": "Ctrl"}


class Keys:
    """The keys in use: those that a person chose over the default ones.

    Parameters
    ----------
    chosen : mapping of str to str
        Key by the name of an action; an empty text takes the action's key away.
    """

    def __init__(self, chosen: Mapping[str, str] | None = None) -> None:
        self._keys = {action.name: action.key for action in ACTIONS}
        self._keys |= {name: key.strip() for name, key in (chosen or {}).items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Keys) and other._keys == self._keys

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, name: str) -> str:
        """The key of an action in napari's notation, "" for none; KeyError for no action."""
        return self._keys[name]

    def shown(self, name: str) -> str:
        """The key of an action as a person reads it, "" for none."""
        return "+".join(NAMES.get(part, part) for part in _parts(self._keys[name]))

    def listed(self) -> tuple[tuple[str, str], ...]:
        """Every key and gesture with what it does."""
        own = ((self.shown(a.name), a.text) for a in ACTIONS if self._keys[a.name])
        return (*own, *GESTURES)

    def shared(self) -> tuple[tuple[str, str], ...]:
        """Pairs of actions that have the same key, so that the first never runs."""
        found, seen = [], dict[str, str]()
        for action in ACTIONS:
            key = self._keys[action.name].lower()
            if key in seen:
                found.append((seen[key], action.name))
            elif key:
                seen[key] = action.name
        return tuple(found)


def _parts(key: str) -> list[str]:
    """The keys that are pressed together; a hyphen at the end is itself a key."""
    if len(key) < 2:
        return [key] if key else []
    head, tail = key[:-1], key[-1]
    *modifiers, last = head.split("-")
    return [*modifiers, last + tail]
