"""Class masks to instance masks, and instance masks to exact outlines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer[Any]]
Instances = npt.NDArray[np.uint32]
Ring = npt.NDArray[np.int64]

# Steps (y, x) along a pixel edge with its pixel on the right hand, y downwards:
# along the top edge east, the right edge south, the bottom edge west, the left edge north.
_STEP = np.array([(0, 1), (1, 0), (0, -1), (-1, 0)])
# The pixel corner (y, x) where the edge in that direction starts.
_START = np.array([(0, 0), (0, 1), (1, 1), (1, 0)])


@dataclass(frozen=True, slots=True, eq=False)
class Polygon:
    """One 4-connected part of an object, along its pixel edges.

    Attributes
    ----------
    exterior : int array (points, 2)
        Closed ring of (y, x) pixel corners, the first point repeated at the end; the shoelace
        area in (x, y) is positive, which RFC 7946 calls counterclockwise.
    holes : tuple of int arrays (points, 2)
        Closed rings of negative area.
    """

    exterior: Ring
    holes: tuple[Ring, ...] = ()

    @property
    def rings(self) -> tuple[Ring, ...]:
        """The exterior, then the holes."""
        return (self.exterior, *self.holes)


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """An object's whole outline.

    Attributes
    ----------
    value : int
        Of the object in the mask that was traced.
    polygons : tuple of Polygon
        More than one where parts touch at a corner only, or not at all.
    """

    value: int
    polygons: tuple[Polygon, ...]

    @property
    def rings(self) -> tuple[Ring, ...]:
        """Of all parts."""
        return tuple(ring for polygon in self.polygons for ring in polygon.rings)

    def moved(self, y: int, x: int) -> Outline:
        """The same outline elsewhere, in pixels of the mask."""
        by = np.array([y, x])
        parts = (Polygon(p.exterior + by, tuple(h + by for h in p.holes)) for p in self.polygons)
        return Outline(self.value, tuple(parts))


def instances_of(classes: Ints, *, min_area_px: int = 1) -> Instances:
    """8-connected components of equal class, numbered from 1 in reading order.

    Parameters
    ----------
    classes : integer array (height, width)
        Class mask, 0 = background.
    min_area_px : int
        Smaller components become background.
    """
    from skimage.measure import label

    components = label(classes, background=0, connectivity=2)  # type: ignore[no-untyped-call]
    found: Instances = np.asarray(components).astype(np.uint32)
    return drop_small(found, min_area_px) if min_area_px > 1 else found


def drop_small(instances: Ints, min_area_px: int) -> Instances:
    """Without the objects of fewer pixels, numbered from 1 again in the same order."""
    areas = np.bincount(instances.ravel())
    keep = areas >= min_area_px
    keep[0] = False
    numbers = np.where(keep, np.cumsum(keep), 0).astype(np.uint32)
    kept: Instances = numbers[instances]
    return kept


def split_touching(classes: Ints, *, min_neck_px: float = 1.0, min_area_px: int = 1) -> Instances:
    """Instances where round objects that touch are cut at their waists.

    A watershed on the distance to the object's edge. Every pixel of a class stays in an object.

    Parameters
    ----------
    classes : integer array (height, width)
    min_neck_px : float
        Two bulges are two objects when the waist between them is narrower than the smaller one
        by at least this, measured from the middle to the edge.
    min_area_px : int
        Smaller objects become background.

    Notes
    -----
    Meyer and Beucher, Morphological segmentation, J. Vis. Commun. Image Represent. 1 (1990), with
    markers that are the maxima of a given height (Vincent, IEEE Trans. Image Process. 2, 1993).
    """
    parts = np.zeros(classes.shape, dtype=np.int64)
    for value in np.unique(classes[classes > 0]):
        _split_class(classes == value, min_neck_px, parts)
    whole = instances_of(classes).astype(np.int64)
    # A number for each (component, part) in reading order; 0 for the background.
    key = (whole * (int(parts.max(initial=0)) + 1) + parts).ravel()
    inside = key > 0
    _, first, inverse = np.unique(key[inside], return_index=True, return_inverse=True)
    numbers = np.empty(len(first), dtype=np.uint32)
    numbers[np.argsort(first)] = np.arange(1, len(first) + 1)
    split = np.zeros(key.shape, dtype=np.uint32)
    split[inside] = numbers[inverse]
    return drop_small(split.reshape(classes.shape), min_area_px)


def _split_class(
    inside: npt.NDArray[np.bool_], min_neck_px: float, parts: npt.NDArray[np.int64]
) -> None:
    """Number the parts of one class in `parts`, from 1."""
    from scipy.ndimage import distance_transform_edt
    from skimage.measure import label
    from skimage.morphology import local_maxima, reconstruction
    from skimage.segmentation import watershed

    depth = distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    # Far below, so that no object's top spreads over the background to another.
    depth[~inside] = -1e6
    tops = reconstruction(depth - min_neck_px, depth)  # type: ignore[no-untyped-call]
    markers = label(local_maxima(tops) & inside, connectivity=2)  # type: ignore[no-untyped-call]
    flooded = watershed(  # type: ignore[no-untyped-call]
        -depth, markers, mask=inside, connectivity=2
    )
    parts[inside] = flooded[inside]


def outlines(mask: Ints) -> tuple[Outline, ...]:
    """Exact outlines of all objects of a mask, in the order of their values.

    Filling them by the pixel-centre rule gives the mask back, pixel by pixel. All polygons are
    valid in the sense of OGC Simple Features (06-103r4, 6.1.11): rings are simple and touch one
    another at points at most, interiors are connected.

    Parameters
    ----------
    mask : integer array (height, width)
        0 = background; every other value is one object, connected or not.
    """
    if not mask.size or not mask.any():
        return ()
    parts = _parts(mask)
    edge_part, start, straight, following = _edges(parts)
    ring, order = _rings(following)
    part, points, offsets = _corners(edge_part[order], start[order], straight[order], ring[order])
    values = np.zeros(int(parts.max()) + 1, dtype=np.int64)
    values[parts] = np.pad(mask, 1)
    return _assemble(part, points, offsets, values)


def _parts(mask: Ints) -> npt.NDArray[np.int32]:
    """4-connected parts of equal value, with a border of background."""
    from skimage.measure import label

    padded = np.pad(mask, 1)
    components = label(padded, background=0, connectivity=1)  # type: ignore[no-untyped-call]
    return np.asarray(components).astype(np.int32)


def _edges(
    parts: npt.NDArray[np.int32],
) -> tuple[
    npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.bool_], npt.NDArray[np.int64]
]:
    """All directed pixel edges of the parts, and which edge follows which.

    Returns
    -------
    part : (edges,)
    start : (edges, 2)
        Pixel corner, (y, x) of the unpadded mask.
    straight : (edges,)
        Whether the edge that follows has the same direction.
    following : (edges,)
        Index of the next edge of the same ring.
    """
    width = parts.shape[1]
    flat = parts.ravel()
    inside = np.flatnonzero(flat)
    jump = _STEP[:, 0] * width + _STEP[:, 1]
    pixels = [inside[flat[inside + jump[d - 1]] != flat[inside]] for d in range(4)]
    counts = np.array([len(p) for p in pixels])
    first = np.concatenate([[0], np.cumsum(counts)])
    index = np.zeros((4, flat.size), dtype=np.int64)
    for d in range(4):
        index[d, pixels[d]] = np.arange(first[d], first[d + 1])
    following, straight = [], []
    for d, here in enumerate(pixels):
        own = flat[here]
        ahead, left = here + jump[d], here + jump[d] + jump[d - 1]
        # Turning left where it can be done parts a pocket from the outside where they meet at
        # a corner, so that no ring meets itself.
        turns_left = flat[left] == own
        goes_on = ~turns_left & (flat[ahead] == own)
        nothing = np.where(goes_on, index[d, ahead], index[(d + 1) % 4, here])
        following.append(np.where(turns_left, index[d - 1, left], nothing))
        straight.append(goes_on)
    place = np.concatenate(pixels)
    corner = np.repeat(_START, counts, axis=0) - 1
    start = np.stack([place // width, place % width], axis=1) + corner
    return flat[place], start, np.concatenate(straight), np.concatenate(following)


def _rings(following: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], Ring]:
    """The cycles of a permutation: the ring of each edge, and the edges ring by ring in order.

    Pointer jumping: after k rounds each edge knows the least edge of the next 2**k ones, then how
    far the least edge of its ring lies ahead.
    """
    least, jump = np.arange(len(following)), following
    while True:
        better = np.minimum(least, least[jump])
        if np.array_equal(better, least) and np.array_equal(least[following], least):
            break
        least, jump = better, jump[jump]
    root = least == np.arange(len(following))
    # Distance to the root, counted along the ring; the root itself stops the count.
    ahead = np.where(root, np.arange(len(following)), following)
    distance = (~root).astype(np.int64)
    while not root[ahead].all():
        distance = distance + distance[ahead]
        ahead = ahead[ahead]
    # The root comes first, then the edges from the furthest to the nearest.
    order = np.lexsort((-distance, ~root, least))
    return least, order


def _corners(
    part: npt.NDArray[np.int32],
    start: npt.NDArray[np.int64],
    straight: npt.NDArray[np.bool_],
    ring: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int32], Ring, npt.NDArray[np.int64]]:
    """Keep the corners of each ring: part of each ring, all points, and where each ring starts."""
    begins = np.flatnonzero(np.r_[True, ring[1:] != ring[:-1]])
    ends = np.r_[begins[1:], len(ring)] - 1
    # An edge starts at a corner unless the one before it goes straight on.
    after_straight = np.empty_like(straight)
    after_straight[1:] = straight[:-1]
    after_straight[begins] = straight[ends]
    keep = ~after_straight
    offsets = np.r_[0, np.cumsum(np.add.reduceat(keep, begins))]
    return part[begins], start[keep], offsets


def _assemble(
    part: npt.NDArray[np.int32],
    points: Ring,
    offsets: npt.NDArray[np.int64],
    values: npt.NDArray[np.int64],
) -> tuple[Outline, ...]:
    """Rings to polygons, one a part, and parts to objects."""
    y, x = points[:, 0], points[:, 1]
    after = np.arange(1, len(points) + 1)
    after[offsets[1:] - 1] = offsets[:-1]
    area = np.add.reduceat(x * y[after] - x[after] * y, offsets[:-1])
    rings = _closed(points, offsets)
    found: dict[int, list[Polygon]] = {}
    exterior: Ring | None = None
    holes: list[Ring] = []
    value = 0
    # Part by part, the exterior first, then the holes in reading order.
    for i in np.lexsort((np.arange(len(part)), area < 0, part, values[part])).tolist():
        if area[i] < 0:
            holes.append(rings[i])
            continue
        if exterior is not None:
            found.setdefault(value, []).append(Polygon(exterior, tuple(holes)))
        exterior, holes, value = rings[i], [], int(values[part[i]])
    if exterior is not None:
        found.setdefault(value, []).append(Polygon(exterior, tuple(holes)))
    return tuple(Outline(value, tuple(polygons)) for value, polygons in found.items())


def _closed(points: Ring, offsets: npt.NDArray[np.int64]) -> list[Ring]:
    """The rings, each with its first point repeated at the end."""
    count = len(offsets) - 1
    shifted = offsets + np.arange(count + 1)
    index = np.arange(len(points) + count) - np.repeat(np.arange(count), np.diff(shifted))
    index[shifted[1:] - 1] = offsets[:-1]
    closed = points[index]
    limits = shifted.tolist()
    return [closed[start:stop] for start, stop in pairwise(limits)]
