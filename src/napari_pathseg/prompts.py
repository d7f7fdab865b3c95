"""What the user asks with: words, points, boxes. All places are level-0 pixels, (y, x)."""

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


Prompt = TextPrompt | PointPrompt | BoxPrompt
SpatialPrompt = PointPrompt | BoxPrompt
