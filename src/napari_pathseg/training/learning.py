"""Learn a term from corrected fields: heads on cached embeddings, measured on fields held out."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import Term
from napari_pathseg.models.adapter import TermHead
from napari_pathseg.models.adapter_card import TaughtTerm
from napari_pathseg.models.base import FloatMap, Segmenter
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress
from napari_pathseg.training.lesson import (
    Bool,
    Lesson,
    LessonField,
    LessonProgress,
    Outcome,
    Point,
    check_enough,
    divide,
    scale_for,
)
from napari_pathseg.training.lesson_tiles import (
    Cut,
    LessonTile,
    cut_field,
    encode_all,
    most_tiles,
    variants_for,
)
from napari_pathseg.training.lesson_trainer import HeadTrainer, LearningConfig

# What was said of the tiles of each field.
Answers = dict[int, list[tuple[LessonTile, FloatMap]]]


def learn(
    term: Term,
    fields: Sequence[LessonField],
    segmenter: Segmenter,
    *,
    working_mpp: float | None = None,
    config: LearningConfig | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Lesson:
    """Learn a term that the model knows better, or one that it does not know.

    Every field is encoded once, with some variants. The fields are then held out in parts: a head
    that has not seen a field answers it, which gives the figures before and after and the step at
    which all heads together do best. What is kept is these heads as they were at that step and
    one that learned from all fields up to there; they answer together.

    Parameters
    ----------
    term : Term
    fields : sequence of LessonField
        5 to 50 that were reviewed for the term; in those where it is not, all counts as not it.
    segmenter : Segmenter
        The base model, without adapters.
    working_mpp : float, optional
        Of a new term; by default from the size of its objects. A term that the model knows keeps
        its own.
    progress : callable
        Gets LessonProgress.

    Raises
    ------
    PathsegError
        When there are too few fields or too many.
    ModelError
        When this model's embeddings can not be learned from.
    CancelledError
        Within a tile or a step.
    """
    config, cancel = config or LearningConfig(), cancel or CancelToken()
    start = time.perf_counter()
    term = term.without_region
    check_enough(fields, term.object)
    known = segmenter.knows(term)
    mpp = segmenter.card.working_mpp.get(term.object) if known else None
    mpp = mpp or working_mpp or scale_for(fields)
    cuts = _cuts(fields, mpp, config)
    variants = variants_for(len(cuts), config.encodings)
    asked = term if known else None
    tiles = encode_all(cuts, segmenter, asked, variants, config.seed, progress, cancel)
    gate = segmenter.card.presence_gate
    course = _Course(tiles, fields, config, gate, progress, cancel)
    steps, held_out, of_parts = course.measure(known)
    heads = *of_parts, course.teach(tiles, steps)
    outcomes = tuple(_outcome(i, fields[i], cuts, tiles, held_out, known) for i in held_out)
    taught = TaughtTerm(
        term=term,
        added=known,
        working_mpp=mpp,
        fields=len(fields),
        slides=len({f.slide for f in fields}),
        present=sum(f.present for f in fields),
        before=_mean([o.before for o in outcomes]) if known else None,
        after=_mean([o.after for o in outcomes]),
    )
    seconds = time.perf_counter() - start
    return Lesson(taught, heads, tuple(course.curve), outcomes, seconds)


def _cuts(fields: Sequence[LessonField], mpp: float, config: LearningConfig) -> list[Cut]:
    most = most_tiles(len(fields), config.tiles)
    return [
        cut for i, f in enumerate(fields) for cut in cut_field(i, f, mpp, most, config.seed + i)
    ]


class _Course:
    """Trains heads on parts of the tiles and measures them on the others."""

    def __init__(
        self,
        tiles: Sequence[LessonTile],
        fields: Sequence[LessonField],
        config: LearningConfig,
        gate: float,
        progress: ProgressCallback,
        cancel: CancelToken,
    ) -> None:
        self._tiles, self._fields, self._config, self._gate = tiles, fields, config, gate
        self._progress, self._cancel = progress, cancel
        self._done, self._total = 0, config.steps * (config.parts + 1)
        self.curve: list[Point] = []

    def measure(self, known: bool) -> tuple[int, Answers, list[TermHead]]:
        """Best number of steps, what heads that had not seen a field say of its tiles then, and
        these heads.
        """
        parts = divide(self._fields, self._config.parts, self._config.seed)
        answered: dict[int, Answers] = {}
        losses: dict[int, list[float]] = {}
        heads: dict[int, list[TermHead]] = {0: []}
        if known:
            answered[0] = {i: [] for i in range(len(self._fields))}
            for tile in self._tiles:
                answered[0][tile.field].append((tile, tile.views[0].base.numpy()))
        for number, part in enumerate(parts, start=1):
            own = [t for t in self._tiles if t.field not in part]
            if not any(bool((t.views[0].target > 0.5).any()) for t in own):
                continue  # nothing to learn from without this part
            trainer = HeadTrainer(own, self._config, self._gate)
            for step, loss in self._train(trainer, self._config.steps, f"part {number}"):
                losses.setdefault(step, []).append(loss)
                heads.setdefault(step, []).append(copy.deepcopy(trainer.head))
                at = answered.setdefault(step, {})
                for tile in (t for t in self._tiles if t.field in part):
                    at.setdefault(tile.field, []).append((tile, trainer.answer(tile.views[0])))
                self._chart(losses, answered)
        best = max(answered, key=lambda step: (self._dice(answered[step]), -step))
        return best, answered[best], heads[best]

    def teach(self, tiles: Sequence[LessonTile], steps: int) -> TermHead:
        """A head learned from tiles in so many steps."""
        trainer = HeadTrainer(tiles, self._config, self._gate)
        for _ in self._train(trainer, steps, "all fields"):
            pass
        return trainer.head

    def _train(self, trainer: HeadTrainer, steps: int, what: str) -> Iterator[tuple[int, float]]:
        """Train; gives (step, mean loss since the last point) at each point of the curve."""
        losses = []
        for step in range(1, steps + 1):
            self._cancel.raise_if_cancelled()
            losses.append(trainer.step())
            self._done += 1
            if step % self._config.measured_every == 0 or step == steps:
                yield step, float(np.mean(losses))
                losses.clear()
                self._report(what)

    def _report(self, what: str) -> None:
        message = f"Learning, {what}"
        self._progress(LessonProgress(self._done, self._total, message, tuple(self.curve)))

    def _chart(
        self,
        losses: dict[int, list[float]],
        answered: dict[int, Answers],
    ) -> None:
        self.curve = [
            Point(step, float(np.mean(losses[step])), self._dice(answered[step]))
            for step in sorted(losses)
        ]

    def _dice(self, answered: Answers) -> float:
        """Mean Dice of the fields that hold the term; less for what is marked where it is not."""
        found = [_overlap(own) for own in answered.values() if own]
        present = [dice for dice, _ in found if dice is not None]
        wrong = [area for dice, area in found if dice is None]
        return (_mean(present) or 0.0) - 0.2 * (_mean(wrong) or 0.0)


def _overlap(answered: Sequence[tuple[LessonTile, FloatMap]]) -> tuple[float | None, float]:
    """Dice over all tiles of a field, None where the term is not in it; the share marked."""
    both = either = marked = known = 0
    for tile, logits in answered:
        view = tile.views[0]
        valid = view.valid.numpy() > 0.5
        truth, found = (view.target.numpy() > 0.5) & valid, (logits > 0) & valid
        both += int((truth & found).sum())
        either += int(truth.sum())
        marked += int(found.sum())
        known += int(valid.sum())
    dice = 2 * both / (either + marked) if either else None
    return dice, marked / max(known, 1)


def _outcome(
    index: int,
    field: LessonField,
    cuts: Sequence[Cut],
    tiles: Sequence[LessonTile],
    answered: Answers,
    known: bool,
) -> Outcome:
    own = [(cut, tile) for cut, tile in zip(cuts, tiles, strict=True) if tile.field == index]
    after = answered[index]
    before = [(tile, tile.views[0].base.numpy()) for _, tile in own]
    inside = [tile.views[0].valid.numpy() > 0.5 for _, tile in own]
    height = max(t.y + int(v.any(1).sum()) for (_, t), v in zip(own, inside, strict=True))
    width = max(t.x + int(v.any(0).sum()) for (_, t), v in zip(own, inside, strict=True))
    picture = np.full((height, width, 3), 255, np.uint8)
    for cut, tile in own:
        small = cut.image[2::4, 2::4]
        place = picture[tile.y :, tile.x :][: small.shape[0], : small.shape[1]]
        place[:] = small[: place.shape[0], : place.shape[1]]

    def joined(pairs: Sequence[tuple[LessonTile, npt.NDArray[np.float32]]]) -> Bool:
        whole = np.zeros((height, width), dtype=bool)
        for tile, values in pairs:
            place = whole[tile.y :, tile.x :][: values.shape[0], : values.shape[1]]
            place[:] = values[: place.shape[0], : place.shape[1]] > 0
        return whole

    return Outcome(
        id=field.id,
        slide=field.slide,
        before=_overlap(before)[0] if known else None,
        after=_overlap(after)[0],
        picture=picture,
        truth=joined([(t, (t.views[0].target - 0.5).numpy()) for _, t in own]),
        found=joined(after),
        found_before=joined(before) if known else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known else None
