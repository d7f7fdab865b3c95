"""What the objects of a class were asked with, as text: for tables, features and exports."""

from __future__ import annotations

from napari_pathseg.geometry import Pair
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import (
    BoxPrompt,
    LassoPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    TextPrompt,
)


def asked_with(record: FieldRecord, value: int) -> dict[str, str]:
    """Words, clicks and gestures of one class in a field; all "" for what was drawn by hand.

    Returns
    -------
    dict of str to str
        "prompt": the words as typed. "clicks": places (y, x), - is "not this". "gestures":
        boxes, strokes and outlines. Level-0 pixels.
    """
    prompts = record.prompts_of(value)
    return {
        "prompt": "; ".join(p.text for p in prompts if isinstance(p, TextPrompt)),
        "clicks": " ".join(_click(p) for p in prompts if isinstance(p, PointPrompt)),
        "gestures": " ".join(_gesture(p) for p in prompts if _is_gesture(p)),
    }


def _is_gesture(prompt: Prompt) -> bool:
    return not isinstance(prompt, (TextPrompt, PointPrompt))


def _place(place: Pair) -> str:
    return f"({place[0]:.0f}, {place[1]:.0f})"


def _click(point: PointPrompt) -> str:
    return f"{'+' if point.positive else '-'}{_place((point.y, point.x))}"


def _gesture(prompt: Prompt) -> str:
    """A box by its corners; lines by their places."""
    match prompt:
        case BoxPrompt(y0, x0, y1, x1):
            return f"box{_place((y0, x0))}{_place((y1, x1))}"
        case ScribblePrompt(path, positive):
            return f"{'+' if positive else '-'}scribble{''.join(map(_place, path))}"
        case LassoPrompt(outline, positive):
            return f"{'+' if positive else '-'}lasso{''.join(map(_place, outline))}"
        case _:
            return ""
