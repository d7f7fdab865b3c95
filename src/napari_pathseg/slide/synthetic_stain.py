"""How a generated tissue takes up haematoxylin and eosin, and what light is left.

Colours follow Beer and Lambert's law with stain vectors near those of Ruifrok and Johnston,
"Quantification of histochemical staining by color deconvolution" (2001).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.synthetic_lining import NUCLEI_DEPTH_UM, lining_nuclei, mucin_drops
from napari_pathseg.slide.synthetic_noise import Floats, Grid, smooth_noise, unit
from napari_pathseg.slide.synthetic_tissue import FIBRE_ANGLE, Glands, Tissue, Warped, texture

HAEMATOXYLIN = np.array([0.88, 1.06, 0.46], dtype=np.float32)
EOSIN = np.array([0.15, 0.78, 0.27], dtype=np.float32)
BLOOD = np.array([0.12, 1.15, 0.85], dtype=np.float32)
GLASS = np.array([244, 243, 245], dtype=np.float32)

BAND_ROWS = 64
FINE_UM = 2.1
"""Up to this pixel size single nuclei are drawn; beyond it their mean."""


@dataclass(slots=True)
class Dyes:
    """How much of each dye there is, (height, width); painted over from back to front."""

    blue: Floats
    red: Floats
    blood: Floats


def soft(distance: Floats, pixel_um: float) -> Floats:
    """Coverage of a pixel by what lies at negative distance (micrometres)."""
    cover: Floats = np.clip(0.5 - distance * np.float32(1 / max(pixel_um, 0.6)), 0, 1)
    return cover


def paint(tissue: Tissue, grid: Grid) -> RGB:
    """Draw the pixels of a grid.

    Returns
    -------
    uint8 array (height, width, 3)
    """
    out = np.empty((*grid.shape, 3), dtype=np.uint8)
    for rows, band in grid.bands(BAND_ROWS):
        out[rows] = _paint_band(tissue, band)
    return out


def _paint_band(tissue: Tissue, grid: Grid) -> RGB:
    inside = tissue.inside(grid)
    grain = _sample("grain", grid.y, grid.x, grid.pixel_um)
    soft_um = max(grid.pixel_um, 1.5)
    if inside.max() < -soft_um:
        return _light(None, inside, grain)
    warped = tissue.warped(grid)
    glands = tissue.glands(warped)
    dyes = _stroma(tissue, grid, warped, grain)
    _paint_glands(glands, grid.pixel_um, grain, dyes)
    _paint_vessels(glands, grid.pixel_um, grain, dyes)
    return _light(dyes, soft(-inside, soft_um), grain)


def _stroma(tissue: Tissue, grid: Grid, warped: Warped, grain: Floats) -> Dyes:
    """Fibres, ground substance and nuclei between the glands: loose here, fibrous there."""
    cos, sin = np.float32(np.cos(FIBRE_ANGLE)), np.float32(np.sin(FIBRE_ANGLE))
    y = grid.y + 1.7 * (warped.y - grid.y)
    x = grid.x + 1.7 * (warped.x - grid.x)
    fibre = _sample("fibre", y * cos - x * sin, x * cos + y * sin, grid.pixel_um)
    bundles = np.clip(0.5 + 0.9 * smooth_noise(grid, 260, tissue.salt + 20), 0, 1)
    faded = np.float32(min(1.0, grid.pixel_um**-0.5))
    streaks = faded * (fibre * (0.09 + 0.13 * bundles) + grain * (0.13 - 0.07 * bundles))
    red = np.clip(0.22 + 0.24 * bundles + streaks, 0.02, 1.1)
    blue = np.clip(0.06 + 0.05 * (1 - bundles) + 0.25 * streaks, 0.01, 1)
    if grid.pixel_um <= FINE_UM:
        distance, tone = tissue.stromal_nuclei(warped)
        _stain_nuclei(soft(distance, grid.pixel_um), tone, grain, blue, red)
    else:
        blue += 0.60 * tissue.density(grid) * (1 + 0.35 * grain)
    return Dyes(blue, red, np.zeros_like(blue))


def _stain_nuclei(cover: Floats, tone: Floats, grain: Floats, blue: Floats, red: Floats) -> None:
    """Chromatin: dark, clumped, each nucleus a little different."""
    blue += cover * (0.82 + 0.42 * tone + 0.15 * grain - blue)
    red += cover * (0.42 - red)


def _paint_glands(glands: Glands, pixel_um: float, grain: Floats, dyes: Dyes) -> None:
    """Epithelium with basal nuclei and mucin drops around an open lumen."""
    place = np.flatnonzero((glands.depth > -3.5) & ~glands.is_vessel)
    if not place.size:
        return
    part, local = glands.at(place), grain.ravel().take(place)
    tint = unit(part.ident, 0)
    blue = 0.27 + 0.14 * tint + 0.06 * local
    red = 0.40 + 0.16 * (1 - tint) + 0.05 * local
    (_fine_lining if pixel_um <= FINE_UM else _coarse_lining)(part, pixel_um, local, blue, red)
    lumen = soft(part.lumen - part.depth, max(pixel_um, 1.5))
    blue += lumen * (0.035 + 0.02 * local - blue)
    red += lumen * (0.05 + 0.04 * local - red)
    wall = soft(-part.depth, pixel_um)
    # Shrinkage on fixing leaves a pale cleft around many glands.
    cleft = soft(np.abs(part.depth + 1.4) - 0.9, pixel_um) * (unit(part.ident, 3) > 0.5)
    left = (1 - wall) * (1 - 0.75 * cleft)
    for ground, gland in ((dyes.blue, blue), (dyes.red, red)):
        flat = ground.reshape(-1)
        flat[place] = flat.take(place) * left + gland * wall


def _fine_lining(glands: Glands, pixel_um: float, grain: Floats, blue: Floats, red: Floats) -> None:
    """Single nuclei and drops, drawn only at the depths where they lie."""
    inner = np.flatnonzero((glands.depth > 8) & (glands.depth < glands.lumen + 6))
    if inner.size:
        drop = soft(mucin_drops(glands.at(inner)).distance, pixel_um)
        texture_ = grain.take(inner)
        blue[inner] += drop * (0.10 + 0.03 * texture_ - blue.take(inner))
        red[inner] += drop * (0.11 + 0.02 * texture_ - red.take(inner))
    outer = np.flatnonzero((glands.depth > -1) & (glands.depth < NUCLEI_DEPTH_UM))
    if outer.size:
        nuclei = lining_nuclei(glands.at(outer))
        own_blue, own_red = blue.take(outer), red.take(outer)
        cover = soft(nuclei.distance, pixel_um)
        _stain_nuclei(cover, nuclei.tone, grain.take(outer), own_blue, own_red)
        blue[outer], red[outer] = own_blue, own_red


def _coarse_lining(
    glands: Glands, pixel_um: float, grain: Floats, blue: Floats, red: Floats
) -> None:
    """The mean of nuclei and drops at each depth."""
    width = 7.5 + 0.4 * pixel_um
    band = np.exp(-(((glands.depth - 8.5) / np.float32(width)) ** 2)) * np.float32(
        min(1.0, 9 / width)
    )
    blue += band * (0.58 + 0.08 * grain) - (1 - band) * 0.10
    red -= (1 - band) * 0.16


def _paint_vessels(glands: Glands, pixel_um: float, grain: Floats, dyes: Dyes) -> None:
    """A pink wall around red cells or an empty lumen."""
    place = np.flatnonzero((glands.depth > -1) & glands.is_vessel)
    if not place.size:
        return
    part, local = glands.at(place), grain.ravel().take(place)
    wall = soft(-part.depth, pixel_um)
    lumen = soft(part.lumen + 2.5 - part.depth, pixel_um)
    filled = (unit(part.ident, 1) > 0.4) * np.clip(0.55 + 0.35 * local, 0, 1)
    painted = (
        (dyes.blue, 0.12 * (1 - lumen) + 0.02 * local),
        (dyes.red, (0.55 + 0.10 * local) * (1 - lumen) + 0.04),
        (dyes.blood, lumen * filled * np.float32(0.75)),
    )
    for ground, vessel in painted:
        flat = ground.reshape(-1)
        flat[place] = flat.take(place) * (1 - wall) + vessel * wall


def _sample(kind: str, y: Floats, x: Floats, pixel_um: float) -> Floats:
    """A texture at given places, blurred to the pixel size, (height, width)."""
    halvings = texture(kind)
    step = min(max(int(np.floor(np.log2(max(pixel_um, 0.5) / 0.5))), 0), len(halvings) - 1)
    tile = halvings[step]
    side = tile.shape[0]
    scale = np.float32(2.0 / 2**step)
    rows = np.floor(y * scale).astype(np.intp) & (side - 1)
    columns = np.floor(x * scale).astype(np.intp) & (side - 1)
    sampled: Floats = tile.ravel().take(rows * side + columns)
    return sampled


def _light(dyes: Dyes | None, cover: Floats, grain: Floats) -> RGB:
    """What the camera sees through the dyes, or through bare glass."""
    out = np.empty((*cover.shape, 3), dtype=np.uint8)
    noise = grain * np.float32(1.2)
    for channel in range(3):
        seen = GLASS[channel] + noise
        if dyes is not None:
            density = dyes.blue * HAEMATOXYLIN[channel] + dyes.red * EOSIN[channel]
            density += dyes.blood * BLOOD[channel]
            seen = GLASS[channel] * np.exp(-density * cover) + noise
        out[..., channel] = np.clip(seen, 0, 255)
    return out
