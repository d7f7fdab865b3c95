"""What a single click may mean: a small thing or a large one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.geometry import Field
from napari_pathseg.inference.answering import FieldAnswers
from napari_pathseg.inference.embeddings import EncodedPicture
from napari_pathseg.inference.plan import Plan
from napari_pathseg.inference.tiling import place_map
from napari_pathseg.models.base import Segmenter, gated
from napari_pathseg.prompts import PointPrompt, SpatialPrompt

LIKENESS_WEIGHT, NUCLEUS_WEIGHT = 0.3, 0.6
"""What an answer that equals a thing with a name is worth more, beside its score of 0 to 1: most
where a nucleus is pointed at, as what lies around it could have been pointed at elsewhere."""


@dataclass(frozen=True, slots=True, eq=False)
class NamedThings:
    """What words find at a place: of each word the connected part that lies there.

    Attributes
    ----------
    field : Field
    masks : tuple of bool arrays (height, width)
        On the field's pixels.
    weights : tuple of float
        What it is worth to be like each of them.
    """

    field: Field
    masks: tuple[npt.NDArray[np.bool_], ...] = ()
    weights: tuple[float, ...] = ()

    def worth(self, answer: FieldAnswers, field: Field) -> float:
        """The highest weighted IoU with an answer on a field, which may be larger than what is
        known.
        """
        if not self.masks:
            return 0.0
        scale = np.prod(field.downsample) / np.prod(self.field.downsample)
        area = (answer.logits > 0).sum() * scale
        here = place_map(answer.logits, field, self.field) > 0
        shared = [np.count_nonzero(here & mask) for mask in self.masks]
        return max(
            weight * float(both / max(area + np.count_nonzero(mask) - both, 1))
            for both, mask, weight in zip(shared, self.masks, self.weights, strict=True)
        )


def things_at(y: float, x: float, picture: EncodedPicture, segmenter: Segmenter) -> NamedThings:
    """What each word that may be asked finds at a place, in a picture of one tile.

    `y` and `x` are level-0 pixels. The words are asked at the picture's own resolution, which is
    coarser or finer than theirs: good enough to tell a nucleus from a gland.
    """
    card = segmenter.card
    height, width = picture.shape
    row, column = picture.field.from_level0(y, x)
    at = min(max(int(row), 0), height - 1), min(max(int(column), 0), width - 1)
    masks, weights = [], []
    answers = picture.encoded[0].answer_words(segmenter, card.taught)
    for term, answer in zip(card.taught, answers, strict=True):
        logits = gated(answer, card.presence_gate)
        if (logits > 0).any():
            parts, _ = ndimage.label(picture.enlarged(logits) > 0)
            if parts[at]:
                masks.append(parts == parts[at])
                weights.append(NUCLEUS_WEIGHT if term.structure == "nuclei" else LIKENESS_WEIGHT)
    return NamedThings(picture.field, tuple(masks), tuple(weights))


def surest(
    found: Sequence[tuple[Plan, FieldAnswers]],
    field: Field,
    picture: EncodedPicture,
    spatial: Sequence[SpatialPrompt],
    segmenter: Segmenter,
) -> tuple[Plan, FieldAnswers]:
    """Which of the answers to one click is the likeliest, the first of equals; and this answer,
    with the other views' own first ones in place of its last candidates.

    The score decides and, as a click may mean a nucleus or the gland around it, how much the
    answer is like a thing that a word finds there in `picture`, which shows what is near.
    """
    if len(found) == 1:
        return found[0]
    click = next(prompt for prompt in spatial if isinstance(prompt, PointPrompt))
    things = things_at(click.y, click.x, picture, segmenter)
    answers = [answer for _, answer in found]
    worth = [each.answer.score + things.worth(each, field) for each in answers]
    best = int(np.argmax(worth))
    others = [other.candidates[:1] for i, other in enumerate(answers) if i != best]
    own = answers[best].candidates
    kept = own[: max(len(own) - len(others), 1)]
    candidates = np.concatenate([kept, *others])
    return found[best][0], replace(answers[best], candidates=candidates)
