"""What an evaluation found: a row for each data set and term, with its uncertainty."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_pathseg.inference.evaluation import PROTOCOLS, Measured

RESAMPLES = 1000
FALSE_AREA_LIMIT = 0.005


def summarize(measured: Sequence[Measured], seed: int = 0) -> dict[str, Any]:
    """A report ready for JSON.

    Returns
    -------
    dict
        `rows`: dataset, term, prompt, n, dice, low, high (95 % bootstrap over images or objects),
        iou, and panoptic where the data has single objects; `absent`: dataset, term, n, mean
        false area, share of images with at most 0.5 % of their pixels marked; `calibration`:
        the score against the IoU that it estimates, in ten bins, and the mean distance (expected
        calibration error, Naeini et al. 2015); `protocols`: how each kind of prompt was given.
    """
    rng = np.random.default_rng(seed)
    groups: dict[tuple[str, str, str], list[Measured]] = defaultdict(list)
    for one in measured:
        groups[one.dataset, one.term, one.prompt].append(one)
    rows, absent = [], []
    for (dataset, term, prompt), ones in sorted(groups.items()):
        names = {"dataset": dataset, "term": term, "prompt": prompt}
        present = [o for o in ones if o.present]
        if present:
            rows.append(names | _overlap(present, rng))
        missing = [o.false_area for o in ones if not o.present]
        if missing:
            within = float(np.mean([a <= FALSE_AREA_LIMIT for a in missing]))
            absent.append(
                names | {"n": len(missing), "false_area": float(np.mean(missing)), "within": within}
            )
    asked = sorted({one.prompt for one in measured})
    return {
        "rows": rows,
        "absent": absent,
        "calibration": calibration(measured),
        "protocols": {p: PROTOCOLS[p] for p in asked},
    }


def calibration(measured: Sequence[Measured], bins: int = 10) -> dict[str, Any]:
    """Score against IoU over everything that was there to be found."""
    present = [o for o in measured if o.present]
    score = np.array([o.score for o in present])
    iou = np.array([o.iou for o in present])
    at = np.minimum((score * bins).astype(int), bins - 1)
    filled = [
        {
            "low": i / bins,
            "high": (i + 1) / bins,
            "n": int((at == i).sum()),
            "score": float(score[at == i].mean()),
            "iou": float(iou[at == i].mean()),
        }
        for i in range(bins)
        if (at == i).any()
    ]
    distance = sum(b["n"] * abs(b["score"] - b["iou"]) for b in filled)
    return {"bins": filled, "error": distance / max(len(present), 1)}


def _overlap(present: Sequence[Measured], rng: np.random.Generator) -> dict[str, Any]:
    dice = np.array([o.dice for o in present])
    means = rng.choice(dice, (RESAMPLES, len(dice))).mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    row: dict[str, Any] = {
        "n": len(present),
        "dice": float(dice.mean()),
        "low": float(low),
        "high": float(high),
        "iou": float(np.mean([o.iou for o in present])),
    }
    panoptic = [o.panoptic for o in present if o.panoptic is not None]
    return row | ({"panoptic": float(np.mean(panoptic))} if panoptic else {})
