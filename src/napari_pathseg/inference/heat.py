"""One scale of colours for soft maps, on the screen and in pictures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

RAMP = np.array(
    [
        (68, 1, 84, 0),
        (59, 82, 139, 150),
        (33, 145, 140, 255),
        (94, 201, 98, 255),
        (253, 231, 37, 255),
    ],
    dtype=np.float32,
)
"""sRGB and opacity, 0 to 255, at equal steps from 0 to 1: nothing is seen of what is 0.

Even steps of lightness, told apart with any kind of colour vision; the colours are those of
viridis (van der Walt and Smith, 2015, CC0).
"""
OPACITY = 0.75


def heat(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    """Colours (..., 4) of values from 0 to 1, as in :data:`RAMP`."""
    steps = np.linspace(0, 1, len(RAMP))
    inside = np.clip(values, 0, 1)
    channels = [np.interp(inside, steps, RAMP[:, i]) for i in range(4)]
    return np.stack(channels, axis=-1).astype(np.float32)


def laid_over(
    picture: npt.NDArray[np.uint8], values: npt.NDArray[np.floating]
) -> npt.NDArray[np.uint8]:
    """A map (height, width) in colours over a picture (height, width, 3) of the same size."""
    colors = heat(values)
    opacity = colors[..., 3:] / 255 * OPACITY
    mixed = picture * (1 - opacity) + colors[..., :3] * opacity
    out: npt.NDArray[np.uint8] = np.rint(mixed).astype(np.uint8)
    return out
