"""How good the words are while training goes on: the same crops of held-out cases every time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.training.cases import Case
from napari_pathseg.training.recipe import Recipe
from napari_pathseg.training.sampling import Sample, Sampler


class Validation:
    """Crops of the cases of the split "val", drawn once, without colour changes or context.

    Parameters
    ----------
    cases : sequence of Case
    recipe : Recipe
    crops : int
        Of each data set, at most.
    """

    def __init__(self, cases: Sequence[Case], recipe: Recipe, crops: int = 8) -> None:
        side = {g.name: g.crop_px for g in recipe.groups}
        rng = np.random.default_rng(recipe.seed)
        self._samples: list[Sample] = []
        for dataset in recipe.datasets:
            own = [c for c in cases if c.dataset == dataset.name and c.split == "val"]
            if own and not dataset.points:
                sampler = Sampler(own, dataset, side[dataset.group], augmented=False)
                self._samples += [sampler.draw(rng) for _ in range(crops)]

    def __bool__(self) -> bool:
        return bool(self._samples)

    def dice(self, network: PathsegNetwork) -> dict[str, float]:
        """Mean Dice of each object over the crops that hold it."""
        found: dict[str, list[float]] = defaultdict(list)
        for sample in self._samples:
            present = [t for t in sample.terms if bool((t.target > 0.5).any())]
            if not present:
                continue
            indices = network.term_encoder.indices([t.term for t in present])
            with torch.inference_mode():
                embedding = network.embed(sample.image[None])
                first = torch.zeros(len(present), dtype=torch.int64)
                answer = network.ask(embedding.tokens, embedding.pixels, indices, first)
                logits = functional.interpolate(
                    answer.logits[:, None], sample.valid.shape, mode="bilinear"
                )[:, 0]
            for term, own in zip(present, logits, strict=True):
                inside = (own > 0) & (sample.valid > 0.5)
                truth = (term.target > 0.5) & (sample.valid > 0.5)
                total = int(inside.sum() + truth.sum())
                found[term.term.object].append(2 * int((inside & truth).sum()) / max(total, 1))
        return {name: float(np.mean(values)) for name, values in sorted(found.items())}
