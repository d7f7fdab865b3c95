"""Training on crops whose lower maps are kept: many steps on few cores."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.models.image_encoder import ImageEncoder, ImageMaps, LowerMaps
from napari_pathseg.training.augment import turn
from napari_pathseg.training.sampling import Sample, TermTarget, seen_below

# The chance of a batch that was never drawn before; it takes the place of the oldest.
RENEWED = 0.1
# Tokens are scaled and shaken in half of the steps, as no crop comes in other colours again.
SHAKEN, SCALE_NOISE, TOKEN_NOISE = 0.5, 0.1, 0.05


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A crop as the lower part of the encoder saw it, in half precision, with targets in bytes."""

    maps: LowerMaps
    valid: Tensor
    terms: tuple[TermTarget, ...]
    objects: tuple[Tensor, ...]

    @classmethod
    def of(cls, sample: Sample, maps: LowerMaps, row: int) -> EncodedSample:
        """From a sample, which is a row of the maps."""
        own = maps.each(lambda m: m[row].half())
        terms = (TermTarget(t.term, _packed(t.target)) for t in sample.terms)
        objects = (_packed(o) for o in sample.objects)
        return cls(own, _packed(sample.valid), tuple(terms), tuple(objects))

    def turned(self, turns: int, flip: bool) -> EncodedSample:
        """Everything turned alike, in full precision."""

        def target(packed: Tensor) -> Tensor:
            return turn(packed.float() / 255, turns, flip).contiguous()

        return EncodedSample(
            self.maps.each(lambda m: turn(m.float(), turns, flip)),
            target(self.valid),
            tuple(TermTarget(t.term, target(t.target)) for t in self.terms),
            tuple(target(o) for o in self.objects),
        )


class KeptCrops:
    """Crops of one group, seen once by the convolutional part of the encoder, which does not learn
    meanwhile, and drawn again and again; now and then a new one.

    Parameters
    ----------
    encoder : ImageEncoder
    draw : callable
        Gives a batch of samples.
    count : int
        Crops to keep: about 1 MB each at 256 pixels, 2 MB at 448 and the targets.
    """

    def __init__(
        self,
        encoder: ImageEncoder,
        draw: Callable[[np.random.Generator], list[Sample]],
        count: int,
        rng: np.random.Generator,
    ) -> None:
        self._encoder, self._draw = encoder, draw
        self._kept: list[EncodedSample] = []
        self._batch = 0
        self._oldest = 0
        while len(self._kept) < count:
            batch = self._encoded(rng)
            self._kept += batch
            self._batch = len(batch)

    def draw(self, rng: np.random.Generator) -> tuple[list[EncodedSample], ImageMaps]:
        """A batch, each crop turned at random, and what was seen in it, at times shaken."""
        if rng.random() < RENEWED:
            for sample in self._encoded(rng):
                self._kept[self._oldest] = sample
                self._oldest = (self._oldest + 1) % len(self._kept)
        chosen = rng.choice(len(self._kept), self._batch, replace=False)
        samples = [
            self._kept[i].turned(int(rng.integers(4)), bool(rng.random() < 0.5)) for i in chosen
        ]
        lower = LowerMaps.stacked([s.maps for s in samples])
        return samples, _shaken(lower.finished(self._encoder), rng)

    def _encoded(self, rng: np.random.Generator) -> list[EncodedSample]:
        samples = self._draw(rng)
        with torch.no_grad():
            maps = seen_below(samples, self._encoder)
        return [EncodedSample.of(sample, maps, i) for i, sample in enumerate(samples)]


def _shaken(maps: ImageMaps, rng: np.random.Generator) -> ImageMaps:
    if rng.random() >= SHAKEN:
        return maps
    scale = 1 + SCALE_NOISE * torch.randn(*maps.tokens.shape[:2], 1, 1)
    return replace(maps, tokens=maps.tokens * scale + TOKEN_NOISE * torch.randn_like(maps.tokens))


def _packed(target: Tensor) -> Tensor:
    return (target * 255).round().byte()
