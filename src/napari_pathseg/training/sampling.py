"""Crops and targets of a training step, with terms that are there and terms that are not."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import Tensor
from torch.nn import functional

from napari_pathseg.classes import Term
from napari_pathseg.models.base import EDGE_SHADE
from napari_pathseg.models.context import COARSER, WIDER
from napari_pathseg.models.image_encoder import ImageEncoder, LowerMaps
from napari_pathseg.training.augment import augment_colors, glass_over, jitter_focus, turn
from napari_pathseg.training.cases import ANY_VALUE, Case
from napari_pathseg.training.recipe import DatasetRecipe

TARGET_STRIDE = 2
MIN_OBJECT_PX = 12
# Mask values of our own: nothing is known there; bare glass, where no term is.
OUTSIDE, GLASS = -1, -2
GLASS_CHANCE = 0.2
# How often a term that can not be in the organ is among those drawn: seldom, or a term of one
# organ would be absent ten times for every time it is there.
IMPOSSIBLE_CHANCE = 0.3
# Terms asked of one crop: those that are there, and some of those that are not.
PRESENT_TERMS, ABSENT_TERMS = 6, 2
RAREST_WEIGHT = 3.0
# The chance that a side of the context is hidden: how much of it is there must not tell the network
# which data set an image is from.
HIDDEN_SIDE = 0.3
# The share of crops in which an object is clicked at.
OBJECT_CHANCE = 0.8

Image = npt.NDArray[np.uint8]
Values = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class TermTarget:
    """A term and where it is in the crop; all zero where it is known to be absent.

    `target` is a float Tensor (crop / 2, crop / 2).
    """

    term: Term
    target: Tensor


class Shown(Protocol):
    """What is known of a crop that the network sees, as `Sample` has it."""

    @property
    def valid(self) -> Tensor:
        """Where the mask says something."""

    @property
    def terms(self) -> tuple[TermTarget, ...]:
        """Asked of the crop."""

    @property
    def objects(self) -> tuple[Tensor, ...]:
        """To click at."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One crop.

    Attributes
    ----------
    image : float Tensor (3, crop, crop), 0 to 255
    around : float Tensor (3, crop / 2, crop / 2) or None
        The context: twice as wide, at a quarter of the resolution.
    valid : float Tensor (crop / 2, crop / 2)
        1 where the mask says something.
    terms : tuple of TermTarget
    objects : tuple of Tensor (crop / 2, crop / 2)
        Single objects to click at.
    """

    image: Tensor
    around: Tensor | None
    valid: Tensor
    terms: tuple[TermTarget, ...]
    objects: tuple[Tensor, ...]


def seen_below(samples: Sequence[Sample], encoder: ImageEncoder) -> LowerMaps:
    """What the convolutional part of an encoder sees in a batch."""
    around = [s.around for s in samples if s.around is not None]
    wide = encoder.lower(torch.stack(around)) if around else None
    return LowerMaps(encoder.lower(torch.stack([s.image for s in samples])), wide)


class Sampler:
    """Draws crops of one data set.

    Parameters
    ----------
    cases : sequence of Case
        Of one data set; kept decoded in memory.
    recipe : DatasetRecipe
    crop_px : int
    objects_per_image : int
    augmented : bool
        With other colours, turned, blurred and with glass laid over.
    context : bool
        With what lies around each crop.
    """

    def __init__(
        self,
        cases: Sequence[Case],
        recipe: DatasetRecipe,
        crop_px: int,
        objects_per_image: int = 1,
        *,
        augmented: bool = True,
        context: bool = False,
    ) -> None:
        self._cases = list(cases)
        self._recipe = recipe
        self._crop = crop_px
        self._objects = objects_per_image
        self._augmented = augmented
        self._context = context
        self._cache: dict[str, tuple[Image, Values]] = {}
        self._chance = self._chances()

    def draw(self, rng: np.random.Generator) -> Sample:
        """One augmented crop."""
        case = self._cases[rng.choice(len(self._cases), p=self._chance)]
        image, mask = self._read(case)
        wide, values = self._crop_of(case, image, mask, rng)
        size = len(values)
        edge = (len(wide) - size) // 2
        pixels = wide[edge : edge + size, edge : edge + size]
        turns, flip = 0, False
        if self._augmented:
            turns, flip = int(rng.integers(4)), bool(rng.random() < 0.5)
            if rng.random() < GLASS_CHANCE:
                # A white hole in a gland would be its lumen, which belongs to it.
                holes = case.terms[0][1].structure == "nuclei"
                _lay_glass(pixels, values, holes, rng)
        tensor, around = self._images(pixels, wide if self._context else None, turns, flip, rng)
        valid = self._target(case.known(values) & (values != OUTSIDE), turns, flip)
        return Sample(
            image=tensor,
            around=around,
            valid=(valid > 0.5).float(),
            terms=self._draw_terms(case, values, turns, flip, rng),
            objects=self._draw_objects(case, values, turns, flip, rng),
        )

    def _chances(self) -> npt.NDArray[np.float64]:
        """How often each case is drawn: more often where it holds a term that few cases hold."""
        held = []
        for case in self._cases:
            _, mask = self._read(case)
            held.append({t for _, t in case.terms if case.term_mask(mask, t).any()})
        count = Counter(term for terms in held for term in terms)
        rarest = [min((count[t] for t in terms), default=len(held)) for terms in held]
        weight = np.minimum(np.sqrt(len(held) / np.array(rarest)), RAREST_WEIGHT)
        chances: npt.NDArray[np.float64] = weight / weight.sum()
        return chances

    def _read(self, case: Case) -> tuple[Image, Values]:
        if case.id not in self._cache:
            self._cache[case.id] = case.read_image(), case.read_mask()
        return self._cache[case.id]

    def _crop_of(
        self, case: Case, image: Image, mask: Values, rng: np.random.Generator
    ) -> tuple[Image, Values]:
        """Source pixels of a crop, with its context if wanted, and its mask; `OUTSIDE` in that
        where the crop leaves the image.
        """
        mpp = case.mpp or self._recipe.assumed_mpp or 1.0
        low, high = self._recipe.mpp
        shown = math.exp(rng.uniform(math.log(low), math.log(high)))
        size = 2 * max(round(self._crop * shown / mpp / 2), 8)
        y, x = (_start(length, size, rng) for length in mask.shape)
        values = _cut(mask, y, x, size, OUTSIDE)
        if not self._context:
            return _cut(image, y, x, size, EDGE_SHADE), values
        edge = size * (WIDER - 1) // 2
        wide = _cut(image, y - edge, x - edge, WIDER * size, EDGE_SHADE)
        if self._augmented:
            _hide_sides(wide, edge, rng)
        return wide, values

    def _images(
        self,
        pixels: Image,
        wide: Image | None,
        turns: int,
        flip: bool,
        rng: np.random.Generator,
    ) -> tuple[Tensor, Tensor | None]:
        """A crop (3, crop, crop) and its context as the network sees them, in the same colours."""
        seen = [pixels]
        if wide is not None:
            small = self._resize(_planes(wide).float(), self._crop * WIDER // COARSER)
            seen.append(small.round().byte().permute(1, 2, 0).numpy())
        colors = np.concatenate([each.reshape(-1, 1, 3) for each in seen])
        shades = colors.astype(np.float32)
        if self._augmented:
            shades = augment_colors(colors, rng, self._recipe.restain)
        parts = np.split(shades, [pixels.shape[0] * pixels.shape[1]])
        planes = [_planes(p.reshape(s.shape)) for p, s in zip(parts, seen, strict=False)]
        tensor = turn(self._resize(planes[0], self._crop), turns, flip).contiguous()
        tensor = jitter_focus(tensor, rng) if self._augmented else tensor
        return tensor, turn(planes[1], turns, flip).contiguous() if wide is not None else None

    def _draw_terms(
        self, case: Case, values: Values, turns: int, flip: bool, rng: np.random.Generator
    ) -> tuple[TermTarget, ...]:
        masks = self._term_masks(case, values)
        names = list(masks)
        present = [t for t in names if masks[t].sum() >= MIN_OBJECT_PX]
        absent = [t for t in names if t not in present]
        if rng.random() < IMPOSSIBLE_CHANCE:
            absent += [Term(case.region, s, o) for s, o in self._recipe.absent]
        rng.shuffle(present)
        rng.shuffle(absent)
        empty = np.zeros(values.shape, dtype=bool)
        drawn = []
        for term in present[:PRESENT_TERMS] + absent[:ABSENT_TERMS]:
            asked = term if rng.random() < 0.5 else term.without_region
            target = self._target(masks.get(term, empty), turns, flip)
            drawn.append(TermTarget(asked, target))
        return tuple(drawn)

    def _term_masks(self, case: Case, values: Values) -> dict[Term, npt.NDArray[np.bool_]]:
        terms = {term for _, term in case.terms}
        masks = {term: case.term_mask(values, term) & (values >= 0) for term in terms}
        for wide, parts in self._recipe.unions.items():
            union = [m for t, m in masks.items() if t.object in parts]
            masks[Term(case.region, "nuclei", wide)] = np.logical_or.reduce(union)
        return masks

    def _draw_objects(
        self, case: Case, values: Values, turns: int, flip: bool, rng: np.random.Generator
    ) -> tuple[Tensor, ...]:
        if case.kind == "points" or rng.random() > OBJECT_CHANCE:
            return ()
        if case.kind == "instance" or any(v == ANY_VALUE for v, _ in case.terms):
            ids = np.maximum(values, 0)
            if case.kind != "instance":
                ids, _ = ndimage.label(ids > 0)
        else:
            present = [v for v, _ in case.terms if (values == int(v)).sum() >= MIN_OBJECT_PX]
            if not present:
                return ()
            ids, _ = ndimage.label(values == int(present[rng.integers(len(present))]))
        counts = np.bincount(ids.ravel())
        large = [i for i in range(1, len(counts)) if counts[i] >= MIN_OBJECT_PX]
        rng.shuffle(large)
        objects = [self._target(ids == i, turns, flip) for i in large[: self._objects]]
        return tuple(o for o in objects if (o > 0.5).sum() >= 4)

    def _target(self, mask: npt.NDArray[np.bool_], turns: int, flip: bool) -> Tensor:
        tensor = torch.from_numpy(mask.astype(np.float32))[None]
        return turn(self._resize(tensor, self._crop // TARGET_STRIDE)[0], turns, flip).contiguous()

    @staticmethod
    def _resize(tensor: Tensor, side: int) -> Tensor:
        return functional.interpolate(
            tensor[None], (side, side), mode="bilinear", antialias=True, align_corners=False
        )[0]


def _cut(array: npt.NDArray[Any], y: int, x: int, size: int, outside: int) -> npt.NDArray[Any]:
    """A square of an array (H, W, …) that may reach over its edges."""
    cut = np.full((size, size, *array.shape[2:]), outside, dtype=array.dtype)
    y0, x0 = max(y, 0), max(x, 0)
    part = array[y0 : max(y + size, 0), x0 : max(x + size, 0)]
    cut[y0 - y : y0 - y + part.shape[0], x0 - x : x0 - x + part.shape[1]] = part
    return cut


def _planes(image: npt.NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))


def _lay_glass(pixels: Image, values: Values, holes: bool, rng: np.random.Generator) -> None:
    """Replace part of a crop by bare glass, in place."""
    glass = glass_over(values.shape, rng, holes=holes) & (values != OUTSIDE)
    shade = rng.integers(225, 254)
    noise = rng.integers(-2, 3, (int(glass.sum()), 3))
    pixels[glass] = np.clip(shade + noise, 0, 255).astype(np.uint8)
    values[glass] = GLASS


def _hide_sides(wide: Image, edge: int, rng: np.random.Generator) -> None:
    """Hide sides of a context as if the image ended there, in place."""
    for side in range(4):
        if rng.random() < HIDDEN_SIDE:
            np.rot90(wide, side)[: int(rng.integers(1, edge + 1))] = EDGE_SHADE


def _start(length: int, size: int, rng: np.random.Generator) -> int:
    """Where a crop of `size` starts; inside where it fits, around the image where it does not."""
    low, high = sorted((0, length - size))
    return int(rng.integers(low, high + 1))
