"""Scribbles and lassos as the points, boxes and cuts that a model understands."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import Field, Region
from napari_pathseg.inference.segmentation import Logits
from napari_pathseg.inference.tiling import OUTSIDE
from napari_pathseg.labels.scan import fill
from napari_pathseg.prompts import (
    BoxPrompt,
    LassoPrompt,
    PointPrompt,
    Prompt,
    ScribblePrompt,
    SpatialPrompt,
)

SCRIBBLE_POINTS = 4
"""As many as the model was taught with at once; docs/correcting.md has the figures."""
WINDOW_MARGIN = 1.6  # of the largest extent of the prompts
BOX_VIEW, CLICKS_VIEW = 5.0, 8.0
"""What a small box, or several clicks near each other, mean is looked at in a window so many times
their extent; docs/model.md has the figures.
"""
SEVERAL_CLICKS = 3
CLICKS_DOWNSAMPLE = 0.5
"""Level-0 pixels per model pixel: they are looked at no closer."""
BESIDE_PX = 24
"""Field pixels around a click that tell whether it lies on glass."""
EDGE_PX = 2
CUT_SHARE = 0.05
"""An answer that takes more of the edges of what was looked at goes on beyond them."""
Bool = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def spatial_prompts(prompts: Iterable[Prompt]) -> list[SpatialPrompt]:
    """What a model is asked for the places among some prompts, in order.

    A scribble is points along it, a lasso the box around it; a lasso that says "nothing in
    here" asks for nothing, :func:`cut_to_lassos` takes away what it encloses.
    """
    found: list[SpatialPrompt] = []
    for prompt in prompts:
        match prompt:
            case PointPrompt() | BoxPrompt():
                found.append(prompt)
            case ScribblePrompt(path, positive):
                found += [PointPrompt(y, x, positive) for y, x in points_along(path)]
            case LassoPrompt(outline, True):
                low, high = np.min(outline, axis=0), np.max(outline, axis=0)
                found.append(BoxPrompt(*low.tolist(), *high.tolist()))
    return found


def points_along(path: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Places on a path, each in the middle of an equal part of its length."""
    places = np.asarray(path, dtype=np.float64)
    steps = np.hypot(*np.diff(places, axis=0).T) if len(places) > 1 else np.zeros(0)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    if along[-1] == 0:
        return [(float(places[0, 0]), float(places[0, 1]))]
    wanted = (np.arange(SCRIBBLE_POINTS) + 0.5) / SCRIBBLE_POINTS * along[-1]
    y, x = (np.interp(wanted, along, places[:, axis]) for axis in (0, 1))
    return list(zip(y.tolist(), x.tolist(), strict=True))


def cut_to_lassos(logits: Logits, prompts: Sequence[Prompt], field: Field) -> Logits:
    """Nothing outside the lassos (and boxes beside them), nothing inside those that say so.

    Parameters
    ----------
    logits : float32 array (maps, height, width)
        On the grid of `field`.
    prompts : sequence of Prompt
        Level-0 pixels.
    """
    lassos = [p for p in prompts if isinstance(p, LassoPrompt)]
    if not lassos or not len(logits):
        return logits
    cut = _inside([p.outline for p in lassos if not p.positive], field)
    if any(p.positive for p in lassos):
        boxes = [_corners(p) for p in prompts if isinstance(p, BoxPrompt)]
        cut |= ~_inside([*(p.outline for p in lassos if p.positive), *boxes], field)
    return np.where(cut, OUTSIDE, logits)


def _inside(outlines: Sequence[Sequence[tuple[float, float]]], field: Field) -> Bool:
    """Field pixels whose centre lies in any of some level-0 outlines, bool (height, width)."""
    rings = [
        [np.asarray(o) / np.asarray(field.downsample) - np.array([field.y, field.x])]
        for o in outlines
    ]
    return fill(field.shape, rings, [1] * len(rings)) > 0


def _corners(box: BoxPrompt) -> list[tuple[float, float]]:
    return [(box.y0, box.x0), (box.y0, box.x1), (box.y1, box.x1), (box.y1, box.x0)]


def window_around(prompts: Sequence[SpatialPrompt], side: float, finest: float) -> Region:
    """What is looked at around clicks and boxes: a square, so that small things are seen.

    It stays where the first of them put it while the others are well inside, so that the next
    click nearby finds the embedding made already. A small box, and several clicks near each other,
    tell how large a thing they mean: it is looked at closer, as far as a third of the side.

    Parameters
    ----------
    prompts : sequence of SpatialPrompt
    side : float
        Level-0 pixels.
    finest : float
        No smaller for clicks, level-0 pixels.
    """
    sides = [side]
    low, high = _bounds(prompts[:1] if isinstance(prompts[0], BoxPrompt) else prompts)
    extent = float((high - low).max())
    if isinstance(prompts[0], BoxPrompt):
        sides.insert(0, min(max(BOX_VIEW * extent, side / 3), side))
    elif len(prompts) >= SEVERAL_CLICKS:
        sides.insert(0, min(max(CLICKS_VIEW * extent, side / 3, finest), side))
    for each in sides:
        window = _square_around(prompts[:1], each)
        if all(_well_inside(prompt, window) for prompt in prompts):
            return window
    return _square_around(prompts, side)


def beside_clicks(prompts: Sequence[SpatialPrompt], downsample: float) -> Iterator[Region]:
    """What lies right beside each click that says "here", as large as `BESIDE_PX` field pixels."""
    for prompt in prompts:
        if isinstance(prompt, PointPrompt) and prompt.positive:
            yield _square_around([prompt], BESIDE_PX * downsample)


def _square_around(prompts: Sequence[SpatialPrompt], side: float) -> Region:
    """A square of at least `side` level-0 pixels with prompts in its middle."""
    low, high = _bounds(prompts)
    half = max(side, WINDOW_MARGIN * float((high - low).max())) / 2
    y, x = (low + high) / 2
    return Region.from_corners(y - half, x - half, y + half, x + half)


def _bounds(prompts: Sequence[SpatialPrompt]) -> tuple[Floats, Floats]:
    """Low and high corner (y, x) of the rectangle around prompts."""
    extents = np.array([_extent(p) for p in prompts])
    return extents[:, :2].min(axis=0), extents[:, 2:].max(axis=0)


def ends_at_window(found: Bool, field: Field, window: Region) -> bool:
    """Whether an answer reaches the edges of what was looked at, where the field goes on.

    Parameters
    ----------
    found : bool array (height, width)
        On the grid of `field`.
    field : Field
    window : Region
        What was looked at, level-0 pixels.
    """
    rows, columns = _pixels_in(field, window)
    inside, last = found[rows, columns], -EDGE_PX - 1
    edges = [
        line
        for line, is_within in (
            (inside[EDGE_PX : EDGE_PX + 1], rows.start > EDGE_PX),
            (inside[last : last + 1], rows.stop < field.height - EDGE_PX),
            (inside[:, EDGE_PX : EDGE_PX + 1], columns.start > EDGE_PX),
            (inside[:, last : last + 1], columns.stop < field.width - EDGE_PX),
        )
        if is_within
    ]
    taken = sum(int(line.sum()) for line in edges)
    return taken > CUT_SHARE * sum(line.size for line in edges)


def carried_on(near: Logits, wide: Logits, field: Field, window: Region, cut: float) -> Logits:
    """An answer from a window, and beyond it what hangs together with it in a wider answer.

    Parameters
    ----------
    near, wide : float32 array (height, width)
        On the grid of `field`.
    field : Field
    window : Region
        Where `near` holds, level-0 pixels.
    cut : float
        Logit from which a pixel belongs to the answer.
    """
    within = np.zeros(field.shape, dtype=bool)
    within[_pixels_in(field, window)] = True
    joined = np.where(within, near, wide)
    pieces, _ = ndimage.label(joined > cut, np.ones((3, 3)))
    hangs = np.zeros(int(pieces.max()) + 1, dtype=bool)
    hangs[pieces[within]] = True
    return np.where(within | hangs[pieces], joined, np.minimum(joined, OUTSIDE))


def _pixels_in(field: Field, region: Region) -> tuple[slice, slice]:
    """Rows and columns of a field that lie wholly in a region that meets it."""
    y0, x0 = (max(math.ceil(at), 0) for at in field.from_level0(region.y, region.x))
    y1, x1 = (int(at) for at in field.from_level0(region.stop_y, region.stop_x))
    return slice(y0, min(y1, field.height)), slice(x0, min(x1, field.width))


def is_one_click(prompts: Sequence[SpatialPrompt]) -> bool:
    """Whether all that is given is one point on the object."""
    return len(prompts) == 1 and isinstance(prompts[0], PointPrompt)


def _well_inside(prompt: SpatialPrompt, window: Region) -> bool:
    """Whether a prompt keeps a tenth of the window's side from its edges."""
    margin = window.height / 10
    y0, x0, y1, x1 = _extent(prompt)
    return window.contains(y0 - margin, x0 - margin) and window.contains(y1 + margin, x1 + margin)


def _extent(prompt: SpatialPrompt) -> tuple[float, float, float, float]:
    """(y0, x0, y1, x1) of a point or box."""
    if isinstance(prompt, PointPrompt):
        return prompt.y, prompt.x, prompt.y, prompt.x
    return prompt.y0, prompt.x0, prompt.y1, prompt.x1


def check_places(region: Region, spatial: Sequence[SpatialPrompt]) -> None:
    """Refuse points outside a region, and boxes that do not meet it.

    Raises
    ------
    RegionError
    """
    for prompt in spatial:
        if isinstance(prompt, PointPrompt) and not region.contains(prompt.y, prompt.x):
            raise RegionError(
                f"The point ({prompt.y:g}, {prompt.x:g}) lies outside the field "
                f"{region.as_list()}.",
                "Points are level-0 pixels, y before x.",
            )
        if isinstance(prompt, BoxPrompt):
            box = Region.from_corners(prompt.y0, prompt.x0, prompt.y1, prompt.x1)
            if box.intersection(region) is None:
                raise RegionError(
                    f"The box {box.as_list()} [y, x, height, width] lies outside the field "
                    f"{region.as_list()}.",
                    "Boxes are level-0 pixels: y0 x0 y1 x1.",
                )
