"""Tidy masks: smooth edges, fill holes, drop specks, split objects and join them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.labels.raster import split_touching

Bool = npt.NDArray[np.bool_]
Mask = npt.NDArray[np.uint16]
Path = Sequence[tuple[float, float]]

TOUCHING = np.ones((3, 3), dtype=bool)
NECKS_PX = (4.0, 2.0, 1.0, 0.5)
JOIN_MARGIN_PX = 3


@dataclass(frozen=True, slots=True)
class Cleanup:
    """What is done to each class of a mask, in this order; the default does nothing.

    Attributes
    ----------
    smooth_px : float
        Bays and spikes narrower than about twice this are levelled.
    holes_px : int
        Holes of at most so many pixels are filled.
    small_px : int
        Objects of fewer pixels are dropped.
    """

    smooth_px: float = 0.0
    holes_px: int = 0
    small_px: int = 0

    def __bool__(self) -> bool:
        return self != Cleanup()


def tidy(mask: Mask, values: Iterable[int], cleanup: Cleanup) -> Mask:
    """A class mask with some classes cleaned up; no class takes a pixel of another.

    Parameters
    ----------
    mask : uint16 array (height, width)
    values : iterable of int
        The classes that are cleaned up.
    """
    if not cleanup:
        return mask
    out = mask.copy()
    for value in values:
        was = mask == value
        if not was.any():
            continue
        now = _tidied(was, cleanup)
        out[was & ~now] = 0
        out[now & (out == 0)] = value
    return out


def _tidied(inside: Bool, cleanup: Cleanup) -> Bool:
    """One class, bool (height, width), within its own surroundings so that little is worked on."""
    margin = int(np.ceil(4 * cleanup.smooth_px)) + 1
    window = _window(inside, margin)
    part = inside[window]
    if cleanup.smooth_px:
        soft = ndimage.gaussian_filter(part.astype(np.float32), cleanup.smooth_px, mode="nearest")
        part = soft > 0.5
    if cleanup.holes_px:
        part = _without_holes(part, cleanup.holes_px)
    if cleanup.small_px > 1:
        labels, _ = ndimage.label(part, structure=TOUCHING)
        part = (np.bincount(labels.ravel()) >= cleanup.small_px)[labels] & part
    out = np.zeros_like(inside)
    out[window] = part
    return out


def _without_holes(inside: Bool, holes_px: int) -> Bool:
    # Objects touch over corners, so that the background does not.
    labels, _ = ndimage.label(~inside)
    areas = np.bincount(labels.ravel())
    fill = areas <= holes_px
    fill[0] = False
    fill[_values_on_border(labels)] = False
    filled: Bool = inside | fill[labels]
    return filled


def _values_on_border(labels: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    return np.unique(np.concatenate(edges))


def split_at_waist(mask: Mask, y: int, x: int) -> Mask:
    """The object under a pixel cut at its waists; `mask` itself where it has none.

    The widest waists are cut first, and narrower ones only where those give no cut.
    """
    inside = object_at(mask, y, x)
    if not inside.any():
        return mask
    window = _window(inside, 1)
    part = inside[window]
    for neck in NECKS_PX:
        pieces = split_touching(part.astype(np.uint8), min_neck_px=neck)
        if pieces.max() > 1:
            cut = np.zeros_like(inside)
            cut[window] = _seams(pieces)
            return np.where(cut, 0, mask).astype(mask.dtype)
    return mask


def _seams(pieces: npt.NDArray[np.integer]) -> Bool:
    """Pixels that touch a piece of a lower number."""
    lowest = ndimage.minimum_filter(
        np.where(pieces > 0, pieces, pieces.max() + 1), footprint=TOUCHING
    )
    seams: Bool = (pieces > 0) & (lowest < pieces)
    return seams


def cut_along(mask: Mask, path: Path) -> Mask:
    """Every object that a line crosses, cut along it; one pixel wide, and no corner connects."""
    line = _line(path, mask.shape)
    line[:, 1:] |= line[:, :-1].copy()
    return np.where(line, 0, mask).astype(mask.dtype)


def join_along(mask: Mask, path: Path) -> Mask:
    """The objects that a line touches made one, in the class of the first; `mask` where fewer.

    Between them a bridge is filled that follows their edges.
    """
    line = _line(path, mask.shape)
    places = [(int(y), int(x)) for y, x in _clipped(path, mask.shape)]
    touched = np.zeros(mask.shape, dtype=bool)
    first = 0
    for value in np.unique(mask[line & (mask > 0)]).tolist():
        labels, _ = ndimage.label(mask == value, structure=TOUCHING)
        crossed = np.unique(labels[line & (mask == value)])
        touched |= np.isin(labels, crossed[crossed > 0])
    _, objects = ndimage.label(touched, structure=TOUCHING)
    values = [int(mask[place]) for place in _along(places) if mask[place]]
    if not values or (objects < 2 and len(set(values)) < 2):
        return mask
    first = values[0]
    bridge = _bridge(touched, line)
    return np.where(touched | bridge, first, mask).astype(mask.dtype)


def object_at(mask: npt.NDArray[np.integer], y: int, x: int) -> Bool:
    """Pixels of the object under one pixel, bool (height, width); all False on background."""
    from skimage.segmentation import flood

    if mask[y, x] == 0:
        return np.zeros(mask.shape, dtype=bool)
    found: Bool = flood(mask, (y, x), connectivity=2)  # type: ignore[no-untyped-call]
    return found


def _bridge(touched: Bool, line: Bool) -> Bool:
    """What closes the gaps on a line between objects: a closing of the gap's own width."""
    gap = line & ~touched
    if not gap.any():
        return gap
    inside = ndimage.distance_transform_edt(~touched)
    reach = float(inside[gap].max()) + 1.0
    window = _window(gap, int(2 * reach) + JOIN_MARGIN_PX)
    near = inside[window] <= reach
    closed = ndimage.distance_transform_edt(np.pad(near, 1, mode="edge"))[1:-1, 1:-1] > reach
    added = (closed & ~touched[window]) | ndimage.binary_dilation(gap[window], TOUCHING)
    labels, _ = ndimage.label(added, structure=TOUCHING)
    bridge = np.zeros_like(touched)
    bridge[window] = np.isin(labels, np.unique(labels[gap[window]]))
    return bridge & ~touched


def _line(path: Path, shape: tuple[int, ...]) -> Bool:
    """Pixels under a polyline given in continuous pixels."""
    found = np.zeros(shape, dtype=bool)
    for place in _along([(int(y), int(x)) for y, x in _clipped(path, shape)]):
        found[place] = True
    return found


def _clipped(path: Path, shape: tuple[int, ...]) -> list[tuple[float, float]]:
    limits = np.array(shape[:2]) - 1e-3
    return [(float(y), float(x)) for y, x in np.clip(np.asarray(path, float), 0, limits)]


def _along(places: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Pixels from each place to the next, in order."""
    from skimage.draw import line

    yield places[0]
    for (y0, x0), (y1, x1) in pairwise(places):
        yield from zip(*(a.tolist() for a in line(y0, x0, y1, x1)), strict=True)  # type: ignore[no-untyped-call]


def _window(inside: Bool, margin: int) -> tuple[slice, slice]:
    """The box of the True pixels and a margin around it, cut to the mask."""
    spans = []
    for axis in (1, 0):
        found = np.flatnonzero(inside.any(axis=axis))
        length = inside.shape[1 - axis]
        spans.append(slice(max(found[0] - margin, 0), min(found[-1] + 1 + margin, length)))
    return spans[0], spans[1]
