"""The lining of generated glands: basal nuclei and mucin drops, each in a sector of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pathseg.slide.synthetic_noise import Floats, hashed, unit
from napari_pathseg.slide.synthetic_tissue import Glands

FAR_UM = 12.0
NUCLEI_DEPTH_UM = 21.0
"""Lining nuclei lie between the border and this depth."""

ROWS = ((5.8, 2.2, 1.0), (11.6, 3.6, 0.85))
"""Middle depth, spread of it and share of sectors, of the two rows of nuclei."""

TWO_PI = np.float32(2 * np.pi)


@dataclass(frozen=True, slots=True)
class Shapes:
    """Signed distance to the nearest nucleus or drop (negative inside), and its random number."""

    distance: Floats
    tone: Floats


def lining_cells(glands: Glands) -> Floats:
    """Number of cells around a gland: one every 5 to 6 micrometres at its border."""
    return np.round(50 + 12 * unit(glands.ident, 2))


def lining_nuclei(glands: Glands) -> Shapes:
    """Nuclei of the lining, in two staggered rows along the base.

    Parameters
    ----------
    glands : Glands
        Of pixels at most `NUCLEI_DEPTH_UM` inside the border of a gland.
    """
    best = np.full(glands.depth.shape, FAR_UM, dtype=np.float32)
    tone = np.zeros_like(best)
    count, turn = lining_cells(glands), glands.turn
    width = TWO_PI * glands.middle / count
    for row, (base_um, spread_um, share) in enumerate(ROWS):
        place = turn * count + np.float32(0.5 * row)
        sector = np.floor(place)
        bits = hashed(sector % count, glands.ident, 31 + row)
        size = unit(bits, 2)
        over = (place - sector - np.float32(0.5)) * width
        along = glands.depth - (base_um + spread_um * (unit(bits, 1) - np.float32(0.5)))
        half_width = np.minimum(2.1 + 0.6 * size, 0.47 * width) + np.float32(1e-3)
        half_length = 3.9 + 1.6 * size
        over /= half_width
        along /= half_length
        distance = (np.sqrt(over * over + along * along) - 1) * half_width
        missing = (unit(bits, 3) > share) | (glands.depth > glands.lumen + 1)
        distance[missing] = FAR_UM
        nearer = distance < best
        best = np.where(nearer, distance, best)
        tone = np.where(nearer, unit(bits, 0), tone)
    return Shapes(best, tone)


def mucin_drops(glands: Glands) -> Shapes:
    """Goblet cells' mucin between the nuclei and the lumen.

    Parameters
    ----------
    glands : Glands
        Of pixels inside glands.
    """
    best = np.full(glands.depth.shape, FAR_UM, dtype=np.float32)
    fullness = 0.35 + 0.6 * unit(glands.ident, 1)
    count, turn = np.round(lining_cells(glands) * np.float32(0.40)), glands.turn
    width = TWO_PI * glands.middle / count
    room = np.maximum(glands.lumen - 14, 0)
    for row in range(2):
        place = turn * count + np.float32(0.5 * row)
        sector = np.floor(place)
        bits = hashed(sector % count, glands.ident, 41 + row)
        over = (place - sector - np.float32(0.5)) * width
        along = glands.depth - 14 - room * (0.30 + 0.38 * row + 0.15 * unit(bits, 0))
        half_width = np.minimum(0.47 * width, 5.4) * (0.72 + 0.28 * unit(bits, 1)) + 1e-3
        half_length = np.minimum(half_width * 1.45, room * 0.42) + 1e-3
        over /= half_width
        along /= half_length
        distance = (np.sqrt(over * over + along * along) - 1) * half_width
        distance[unit(bits, 2) > fullness] = FAR_UM
        best = np.minimum(best, distance)
    return Shapes(best, best)
