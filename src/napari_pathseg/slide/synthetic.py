"""A generated slide with known truth, of any size, never held in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Shape, exact_downsample
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.pixels import read_on_white
from napari_pathseg.slide.synthetic_lining import NUCLEI_DEPTH_UM, lining_nuclei
from napari_pathseg.slide.synthetic_noise import Grid
from napari_pathseg.slide.synthetic_stain import BAND_ROWS, paint
from napari_pathseg.slide.synthetic_tissue import Tissue
from napari_pathseg.slide.write import Compression, Layout, write_pyramid

TILE_PX = 512
SMALLEST_PX = 1024

Object = Literal["gland", "nuclei", "stroma", "vessel", "tissue"]


class SyntheticSlide(Slide):
    """Colon-like H&E: glands, nuclei, stroma, vessels and glass, a function of place alone.

    Parameters
    ----------
    shape : (int, int)
        Height and width at level 0.
    mpp : float
        Micrometres per level-0 pixel.
    seed : int
        Another seed is another slide.

    Examples
    --------
    >>> slide = SyntheticSlide((2048, 2048))
    >>> field = Field(0, 600, 600, 64, 64, (1.0, 1.0))
    >>> slide.read(field).shape, slide.truth(field, "gland").shape
    ((64, 64, 3), (64, 64))
    """

    def __init__(self, shape: Shape, mpp: float = 0.5, seed: int = 0) -> None:
        self.path = Path(f"synthetic-{shape[0]}x{shape[1]}-{mpp:g}-{seed}")
        self.seed = seed
        self.levels = _levels(shape)
        self.metadata = SlideMetadata(
            backend="synthetic",
            vendor="napari-pathseg",
            mpp=(mpp, mpp),
            objective_power=10 / mpp,
            identity=f"synthetic-{shape[0]}x{shape[1]}-{mpp:g}-{seed}",
            properties={"seed": str(seed)},
        )
        self._mpp = mpp
        self._tissue = Tissue((shape[0] * mpp, shape[1] * mpp), seed)

    def __reduce__(self) -> tuple[type[SyntheticSlide], tuple[Shape, float, int]]:
        return type(self), (self.shape, self._mpp, self.seed)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        def inside(y: int, x: int, height: int, width: int) -> RGB:
            return paint(self._tissue, self._grid(Field(field.level, y, x, height, width, (1, 1))))

        return read_on_white(field, self.levels[field.level].shape, inside)

    def truth(self, field: Field, object: Object) -> npt.NDArray[np.bool_]:
        """What is at the centre of each pixel.

        Parameters
        ----------
        field : Field
            Of any level; may hang over the slide's edge, where nothing is.
        object : {"gland", "nuclei", "stroma", "vessel", "tissue"}
            Glands include lining and lumen; stroma is tissue without glands and vessels and
            includes its own nuclei; nuclei are those of stroma and lining.

        Returns
        -------
        bool array (height, width)
        """
        inside = np.empty(field.shape, dtype=bool)
        for band_rows, band in self._grid(field).bands(BAND_ROWS):
            inside[band_rows] = self._tissue.inside(band) > 0
            if object != "tissue" and inside[band_rows].any():
                inside[band_rows] &= self._object(band, object)
        height, width = self.levels[field.level].shape
        rows = np.arange(field.y, field.y + field.height)
        columns = np.arange(field.x, field.x + field.width)
        inside &= ((rows >= 0) & (rows < height))[:, None]
        inside &= ((columns >= 0) & (columns < width))[None, :]
        return inside

    def close(self) -> None:
        """Nothing to release."""

    def _object(self, grid: Grid, object: Object) -> npt.NDArray[np.bool_]:
        warped = self._tissue.warped(grid)
        glands = self._tissue.glands(warped)
        occupied = glands.depth > 0
        if object == "gland":
            return occupied & ~glands.is_vessel
        if object == "vessel":
            return occupied & glands.is_vessel
        if object == "stroma":
            return ~occupied
        nuclei = (self._tissue.stromal_nuclei(warped)[0] < 0) & ~occupied
        lining = occupied & ~glands.is_vessel & (glands.depth < NUCLEI_DEPTH_UM)
        place = np.flatnonzero(lining & (glands.depth < glands.lumen))
        nuclei.reshape(-1)[place] = lining_nuclei(glands.at(place)).distance < 0
        return nuclei

    def _grid(self, field: Field) -> Grid:
        down, across = self.levels[field.level].downsample
        y_um = (np.arange(field.y, field.y + field.height) + 0.5) * (down * self._mpp)
        x_um = (np.arange(field.x, field.x + field.width) + 0.5) * (across * self._mpp)
        return Grid(y_um, x_um, self._mpp * (down + across) / 2)


def write_synthetic(
    path: Path,
    shape: Shape,
    *,
    mpp: float = 0.5,
    seed: int = 0,
    layout: Layout = "svs",
    compression: Compression = "jpeg",
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Path:
    """Write a generated slide to a real file; the truth is that of the same SyntheticSlide.

    Parameters and errors are those of :class:`SyntheticSlide` and
    :func:`~napari_pathseg.slide.write.write_pyramid`.
    """
    slide = SyntheticSlide(shape, mpp, seed)
    return write_pyramid(
        slide, path, layout=layout, compression=compression, progress=progress, cancel=cancel
    )


def _levels(shape: Shape) -> tuple[Level, ...]:
    levels = [Level(shape, (1.0, 1.0), (TILE_PX, TILE_PX))]
    while max(levels[-1].shape) > SMALLEST_PX and min(levels[-1].shape) > 1:
        smaller = (levels[-1].shape[0] // 2, levels[-1].shape[1] // 2)
        levels.append(Level(smaller, exact_downsample(shape, smaller), (TILE_PX, TILE_PX)))
    return tuple(levels)
