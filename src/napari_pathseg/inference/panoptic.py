"""Panoptic quality: how well single objects are found and outlined.

Source: Kirillov et al., Panoptic Segmentation (arXiv 1801.00868), section 4.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]


def panoptic_quality(found: Ints, truth: Ints) -> float | None:
    """Mean IoU of matched objects, times the F1 of finding them; None where there are none.

    Parameters
    ----------
    found, truth : integer array (height, width)
        Object numbers, 0 = none. Two objects match when their IoU is above one half.
    """
    found_ids, found_at = np.unique(found, return_inverse=True)
    true_ids, true_at = np.unique(truth, return_inverse=True)
    table = np.zeros((len(found_ids), len(true_ids)))
    np.add.at(table, (found_at.ravel(), true_at.ravel()), 1)
    area_found, area_true = table.sum(axis=1), table.sum(axis=0)
    inside = np.ix_(found_ids > 0, true_ids > 0)
    overlap = table[inside]
    if not sum(overlap.shape):
        return None
    union = area_found[found_ids > 0][:, None] + area_true[true_ids > 0][None] - overlap
    iou = overlap / union
    matched = iou[iou > 0.5]
    return float(2 * matched.sum() / sum(overlap.shape))
