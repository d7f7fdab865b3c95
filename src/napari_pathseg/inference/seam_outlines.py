"""Exact outlines of the objects of a label array of any size.

What lies in one block is traced there. Of an object that lies in several, each block gives its
piece of the border as paths that end at the seams; the paths are tied together at the end.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from napari_pathseg.inference.joining import Block, Joined, blocks_of
from napari_pathseg.labels.raster import Outline, Polygon, Ring, outlines
from napari_pathseg.progress import CancelToken

Ints = npt.NDArray[np.integer[Any]]
Key = tuple[int, int, int]

# Directions along a pixel edge with its pixel on the right hand, y downwards: east along the top
# edge, south along the right one, west along the bottom, north along the left; the pixel corner
# where the edge starts.
STEPS = ((0, 1), (1, 0), (0, -1), (-1, 0))
STARTS = ((0, 0), (0, 1), (1, 1), (1, 0))

BLOCKS_AT_ONCE = 4
"""Blocks that are traced at the same time; each takes some 0.1 GB."""


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """A piece of a border inside one block.

    Attributes
    ----------
    points : list of (y, x)
        Corners, label pixels; the first is where the path begins, corner or not.
    part : int
    follows : (y, x, direction) or None
        The edge that comes after it; None where the path is closed in its block.
    straight : bool
        Whether that edge goes on in the same direction.
    """

    points: list[tuple[int, int]]
    part: int
    follows: Key | None
    straight: bool


_Traced = tuple[list[Outline], list[tuple[Key, _Path]]]


def trace_objects(joined: Joined, cancel: CancelToken | None = None) -> Iterator[Outline]:
    """The outlines of all objects, with places in label pixels; those over seams come last.

    Raises
    ------
    CancelledError
    """
    cancel = cancel or CancelToken()
    open_paths: dict[Key, _Path] = {}
    rings: dict[int, list[list[tuple[int, int]]]] = defaultdict(list)
    for inside, paths in _each_block(joined, cancel):
        yield from inside
        for start, path in paths:
            if path.follows is None:
                rings[path.part].append(path.points)
            else:
                open_paths[start] = path
    _tie(open_paths, rings)
    yield from _assembled(rings, joined)


def _each_block(joined: Joined, cancel: CancelToken) -> Iterator[_Traced]:
    """What is traced in each block, in their order, several at a time."""
    blocks, waiting = blocks_of(joined.parts), deque[Future[_Traced]]()
    threads = min(torch.get_num_threads(), BLOCKS_AT_ONCE)
    with ThreadPoolExecutor(threads, thread_name_prefix="pathseg-trace") as pool:
        try:
            for block in blocks:
                waiting.append(pool.submit(_traced, block, joined))
                if len(waiting) > threads:
                    cancel.raise_if_cancelled()
                    yield waiting.popleft().result()
            while waiting:
                cancel.raise_if_cancelled()
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _traced(block: Block, joined: Joined) -> _Traced:
    """Outlines of what lies in one block alone, and the borders there of what does not."""
    parts = joined.parts.read(block.y - 1, block.x - 1, block.height + 2, block.width + 2)
    objects = joined.owner[parts]
    crossing = joined.crossing[objects]
    alone = outlines(np.where(crossing, 0, objects)[1:-1, 1:-1])
    inside = [outline.moved(block.y, block.x) for outline in alone]
    if not crossing[1:-1, 1:-1].any():
        return inside, []
    return inside, list(_paths(block, np.where(crossing, joined.part[parts], 0)))


def _paths(block: Block, whole: Ints) -> Iterator[tuple[Key, _Path]]:
    """The borders in a block, given with one pixel around it, cut where they leave it."""
    width = whole.shape[1]
    flat = whole.ravel()
    core = np.zeros(whole.shape, dtype=bool)
    core[1:-1, 1:-1] = True
    inside = np.flatnonzero((flat > 0) & core.ravel())
    jump = [y * width + x for y, x in STEPS]
    edges, after, goes_on = [], [], []
    for d in range(4):
        here = inside[flat[inside + jump[d - 1]] != flat[inside]]
        own = flat[here]
        ahead, left = here + jump[d], here + jump[d] + jump[d - 1]
        # Turning left where it can be done, so that no ring meets itself.
        turns = flat[left] == own
        straight = ~turns & (flat[ahead] == own)
        edges.append(here * 4 + d)
        after.append(
            np.where(
                turns,
                left * 4 + (d - 1) % 4,
                np.where(straight, ahead * 4 + d, here * 4 + (d + 1) % 4),
            )
        )
        goes_on.append(straight)
    own_edges = np.concatenate(edges)
    order = np.argsort(own_edges)
    own_edges, straights = own_edges[order], np.concatenate(goes_on)[order]
    codes = np.concatenate(after)[order]
    place = np.minimum(np.searchsorted(own_edges, codes), max(own_edges.size - 1, 0))
    following = np.where(own_edges[place] == codes, place, -1) if own_edges.size else place
    yield from _walk(block, width, flat, own_edges, following, codes, straights)


def _walk(
    block: Block,
    width: int,
    flat: Ints,
    edges: Ints,
    following: Ints,
    codes: Ints,
    straights: npt.NDArray[np.bool_],
) -> Iterator[tuple[Key, _Path]]:
    """Follow the edges of a block, first from those that are entered over a seam."""
    entered = np.ones(edges.size, dtype=bool)
    entered[following[following >= 0]] = False
    begins = np.flatnonzero(entered).tolist()
    next_of, straight_of = following.tolist(), straights.tolist()
    seen = bytearray(edges.size)

    def corner(edge: int) -> tuple[int, int]:
        y, x, d = _key(int(edges[edge]), width, block)
        return y + STARTS[d][0], x + STARTS[d][1]

    for first in [*begins, *range(edges.size)]:
        if seen[first]:
            continue
        points, edge, last = [corner(first)], first, first
        while edge >= 0 and not seen[edge]:
            seen[edge] = 1
            if edge != first and not straight_of[last]:
                points.append(corner(edge))
            last, edge = edge, next_of[edge]
        part = int(flat[int(edges[first]) // 4])
        if edge < 0:
            follows = _key(int(codes[last]), width, block)
            yield (
                _key(int(edges[first]), width, block),
                _Path(points, part, follows, straight_of[last]),
            )
        else:
            yield (0, 0, 0), _Path(points[int(straight_of[last]) :], part, None, False)


def _key(code: int, width: int, block: Block) -> Key:
    """Label pixel (y, x) and direction of an edge."""
    pixel, d = divmod(code, 4)
    y, x = divmod(pixel, width)
    return y + block.y - 1, x + block.x - 1, d


def _tie(paths: dict[Key, _Path], rings: dict[int, list[list[tuple[int, int]]]]) -> None:
    """Tie paths together, end to start, until all are rings."""
    while paths:
        start, path = paths.popitem()
        points, part = list(path.points), path.part
        while path.follows != start:
            straight = path.straight
            if path.follows is None:
                raise AssertionError("a path that is open has an edge that follows")
            path = paths.pop(path.follows)
            points += path.points[int(straight) :]
        rings[part].append(points[int(path.straight) :])


def _assembled(rings: dict[int, list[list[tuple[int, int]]]], joined: Joined) -> Iterator[Outline]:
    """Rings to polygons, one a part, and parts to objects, in the order of their numbers."""
    of_object: dict[int, list[int]] = defaultdict(list)
    for part in sorted(rings):
        of_object[int(joined.owner[part])].append(part)
    for number in sorted(of_object):
        yield Outline(number, tuple(_polygon(rings.pop(part)) for part in of_object[number]))


def _polygon(rings: list[list[tuple[int, int]]]) -> Polygon:
    """The one ring of positive area around the others."""
    closed = [np.array([*ring, ring[0]], dtype=np.int64) for ring in rings]
    areas = [shoelace(ring) for ring in closed]
    outer = int(np.argmax(areas))
    holes = sorted((tuple(r.min(axis=0)), i) for i, r in enumerate(closed) if i != outer)
    return Polygon(closed[outer], tuple(closed[i] for _, i in holes))


def shoelace(ring: Ring) -> int:
    """Twice the signed area of a closed ring of (y, x); positive in (x, y) for an exterior."""
    y, x = ring[:, 0], ring[:, 1]
    return int((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
