"""The running average of weights: steadier than the weights of any one step."""

from __future__ import annotations

import torch
from torch import nn


def follow(average: nn.Module, learning: nn.Module, step: int, kept: float) -> None:
    """Move an average towards the weights after a step; at first fast, later less.

    Parameters
    ----------
    average, learning : nn.Module
        Of the same kind; what does not learn stays as it is.
    step : int
        From 1.
    kept : float
        Share of the average that is kept in a step, once there were many.
    """
    kept = min(kept, (1 + step) / (10 + step))
    with torch.no_grad():
        for mean, value in zip(average.parameters(), learning.parameters(), strict=True):
            if value.requires_grad:
                mean.lerp_(value, 1 - kept)
