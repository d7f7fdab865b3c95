"""A trained network becomes a model file with its card."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from napari_pathseg.models.base import Figure
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.weights import save_weights

RESEARCH_DATA = (
    "Trained in part on data for research use only (GlaS, CoNSeP, WSSS4LUAD, CRCHistoPhenotypes) "
    "or non-commercial use (Lizard, MoNuSeg, PanNuke, CryoNuSeg); encoder and decoder start from "
    "MobileSAM (Apache-2.0)."
)


def write_model(
    network: PathsegNetwork,
    path: Path,
    *,
    name: str,
    version: str,
    working_mpp: dict[str, float],
    presence_gate: float,
    figures: Sequence[Figure] = (),
) -> None:
    """Write a network and its card as one safetensors file in half precision."""
    card: dict[str, Any] = {
        "name": name,
        "version": version,
        "license": "research use only",
        "research_only": True,
        "summary": RESEARCH_DATA,
        "objects": [list(pair) for pair in network.term_encoder.objects],
        "regions": list(network.term_encoder.regions),
        "working_mpp": working_mpp,
        "presence_gate": presence_gate,
        "figures": [asdict(figure) for figure in figures],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    save_weights(network, path, card)
