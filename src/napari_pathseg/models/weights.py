"""Weights on disk: a safetensors file with the model card in its header; never a pickle.

A file may hold, beside its model, what others add to MobileSAM: their tensors and cards go by the
name of the model, a slash before what they are called.
"""

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
    state = {name: _kept(value) for name, value in network.state_dict().items()}
    _write(state, path, {"card": json.dumps(card, sort_keys=True)})


def save_beside(
    network: nn.Module, base: Mapping[str, Tensor], path: Path, name: str, card: Mapping[str, Any]
) -> None:
    """Put what a network adds to MobileSAM into a weights file, beside the model that it holds.

    Parameters
    ----------
    network : nn.Module
    base : mapping
        MobileSAM's weights, by :func:`read_mobile_sam`; what is the same as there is left out.
    path : Path
        A weights file; written whole or not at all.
    name : str
        Of the model in the file; one of this name is replaced.
    card : mapping
    """
    with safe_open(path, framework="pt") as file:
        cards = dict(file.metadata() or {})
        held = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    own = _prefix(name)
    held = {key: value for key, value in held.items() if not key.startswith(own)}
    for key, value in network.state_dict().items():
        kept = _kept(value)
        if key not in base or not torch.equal(_kept(base[key]), kept):
            held[own + key] = kept
    _write(held, path, cards | {own + "card": json.dumps(card, sort_keys=True)})


def read_card(path: Path, name: str = "") -> dict[str, Any]:
    """A card in the header of a weights file: that of its model, or of one `name` beside it.

    Raises
    ------
    ModelError
        When the file is missing, damaged or has no such card.
    """
    try:
        with safe_open(path, framework="pt") as file:
            card: dict[str, Any] = json.loads((file.metadata() or {})[_prefix(name) + "card"])
            return card
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ModelError(
            f"{path}: not a napari-pathseg model ({type(error).__name__}: {error}).",
            "Install the package again, or name another model.",
        ) from error


def load_weights(
    network: nn.Module, path: Path, name: str = "", base: Mapping[str, Tensor] | None = None
) -> None:
    """Fill a network from a weights file, every key matched.

    Parameters
    ----------
    network : nn.Module
    path : Path
    name : str
        Of a model beside the file's own.
    base : mapping, optional
        What that adds to.

    Raises
    ------
    ModelError
        Listing the keys that are missing, unexpected or of another shape.
    """
    own = _prefix(name)
    try:
        with safe_open(path, framework="pt") as file:
            # A slash stands only in the names of what lies beside.
            keys = [k for k in file.keys() if (k.startswith(own) if own else "/" not in k)]  # noqa: SIM118
            state = {key.removeprefix(own): file.get_tensor(key) for key in keys}
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: {error}.", "Install the package again.") from error
    load_matching(network, {**(base or {}), **state}, path)


def _kept(value: Tensor) -> Tensor:
    """As it is written: in half precision."""
    wanted = torch.float16 if value.is_floating_point() else value.dtype
    return value.detach().to(wanted).contiguous()


def _prefix(name: str) -> str:
    return f"{name}/" if name else ""


def _write(state: Mapping[str, Tensor], path: Path, cards: Mapping[str, str]) -> None:
    part = path.with_suffix(".part")
    save_file(dict(state), part, metadata=dict(cards))
    part.chmod(0o644)
    part.replace(path)


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
