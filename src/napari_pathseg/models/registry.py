"""The models that can be chosen by name, and where they run."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_pathseg.errors import ModelError
from napari_pathseg.fetch import sha256_of
from napari_pathseg.models.base import Figure, ModelCard, Segmenter
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.segmenter import PathsegSegmenter
from napari_pathseg.models.sources import fetch_mobile_sam
from napari_pathseg.models.weights import load_weights, read_card, read_mobile_sam
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress

DEFAULT, PERMISSIVE = "default", "permissive"
SUFFIX = ".safetensors"
# Of a picture beside a model: what it is known to do wrong.
FAILURES_SUFFIX = ".failures.jpg"
# The file of the default model, which holds under their names what others add to MobileSAM.
SHIPPED = Path(__file__).parent / "data" / "pathseg-default.safetensors"
MODELS = (DEFAULT, PERMISSIVE)


def _mobile_sam(device: str) -> Segmenter:
    from napari_pathseg.models.adapters.mobile_sam import MobileSamSegmenter

    return MobileSamSegmenter(device)


# Models of others; their weights are fetched by name when first asked for.
ADAPTERS: Mapping[str, Callable[[str], Segmenter]] = {"mobile-sam": _mobile_sam}


def fetch_base(
    name: str, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
) -> None:
    """Have what a model needs and does not ship with it, once for a computer; most need nothing.

    Raises
    ------
    FetchError
        When it can not be had.
    CancelledError
    """
    if name == PERMISSIVE or name in ADAPTERS:
        fetch_mobile_sam(progress, cancel)


def load_segmenter(
    name: str = DEFAULT, device: str | None = None, *, words_only: bool = False
) -> Segmenter:
    """Load a model by name, or from a file of ours; the last one loaded is kept.

    Parameters
    ----------
    name : str
        One of `MODELS` or `ADAPTERS`, or the path of a `.safetensors` file.
    device : str, optional
        "cpu", "cuda" or "mps"; by default the fastest that is there.
    words_only : bool
        Do not take the time and the memory that make clicks fast.

    Raises
    ------
    ModelError
        When the name is unknown or the file is missing or damaged.
    FetchError
        When what :func:`fetch_base` fetches is not there and can not be had.
    """
    return _kept(name, device or fastest_device(), words_only)


@functools.lru_cache(maxsize=1)
def _kept(name: str, device: str, words_only: bool) -> Segmenter:
    if name in ADAPTERS:
        return ADAPTERS[name](device)
    if name == PERMISSIVE:
        base = read_mobile_sam(fetch_mobile_sam())
        return _load(SHIPPED, device, name, base, words_only=words_only)
    return _load(model_path(name), device, words_only=words_only)


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
    return _load(path, device)


def _load(
    path: Path,
    device: str,
    name: str = "",
    base: Mapping[str, Tensor] | None = None,
    *,
    words_only: bool = False,
) -> Segmenter:
    card = load_card(path, name)
    network = PathsegNetwork(card.objects, card.regions, context=card.context)
    load_weights(network, path, name, base)
    return PathsegSegmenter(network, card, device, words_only=words_only)


def model_path(name: str) -> Path:
    """The file of a model; ModelError for an unknown name."""
    if name in MODELS:
        return SHIPPED
    if name.endswith(SUFFIX):
        return Path(name)
    names = ", ".join([*MODELS, *ADAPTERS])
    raise ModelError(
        f"There is no model named '{name}'.", f"Choose one of: {names}; or a {SUFFIX} file."
    )


def load_card(path: Path, name: str = "") -> ModelCard:
    """The card of a model file, or of one `name` beside its model, without loading the weights.

    Raises
    ------
    ModelError
        When the file is missing, damaged or has no such card.
    """
    data = read_card(path, name)
    # What is kept by a model's sum is not to be taken for that of another of the same file.
    file = sha256_of(path)
    sha256 = hashlib.sha256(f"{file}/{name}".encode()).hexdigest() if name else file
    try:
        return _card(data, sha256)
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
