"""What the objects of a slide are measured against: its tissue and its glass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Pair, Region
from napari_pathseg.labels.stains import white_of
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.tissue import TARGET_PX, overview, tissue_mask

Coverage = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What the objects of a slide are measured against.

    Attributes
    ----------
    tissue : bool array (height, width)
    field : Field
        Of `tissue`: the whole slide.
    white : float array (3,)
        Bare glass.
    """

    tissue: npt.NDArray[np.bool_]
    field: Field
    white: npt.NDArray[np.float64]

    def tissue_um2(self, regions: Iterable[Region], mpp: Pair | None) -> float | None:
        """Area of the tissue within regions, those that overlap counted once; None without mpp."""
        pixel = self.field.mpp(mpp)
        if pixel is None:
            return None
        covered = np.zeros(self.field.shape, np.float32)
        for region in regions:
            _cover(covered, region, self.field.downsample)
        return float(covered[self.tissue].sum(dtype=float) * pixel[0] * pixel[1])


def ground_of(slide: Slide) -> Ground:
    """Find tissue and glass on a coarse level; SlideError when that can not be read."""
    tissue, field = tissue_mask(slide)
    pixels, _ = overview(slide, TARGET_PX)
    return Ground(tissue, field, white_of(pixels))


def _cover(covered: Coverage, region: Region, downsample: Pair) -> None:
    """Raise the covered part of each pixel to what a region covers of it."""
    rows, of_rows = _overlap(region.y, region.stop_y, downsample[0], covered.shape[0])
    columns, of_columns = _overlap(region.x, region.stop_x, downsample[1], covered.shape[1])
    part = covered[rows, columns]
    np.maximum(part, np.outer(of_rows, of_columns), out=part)


def _overlap(start: float, stop: float, step: float, length: int) -> tuple[slice, Coverage]:
    """The pixels of a row that [start, stop) touches, and the part of each that lies in it."""
    first, last = max(int(start / step), 0), min(int(np.ceil(stop / step)), length)
    edges = np.arange(first, max(last, first) + 1) * step
    inside = np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start)
    return slice(first, max(last, first)), (inside / step).clip(0, 1).astype(np.float32)
