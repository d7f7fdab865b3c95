"""Training of the words' path alone, on crops that are encoded once: many steps on few cores.

The image encoder and everything that clicks use stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from napari_pathseg.models.image_encoder import ImageMaps
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.training.augment import turn
from napari_pathseg.training.sampling import Sample, TermTarget
from napari_pathseg.training.step import WordRow, word_loss

TRAINED = ("pixel_decoder", "query_decoder", "term_encoder")
# Tokens are scaled and shaken in half of the steps, as no crop comes in other colours again.
SHAKEN, SCALE_NOISE, TOKEN_NOISE = 0.5, 0.1, 0.05


@dataclass(frozen=True, slots=True)
class EncodedSample:
    """A crop as the frozen encoder saw it, in half precision, with targets in bytes."""

    maps: ImageMaps
    valid: Tensor
    terms: tuple[TermTarget, ...]

    def turned(self, turns: int, flip: bool) -> EncodedSample:
        """Everything turned alike, in full precision."""
        maps = (self.maps.tokens, self.maps.middle, self.maps.early)
        terms = (TermTarget(t.term, turn(t.target.float() / 255, turns, flip)) for t in self.terms)
        return EncodedSample(
            ImageMaps(*(turn(m.float(), turns, flip) for m in maps)),
            turn(self.valid, turns, flip),
            tuple(terms),
        )


class EncodedCrops:
    """Crops of one group, encoded once and drawn again and again.

    Parameters
    ----------
    network : PathsegNetwork
    draw : callable
        Gives a batch of samples.
    count : int
        Crops to keep: about 1 MB each at 256 pixels.
    """

    def __init__(
        self,
        network: PathsegNetwork,
        draw: Callable[[np.random.Generator], list[Sample]],
        count: int,
        rng: np.random.Generator,
    ) -> None:
        self._kept: list[EncodedSample] = []
        self._batch = 0
        while len(self._kept) < count:
            samples = draw(rng)
            self._batch = len(samples)
            with torch.no_grad():
                maps = network.image_encoder(torch.stack([s.image for s in samples]))
            self._kept += [_kept(maps, i, sample) for i, sample in enumerate(samples)]

    def draw(self, rng: np.random.Generator) -> list[EncodedSample]:
        """A batch, each crop turned at random."""
        chosen = rng.choice(len(self._kept), min(self._batch, len(self._kept)), replace=False)
        return [
            self._kept[i].turned(int(rng.integers(4)), bool(rng.random() < 0.5)) for i in chosen
        ]


class FrozenStep:
    """Losses of the words on a batch of encoded crops."""

    def __init__(self, network: PathsegNetwork, rng: np.random.Generator) -> None:
        self._network = network
        self._rng = rng

    def __call__(self, samples: list[EncodedSample]) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise and its parts for the log."""
        maps = ImageMaps(
            *(torch.stack([getattr(s.maps, name) for s in samples]) for name in ImageMaps.__slots__)
        )
        if self._rng.random() < SHAKEN:
            maps = _shaken(maps)
        rows = [
            WordRow(i, index, target.target)
            for i, sample in enumerate(samples)
            for index, target in zip(
                self._network.term_encoder.indices([t.term for t in sample.terms]),
                sample.terms,
                strict=True,
            )
        ]
        answers = self._network.query_decoder(
            maps.tokens,
            self._network.pixel_decoder(maps),
            self._network.term_encoder(torch.stack([r.term for r in rows])),
            torch.tensor([r.image for r in rows]),
        )
        return word_loss(answers, rows, [s.valid for s in samples])


def _kept(maps: ImageMaps, i: int, sample: Sample) -> EncodedSample:
    own = ImageMaps(*(getattr(maps, name)[i].half() for name in ImageMaps.__slots__))
    terms = (TermTarget(t.term, (t.target * 255).round().byte()) for t in sample.terms)
    return EncodedSample(own, sample.valid, tuple(terms))


def _shaken(maps: ImageMaps) -> ImageMaps:
    tokens = maps.tokens
    scale = 1 + SCALE_NOISE * torch.randn(*tokens.shape[:2], 1, 1)
    return ImageMaps(
        tokens * scale + TOKEN_NOISE * torch.randn_like(tokens), maps.middle, maps.early
    )
