"""Weights on disk: one safetensors file with the model card in its header; never a pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_pathseg.errors import ModelError
from napari_pathseg.fetch import sha256_of
from napari_pathseg.models.image_encoder import mobile_sam_name

MOBILE_SAM_SHA256 = "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f"


def save_weights(network: nn.Module, path: Path, card: Mapping[str, Any]) -> None:
    """Write a network in half precision with its card, whole or not at all."""
    state = {
        name: value.detach().to(torch.float16 if value.is_floating_point() else value.dtype)
        for name, value in network.state_dict().items()
    }
    part = path.with_suffix(".part")
    contiguous = {k: v.contiguous() for k, v in state.items()}
    save_file(contiguous, part, metadata={"card": json.dumps(card, sort_keys=True)})
    part.chmod(0o644)
    part.replace(path)


def read_card(path: Path) -> dict[str, Any]:
    """The card in the header of a weights file.

    Raises
    ------
    ModelError
        When the file is missing, damaged or has no card.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card: dict[str, Any] = json.loads((file.metadata() or {})["card"])
            return card
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: not a napari-pathseg model ({type(error).__name__}: {error}).",
            "Install the package again, or name another model.",
        ) from error


def load_weights(network: nn.Module, path: Path) -> None:
    """Fill a network from a weights file, every key matched.

    Raises
    ------
    ModelError
        Listing the keys that are missing, unexpected or of another shape.
    """
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: {error}.", "Install the package again.") from error
    load_matching(network, state, path)


def load_matching(network: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Copy a state into a network of exactly the same layout."""
    own = network.state_dict()
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = sorted(k for k in own.keys() & state.keys() if own[k].shape != state[k].shape)
    if missing or unexpected or shapes:
        raise ModelError(
            f"{path}: the weights do not fit the network: missing {missing[:5]}, "
            f"unexpected {unexpected[:5]}, other shape {shapes[:5]}.",
            "Use a model made by this version.",
        )
    network.load_state_dict({k: v.to(own[k].dtype) for k, v in state.items()})


def read_mobile_sam(path: Path) -> dict[str, Tensor]:
    """MobileSAM's official checkpoint under our names.

    Raises
    ------
    ModelError
        When the file's sha256 is not the official one.
    """
    if sha256_of(path) != MOBILE_SAM_SHA256:
        raise ModelError(
            f"{path}: not MobileSAM's official mobile_sam.pt (sha256 differs).",
            "Fetch it again by name.",
        )
    official = torch.load(path, weights_only=True, map_location="cpu")
    ours = {}
    for name, value in official.items():
        part, rest = name.split(".", 1)
        if part != "image_encoder":
            ours[f"{part}.sam.{rest}"] = value
        elif (inner := mobile_sam_name(rest)) is not None:
            ours[f"image_encoder.{inner}"] = value
    return ours
