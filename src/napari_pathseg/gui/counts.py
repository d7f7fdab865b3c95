"""Objects and area of each class of a mask, for the panel's list."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from napari_pathseg.geometry import Pair
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.cleanup import TOUCHING


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

    def at(self, mpp: Pair | None) -> Count:
        """The same count at another scale, micrometres per pixel of the mask."""
        return replace(self, area_um2=None if mpp is None else self.area_px * mpp[0] * mpp[1])


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
        _, objects = ndimage.label(mask == value, structure=TOUCHING)
        counts[value] = Count(int(objects), int(areas[value]), None).at(mpp)
    return counts
