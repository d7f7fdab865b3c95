"""Adapters: what a model learned from a person's corrections, as a small file of its own.

An adapter holds a light head for each term it teaches. The head reads the embedding that the base
model has made of a tile already, so that it costs no pass of the encoder, and it is bound to that
model: it means nothing to another one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from napari_pathseg.classes import Term
from napari_pathseg.errors import ModelError, describe_os_error
from napari_pathseg.fetch import sha256_of
from napari_pathseg.models.adapter_card import (
    REMEDY,
    AdapterCard,
    TaughtTerm,
    read_adapter_card,
)
from napari_pathseg.models.pixel_decoder import PIXEL_DIM

TOKEN_DIM, WIDTH = 256, 32
HEAD_BYTES = 80_000
"""Of one member in a file, a little more than it is."""


class TermHead(nn.Module):
    """Logits of one term from an embedding; 38,000 parameters a member.

    Tokens tell what surrounds a pixel, pixel features where its edges are. The last layer starts
    at zero, so that a head that is added to what the base says starts as the base.

    Parameters
    ----------
    members : int
        Heads that were learned apart and answer together, see :func:`joined`.
    """

    def __init__(self, members: int = 1) -> None:
        super().__init__()
        self.members, wide = members, members * WIDTH
        self.tokens = nn.Conv2d(TOKEN_DIM, wide, 1)
        self.pixels = nn.Conv2d(PIXEL_DIM, wide, 1)
        self.mix = nn.Conv2d(2 * wide, wide, 3, padding=1, groups=members)
        self.refine = nn.Conv2d(wide, wide, 3, padding=1, groups=members)
        self.out = nn.Conv2d(wide, 1, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast(Tensor, self.out.bias))

    def forward(self, tokens: Tensor, pixels: Tensor) -> Tensor:
        """Logits (B, H/4, W/4) of tokens (B, 256, H/16, W/16) and pixels (B, 64, H/4, W/4)."""
        around = functional.interpolate(
            self.tokens(tokens), pixels.shape[-2:], mode="bilinear", align_corners=False
        )
        # Of each member first what is around, then the pixels: (B, members, 2, 32, H/4, W/4).
        parts = [x.unflatten(1, (self.members, WIDTH)) for x in (around, self.pixels(pixels))]
        x = functional.gelu(torch.stack(parts, dim=2).flatten(1, 3))
        x = functional.gelu(self.mix(x))
        x = functional.gelu(x + self.refine(x))
        return cast(Tensor, self.out(x)[:, 0])

    def fit_scale(self, tokens: Tensor, pixels: Tensor) -> None:
        """Take features as standardised from now on, by folding their statistics into the layers.

        Parameters
        ----------
        tokens, pixels : Tensor (N, 256), (N, 64)
            Samples of each.
        """
        with torch.no_grad():
            for layer, features in ((self.tokens, tokens), (self.pixels, pixels)):
                center, spread = features.mean(0), features.std(0).clamp(min=1e-3)
                layer.weight /= spread[None, :, None, None]
                bias = cast(Tensor, layer.bias)
                bias -= (layer.weight[:, :, 0, 0] @ center[:, None])[:, 0]


def joined(heads: Sequence[TermHead]) -> TermHead:
    """One head that says the mean of what several say, each of one member."""
    states = [head.state_dict() for head in heads]
    state = {name: torch.cat([own[name] for own in states]) for name in states[0]}
    state["out.weight"] = torch.cat([own["out.weight"] for own in states], dim=1) / len(heads)
    state["out.bias"] = torch.stack([own["out.bias"] for own in states]).mean(0)
    whole = TermHead(len(heads))
    whole.load_state_dict(state)
    return whole.eval().requires_grad_(False)


@dataclass(frozen=True, slots=True, eq=False)
class Adapter:
    """A card and the heads it speaks of, in the order of its terms.

    Attributes
    ----------
    sha256 : str
        Of its file; "" while it has none.
    """

    card: AdapterCard
    heads: tuple[TermHead, ...]
    sha256: str = ""

    @property
    def identity(self) -> str:
        """Name, version and the start of the hash, to find it again."""
        of_file = f" ({self.sha256[:12]})" if self.sha256 else ""
        return f"{self.card.name} {self.card.version}{of_file}"

    def head(self, term: Term) -> tuple[TaughtTerm, TermHead] | None:
        """What is taught of a term, whatever its region; None where nothing is."""
        plain = term.without_region
        pairs = zip(self.card.terms, self.heads, strict=True)
        return next(((taught, head) for taught, head in pairs if taught.term == plain), None)


def save_adapter(adapter: Adapter, path: Path) -> Adapter:
    """Write an adapter in half precision, whole or not at all; gives it back as it is read again.

    Raises
    ------
    ModelError
        When the file can not be written.
    """
    state = {
        f"{i}.{name}": value.detach().half().contiguous()
        for i, head in enumerate(adapter.heads)
        for name, value in head.state_dict().items()
    }
    card = json.dumps(adapter.card.to_json(), sort_keys=True)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(state, part, metadata={"card": card})
        part.chmod(0o644)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        why = describe_os_error(error, path) if isinstance(error, OSError) else f"{path}: {error}."
        raise ModelError(why, "Choose another folder, or make room.") from error
    return load_adapter(path)


def load_adapter(path: Path) -> Adapter:
    """An adapter from its file.

    Raises
    ------
    ModelError
        When the file is missing, too large, damaged, of another layout or holds numbers that are
        none.
    """
    card = read_adapter_card(path)
    try:
        with safe_open(path, framework="pt") as file:
            state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        heads = tuple(_head(state, i) for i in range(len(card.terms)))
    except (OSError, SafetensorError, RuntimeError, ValueError, LookupError) as error:
        raise ModelError(f"{path}: the adapter is damaged: {error}", REMEDY) from error
    return Adapter(card, heads, sha256_of(path))


def _head(state: Mapping[str, Tensor], index: int) -> TermHead:
    own = {k.split(".", 1)[1]: v for k, v in state.items() if k.startswith(f"{index}.")}
    if not all(bool(torch.isfinite(value).all()) for value in own.values()):
        raise ValueError("it holds numbers that are none")
    head = TermHead(max(own["out.weight"].shape[1] // WIDTH, 1))
    head.load_state_dict(own)
    return head.eval().requires_grad_(False)
