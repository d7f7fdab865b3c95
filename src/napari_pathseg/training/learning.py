"""Learn a term from corrected fields: heads on cached embeddings, measured on fields held out."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from napari_pathseg.classes import Term
from napari_pathseg.models.adapted import answer_of
from napari_pathseg.models.adapter import TermHead
from napari_pathseg.models.adapter_card import TaughtTerm
from napari_pathseg.models.base import FloatMap, Segmenter, gated
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
    View,
    cut_field,
    encode_all,
    most_tiles,
    variants_for,
)
from napari_pathseg.training.losses import mask_loss

# What was said of the tiles of each field.
Answers = dict[int, list[tuple[LessonTile, FloatMap]]]

SAMPLED_PX = 4096
PRESENT_CHANCE = 0.7


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
    which all heads together do best. The head that is kept learns from all fields up to there.

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
    steps, held_out = course.measure(known)
    head = course.teach(tiles, steps)
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
    return Lesson(taught, head, tuple(course.curve), outcomes, seconds)


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

    def measure(self, known: bool) -> tuple[int, Answers]:
        """Best number of steps, and what heads that had not seen a field say of its tiles then."""
        parts = divide(self._fields, self._config.parts, self._config.seed)
        answered: dict[int, Answers] = {}
        losses: dict[int, list[float]] = {}
        if known:
            answered[0] = {i: [] for i in range(len(self._fields))}
            for tile in self._tiles:
                answered[0][tile.field].append((tile, tile.views[0].base.numpy()))
        for number, part in enumerate(parts, start=1):
            own = [t for t in self._tiles if t.field not in part]
            if not any(bool((t.views[0].target > 0.5).any()) for t in own):
                continue  # nothing to learn from without this part
            trainer = _Trainer(own, self._config, self._gate)
            for step, loss in self._train(trainer, self._config.steps, f"part {number}"):
                losses.setdefault(step, []).append(loss)
                at = answered.setdefault(step, {})
                for tile in (t for t in self._tiles if t.field in part):
                    at.setdefault(tile.field, []).append((tile, trainer.answer(tile.views[0])))
                self._chart(losses, answered)
        best = max(answered, key=lambda step: (self._dice(answered[step]), -step))
        return best, answered[best]

    def teach(self, tiles: Sequence[LessonTile], steps: int) -> TermHead:
        """A head learned from tiles in so many steps."""
        trainer = _Trainer(tiles, self._config, self._gate)
        for _ in self._train(trainer, steps, "all fields"):
            pass
        return trainer.head.eval().requires_grad_(False)

    def _train(self, trainer: _Trainer, steps: int, what: str) -> Iterator[tuple[int, float]]:
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


class _Trainer:
    """One head and the tiles that it learns from; the same seed gives the same head."""

    def __init__(self, tiles: Sequence[LessonTile], config: LearningConfig, gate: float) -> None:
        torch.manual_seed(config.seed)
        self._config, self._gate = config, gate
        self._rng = np.random.default_rng(config.seed)
        self._present = [t for t in tiles if bool((t.views[0].target > 0.5).any())]
        self._absent = [t for t in tiles if t not in self._present]
        self.head = TermHead()
        self.head.fit_scale(*_samples(tiles, self._rng))
        self._optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.rate, weight_decay=config.weight_decay
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
        self.head.train()
        logits = self.head(tokens, pixels) + base
        loss: Tensor = mask_loss(logits, target, valid).mean()
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.head.parameters(), 1.0)
        self._optimizer.step()
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
