"""Channels of a slide: a name, and the colour it is shown in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Color = tuple[int, int, int]
WHITE: Color = (255, 255, 255)
PALETTE: tuple[Color, ...] = (
    (0, 0, 255),
    (0, 255, 0),
    (255, 0, 0),
    (255, 0, 255),
    (0, 255, 255),
    (255, 255, 0),
    (255, 128, 0),
)
"""For channels that name no colour: nuclear stains mostly come first and are blue."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a slide and how it is shown.

    Attributes
    ----------
    name : str
    color : (int, int, int)
        sRGB, of its brightest pixels.
    window : (float, float) or None
        Values that the file wants shown as nothing and as full colour; None where it says none.
    """

    name: str
    color: Color
    window: tuple[float, float] | None = None


def default_channels(count: int, names: Sequence[str] = ()) -> tuple[Channel, ...]:
    """Colours for channels that name none; a single one is shown in white."""
    if count == 1:
        return (Channel(names[0] if names else "gray", WHITE),)
    return tuple(
        Channel(
            names[i] if i < len(names) and names[i] else f"channel {i + 1}",
            PALETTE[i % len(PALETTE)],
        )
        for i in range(count)
    )
