"""What the user asks with: words, points, boxes, scribbles, lassos; places are level-0 (y, x)."""

from __future__ import annotations

from dataclasses import dataclass

MAX_TEXT_LENGTH = 2_000


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Words, as the user typed them."""

    text: str


@dataclass(frozen=True, slots=True)
class PointPrompt:
    """A click: `positive` means "this too", otherwise "not this".

    `y`, `x` are continuous level-0 pixels; pixel (i, j) covers [i, i+1) x [j, j+1).
    """

    y: float
    x: float
    positive: bool = True


@dataclass(frozen=True, slots=True)
class BoxPrompt:
    """A rectangle in continuous level-0 pixels, y0 < y1 and x0 < x1."""

    y0: float
    x0: float
    y1: float
    x1: float


@dataclass(frozen=True, slots=True)
class ScribblePrompt:
    """A line drawn over something: `positive` means "this too", otherwise "not this".

    `path` holds continuous level-0 (y, x) places in the order they were drawn, at least one.
    """

    path: tuple[tuple[float, float], ...]
    positive: bool = True


@dataclass(frozen=True, slots=True)
class LassoPrompt:
    """A line drawn around something: `positive` means "in here", otherwise "nothing in here".

    `outline` holds at least three continuous level-0 (y, x) places; the last joins the first.
    """

    outline: tuple[tuple[float, float], ...]
    positive: bool = True


Prompt = TextPrompt | PointPrompt | BoxPrompt | ScribblePrompt | LassoPrompt
SpatialPrompt = PointPrompt | BoxPrompt
Gesture = PointPrompt | BoxPrompt | ScribblePrompt | LassoPrompt
