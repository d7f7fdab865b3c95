"""Objects of one class that touch, told apart by the numbers that they came in with."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from napari_pathseg.labels.raster import Instances, Ints, instances_of

IN_PIECES = np.uint32(1 << 31)
"""Numbers from here on are of objects that came in as several pieces, and stay one."""


def told_apart(classes: Ints, objects: Ints) -> Instances | None:
    """Numbers to be kept of objects that came in; None where connection tells the same.

    Parameters
    ----------
    classes : integer array (height, width)
        Class mask, 0 = background.
    objects : integer array (height, width)
        One value an object, each inside one class.

    Returns
    -------
    uint32 array (height, width) or None
        From 1, and from :data:`IN_PIECES` for an object of several pieces.
    """
    inside = (classes > 0) & (objects > 0)
    values, at = np.unique(objects[inside], return_inverse=True)
    numbers = np.zeros(classes.shape, dtype=np.uint32)
    numbers[inside] = at + 1
    pieces = instances_of(numbers)
    of_piece = np.zeros(int(pieces.max(initial=0)) + 1, dtype=np.int64)
    of_piece[pieces[inside]] = numbers[inside]
    several = np.bincount(of_piece[1:], minlength=len(values) + 1) > 1
    connected = int(instances_of(np.where(inside, classes, 0)).max(initial=0))
    if not several.any() and connected == len(values):
        return None
    numbers[several[numbers]] += IN_PIECES
    return numbers


def objects_apart(classes: Ints, numbers: Instances | None) -> Instances:
    """The objects of a class mask, where some pixels know which object they belong to.

    Pixels of one number and class are one object; one that was cut since is as many as its
    pieces, if it came in as one. Pixels without a number belong to the object of their class that
    they touch, to the nearest of several; those that touch none are objects of their own.

    Parameters
    ----------
    classes : integer array (height, width)
        Class mask, 0 = background.
    numbers : uint32 array (height, width) or None
        As :func:`told_apart` gives them; 0 = not known. Without any, and on another grid than the
        mask's, each connected part of a class is an object.

    Returns
    -------
    uint32 array (height, width)
        Numbered from 1 in reading order.
    """
    if numbers is None or numbers.shape != classes.shape:
        return instances_of(classes)
    known = (classes > 0) & (numbers > 0)
    many = int(classes.max(initial=0)) + 1
    pairs = np.where(known, numbers.astype(np.int64) * many + classes, 0)
    for value in np.unique(classes[(classes > 0) & ~known]).tolist():
        _spread(pairs, classes == value)
    alone = instances_of(np.where(pairs == 0, classes, 0)).astype(np.int64)
    pieces = np.where(pairs > int(IN_PIECES) * many, pairs, instances_of(pairs))
    return _in_reading_order(np.where(alone > 0, -alone, pieces))


def _spread(pairs: npt.NDArray[np.int64], inside: npt.NDArray[np.bool_]) -> None:
    """Pixels of a class that know no object join the one they touch, the nearest of several."""
    from skimage.segmentation import watershed

    known = inside & (pairs > 0)
    values = np.unique(pairs[known])
    if not values.size:
        return
    seeds = np.where(known, np.searchsorted(values, pairs) + 1, 0)
    flooded = watershed(  # type: ignore[no-untyped-call]
        np.zeros(inside.shape, np.uint8), seeds, mask=inside, connectivity=2
    )
    reached = flooded > 0
    pairs[reached] = values[flooded[reached] - 1]


def _in_reading_order(objects: npt.NDArray[np.int64]) -> Instances:
    inside = objects != 0
    _, first, inverse = np.unique(objects[inside], return_index=True, return_inverse=True)
    ranks = np.empty(len(first), dtype=np.uint32)
    ranks[np.argsort(first)] = np.arange(1, len(first) + 1, dtype=np.uint32)
    found = np.zeros(objects.shape, dtype=np.uint32)
    found[inside] = ranks[inverse]
    return found
