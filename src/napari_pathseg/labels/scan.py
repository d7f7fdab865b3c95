"""Polygons to masks: exact scan conversion by the pixel-centre, even-odd rule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Shape

Points = npt.NDArray[np.float64]

# Pixels painted at once, so that memory stays bounded.
_BATCH_PX = 1 << 24


def fill(
    shape: Shape, objects: Sequence[Sequence[Points]], values: Sequence[int]
) -> npt.NDArray[np.uint32]:
    """Paint objects one after the other; a later one covers an earlier one.

    A pixel belongs to an object when its centre lies inside an odd number of its rings. A centre
    that lies exactly on an edge belongs to the side on its right and below.

    Parameters
    ----------
    shape : (int, int)
        Of the mask.
    objects : sequence of sequences of float arrays (points, 2)
        The rings of each object, exteriors and holes alike, (y, x) in continuous mask pixels,
        where pixel (i, j) covers [i, i+1) x [j, j+1). Rings are closed if need be.
    values : sequence of int
        What each object is painted with.

    Returns
    -------
    uint32 array
    """
    mask = np.zeros(shape, dtype=np.uint32)
    edges, owner = _edges(objects)
    index, row, column = _crossings(edges, owner, shape[0])
    order = np.lexsort((column, row, index))
    index, row, column = index[order], row[order], column[order]
    # Closed rings cross a row an even number of times: each pair is a run of pixels inside.
    begin = np.clip(column[0::2], 0, shape[1])
    end = np.clip(column[1::2], 0, shape[1])
    first = row[0::2] * shape[1] + begin
    _paint(mask.reshape(-1), first, end - begin, np.asarray(values, np.uint32)[index[0::2]])
    return mask


def _edges(objects: Sequence[Sequence[Points]]) -> tuple[Points, npt.NDArray[np.int64]]:
    """All edges (y0, x0, y1, x1) and the object each belongs to."""
    rings = [np.asarray(ring, dtype=np.float64) for rings in objects for ring in rings]
    if not rings:
        return np.empty((0, 4)), np.empty(0, dtype=np.int64)
    counts = np.array([len(ring) for ring in rings])
    owners = np.repeat(np.arange(len(objects)), [len(rings) for rings in objects])
    points = np.concatenate(rings)
    after = np.arange(1, len(points) + 1)
    ends = np.cumsum(counts)
    filled = counts > 0
    after[ends[filled] - 1] = (ends - counts)[filled]
    return np.hstack([points, points[after]]), np.repeat(owners, counts)


def _crossings(
    edges: Points, owner: npt.NDArray[np.int64], height: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Where edges cross the middle of a row: object, row, first column right of the crossing."""
    y0, x0, y1, x1 = edges.T
    # Rows whose middle lies in [low, high), counted once by exactly one of two joining edges.
    low = np.clip(np.ceil(np.minimum(y0, y1) - 0.5), 0, height).astype(np.int64)
    high = np.clip(np.ceil(np.maximum(y0, y1) - 0.5), 0, height).astype(np.int64)
    count = high - low
    edge = np.repeat(np.arange(len(edges)), count)
    row = low[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count)
    slope = np.zeros(len(edges))
    np.divide(x1 - x0, y1 - y0, out=slope, where=count > 0)
    crossing = x0[edge] + (row + 0.5 - y0[edge]) * slope[edge]
    column = np.ceil(np.clip(crossing, -1.0, 2.0**31) - 0.5).astype(np.int64)
    return owner[edge], row, column


def _paint(
    flat: npt.NDArray[np.uint32],
    first: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    value: npt.NDArray[np.uint32],
) -> None:
    """Write runs of pixels in order."""
    total = np.cumsum(length)
    start = 0
    while start < len(first):
        done = int(total[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(total, done + _BATCH_PX, side="right")))
        run = length[start:stop]
        step = np.arange(int(run.sum())) - np.repeat(np.cumsum(run) - run, run)
        flat[np.repeat(first[start:stop], run) + step] = np.repeat(value[start:stop], run)
        start = stop
