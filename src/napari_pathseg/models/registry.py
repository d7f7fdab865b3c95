"""The models that can be chosen by name, and where they run."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from napari_pathseg.errors import ModelError
from napari_pathseg.fetch import sha256_of
from napari_pathseg.models.base import Figure, ModelCard, Segmenter
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.segmenter import PathsegSegmenter
from napari_pathseg.models.weights import load_weights, read_card

DEFAULT = "default"
SUFFIX = ".safetensors"
# Of a picture beside a model: what it is known to do wrong.
FAILURES_SUFFIX = ".failures.jpg"
MODELS: Mapping[str, Path] = {
    DEFAULT: Path(__file__).parent / "data" / "pathseg-default.safetensors",
}


def _mobile_sam(device: str) -> Segmenter:
    from napari_pathseg.models.adapters.mobile_sam import MobileSamSegmenter

    return MobileSamSegmenter(device)


# Models of others; their weights are fetched by name when first asked for.
ADAPTERS: Mapping[str, Callable[[str], Segmenter]] = {"mobile-sam": _mobile_sam}


def load_segmenter(name: str = DEFAULT, device: str | None = None) -> Segmenter:
    """Load a model by name, or from a file of ours; the last one loaded is kept.

    Parameters
    ----------
    name : str
        A key of `MODELS` or `ADAPTERS`, or the path of a `.safetensors` file.
    device : str, optional
        "cpu", "cuda" or "mps"; by default the fastest that is there.

    Raises
    ------
    ModelError
        When the name is unknown or the file is missing or damaged.
    FetchError
        When the weights of another's model can not be had.
    """
    return _kept(name, device or fastest_device())


@functools.lru_cache(maxsize=1)
def _kept(name: str, device: str) -> Segmenter:
    if name in ADAPTERS:
        return ADAPTERS[name](device)
    return load_segmenter_file(model_path(name), device)


def fastest_device() -> str:
    """The device that torch computes on fastest here; `PATHSEG_DEVICE` overrules."""
    if chosen := os.environ.get("PATHSEG_DEVICE"):
        return chosen
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def load_segmenter_file(path: Path, device: str = "cpu") -> Segmenter:
    """Load a model from a file.

    Raises
    ------
    ModelError
        When the file is missing, damaged or of another layout.
    """
    card = load_card(path)
    network = PathsegNetwork(card.objects, card.regions, context=card.context)
    load_weights(network, path)
    return PathsegSegmenter(network, card, device)


def model_path(name: str) -> Path:
    """The file of a model; ModelError for an unknown name."""
    if name in MODELS:
        return MODELS[name]
    if name.endswith(SUFFIX):
        return Path(name)
    names = ", ".join([*MODELS, *ADAPTERS])
    raise ModelError(
        f"There is no model named '{name}'.", f"Choose one of: {names}; or a {SUFFIX} file."
    )


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
        offsets={k: float(v) for k, v in data["offsets"].items()},
        presence_offsets={k: float(v) for k, v in data.get("presence_offsets", {}).items()},
        context=bool(data.get("context", False)),
    )
