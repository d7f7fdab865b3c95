"""Objects and area of each class of a mask, for the panel's list."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_pathseg.geometry import Pair
from napari_pathseg.inference.segmentation import Mask

TOUCHING = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, slots=True)
class Count:
    """Objects and area of one class; `area_um2` is None without a scale."""

    objects: int
    area_px: int
    area_um2: float | None

    def __add__(self, other: Count) -> Count:
        um2 = None
        if self.area_um2 is not None and other.area_um2 is not None:
            um2 = self.area_um2 + other.area_um2
        return Count(self.objects + other.objects, self.area_px + other.area_px, um2)


def count_classes(mask: Mask, mpp: Pair | None) -> dict[int, Count]:
    """Objects (8-connected components) and area of each class value in a mask.

    Parameters
    ----------
    mask : uint16 array (height, width)
    mpp : (float, float) or None
        Micrometres per pixel of the mask.
    """
    areas = np.bincount(mask.ravel())
    counts = {}
    for value in np.flatnonzero(areas).tolist():
        if value == 0:
            continue
        area = int(areas[value])
        _, objects = ndimage.label(mask == value, structure=TOUCHING)
        um2 = None if mpp is None else area * mpp[0] * mpp[1]
        counts[value] = Count(int(objects), area, um2)
    return counts


def object_at(mask: Mask, y: int, x: int) -> np.ndarray:
    """Pixels of the object under one pixel, bool (height, width); all False on background."""
    if mask[y, x] == 0:
        return np.zeros(mask.shape, dtype=bool)
    labels, _ = ndimage.label(mask == mask[y, x], structure=TOUCHING)
    found: np.ndarray = labels == labels[y, x]
    return found
