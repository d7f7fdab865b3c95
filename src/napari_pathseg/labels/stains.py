"""How much of each dye lies in an object: colour deconvolution of brightfield pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.labels.raster import Ints

RGB = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Vector = tuple[float, float, float]

WHITE_QUANTILE = 0.98
DARKEST_WHITE = 180
"""A picture without glass is not taken for its own white: below this the lamp counts as 245."""
LAMP = 245


@dataclass(frozen=True, slots=True)
class StainPair:
    """Two dyes and the light they take away.

    Attributes
    ----------
    name : str
    dyes : (str, str)
    vectors : (vector, vector)
        Optical density in red, green and blue of each dye, of any length.

    Notes
    -----
    Ruifrok and Johnston, Quantification of histochemical staining by color deconvolution,
    Anal. Quant. Cytol. Histol. 23 (2001), table 1. What neither dye explains goes into a third,
    perpendicular direction and is left out.
    """

    name: str
    dyes: tuple[str, str]
    vectors: tuple[Vector, Vector]

    def unmixing(self) -> Floats:
        """Matrix (3, 2) that optical densities (…, 3) are multiplied with from the right."""
        first, second = (np.array(v) / np.linalg.norm(v) for v in self.vectors)
        rest = np.cross(first, second)
        return np.linalg.inv(np.stack([first, second, rest / np.linalg.norm(rest)]))[:, :2]


HAEMATOXYLIN: Vector = (0.65, 0.70, 0.29)
EOSIN: Vector = (0.07, 0.99, 0.11)
DAB: Vector = (0.27, 0.57, 0.78)
STAINS: Mapping[str, StainPair] = {
    "H&E": StainPair("H&E", ("haematoxylin", "eosin"), (HAEMATOXYLIN, EOSIN)),
    "H-DAB": StainPair("H-DAB", ("haematoxylin", "DAB"), (HAEMATOXYLIN, DAB)),
}


def white_of(pixels: RGB) -> Floats:
    """What unstained glass looks like, (3,): the brightest pixels of a picture that has some."""
    bright = np.quantile(pixels.reshape(-1, 3), WHITE_QUANTILE, axis=0)
    return np.where(bright.min() < DARKEST_WHITE, LAMP, np.maximum(bright, 1.0))


def dye_amounts(pixels: RGB, stains: StainPair, white: Floats) -> npt.NDArray[np.float32]:
    """Optical density (base 10) of each dye at each pixel.

    Parameters
    ----------
    pixels : uint8 array (height, width, 3)
        sRGB as scanned; densities are those of the scanner's values.
    stains : StainPair
    white : float array (3,)
        Of bare glass.

    Returns
    -------
    float32 array (height, width, 2)
        A little below 0 where a pixel is brighter than glass.
    """
    # 256 values a channel have 256 densities: a table is much faster than logarithms.
    table = -np.log10(np.maximum(np.arange(256), 1)[:, None] / white)
    density = np.stack([table[:, c].take(pixels[..., c]) for c in range(3)], axis=-1)
    amounts: npt.NDArray[np.float32] = (density @ stains.unmixing()).astype(np.float32)
    return amounts


def sums_by_object(
    amounts: npt.NDArray[np.float32], instances: Ints, largest: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """The summed amounts of each dye in each object, to be added up over strips of a field.

    Parameters
    ----------
    amounts : float32 array (height, width, dyes)
    instances : integer array (height, width)
        0 = background.
    largest : int
        Largest value of an object in the whole field.

    Returns
    -------
    sums : float array (largest + 1, dyes)
        Row i belongs to the object of value i.
    pixels : int array (largest + 1,)
    """
    inside = np.flatnonzero(instances)
    group = instances.ravel()[inside]
    flat = amounts.reshape(-1, amounts.shape[-1])
    columns = [np.bincount(group, flat[inside, i], largest + 1) for i in range(flat.shape[1])]
    return np.stack(columns, axis=-1), np.bincount(group, minlength=largest + 1)
