"""One class of a request: words over all tiles, then clicks and boxes where they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field

import numpy as np
import torch
from scipy.special import expit

from napari_pathseg.classes import Term
from napari_pathseg.geometry import Field, Region
from napari_pathseg.inference.corrections import Click, correct, cut_to_boxes
from napari_pathseg.inference.embeddings import Corrected, EncodedPicture, EncodedTile, WordsAnswer
from napari_pathseg.inference.gestures import carried_on
from napari_pathseg.inference.row_blend import RowBlend
from napari_pathseg.inference.segmentation import Answer, Logits, logit, no_candidates
from napari_pathseg.inference.tiling import OUTSIDE, FloatMap, Tile, place_map
from napari_pathseg.inference.understanding import Question
from napari_pathseg.models.base import (
    OUTPUT_STRIDE,
    Segmenter,
    SeveralAtOnce,
    TileAnswer,
    TileQuery,
    gated,
)
from napari_pathseg.progress import CancelToken
from napari_pathseg.prompts import BoxPrompt, PointPrompt, SpatialPrompt

RAMP_PX = 112
"""All that tiles share by default: what lies at a tile's edge is seen less well."""


@dataclass(frozen=True, slots=True)
class FieldAnswers:
    """The answer of one class on the field that is returned.

    Attributes
    ----------
    answer : Answer
    logits : float32 array (height, width)
    candidates : float32 array (candidates, height, width)
        What a single click without words could mean, the likeliest first; for other clicks and
        boxes `logits`; empty for words.
    """

    answer: Answer
    logits: Logits
    candidates: Logits = dataclass_field(default_factory=no_candidates)

    def carried_on(self, wide: Logits, field: Field, window: Region, cut: float) -> FieldAnswers:
        """The same, with what it hangs together with beyond a window; as :func:`carried_on`."""
        logits = carried_on(self.logits, wide, field, window, cut)
        return replace(self, logits=logits, candidates=np.stack([logits, *self.candidates[1:]]))


@dataclass(frozen=True, slots=True)
class Box:
    """A box in model pixels of the picture."""

    y0: float
    x0: float
    y1: float
    x1: float


def answer_question(
    question: Question,
    picture: EncodedPicture,
    field: Field,
    spatial: Sequence[SpatialPrompt],
    segmenter: Segmenter,
    threshold: float,
    cancel: CancelToken,
) -> FieldAnswers:
    """Ask one class of an encoded picture; the logits come back on the grid of `field`.

    `threshold` is the probability from which a pixel counts as inside where it is clicked.

    Raises
    ------
    CancelledError
        Between two tiles, once cancelled.
    """
    clicks, boxes = _in_model_pixels(spatial, picture.field)
    with _one_thread() as threads:
        if not question.asked_as:
            maps, score = _clicks_alone(clicks, boxes, picture, segmenter)
            placed = np.stack([place_map(each, picture.field, field) for each in maps])
            return FieldAnswers(Answer(None, (), 1.0, score), placed[0], placed)
        key = (question.asked_as, field)
        if key not in picture.words:
            answered = _ask_tiles(question.asked_as, picture, segmenter, threads, cancel)
            gate = segmenter.card.presence_gate
            picture.words[key] = _blended(answered, picture, field, gate)
        found, presence, score = picture.words[key]
        logits = _corrected(found, clicks, boxes, key, picture, segmenter, logit(threshold))
        answer = Answer(question.label_class.term, question.asked_as, presence, score)
        return FieldAnswers(answer, place_map(logits, picture.field, field))


@contextmanager
def _one_thread() -> Iterator[int]:
    """Torch has this thread alone meanwhile; how many it had before.

    An answer is hundreds of small steps, each of which would wait for the slowest of its threads:
    where another program has a core that takes twenty times as long.
    """
    kept = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield kept
    finally:
        torch.set_num_threads(kept)


def _corrected(
    found: FloatMap,
    clicks: Sequence[Click],
    boxes: Sequence[Box],
    key: tuple[tuple[Term, ...], Field],
    picture: EncodedPicture,
    segmenter: Segmenter,
    cut: float,
) -> FloatMap:
    """The answer to words in boxes, after clicks; those of the last time are not asked again."""
    within, asked = (tuple(boxes), cut), tuple(clicks)
    before = picture.corrected.get(key)
    if before is None or (before.within, before.clicks) != (within, asked[: len(before.clicks)]):
        inside = cut_to_boxes(found, [(b.y0, b.x0, b.y1, b.x1) for b in boxes])
        before = Corrected(within, (), inside)
    new = asked[len(before.clicks) :]
    logits = correct(before.logits, new, key[0], picture, segmenter, cut)
    picture.corrected[key] = Corrected(within, asked, logits)
    return logits


def _ask_tiles(
    terms: tuple[Term, ...],
    picture: EncodedPicture,
    segmenter: Segmenter,
    threads: int,
    cancel: CancelToken,
) -> list[list[TileAnswer]]:
    """Answers of each tile to each term; of as many tiles at once as there are threads."""

    def ask(tile: EncodedTile) -> list[TileAnswer]:
        cancel.raise_if_cancelled()
        return tile.answer_words(segmenter, terms)

    if threads == 1 or not isinstance(segmenter, SeveralAtOnce):
        return [ask(tile) for tile in picture.encoded]
    with ThreadPoolExecutor(threads, thread_name_prefix="pathseg-answer") as pool:
        return list(pool.map(ask, picture.encoded))


def _blended(
    answered: Sequence[Sequence[TileAnswer]], picture: EncodedPicture, field: Field, gate: float
) -> WordsAnswer:
    """Blended logits on the picture's grid; presence and score of what is in the field.

    Presence is the highest of all tiles, but where one finds something beside the field only, it
    is that of the likeliest pixel in the field; the score is the mean, weighted by what was found
    in the field.
    """
    blend = RowBlend(picture.shape, 1, RAMP_PX)
    presence, scores, areas = 0.0, [], []
    for tile, answers in zip(picture.tiles, answered, strict=True):
        logits = np.maximum.reduce([gated(a, gate) for a in answers])
        blend.add(tile, logits[None])
        here = logits[_part_over(tile, picture.field, field)]
        best = max(answers, key=lambda a: a.presence)
        area = int((here > 0).sum())
        beside = not area and bool((logits > 0).any())
        own = float(expit(here.max(initial=OUTSIDE))) if beside else best.presence
        presence = max(presence, own)
        scores.append(best.score)
        areas.append(area + 1.0)
    found = picture.enlarged(blend.rows(0, blend.shape[0])[0])
    return WordsAnswer(found, presence, float(np.average(scores, weights=areas)))


def _part_over(tile: Tile, seen: Field, field: Field) -> tuple[slice, slice]:
    """The part of a tile's answer, on its own grid, that lies over a field."""
    low = seen.from_level0(*field.origin)
    high = seen.from_level0(*field.to_level0(field.height, field.width))
    rows, columns = (
        slice(
            max(math.floor((first - start) / OUTPUT_STRIDE), 0),
            max(math.ceil((stop - start) / OUTPUT_STRIDE), 0),
        )
        for first, stop, start in zip(low, high, (tile.y, tile.x), strict=True)
    )
    return rows, columns


def _clicks_alone(
    clicks: Sequence[Click], boxes: Sequence[Box], picture: EncodedPicture, segmenter: Segmenter
) -> tuple[list[FloatMap], float]:
    """The object that clicks mean, what else a single one could mean; or one object a box."""
    points = tuple((c.y, c.x, c.positive) for c in clicks)
    queries = [TileQuery(points=points, box=(b.y0, b.x0, b.y1, b.x1)) for b in boxes]
    answers = segmenter.decode(picture.encoded[0].embedding, queries or [TileQuery(points=points)])
    maps = [np.maximum.reduce([a.logits for a in answers])]
    if len(clicks) == 1 and not boxes:
        maps += [c for c in answers[0].candidates if not np.array_equal(c, maps[0])]
    return [picture.enlarged(m) for m in maps], min(a.score for a in answers)


def _in_model_pixels(
    spatial: Sequence[SpatialPrompt], seen: Field
) -> tuple[list[Click], list[Box]]:
    def place(y: float, x: float) -> tuple[float, float]:
        y, x = seen.from_level0(y, x)
        return min(max(y, 0.0), seen.height - 1e-3), min(max(x, 0.0), seen.width - 1e-3)

    clicks = [Click(*place(p.y, p.x), p.positive) for p in spatial if isinstance(p, PointPrompt)]
    boxes = [
        Box(*place(b.y0, b.x0), *place(b.y1, b.x1)) for b in spatial if isinstance(b, BoxPrompt)
    ]
    return clicks, boxes
