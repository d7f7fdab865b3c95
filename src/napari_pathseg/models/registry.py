"""The models that can be chosen by name."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari_pathseg.errors import ModelError
from napari_pathseg.fetch import sha256_of
from napari_pathseg.models.base import Figure, ModelCard, Segmenter
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.segmenter import PathsegSegmenter
from napari_pathseg.models.weights import load_weights, read_card

DEFAULT = "default"
MODELS: Mapping[str, Path] = {
    DEFAULT: Path(__file__).parent / "data" / "pathseg-default.safetensors",
}


def load_segmenter(name: str = DEFAULT, device: str = "cpu") -> Segmenter:
    """Load a model by name; the last one loaded is kept.

    Raises
    ------
    ModelError
        When the name is unknown or the file is missing or damaged.
    """
    return _kept(model_path(name), device)


@functools.lru_cache(maxsize=1)
def _kept(path: Path, device: str) -> Segmenter:
    return load_segmenter_file(path, device)


def load_segmenter_file(path: Path, device: str = "cpu") -> Segmenter:
    """Load a model from a file.

    Raises
    ------
    ModelError
        When the file is missing, damaged or of another layout.
    """
    card = load_card(path)
    network = PathsegNetwork(card.objects, card.regions)
    load_weights(network, path)
    return PathsegSegmenter(network, card, device)


def model_path(name: str) -> Path:
    """The file of a model; ModelError for an unknown name."""
    if name not in MODELS:
        raise ModelError(
            f"There is no model named '{name}'.", f"Choose one of: {', '.join(MODELS)}."
        )
    return MODELS[name]


def load_card(path: Path) -> ModelCard:
    """The card of a model file, without loading the weights.

    Raises
    ------
    ModelError
        When the file is missing, damaged or has no card.
    """
    data = read_card(path)
    try:
        return _card(data, sha256_of(path))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{path}: the model card lacks or misuses {error}.", "Use a model made by this version."
        ) from error


def _card(data: dict[str, Any], sha256: str) -> ModelCard:
    return ModelCard(
        name=data["name"],
        version=data["version"],
        sha256=sha256,
        license=data["license"],
        research_only=bool(data["research_only"]),
        summary=data["summary"],
        objects=tuple((s, o) for s, o in data["objects"]),
        regions=tuple(data["regions"]),
        working_mpp={k: float(v) for k, v in data["working_mpp"].items()},
        presence_gate=float(data["presence_gate"]),
        figures=tuple(Figure(**row) for row in data["figures"]),
        withheld=tuple(data["withheld"]),
    )
