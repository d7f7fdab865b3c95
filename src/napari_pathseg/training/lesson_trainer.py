"""One head in training: crops of cached tiles, steps, and the average of its weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from napari_pathseg.models.adapted import answer_of
from napari_pathseg.models.adapter import TermHead
from napari_pathseg.models.base import FloatMap, gated
from napari_pathseg.training.averaging import follow
from napari_pathseg.training.lesson_tiles import LessonTile, View
from napari_pathseg.training.losses import mask_loss

SAMPLED_PX = 4096
PRESENT_CHANCE = 0.7
# How much of the average of the weights stays at a step, at most.
KEPT = 0.95


@dataclass(frozen=True, slots=True)
class LearningConfig:
    """How a term is learned.

    Attributes
    ----------
    steps : int
        Of the longest training; the curve says where it stops.
    measured_every : int
        Steps from one point of the curve to the next.
    parts : int
        The fields are held out in so many parts, one after the other.
    batch, crop_px : int
        Crops of a step, and their side on the maps (a quarter of the model's pixels).
    tiles, encodings : int
        At most so many tiles in all; about so many passes of the encoder, variants included.
    """

    steps: int = 120
    measured_every: int = 20
    parts: int = 3
    batch: int = 6
    crop_px: int = 64
    rate: float = 4e-3
    weight_decay: float = 0.02
    tiles: int = 120
    encodings: int = 90
    seed: int = 0


class HeadTrainer:
    """One head and the tiles that it learns from; the same seed gives the same head.

    At the rate that learns fast enough a single step can undo much: what is measured and kept is
    the running average of the weights, which may stop at any step.

    Attributes
    ----------
    head : TermHead
        The average.
    """

    def __init__(self, tiles: Sequence[LessonTile], config: LearningConfig, gate: float) -> None:
        torch.manual_seed(config.seed)
        self._config, self._gate = config, gate
        self._rng = np.random.default_rng(config.seed)
        self._present = [t for t in tiles if bool((t.views[0].target > 0.5).any())]
        self._absent = [t for t in tiles if t not in self._present]
        self._learning = TermHead()
        self._learning.fit_scale(*_samples(tiles, self._rng))
        self.head = copy.deepcopy(self._learning).eval().requires_grad_(False)
        self._optimizer = torch.optim.AdamW(
            self._learning.parameters(), lr=config.rate, weight_decay=config.weight_decay
        )
        self._step = 0

    def step(self) -> float:
        """One step on a batch of crops; its loss."""
        self._step += 1
        fraction = min(self._step / self._config.steps, 1.0)
        rate = self._config.rate * min(1.0, self._step / 10) * (1 + math.cos(math.pi * fraction))
        for group in self._optimizer.param_groups:
            group["lr"] = rate / 2 + self._config.rate / 100
        crops = [self._crop() for _ in range(self._config.batch)]
        tokens, pixels, base, target, valid = (
            torch.stack([getattr(crop, name).float() for crop in crops])
            for name in ("tokens", "pixels", "base", "target", "valid")
        )
        logits = self._learning(tokens, pixels) + base
        loss: Tensor = mask_loss(logits, target, valid).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._learning.parameters(), 1.0)
        self._optimizer.step()
        follow(self.head, self._learning, self._step, KEPT)
        return float(loss.detach())

    def answer(self, view: View) -> FloatMap:
        """Logits of a whole tile (h, w), as a session would show them."""
        with torch.inference_mode():
            raw = self.head(view.tokens[None].float(), view.pixels[None].float())[0] + view.base
        answer = answer_of(raw.numpy())
        return gated(answer, self._gate)

    def _crop(self) -> View:
        """A random part of a random view; more often around the term than not."""
        wanted = self._rng.random() < PRESENT_CHANCE or not self._absent
        own = self._present if wanted and self._present else self._absent or self._present
        tile = own[int(self._rng.integers(len(own)))]
        view = tile.views[int(self._rng.integers(len(tile.views)))]
        height, width = view.target.shape
        on_it = wanted and self._rng.random() < 0.7
        places = torch.nonzero((view.target if on_it else view.valid) > 0.5)
        places = places if len(places) else torch.nonzero(view.valid > 0.5)
        center_y, center_x = places[int(self._rng.integers(len(places)))].tolist()
        side = self._config.crop_px
        y, x = _place(height, side, center_y, self._rng), _place(width, side, center_x, self._rng)
        return _part(view, y, x, side)


def _place(length: int, side: int, center: int, rng: np.random.Generator) -> int:
    """Where a crop with a place in it starts: a multiple of 4, so that tokens and pixels agree."""
    start = center - int(rng.integers(side))
    return min(max(start, 0), max(length - side, 0)) // 4 * 4


def _part(view: View, y: int, x: int, side: int) -> View:
    """A square of a view; beyond its edges nothing is known."""

    def cut(values: Tensor, scale: int = 1) -> Tensor:
        own = side // scale
        part = values[..., y // scale : y // scale + own, x // scale : x // scale + own]
        below, right = own - part.shape[-2], own - part.shape[-1]
        return nn.functional.pad(part, (0, right, 0, below))

    return replace(
        view,
        tokens=cut(view.tokens, 4),
        pixels=cut(view.pixels),
        base=cut(view.base),
        target=cut(view.target),
        valid=cut(view.valid),
    )


def _samples(tiles: Sequence[LessonTile], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Feature vectors from all tiles (N, 256) and (N, 64)."""
    tokens: list[Tensor] = []
    pixels: list[Tensor] = []
    each = max(SAMPLED_PX // max(len(tiles), 1), 8)
    for tile in tiles:
        for found, values in ((tokens, tile.views[0].tokens), (pixels, tile.views[0].pixels)):
            flat = values.flatten(1).T.float()
            found.append(flat[torch.from_numpy(rng.integers(0, len(flat), each))])
    return torch.cat(tokens), torch.cat(pixels)
