"""Several channels become one picture, each in its colour, added as light adds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.channels import WHITE, Channel
from napari_pathseg.slide.pixels import to_uint8

WINDOW_PX = 2048
"""At most this much of the coarsest level is looked at to find the display windows."""

WINDOW_PERCENTILES = (0.1, 99.9)

Plane = npt.NDArray[Any]
Window = tuple[float, float] | None
"""Values shown as nothing and as full colour; None = the type's whole range."""


def mixed(planes: Sequence[Plane], windows: Sequence[Window], channels: Sequence[Channel]) -> RGB:
    """Add channels in their colours.

    Parameters
    ----------
    planes : sequence of arrays (height, width)
    windows, channels : sequences of the same length

    Returns
    -------
    uint8 array (height, width, 3)
    """
    if len(planes) == 1 and channels[0].color == WHITE:
        return np.repeat(to_uint8(planes[0], windows[0])[..., None], 3, axis=2)
    total = np.zeros((*planes[0].shape, 3), dtype=np.float32)
    for values, window, channel in zip(planes, windows, channels, strict=True):
        gray = to_uint8(values, window).astype(np.float32)
        total += gray[..., None] * (np.asarray(channel.color, dtype=np.float32) / 255)
    return np.minimum(total + 0.5, 255).astype(np.uint8)


def display_windows(planes: Sequence[Plane]) -> Iterator[Window]:
    """A window for each channel, from pixels of the coarsest level.

    A single 8-bit channel is a picture already and keeps its range.
    """
    for plane in planes:
        if plane.dtype == np.uint8 and len(planes) == 1:
            yield None
        elif plane.dtype == np.bool_:
            yield (0.0, 1.0)
        else:
            finite = plane[np.isfinite(plane)].astype(np.float32)
            low, high = np.percentile(finite, WINDOW_PERCENTILES) if finite.size else (0.0, 1.0)
            yield float(low), float(max(high, low + 1e-6))


def middle_window(height: int, width: int) -> tuple[int, int, int, int]:
    """(y, x, height, width) of the middle of a level, at most `WINDOW_PX` a side."""
    rows, columns = min(height, WINDOW_PX), min(width, WINDOW_PX)
    return (height - rows) // 2, (width - columns) // 2, rows, columns
