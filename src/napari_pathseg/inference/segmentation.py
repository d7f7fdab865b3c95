"""The result of a segmentation: soft and hard masks of a field, with their provenance."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList, Term
from napari_pathseg.geometry import Field, Pair
from napari_pathseg.prompts import Prompt

Logits = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint16]

ON_GLASS = "There is bare glass where you clicked: what is meant is a guess. Click on tissue."
"""A note of an answer to clicks without words."""

IN_CHANNELS = "The model was taught stained sections in colours, not channels: look closely."
"""A note of every answer on a slide that has channels, as fluorescence has."""

DOUBTS = (ON_GLASS, IN_CHANNELS)
"""Notes that tell not to trust an answer."""


def no_candidates() -> Logits:
    """The candidates where there are none."""
    return np.zeros((0, 0, 0), dtype=np.float32)


def logit(probability: float) -> float:
    """Log odds of a probability between 0 and 1, both left out."""
    return math.log(probability / (1 - probability))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model says about one class of a segmentation.

    Attributes
    ----------
    term : Term or None
        None when only points or a box were given.
    asked_as : tuple of Term
        The taught terms that were asked; differs from `term` when a wider or narrower one served.
    presence : float
        Probability that the term occurs in the field, 0 to 1.
    score : float
        The model's own estimate of the mask's quality, 0 to 1.
    """

    term: Term | None
    asked_as: tuple[Term, ...]
    presence: float
    score: float


@dataclass(frozen=True, slots=True)
class Segmentation:
    """Masks of a field.

    Attributes
    ----------
    field : Field
        The level pixels the masks belong to.
    classes : ClassList
        Value i is the i-th class asked for.
    answers : tuple of Answer
        One for each class, in the same order.
    logits : float32 array (classes, height, width)
        On the field's grid; above 0 = inside.
    prompts : tuple of Prompt
        Everything that was asked.
    model : str
        Name and hash of the model.
    mpp : (float, float) or None
        Of a field pixel.
    working_mpp : float or None
        What the model looked at; None where the slide has no scale.
    seconds : float
        From the request to the masks.
    threshold : float
        Probability above which a pixel belongs to a class.
    notes : tuple of str
        What the user must know of how the prompts were understood.
    candidates : float32 array (candidates, height, width)
        Other logits for the one class of clicks without words, the likeliest first, the one in
        `logits` among them; empty for words.
    """

    field: Field
    classes: ClassList
    answers: tuple[Answer, ...]
    logits: Logits
    prompts: tuple[Prompt, ...]
    model: str
    mpp: Pair | None
    working_mpp: float | None
    seconds: float
    threshold: float = 0.5
    notes: tuple[str, ...] = ()
    candidates: Logits = dataclass_field(default_factory=no_candidates)

    def with_threshold(self, threshold: float) -> Segmentation:
        """The same answer cut at another probability; no forward pass."""
        return replace(self, threshold=threshold)

    def with_candidate(self, index: int) -> Segmentation:
        """The same answer with another of its candidates; no forward pass."""
        return replace(self, logits=self.candidates[index : index + 1])

    @property
    def mask(self) -> Mask:
        """Class mask (height, width): where classes overlap the more probable wins."""
        mask = np.zeros(self.logits.shape[1:], dtype=np.uint16)
        highest: Logits | float = logit(self.threshold)
        for label_class, logits in zip(self.classes, self.logits, strict=True):
            mask[logits > highest] = label_class.value
            highest = np.maximum(highest, logits)
        return mask

    def probability(self, value: int) -> Logits:
        """Probability map (height, width) of one class."""
        index = [c.value for c in self.classes].index(value)
        probability: Logits = 1 / (1 + np.exp(-self.logits[index]))
        return probability
