"""One training step: words first, then clicks, boxes and corrections on the same embedding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from napari_pathseg.models.image_encoder import ImageMaps
from napari_pathseg.models.mask_decoder import DecodedMasks
from napari_pathseg.models.network import ImageEmbedding, PathsegNetwork
from napari_pathseg.models.prompt_encoder import FRAME, POSITIVE, PromptBatch
from napari_pathseg.training.clicks import (
    Clicks,
    box_around,
    corrections,
    no_clicks,
    point_in,
    random_box,
)
from napari_pathseg.training.losses import mask_loss, soft_iou
from napari_pathseg.training.sampling import Sample

PRESENCE_WEIGHT, QUALITY_WEIGHT, CLICK_WEIGHT = 0.3, 0.3, 0.7


@dataclass(frozen=True, slots=True)
class Row:
    """One prompt of the step and its target (crop / 2, crop / 2)."""

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
    """Losses of a batch of samples."""

    def __init__(self, network: PathsegNetwork, rng: np.random.Generator) -> None:
        self._network = network
        self._rng = rng

    def __call__(self, samples: list[Sample]) -> tuple[Tensor, dict[str, float]]:
        """The loss to minimise and its parts for the log."""
        image = torch.stack([s.image for s in samples])
        room = FRAME - image.shape[-1]
        origin = torch.from_numpy(self._rng.integers(0, room + 1, (len(samples), 2))).float()
        encoder = self._network.image_encoder
        with torch.no_grad():
            early, middle = encoder.lower(image)
        maps = ImageMaps(encoder.upper(middle), middle, early)
        embedding = self._network.embedding_of(maps, origin)

        first = self._first_rows(samples)
        answers = self._decode(embedding, first, origin, image.shape[-1])
        loss, parts = self._losses(answers, first, samples)
        second = self._second_rows(first, answers, samples)
        if second:
            again = self._decode(embedding, second, origin, image.shape[-1])
            more, more_parts = self._losses(again, second, samples)
            loss = loss + more
            parts |= {f"second_{k}": v for k, v in more_parts.items()}
        return loss, parts

    def _first_rows(self, samples: list[Sample]) -> list[Row]:
        rows = []
        for i, sample in enumerate(samples):
            terms = [t.term for t in sample.terms]
            for index, t in zip(
                self._network.term_encoder.indices(terms), sample.terms, strict=True
            ):
                rows.append(Row(i, index, no_clicks(), t.target))
            for target in sample.objects:
                if self._rng.random() < 0.65:
                    clicks = Clicks.of([(*point_in(target, self._rng), POSITIVE)])
                else:
                    clicks = box_around(target, self._rng)
                rows.append(Row(i, NO_TERM, clicks, target))
        return rows

    def _second_rows(
        self, first: list[Row], answers: DecodedMasks, samples: list[Sample]
    ) -> list[Row]:
        """Corrections of some answers, and words restricted by a box."""
        rows = []
        for k, row in enumerate(first):
            if row.has_text and self._rng.random() < 0.75:
                continue
            if bool((row.target > 0.5).sum() < 4):
                continue
            if row.has_text and self._rng.random() < 0.5:
                clicks, target = random_box(row.target, self._rng)
                rows.append(Row(row.image, row.term, clicks, target))
                continue
            best = answers.text[k] if row.has_text else self._best_click_mask(answers, k)
            best = best.detach()
            fine = _enlarge(best[None], row.target.shape[-1])[0]
            valid = samples[row.image].valid
            count = int(self._rng.integers(1, 4))
            points = corrections(fine, row.target, valid, self._rng, count)
            if not points:
                continue
            kept = [
                (float(x), float(y), int(label))
                for (x, y), label in zip(row.clicks.xy, row.clicks.labels, strict=True)
                if label >= 0
            ]
            rows.append(Row(row.image, row.term, Clicks.of(kept + points), row.target, best[None]))
        return rows

    @staticmethod
    def _best_click_mask(answers: DecodedMasks, k: int) -> Tensor:
        return answers.clicks[k, 1 + int(answers.quality[k, 1:4].argmax())]

    def _decode(
        self, embedding: ImageEmbedding, rows: list[Row], origin_yx: Tensor, crop: int
    ) -> DecodedMasks:
        image = torch.tensor([r.image for r in rows])
        side = crop // 4
        empty = torch.zeros(1, side, side)
        prompts = PromptBatch(
            image=image,
            term=torch.stack([r.term for r in rows]),
            points_xy=torch.stack([r.clicks.xy for r in rows]) + origin_yx[image].flip(1)[:, None],
            labels=torch.stack([r.clicks.labels for r in rows]),
            mask=torch.stack([empty if r.mask is None else r.mask for r in rows]),
            has_mask=torch.tensor([r.mask is not None for r in rows]),
        )
        return self._network.decode(embedding, prompts)

    def _losses(
        self, answers: DecodedMasks, rows: list[Row], samples: list[Sample]
    ) -> tuple[Tensor, dict[str, float]]:
        target = torch.stack([r.target for r in rows])
        valid = torch.stack([samples[r.image].valid for r in rows])
        text = torch.tensor([r.has_text for r in rows])
        loss, parts = torch.zeros(()), {}
        if bool(text.any()):
            worded, parts["text"] = self._text_loss(answers, text, target[text], valid[text])
            loss = loss + worded
        if bool((~text).any()):
            single = torch.tensor([r.is_single_point for r in rows if not r.has_text])
            clicked, parts["click"] = self._click_loss(
                answers, ~text, single, target[~text], valid[~text]
            )
            loss = loss + CLICK_WEIGHT * clicked
        return loss, parts

    @staticmethod
    def _text_loss(
        answers: DecodedMasks, rows: Tensor, target: Tensor, valid: Tensor
    ) -> tuple[Tensor, float]:
        logits = _enlarge(answers.text[rows], target.shape[-1])
        mask = mask_loss(logits, target, valid).mean()
        present = ((target * valid).sum((-2, -1)) > 0).float()
        presence = functional.binary_cross_entropy_with_logits(answers.presence[rows], present)
        iou = soft_iou(logits.detach(), target, valid)
        quality = functional.mse_loss(answers.quality[rows, 4], iou)
        return mask + PRESENCE_WEIGHT * presence + QUALITY_WEIGHT * quality, float(mask.detach())

    @staticmethod
    def _click_loss(
        answers: DecodedMasks, rows: Tensor, single: Tensor, target: Tensor, valid: Tensor
    ) -> tuple[Tensor, float]:
        """The best of three candidates for a single click, the first mask for everything else."""
        side = target.shape[-1]
        masks = answers.clicks[rows]  # (M, 4, h, w)
        fine = _enlarge(masks.flatten(0, 1), side).view(len(masks), 4, side, side)
        each = torch.stack([mask_loss(fine[:, i], target, valid) for i in range(4)], dim=1)
        mask = torch.where(single, each[:, 1:].amin(dim=1), each[:, 0]).mean()
        with torch.no_grad():
            iou = torch.stack([soft_iou(fine[:, i], target, valid) for i in range(4)], dim=1)
        quality = functional.mse_loss(answers.quality[rows, :4], iou)
        return mask + QUALITY_WEIGHT * quality, float(mask.detach())


def _enlarge(logits: Tensor, side: int) -> Tensor:
    """Logits (N, h, w) on a grid of `side` pixels."""
    return functional.interpolate(
        logits[:, None], (side, side), mode="bilinear", align_corners=False
    )[:, 0]
