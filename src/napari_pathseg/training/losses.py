"""Losses: weighted BCE and squared Dice, a row for each prompt.

Source: SAT (arXiv 2312.17183), section on the segmentation loss; baseline weights of our own.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

SMOOTH = 1.0


def dice_loss(probability: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 - Dice with squares over the valid pixels, (N,) of (N, H, W)."""
    p, g = probability * valid, target * valid
    overlap = (p * g).sum((-2, -1))
    return 1 - (2 * overlap + SMOOTH) / ((p * p).sum((-2, -1)) + (g * g).sum((-2, -1)) + SMOOTH)


def bce_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Mean binary cross entropy over the valid pixels, (N,) of (N, H, W)."""
    each = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return (each * valid).sum((-2, -1)) / valid.sum((-2, -1)).clamp(min=1)


def mask_loss(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """2 BCE + Dice where the target has pixels, 4 BCE where it is empty, (N,)."""
    bce = bce_loss(logits, target, valid)
    dice = dice_loss(logits.sigmoid(), target, valid)
    present = (target * valid).sum((-2, -1)) > 0
    return torch.where(present, 2 * bce + dice, 4 * bce)


def soft_iou(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """IoU of the mask cut at 0 with a target cut at one half, (N,); both empty = 1."""
    p, g, v = logits > 0, target > 0.5, valid > 0.5
    overlap, union = (p & g & v).sum((-2, -1)), ((p | g) & v).sum((-2, -1))
    return torch.where(union > 0, overlap / union.clamp(min=1), torch.ones_like(overlap).float())
