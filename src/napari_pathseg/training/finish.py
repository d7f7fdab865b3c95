"""A trained network becomes a model file with its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_pathseg.models.base import Figure
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.weights import save_weights
from napari_pathseg.training.recipe import Recipe


def write_model(
    network: PathsegNetwork, path: Path, recipe: Recipe, figures: Sequence[Figure] = ()
) -> None:
    """Write a network and its card as one safetensors file in half precision.

    Raises
    ------
    OSError
        When the file can not be written; nothing is left behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, path, card_of(network, recipe, figures))


def card_of(
    network: PathsegNetwork, recipe: Recipe, figures: Sequence[Figure] = ()
) -> dict[str, Any]:
    """What the header of a weights file says of a network that was trained by a recipe."""
    objects = network.term_encoder.objects
    return {
        "name": recipe.name,
        "version": recipe.version,
        "license": recipe.license,
        "research_only": recipe.research_only,
        "summary": recipe.summary,
        "objects": [list(pair) for pair in objects],
        "regions": list(network.term_encoder.regions),
        "working_mpp": {name: recipe.looked_at(name) for _, name in objects},
        "presence_gate": recipe.presence_gate,
        "withheld": list(recipe.withheld),
        "offsets": dict(recipe.offsets),
        "presence_offsets": dict(recipe.presence_offsets),
        "context": network.context_branch is not None,
        "figures": [asdict(figure) for figure in figures],
    }
