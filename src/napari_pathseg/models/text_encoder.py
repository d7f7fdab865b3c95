"""Terms become query vectors: region x structure x object, each a learned part.

The parts add up, so that a term never seen in a region still has a place. Source of the
hierarchy: PathSegmentor (arXiv 2506.20988), label hierarchy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED, Term

DIM = 256


class TermEncoder(nn.Module):
    """Embeds the terms a model was taught.

    Parameters
    ----------
    objects : sequence of (structure, object)
        What the model was taught.
    regions : sequence of str
        Organs seen in training; any other reads as unspecified.
    """

    def __init__(self, objects: Sequence[tuple[str, str]], regions: Sequence[str]) -> None:
        super().__init__()
        self.objects = tuple(objects)
        self.regions = (UNSPECIFIED, *(r for r in regions if r != UNSPECIFIED))
        self.object_embedding = nn.Embedding(len(self.objects), DIM)
        self.region_embedding = nn.Embedding(len(self.regions), DIM)
        self.structure_embedding = nn.Embedding(len(STRUCTURES), DIM)
        nn.init.normal_(self.region_embedding.weight, std=0.1)
        self.project = nn.Sequential(nn.Linear(DIM, DIM), nn.GELU(), nn.Linear(DIM, DIM))

    def indices(self, terms: Sequence[Term]) -> Tensor:
        """Rows of the three tables, int64 (N, 3); ValueError for a term that was not taught."""
        rows = [
            (
                self.objects.index((t.structure, t.object)),
                self.regions.index(t.region) if t.region in self.regions else 0,
                STRUCTURES.index(t.structure),
            )
            for t in terms
        ]
        return torch.tensor(rows, dtype=torch.int64).view(-1, 3)

    def forward(self, indices: Tensor) -> Tensor:
        """Query vectors (N, 256) of rows (N, 3)."""
        parts = (
            self.object_embedding(indices[:, 0])
            + self.region_embedding(indices[:, 1])
            + self.structure_embedding(indices[:, 2])
        )  # (N, 256)
        return cast(Tensor, parts + self.project(parts))
