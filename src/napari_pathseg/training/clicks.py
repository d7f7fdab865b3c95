"""Clicks, boxes and rough masks, simulated as a person would give them.

Source: Segment Anything (arXiv 2304.02643), appendix A (interactive training); WSI-SAM
(arXiv 2403.09257), training prompts (box noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from napari_pathseg.models.prompt_encoder import (
    BOX_START,
    BOX_STOP,
    MAX_POINTS,
    NEGATIVE,
    PADDING,
    POSITIVE,
)
from napari_pathseg.training.sampling import TARGET_STRIDE


@dataclass(frozen=True, slots=True)
class Clicks:
    """Points of one prompt: `xy` float (K, 2) in crop pixels, `labels` int (K,), K = MAX_POINTS."""

    xy: Tensor
    labels: Tensor

    @classmethod
    def of(cls, points: list[tuple[float, float, int]]) -> Clicks:
        """From (x, y, label) triples, padded."""
        xy = torch.zeros(MAX_POINTS, 2)
        labels = torch.full((MAX_POINTS,), PADDING, dtype=torch.int64)
        for i, (x, y, label) in enumerate(points[:MAX_POINTS]):
            xy[i, 0], xy[i, 1], labels[i] = x, y, label
        return cls(xy, labels)


def no_clicks() -> Clicks:
    """Nothing but padding."""
    return Clicks.of([])


def point_in(mask: Tensor, rng: np.random.Generator, deepest: float = 0.5) -> tuple[float, float]:
    """A place (x, y) in crop pixels inside a mask (H, W): the deepest or a random one."""
    inside = (mask > 0.5).numpy()
    if rng.random() < deepest:
        y, x = np.unravel_index(ndimage.distance_transform_edt(inside).argmax(), inside.shape)
    else:
        ys, xs = np.nonzero(inside)
        i = rng.integers(len(ys))
        y, x = ys[i], xs[i]
    return (float(x) + 0.5) * TARGET_STRIDE, (float(y) + 0.5) * TARGET_STRIDE


def box_around(mask: Tensor, rng: np.random.Generator, noise: float = 0.1) -> Clicks:
    """A noisy box around a mask (H, W)."""
    ys, xs = np.nonzero((mask > 0.5).numpy())
    y0, y1, x0, x1 = ys.min(), ys.max() + 1, xs.min(), xs.max() + 1
    height, width = y1 - y0, x1 - x0
    dy = rng.uniform(-noise, noise, 2) * height
    dx = rng.uniform(-noise, noise, 2) * width
    corners = np.array([x0 + dx[0], y0 + dy[0], x1 + dx[1], y1 + dy[1]]) * TARGET_STRIDE
    return Clicks.of([(corners[0], corners[1], BOX_START), (corners[2], corners[3], BOX_STOP)])


def random_box(mask: Tensor, rng: np.random.Generator) -> tuple[Clicks, Tensor]:
    """A box somewhere over a mask (H, W), and the part of the mask in it."""
    height, width = mask.shape
    x, y = point_in(mask, rng, deepest=0.0)
    x, y = x / TARGET_STRIDE, y / TARGET_STRIDE
    half_h, half_w = rng.uniform(0.08, 0.35, 2) * (height, width)
    y0, y1 = max(y - half_h, 0.0), min(y + half_h, float(height))
    x0, x1 = max(x - half_w, 0.0), min(x + half_w, float(width))
    inside = torch.zeros_like(mask)
    inside[round(y0) : round(y1), round(x0) : round(x1)] = 1
    s = TARGET_STRIDE
    clicks = Clicks.of([(x0 * s, y0 * s, BOX_START), (x1 * s, y1 * s, BOX_STOP)])
    return clicks, mask * inside


def corrections(
    logits: Tensor, target: Tensor, valid: Tensor, rng: np.random.Generator, count: int
) -> list[tuple[float, float, int]]:
    """Clicks at the errors of an answer, (x, y, label) in crop pixels; larger error first."""
    answer, truth = logits > 0, target > 0.5
    missing = truth & ~answer & (valid > 0.5)
    wrong = answer & ~truth & (valid > 0.5)
    points = []
    for _ in range(count):
        kind = missing if missing.sum() >= wrong.sum() else wrong
        if not bool(kind.any()):
            break
        x, y = point_in(kind.float(), rng)
        points.append((x, y, POSITIVE if kind is missing else NEGATIVE))
        _clear_object(kind, x, y)
    return points


def _clear_object(mask: Tensor, x: float, y: float) -> None:
    """Remove the connected part under a click, in place, so that the next goes elsewhere."""
    parts, _ = ndimage.label(mask.numpy())
    here = parts[int(y / TARGET_STRIDE), int(x / TARGET_STRIDE)]
    mask[torch.from_numpy(parts == here)] = False
