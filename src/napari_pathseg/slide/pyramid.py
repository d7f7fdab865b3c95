"""A slide as a list of lazy dask arrays, with the coarse levels that its file lacks."""

from __future__ import annotations

import dask.array as da
import numpy as np

from napari_pathseg.geometry import Pair, exact_downsample
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.sources import (
    CACHE_BYTES,
    MIN_LEVEL_PX,
    AveragedSource,
    LevelSource,
    added_levels,
)


def dask_pyramid(slide: Slide, *, cache_bytes: int = CACHE_BYTES) -> list[da.Array]:
    """Lazy arrays of a slide, finest first.

    Array i shows `slide.levels[i]`; after the stored levels come levels that are averaged
    from the coarsest stored one, each half as large, so that a file of one level still pans.

    Parameters
    ----------
    slide : Slide
        Must stay open as long as the arrays are computed.
    cache_bytes : int
        Memory for averaged chunks, shared by all added levels.

    Returns
    -------
    list of dask arrays (height, width, 3), uint8
        Computing raises DamagedSlideError where the file is broken.
    """
    sources = [
        LevelSource(slide, index)
        for index, level in enumerate(slide.levels)
        if index == 0 or min(level.shape) >= MIN_LEVEL_PX
    ]
    arrays = [_lazy(source) for source in sources]
    return arrays + [_lazy(source) for source in added_levels(sources[-1], cache_bytes)]


def level_downsamples(slide: Slide, pyramid: list[da.Array]) -> list[Pair]:
    """Exact downsample (y, x) of each array of a slide's pyramid."""
    return [exact_downsample(slide.shape, (array.shape[0], array.shape[1])) for array in pyramid]


def _lazy(source: LevelSource | AveragedSource) -> da.Array:
    chunks = (*source.chunk, 3)
    array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        source,
        chunks=chunks,
        name=f"pathseg-{source.name}",
        inline_array=True,
        asarray=False,
        lock=False,
        meta=np.empty((0, 0, 0), dtype=np.uint8),
    )
    return array
