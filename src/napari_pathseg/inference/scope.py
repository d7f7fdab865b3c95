"""Where on a slide the model looks: everywhere, or where there is tissue."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry import Field, Pair, Shape, exact_downsample
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.tissue import TissueConfig, tissue_mask

Bools = npt.NDArray[np.bool_]

MARGIN_UM, MARGIN_PX = 100.0, 2
"""What lies this near to tissue is looked at too: its edge, and what is too pale to be seen."""

HOLE_UM2, HOLE_SHARE = 1e6, 0.01
"""Smaller gaps in the tissue are looked at: the lumen of a gland is as white as glass."""

MIN_TISSUE_UM2, MIN_TISSUE_SHARE = 20_000.0, 0.005
"""Smaller specks are dust; on a small picture the share of it counts."""


@dataclass(frozen=True, slots=True, eq=False)
class Scope:
    """The part of a slide that is looked at, the same however the slide is cut into tiles.

    Attributes
    ----------
    mask : bool array (height, width)
        Corner on corner over the whole slide.
    downsample : (float, float)
        Level-0 pixels per mask pixel.
    tissue_px : float
        Area of the tissue itself, level-0 pixels; of the whole slide where all is looked at.
    """

    mask: Bools
    downsample: Pair
    tissue_px: float

    def touches(self, y0: float, x0: float, y1: float, x1: float) -> bool:
        """Whether any of it lies in a rectangle of continuous level-0 pixels."""
        down_y, down_x = self.downsample
        top, left = max(math.floor(y0 / down_y), 0), max(math.floor(x0 / down_x), 0)
        bottom, right = math.ceil(y1 / down_y), math.ceil(x1 / down_x)
        return bool(self.mask[top:bottom, left:right].any())

    def over(self, field: Field) -> Bools:
        """Which pixels of a field belong to it, (height, width): by their centres."""
        rows = _places(field.y, field.height, field.downsample[0] / self.downsample[0])
        columns = _places(field.x, field.width, field.downsample[1] / self.downsample[1])
        height, width = self.mask.shape
        return self.mask[np.ix_(np.minimum(rows, height - 1), np.minimum(columns, width - 1))]


def whole_scope(shape: Shape) -> Scope:
    """All of a slide of `shape` (height, width)."""
    mask = np.ones((1, 1), dtype=bool)
    return Scope(mask, (float(shape[0]), float(shape[1])), float(shape[0]) * shape[1])


def tissue_scope(slide: Slide, mpp: Pair | None) -> Scope:
    """The tissue with a margin around it and the gaps in it.

    Parameters
    ----------
    mpp : (float, float) or None
        Micrometres per level-0 pixel.

    Raises
    ------
    DamagedSlideError
    """
    height, width = slide.shape
    area_um2 = math.inf if mpp is None else height * mpp[0] * width * mpp[1]
    config = TissueConfig(min_area_um2=min(MIN_TISSUE_UM2, MIN_TISSUE_SHARE * area_um2))
    tissue, field = tissue_mask(slide, config)
    downsample = exact_downsample(slide.shape, field.shape)
    share = float(tissue.mean()) if tissue.size else 0.0
    if mpp is None:
        margin, hole = float(MARGIN_PX), HOLE_SHARE * tissue.size
    else:
        um = mpp[0] * downsample[0], mpp[1] * downsample[1]
        margin = max(MARGIN_UM / math.sqrt(um[0] * um[1]), 1.0)
        hole = HOLE_UM2 / (um[0] * um[1])
    return Scope(_closed(_wider(tissue, margin), hole), downsample, share * height * width)


def _wider(mask: Bools, margin_px: float) -> Bools:
    if not mask.any():
        return mask
    near: Bools = ndimage.distance_transform_edt(~mask) <= margin_px
    return near


def _closed(mask: Bools, hole_px: float) -> Bools:
    """With the gaps of less than `hole_px` pixels filled; what is open to the edge is no gap."""
    gaps, _ = ndimage.label(~mask)
    sizes = np.bincount(gaps.ravel())
    small = sizes < hole_px
    edge = np.concatenate([gaps[0], gaps[-1], gaps[:, 0], gaps[:, -1]])
    small[edge] = False
    small[0] = True  # the mask itself
    filled: Bools = small[gaps]
    return filled


def _places(start: int, count: int, scale: float) -> npt.NDArray[np.intp]:
    """Mask pixel under the centre of each field pixel along one axis."""
    places: npt.NDArray[np.intp] = np.floor((np.arange(start, start + count) + 0.5) * scale).astype(
        np.intp
    )
    return places
