"""Clicks, boxes, scribbles and lassos from the canvas: where they are, what of them is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_pathseg.geometry import Pair, Region, Shape
from napari_pathseg.prompts import BoxPrompt, Gesture, LassoPrompt, PointPrompt, ScribblePrompt

EDGE_PX = 1e-3


def place_of(gesture: Gesture) -> Pair:
    """The level-0 place that says which field is meant."""
    match gesture:
        case PointPrompt(y, x, _):
            return y, x
        case BoxPrompt(y0, x0, y1, x1):
            return (y0 + y1) / 2, (x0 + x1) / 2
        case ScribblePrompt(path, _):
            return path[len(path) // 2]
        case LassoPrompt(outline, _):
            low, high = np.min(outline, axis=0), np.max(outline, axis=0)
            return float(low[0] + high[0]) / 2, float(low[1] + high[1]) / 2


def beside(gesture: Gesture, shape: Shape) -> str:
    """Why a gesture means nothing on a slide of this shape, "" where it does."""
    whole = Region.whole(shape)
    match gesture:
        case PointPrompt(y, x, _):
            return "" if whole.contains(y, x) else "This click is beside the slide."
        case BoxPrompt(y0, x0, y1, x1):
            if y1 <= y0 or x1 <= x0:
                return "This box has no area. Drag from one corner to the other."
            outside = y1 <= 0 or x1 <= 0 or y0 >= shape[0] or x0 >= shape[1]
            return "This box is beside the slide." if outside else ""
        case ScribblePrompt(path, _):
            on = any(whole.contains(y, x) for y, x in path)
            return "" if on else "This scribble is beside the slide."
        case LassoPrompt(outline, _):
            if _area(outline) < 1:
                return "This lasso encloses nothing. Draw around what is meant."
            on = any(whole.contains(y, x) for y, x in outline)
            return "" if on else "This lasso is beside the slide."


def cut_to(gesture: Gesture, region: Region) -> Gesture:
    """The part of a gesture that lies in a region it meets."""
    low = np.array([region.y, region.x], float)
    high = np.array([region.stop_y, region.stop_x], float)
    match gesture:
        case PointPrompt():
            return gesture
        case BoxPrompt(y0, x0, y1, x1):
            top, left = np.clip((y0, x0), low, high).tolist()
            bottom, right = np.clip((y1, x1), low, high).tolist()
            return BoxPrompt(top, left, bottom, right)
        case ScribblePrompt(path, positive):
            inside = tuple(place for place in path if region.contains(*place))
            return ScribblePrompt(inside or (_clipped(path[:1], low, high)), positive)
        case LassoPrompt(outline, positive):
            return LassoPrompt(_clipped(outline, low, high), positive)


def _clipped(places: Sequence[Pair], low: np.ndarray, high: np.ndarray) -> tuple[Pair, ...]:
    inside = np.clip(np.asarray(places), low, high - EDGE_PX)
    return tuple((float(y), float(x)) for y, x in inside)


def _area(outline: Sequence[Pair]) -> float:
    """By the shoelace formula."""
    y, x = np.asarray(outline, float).T
    return abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1)))) / 2
