"""A slide as a list of lazy dask arrays, with the coarse levels that its file lacks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import TYPE_CHECKING

from napari_pathseg.geometry import Pair, Shape, exact_downsample
from napari_pathseg.slide.base import Plane, Slide
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.coarse import CoarseLevels, CoarseSource, coarse_levels
from napari_pathseg.slide.damage import Damage
from napari_pathseg.slide.late import LateLevels
from napari_pathseg.slide.late_stack import LateStack
from napari_pathseg.slide.level_view import MOST_AT_ONCE, SMALL, LazyLevel, LevelView
from napari_pathseg.slide.sources import (
    CACHE_BYTES,
    AveragedSource,
    LevelSource,
    Source,
    StackSource,
    drawn_levels,
    level_sources,
    stacked,
)

if TYPE_CHECKING:
    import dask.array as da


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
    if channel is not None or not (stack.channels or stack.is_flat):
        slide.check_plane(Plane(0, 0, channel))
    if stack.is_flat or (channel is None and stack.channels):
        flat = _flat(slide, channel, cache)
        return [_lazy(source, source.name).view.to_dask_array() for source in flat]
    planes, lengths = _planes(slide, channel, cache)
    stacks = stacked(planes, lengths)
    return [_lazy(source, _stack_name(source)).view.to_dask_array() for source in stacks]


@dataclass(frozen=True, slots=True)
class ViewerPyramid:
    """A slide as a viewer shows it.

    Attributes
    ----------
    levels : list of LevelView
        Finest first; each turns into a dask array where something of dask is asked of it.
    coarse : CoarseLevels or None
        What becomes exact in the background, where something does.
    late : LateLevels or LateStack
        What is read while something else is drawn in its place.
    damage : Damage
        What can not be read, and is drawn grey.
    """

    levels: list[LevelView]
    coarse: CoarseLevels | None
    late: LateLevels | LateStack
    damage: Damage


def viewer_pyramid(
    slide: Slide,
    *,
    channel: int | None,
    cache: ChunkCache,
    keep_bytes: int,
    patience: Callable[[], float | None],
) -> ViewerPyramid:
    """As :func:`dask_pyramid`, but no level of it keeps a viewer waiting.

    Coarse levels of a large picture that stores none are guessed at first, and become exact
    while they are looked at; see :mod:`napari_pathseg.slide.coarse`. What is drawn before it could
    be read is coarser; see :mod:`napari_pathseg.slide.late`. What can not be read is grey.

    Parameters
    ----------
    slide, channel, cache
        As there.
    keep_bytes : int
        What coarse levels of all slides may take on the disk.
    patience : callable
        Seconds that whoever reads a level now will wait for all of it; None: as long as it takes.
    """
    damage = Damage()
    if not slide.stack.is_flat:
        planes, lengths = _planes(slide, channel, cache)
        drawn = [drawn_levels(levels, damage) for levels in planes]
        stack = LateStack(drawn, lengths, cache, patience, damage)
        return ViewerPyramid(_drawn(stacked(planes, lengths), stack), None, stack, damage)
    stored = _flat(slide, channel, cache)
    coarse = coarse_levels(
        [level for level in stored if isinstance(level, AveragedSource)], keep_bytes
    )
    quick = [] if coarse is None else [CoarseSource(coarse, i) for i in range(len(coarse.levels))]
    rest = len(stored) - len(quick)
    late = LateLevels([*drawn_levels(stored[:rest], damage), *quick], cache, patience, damage)
    return ViewerPyramid(_drawn([*stored[:rest], *quick], late), coarse, late, damage)


def _drawn(
    sources: Sequence[Source | CoarseSource | StackSource], late: LateLevels | LateStack
) -> list[LevelView]:
    """Views of all levels, of which a viewer gets what is there."""
    levels = []
    for index, source in enumerate(sources):
        name = _stack_name(source) if isinstance(source, StackSource) else source.name
        # napari draws whole chunks: of smaller ones fewer pixels lie around what is seen.
        level = _lazy(source, name, late.side(index))
        # What is guessed is never broken.
        drawn = None if isinstance(source, CoarseSource) else partial(late.draw, index)
        levels.append(replace(level, drawn=drawn).view)
    return levels


def level_downsamples(slide: Slide, pyramid: list[da.Array]) -> list[Pair]:
    """Exact downsample (y, x) of each array of a slide's pyramid without stack axes."""
    return [exact_downsample(slide.shape, (array.shape[0], array.shape[1])) for array in pyramid]


def _flat(slide: Slide, channel: int | None, cache: ChunkCache) -> list[Source]:
    """Levels of a slide without stack axes, in colours or of one channel."""
    plane = None if channel is None else Plane(0, 0, channel)
    return level_sources(slide, plane, cache)


def _planes(
    slide: Slide, channel: int | None, cache: ChunkCache
) -> tuple[list[list[Source]], tuple[int, ...]]:
    """Levels of each plane of a stack, and how many planes lie along each of its axes."""
    stack = slide.stack
    places = product(range(stack.t), range(stack.z))
    planes = [level_sources(slide, Plane(z, t, channel), cache) for t, z in places]
    return planes, tuple(length for length in (stack.t, stack.z) if length > 1)


def _stack_name(source: StackSource) -> str:
    return f"{source.planes[0].name}-all"


def _lazy(
    source: Source | CoarseSource | StackSource, name: str, side: Shape | None = None
) -> LazyLevel:
    """A level that is read in chunks of `side`, or of its own."""
    plane = source.planes[0] if isinstance(source, StackSource) else source
    lead = source.ndim - plane.ndim
    chunks = (*[1] * lead, *(side or plane.chunk), *plane.shape[2:])
    own_threads = isinstance(source, LevelSource) and source.slide.reads_in_threads
    at_once = MOST_AT_ONCE if own_threads else SMALL
    return LazyLevel(source, chunks, f"pathseg-{name}", at_once)
