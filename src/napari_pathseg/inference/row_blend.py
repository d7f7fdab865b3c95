"""Blend the tiles of a slide row by row: what lies above the row at work is final and leaves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Shape
from napari_pathseg.inference.tiling import OUTSIDE, FloatMap, Tile
from napari_pathseg.models.base import OUTPUT_STRIDE

LEAST = 1e-4  # a tile's weight where another counts, if there is one
ASIDE = 8  # rows of room kept beyond what is asked, so that rows are not moved for each tile


class RowBlend:
    """Weighted mean of overlapping tiles on the grid of the model's answers.

    That grid has a quarter of the model's resolution and all tiles begin on its corners, so that
    blending it costs a sixteenth. Only a few rows of tiles are held.

    Parameters
    ----------
    shape : (int, int)
        Of the whole picture, model pixels.
    classes : int
    ramp_px : int
        Width of the fall of the weights at each edge of a tile, model pixels; at its start, of
        what is its own affair.
    """

    def __init__(self, shape: Shape, classes: int, ramp_px: int) -> None:
        self.shape = -(-shape[0] // OUTPUT_STRIDE), -(-shape[1] // OUTPUT_STRIDE)
        self._ramp = max(ramp_px // OUTPUT_STRIDE, 1)
        self._start = 0
        self._sum = np.zeros((classes, 0, self.shape[1]), dtype=np.float32)
        self._weight = np.zeros((0, self.shape[1]), dtype=np.float32)

    def add(self, tile: Tile, logits: npt.NDArray[np.floating]) -> None:
        """Add a tile's maps (classes, height / 4, width / 4)."""
        y, x = tile.y // OUTPUT_STRIDE, tile.x // OUTPUT_STRIDE
        stop_y = min(y + logits.shape[1], self.shape[0])
        stop_x = min(x + logits.shape[2], self.shape[1])
        self._reach(stop_y)
        lates = tile.late_y // OUTPUT_STRIDE, tile.late_x // OUTPUT_STRIDE
        weight = np.minimum.outer(
            *(
                _weights(length, self._ramp, late)
                for length, late in zip(logits.shape[1:], lates, strict=True)
            )
        )
        weight = weight[: stop_y - y, : stop_x - x]
        rows, columns = slice(y - self._start, stop_y - self._start), slice(x, stop_x)
        values = logits[:, : stop_y - y, : stop_x - x].astype(np.float32)
        self._sum[:, rows, columns] += values * weight
        self._weight[rows, columns] += weight

    def rows(self, start: int, stop: int) -> FloatMap:
        """Blended rows (classes, stop - start, width); `OUTSIDE` where no tile was added."""
        self._reach(stop)
        part = slice(start - self._start, stop - self._start)
        weight = self._weight[part]
        mean = self._sum[:, part] / np.maximum(weight, 1e-6)
        mean[:, weight == 0] = OUTSIDE
        out: FloatMap = mean.astype(np.float32, copy=False)
        return out

    def drop(self, before: int) -> None:
        """Forget the rows above `before`."""
        gone = min(before - self._start, self._weight.shape[0])
        if gone > 0:
            self._sum = self._sum[:, gone:].copy()
            self._weight = self._weight[gone:].copy()
            self._start += gone

    def _reach(self, stop: int) -> None:
        """Make room for the rows up to `stop`."""
        missing = stop - self._start - self._weight.shape[0]
        if missing > 0:
            more = missing + ASIDE
            self._sum = np.pad(self._sum, ((0, 0), (0, more), (0, 0)))
            self._weight = np.pad(self._weight, ((0, more), (0, 0)))


def _weights(length: int, ramp: int, late: int) -> FloatMap:
    """How much a tile counts along one axis."""
    rise = np.arange(1 - late, length + 1 - late) / ramp
    fall = np.arange(length, 0, -1) / ramp
    weights: FloatMap = np.clip(np.minimum(rise, fall), LEAST, 1.0).astype(np.float32)
    return weights
