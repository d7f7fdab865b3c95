"""Where on the slide there is tissue: fast, from a coarse level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Pair, exact_downsample
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide.base import RGB, Slide
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.coarse import made_levels
from napari_pathseg.slide.sources import LevelSource, added_levels

TARGET_PX = 1024
"""The mask is made at the finest level whose longer side is at most this."""

MIN_DENSITY, MAX_DENSITY = 0.03, 0.09
"""Otsu's threshold is kept in this range: below there is nothing but glass and dust, and above it
tells nuclei from stroma where a slide is full of tissue."""

DARK_GLASS = 40
"""Where half of the slide is darker than this it was seen in fluorescence."""

BRIGHT_GLASS = 200
"""A place so bright, with hardly any dye in it, is glass, in a lumen or beside the tissue."""

HISTOGRAM_BINS = 128
HISTOGRAM_DENSITY = 1.2

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class TissueConfig:
    """How tissue is told from glass.

    Attributes
    ----------
    threshold : float or None
        Optical density (base 10) above which a pixel is tissue; None = Otsu's.
    min_area_um2 : float
        Smaller pieces are dust and smaller holes are filled (slides with a scale).
    min_area_px : int
        The same in pixels of the mask, for slides without a scale.
    """

    threshold: float | None = None
    min_area_um2: float = 20_000.0
    min_area_px: int = 64


def tissue_mask(slide: Slide, config: TissueConfig | None = None) -> tuple[Mask, Field]:
    """Mask of the tissue and the field it lies on.

    Stained tissue is darker and more coloured than glass. Both raise the optical density
    of the channel that is dyed most, which is cut by Otsu's method ("A threshold selection
    method from gray-level histograms", 1979).

    Parameters
    ----------
    slide : Slide
    config : TissueConfig, optional

    Returns
    -------
    mask : bool array (height, width)
    field : Field
        The whole slide; `mask[i, j]` is its pixel (i, j). Its level may be one that the file
        lacks; its downsample is exact.

    Raises
    ------
    DamagedSlideError
        When the level can not be read.
    """
    config = config or TissueConfig()
    pixels, field = overview(slide, TARGET_PX)
    signal = tissue_signal(pixels)
    threshold = config.threshold if config.threshold is not None else tissue_threshold(signal)
    return tissue_of(signal, threshold, config, field.mpp(slide.metadata.mpp)), field


def is_bare(pixels: RGB) -> bool:
    """Whether some pixels (height, width, 3) show nothing but bright glass."""
    dyed = np.quantile(optical_density(pixels), 0.95)
    return bool(dyed < MIN_DENSITY and np.median(pixels.max(axis=2)) > BRIGHT_GLASS)


def tissue_signal(pixels: RGB) -> npt.NDArray[np.float32]:
    """How much each pixel looks like tissue: density on bright glass, brightness on dark.

    Parameters
    ----------
    pixels : uint8 array (height, width, 3)
        Of the whole slide.

    Returns
    -------
    float32 array (height, width)
        0 on bare glass.
    """
    brightest = pixels.max(axis=2)
    if np.median(brightest) < DARK_GLASS:
        brightness: npt.NDArray[np.float32] = brightest.astype(np.float32) / np.float32(255)
        return brightness
    return optical_density(pixels)


def tissue_threshold(signal: npt.NDArray[np.float32]) -> float:
    """Otsu's threshold of a signal, kept in sensible limits."""
    return min(max(otsu(signal), MIN_DENSITY), MAX_DENSITY)


def tissue_of(
    signal: npt.NDArray[np.float32], threshold: float, config: TissueConfig, mpp: Pair | None
) -> Mask:
    """Where the signal is above a threshold, without specks and small holes.

    Parameters
    ----------
    signal : float32 array (height, width)
        Of :func:`tissue_signal`.
    threshold : float
    config : TissueConfig
        For the sizes of specks and holes.
    mpp : (float, float) or None
        Micrometres per pixel of the signal.

    Returns
    -------
    bool array (height, width)
    """
    return _cleaned(signal > threshold, _min_pixels(config, mpp))


def overview(slide: Slide, longest_px: int, cancel: CancelToken | None = None) -> tuple[RGB, Field]:
    """The whole slide at the finest level, stored or averaged, that is small enough.

    A slide without such a level is read from end to end, which can be cancelled.

    Returns
    -------
    pixels : uint8 array (height, width, 3)
    field : Field
    """
    for index, level in enumerate(slide.levels):
        if max(level.shape) <= longest_px:
            field = Field(index, 0, 0, *level.shape, level.downsample)
            return slide.read(field), field
    last = len(slide.levels) - 1
    # Each pixel is needed once: nothing is held.
    cache = ChunkCache(0)
    added = added_levels(LevelSource(slide, last, None, cache), cache, longest_px=longest_px)
    source = added[-1]
    height, width = source.shape[:2]
    field = Field(
        last + len(added), 0, 0, height, width, exact_downsample(slide.shape, (height, width))
    )
    made = made_levels(added)
    if made is not None and made.wait(cancel):
        return made.window(len(made.levels) - 1, 0, 0, height, width), field
    down, across = source.chunk
    pixels = np.empty((height, width, 3), dtype=np.uint8)
    for top in range(0, height, down):
        for left in range(0, width, across):
            if cancel is not None:
                cancel.raise_if_cancelled()
            part = pixels[top : top + down, left : left + across]
            part[:] = source.chunk_at(top // down, left // across)
    return pixels, field


def optical_density(pixels: RGB) -> npt.NDArray[np.float32]:
    """Density (base 10) of the most absorbed channel, (height, width)."""
    darkest = pixels.min(axis=2).astype(np.float32)
    # A pixel that is equally dark in all channels is ink or a fold, not stain, and counts half.
    spread = pixels.max(axis=2).astype(np.float32) - darkest
    density = -np.log10((darkest + 1) / np.float32(256))
    colored: npt.NDArray[np.float32] = density * (0.5 + 0.5 * np.minimum(spread / 20, 1))
    return colored


def otsu(values: npt.NDArray[np.float32]) -> float:
    """The threshold that separates values into the two most different classes."""
    counts, edges = np.histogram(values, HISTOGRAM_BINS, (0, HISTOGRAM_DENSITY))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    moment = np.cumsum(counts * middles)
    valid = (below > 0) & (above > 0)
    if not valid.any():
        return MIN_DENSITY
    low = moment[valid] / below[valid]
    high = (moment[-1] - moment[valid]) / above[valid]
    between = below[valid] * above[valid] * (low - high) ** 2
    best = between >= between.max() * (1 - 1e-9)
    return float(edges[1:][valid][best].mean())


def _min_pixels(config: TissueConfig, mpp: Pair | None) -> int:
    if mpp is None:
        return config.min_area_px
    return max(round(config.min_area_um2 / (mpp[0] * mpp[1])), 4)


def _cleaned(mask: Mask, min_pixels: int) -> Mask:
    """Without specks, and with the small holes closed."""
    from scipy.ndimage import binary_closing

    closed = binary_closing(np.pad(mask, 2), iterations=2)[2:-2, 2:-2]
    return ~_without_small(~_without_small(closed, min_pixels), min_pixels)


def _without_small(mask: Mask, min_pixels: int) -> Mask:
    from scipy.ndimage import label

    parts, _ = label(mask)
    sizes = np.bincount(parts.ravel())
    keep = sizes >= min_pixels
    keep[0] = False
    kept: Mask = keep[parts]
    return kept
