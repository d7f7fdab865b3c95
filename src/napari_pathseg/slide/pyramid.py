"""A slide as a list of lazy dask arrays, with the coarse levels that its file lacks."""

from __future__ import annotations

from itertools import product

import dask.array as da
import numpy as np

from napari_pathseg.geometry import Pair, exact_downsample
from napari_pathseg.slide.base import Plane, Slide
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.sources import CACHE_BYTES, Source, StackSource, level_sources, stacked


def dask_pyramid(
    slide: Slide, *, channel: int | None = None, cache: ChunkCache | None = None
) -> list[da.Array]:
    """Lazy arrays of a slide, finest first.

    Array i shows `slide.levels[i]`; after the stored levels come levels that are averaged
    from the coarsest stored one, each half as large, so that a file of one level still pans.

    Parameters
    ----------
    slide : Slide
        Must stay open as long as the arrays are computed.
    channel : int, optional
        One channel in its own type; without it colours, in which channels are mixed.
    cache : ChunkCache, optional
        Memory for decoded chunks; one of its own, of 256 MB, by default.

    Returns
    -------
    list of dask arrays
        ([t,] [z,] height, width[, 3]): time and focus where there are several, colours
        unless it is one channel. Computing raises DamagedSlideError where the file is broken.

    Raises
    ------
    SlideError
        When there is no such channel.
    """
    cache = cache or ChunkCache(CACHE_BYTES)
    stack = slide.stack
    if channel is None and (stack.channels or stack.is_flat):
        return [_lazy(source, source.name) for source in level_sources(slide, None, cache)]
    slide.check_plane(Plane(0, 0, channel))
    if stack.is_flat:
        plane = Plane(0, 0, channel)
        return [_lazy(source, source.name) for source in level_sources(slide, plane, cache)]
    places = product(range(stack.t), range(stack.z))
    planes = [level_sources(slide, Plane(z, t, channel), cache) for t, z in places]
    lengths = tuple(length for length in (stack.t, stack.z) if length > 1)
    names = [level.name for level in planes[0]]
    return [_lazy(s, f"{n}-all") for s, n in zip(stacked(planes, lengths), names, strict=True)]


def level_downsamples(slide: Slide, pyramid: list[da.Array]) -> list[Pair]:
    """Exact downsample (y, x) of each array of a slide's pyramid without stack axes."""
    return [exact_downsample(slide.shape, (array.shape[0], array.shape[1])) for array in pyramid]


def _lazy(source: Source | StackSource, name: str) -> da.Array:
    plane = source.planes[0] if isinstance(source, StackSource) else source
    lead = source.ndim - plane.ndim
    chunks = (*[1] * lead, *plane.chunk, *plane.shape[2:])
    array: da.Array = da.from_array(  # type: ignore[no-untyped-call]
        source,
        chunks=chunks,
        name=f"pathseg-{name}",
        inline_array=True,
        asarray=False,
        lock=False,
        meta=np.empty((0,) * source.ndim, dtype=source.dtype),
    )
    return array
