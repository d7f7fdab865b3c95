"""How alike two masks are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bool = npt.NDArray[np.bool_]


def dice_and_iou(one: Bool, other: Bool) -> tuple[float, float]:
    """Both overlaps of two masks of one shape; 1 for two empty ones."""
    both, total = float((one & other).sum()), float(one.sum() + other.sum())
    return (2 * both / total, both / (total - both)) if total else (1.0, 1.0)
