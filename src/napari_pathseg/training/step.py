"""One training step: words first, then clicks, boxes and corrections on the same embedding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_pathseg.models.image_encoder import ImageMaps
from napari_pathseg.models.mask_decoder import DecodedMasks
from napari_pathseg.models.network import ImageEmbedding, PathsegNetwork
from napari_pathseg.models.prompt_encoder import FRAME, POSITIVE, PromptBatch
from napari_pathseg.models.query_decoder import WordMasks
from napari_pathseg.training.clicks import (
    Clicks,
    box_around,
    corrections,
    point_in,
    random_box,
)
from napari_pathseg.training.losses import mask_loss, soft_iou
from napari_pathseg.training.sampling import TARGET_STRIDE, Shown

PRESENCE_WEIGHT, QUALITY_WEIGHT, CLICK_WEIGHT, ABSENT_WEIGHT = 0.3, 0.3, 0.5, 0.5
# The share of batches in which the context is left out, as it is in use unless asked for.
WITHOUT_CONTEXT = 0.5
# The share of words' masks that are corrected by clicks or restricted by a box.
WORDS_CLICKED = 0.1
MIN_CLICKED_PX = 4


@dataclass(frozen=True, slots=True)
class WordRow:
    """One term asked of one image and its target (crop / 2, crop / 2)."""

    image: int
    term: Tensor
    target: Tensor

    @property
    def is_present(self) -> bool:
        """Whether there is enough of it to click at."""
        return int((self.target > 0.5).sum()) >= MIN_CLICKED_PX


@dataclass(frozen=True, slots=True)
class ClickRow:
    """Places, with or without words and a previous mask, and their target (crop / 2, crop / 2)."""

    image: int
    term: Tensor
    clicks: Clicks
    target: Tensor
    mask: Tensor | None = None

    @property
    def has_text(self) -> bool:
        """Whether words are part of the prompt."""
        return bool(self.term[0] >= 0)

    @property
    def is_single_point(self) -> bool:
        """One click alone: the case with three candidate masks."""
        return (
            not self.has_text and self.mask is None and bool((self.clicks.labels >= 0).sum() == 1)
        )


NO_TERM = torch.full((3,), -1, dtype=torch.int64)


class TrainingStep:
    """Losses of a batch.

    Parameters
    ----------
    clicked : float
        The share of batches in which places are asked for too.
    """

    def __init__(
        self, network: PathsegNetwork, rng: np.random.Generator, clicked: float = 1.0
    ) -> None:
        self._network = network
        self._rng = rng
        self._clicked = clicked

    def __call__(
        self, samples: Sequence[Shown], maps: ImageMaps
    ) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise and its parts for the log, of samples and what is seen in them."""
        crop = samples[0].valid.shape[-1] * TARGET_STRIDE
        origin = torch.from_numpy(self._rng.integers(0, FRAME - crop + 1, (len(samples), 2)))
        origin = origin.float()
        if self._rng.random() < WITHOUT_CONTEXT:
            maps = replace(maps, around=None)
        embedding = self._network.embedding_of(maps, origin)

        words = self._word_rows(samples)
        asked = torch.stack([r.term for r in words]), torch.tensor([r.image for r in words])
        answers = self._network.ask(embedding.tokens, embedding.pixels, *asked)
        loss, parts = word_loss(answers, words, [s.valid for s in samples])
        if self._rng.random() >= self._clicked:
            return loss, parts

        rounds = (self._first_clicks(samples), self._on_words(words, answers.logits, samples))
        for name, rows in zip(("click", "words_click"), rounds, strict=True):
            if not rows:
                continue
            clicked = self._decode(embedding, rows, origin, crop)
            more, parts[name] = _click_loss(clicked, rows, samples)
            loss = loss + more
            again = self._corrected(rows, clicked, samples) if name == "click" else []
            if again:
                corrected = self._decode(embedding, again, origin, crop)
                more, parts["correction"] = _click_loss(corrected, again, samples)
                loss = loss + more
        return loss, parts

    def _word_rows(self, samples: Sequence[Shown]) -> list[WordRow]:
        rows = []
        for i, sample in enumerate(samples):
            indices = self._network.term_encoder.indices([t.term for t in sample.terms])
            pairs = zip(indices, sample.terms, strict=True)
            rows += [WordRow(i, index, t.target) for index, t in pairs]
        return rows

    def _first_clicks(self, samples: Sequence[Shown]) -> list[ClickRow]:
        """A point in, or a box around, an object of some of the images."""
        rows = []
        for i, sample in enumerate(samples):
            for target in sample.objects:
                if self._rng.random() < 0.65:
                    clicks = Clicks.of([(*point_in(target, self._rng), POSITIVE)])
                else:
                    clicks = box_around(target, self._rng)
                rows.append(ClickRow(i, NO_TERM, clicks, target))
        return rows

    def _on_words(
        self, words: list[WordRow], logits: Tensor, samples: Sequence[Shown]
    ) -> list[ClickRow]:
        """Words restricted by a box, and words corrected by clicks, on the words' own mask."""
        rows = []
        for k, row in enumerate(words):
            if not row.is_present or self._rng.random() > WORDS_CLICKED:
                continue
            mask = logits[k].detach()
            if self._rng.random() < 0.5:
                clicks, target = random_box(row.target, self._rng)
                rows.append(ClickRow(row.image, row.term, clicks, target, mask[None]))
                continue
            points = self._errors(mask, row.target, samples[row.image].valid)
            if points:
                clicks = Clicks.of(points)
                rows.append(ClickRow(row.image, row.term, clicks, row.target, mask[None]))
        return rows

    def _corrected(
        self, first: list[ClickRow], answers: DecodedMasks, samples: Sequence[Shown]
    ) -> list[ClickRow]:
        """Clicks on the errors of the answers to clicks."""
        rows = []
        for k, row in enumerate(first):
            best = answers.clicks[k, 1 + int(answers.quality[k, 1:4].argmax())].detach()
            points = self._errors(best, row.target, samples[row.image].valid)
            if not points:
                continue
            kept = [
                (float(x), float(y), int(label))
                for (x, y), label in zip(row.clicks.xy, row.clicks.labels, strict=True)
                if label >= 0
            ]
            clicks = Clicks.of(kept + points)
            rows.append(ClickRow(row.image, row.term, clicks, row.target, best[None]))
        return rows

    def _errors(
        self, logits: Tensor, target: Tensor, valid: Tensor
    ) -> list[tuple[float, float, int]]:
        fine = _enlarge(logits[None], target.shape[-1])[0]
        return corrections(fine, target, valid, self._rng, int(self._rng.integers(1, 4)))

    def _decode(
        self, embedding: ImageEmbedding, rows: list[ClickRow], origin_yx: Tensor, crop: int
    ) -> DecodedMasks:
        image = torch.tensor([r.image for r in rows])
        empty = torch.zeros(1, crop // 4, crop // 4)
        prompts = PromptBatch(
            image=image,
            term=torch.stack([r.term for r in rows]),
            points_xy=torch.stack([r.clicks.xy for r in rows]) + origin_yx[image].flip(1)[:, None],
            labels=torch.stack([r.clicks.labels for r in rows]),
            mask=torch.stack([empty if r.mask is None else r.mask for r in rows]),
            has_mask=torch.tensor([r.mask is not None for r in rows]),
        )
        return self._network.decode(embedding, prompts)


def word_loss(
    answers: WordMasks, rows: list[WordRow], valid_of: list[Tensor]
) -> tuple[Tensor, dict[str, float]]:
    """Mask, presence and quality of the answers to words, and parts for the log.

    `valid_of` holds, for each image, where its mask says something (crop / 2, crop / 2).
    """
    target = torch.stack([r.target for r in rows])
    valid = torch.stack([valid_of[r.image] for r in rows])
    logits = _enlarge(answers.logits, target.shape[-1])
    present = ((target * valid).sum((-2, -1)) > 0).float()
    weight = torch.where(present > 0, 1.0, ABSENT_WEIGHT)
    mask = (mask_loss(logits, target, valid) * weight).sum() / weight.sum()
    presence = functional.binary_cross_entropy_with_logits(answers.presence, present)
    quality = functional.mse_loss(answers.quality, soft_iou(logits.detach(), target, valid))
    loss = mask + PRESENCE_WEIGHT * presence + QUALITY_WEIGHT * quality
    return loss, {"words": float(mask.detach()), "presence": float(presence.detach())}


def _click_loss(
    answers: DecodedMasks, rows: list[ClickRow], samples: Sequence[Shown]
) -> tuple[Tensor, float]:
    """The words' mask where there are words; for a single click the best of three candidates;
    the single mask for everything else.
    """
    target = torch.stack([r.target for r in rows])
    valid = torch.stack([samples[r.image].valid for r in rows])
    masks = torch.cat([answers.clicks, answers.text[:, None]], dim=1)  # (M, 5, h, w)
    side = target.shape[-1]
    fine = _enlarge(masks.flatten(0, 1), side).view(len(rows), 5, side, side)
    each = torch.stack([mask_loss(fine[:, i], target, valid) for i in range(5)], dim=1)
    single = torch.tensor([r.is_single_point for r in rows])
    text = torch.tensor([r.has_text for r in rows])
    chosen = torch.where(single, each[:, 1:4].amin(dim=1), each[:, 0])
    mask = torch.where(text, each[:, 4], chosen).mean()
    with torch.no_grad():
        iou = torch.stack([soft_iou(fine[:, i], target, valid) for i in range(5)], dim=1)
        counts = torch.where(text[:, None], torch.eye(5)[4], 1 - torch.eye(5)[4])
    quality = ((answers.quality - iou) ** 2 * counts).sum() / counts.sum()
    return CLICK_WEIGHT * (mask + QUALITY_WEIGHT * quality), float(mask.detach())


def _enlarge(logits: Tensor, side: int) -> Tensor:
    """Logits (N, h, w) on a grid of `side` pixels."""
    return functional.interpolate(
        logits[:, None], (side, side), mode="bilinear", align_corners=False
    )[:, 0]
