"""Words ask the image: each query reads the tokens and becomes a filter over the pixel features.

There is no attention among queries, so that a term's mask is the same alone and with others.
A query reads windows of the image, not the whole, and its filters are blended between them: what
it finds at a place does not depend on how large an image the place is seen in.
Source: SAT (arXiv 2312.17183), section on the query decoder; the windows are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

from napari_pathseg.models.pixel_decoder import PIXEL_DIM

DIM, HEADS, LAYERS = 256, 8, 2
WINDOW, STEP = 14, 7  # tokens; the windows of the encoder
PIXELS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class WordMasks:
    """Answers to N terms on images of H x W pixels.

    Attributes
    ----------
    logits : Tensor (N, H/4, W/4)
    quality : Tensor (N,)
        Estimated IoU, where the term is likeliest.
    presence : Tensor (N,)
        Logit that the term occurs in the image: of the window where it is likeliest.
    """

    logits: Tensor
    quality: Tensor
    presence: Tensor


class QueryDecoder(nn.Module):
    """Cross-attention from term queries to image tokens, then a dot product with the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(DIM)
        self.filter = MLP(DIM, DIM, PIXEL_DIM + 1, 3)
        self.outputs = MLP(DIM, DIM, 2, 3)

    def forward(self, tokens: Tensor, pixels: Tensor, query: Tensor, image: Tensor) -> WordMasks:
        """Answer N terms.

        Parameters
        ----------
        tokens : Tensor (B, 256, h, w)
        pixels : Tensor (B, 64, 4h, 4w)
        query : Tensor (N, 256)
        image : int64 Tensor (N,)
            Which of the B images each term is asked of.
        """
        height, width = tokens.shape[2:]
        ys, xs = _starts(height), _starts(width)
        share = _shares(height, width, tokens.device)  # (G, 4h, 4w)
        asked: list[Tensor] = []
        found: list[tuple[Tensor, ...]] = []
        for i in sorted(set(image.tolist())):
            rows = (image == i).nonzero()[:, 0]
            read = self._read(tokens[i].movedim(0, -1), query[rows], ys, xs)  # (n, G, 256)
            asked.append(rows)
            found.append(self._answers(read, pixels[i], share))
        order = torch.cat(asked).argsort()
        return WordMasks(*(torch.cat(parts)[order] for parts in zip(*found, strict=True)))

    def _read(self, tokens: Tensor, query: Tensor, ys: Sequence[int], xs: Sequence[int]) -> Tensor:
        """Queries (n, 256) after reading each window of tokens (h, w, 256): (n, G, 256)."""
        windows = _windows(tokens, ys, xs)
        read = query.expand(len(windows), -1, -1)  # (G, n, 256)
        for layer in self.layers:
            read = layer(read, windows)
        return cast(Tensor, self.norm(read).transpose(0, 1))

    def _answers(self, read: Tensor, pixels: Tensor, share: Tensor) -> tuple[Tensor, ...]:
        """Logits (n, 4h, 4w), quality and presence (n,) of queries that read each window."""
        code, bias = self.filter(read).split([PIXEL_DIM, 1], dim=2)
        maps = torch.einsum("ngc,chw->nghw", code, pixels) + bias[..., None]
        quality, presence = self.outputs(read).unbind(2)  # (n, G)
        likeliest = presence.argmax(dim=1, keepdim=True)
        best = (values.gather(1, likeliest)[:, 0] for values in (quality, presence))
        return (maps * share).sum(dim=1), *best


def _starts(side: int) -> list[int]:
    """Where windows start along an axis of so many tokens: evenly, `STEP` apart at most."""
    count = max(math.ceil((side - WINDOW) / STEP), 0) + 1
    return [round(i * (side - WINDOW) / (count - 1)) for i in range(count)] if count > 1 else [0]


@lru_cache(maxsize=4)
def _shares(height: int, width: int, device: torch.device) -> Tensor:
    """How much each window counts at each pixel (G, 4h, 4w): linear between their middles."""
    with torch.inference_mode(mode=False):  # kept, and used in training too
        down = _shares_along(height, device)  # (Gy, 4h)
        across = _shares_along(width, device)  # (Gx, 4w)
        return (down[:, None, :, None] * across[None, :, None, :]).flatten(0, 1)


def _shares_along(side: int, device: torch.device) -> Tensor:
    starts = _starts(side)
    place = (torch.arange(side * PIXELS_PER_TOKEN, device=device) + 0.5) / PIXELS_PER_TOKEN
    if len(starts) == 1:
        return torch.ones(1, len(place), device=device)
    middles = torch.tensor(starts, device=device) + WINDOW / 2
    right = torch.searchsorted(middles, place).clamp(1, len(starts) - 1)
    span = middles[right] - middles[right - 1]
    part = ((place - middles[right - 1]) / span).clamp(0, 1)
    shares = torch.zeros(len(starts), len(place), device=device)
    columns = torch.arange(len(place), device=device)
    shares[right - 1, columns] = 1 - part
    shares[right, columns] = part
    return shares


class _Layer(nn.Module):
    """One pre-norm cross-attention and feed-forward layer, every query by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.query_norm = nn.LayerNorm(DIM)
        self.to_query = nn.Linear(DIM, DIM)
        self.to_key = nn.Linear(DIM, DIM)
        self.to_value = nn.Linear(DIM, DIM)
        self.out = nn.Linear(DIM, DIM)
        self.feed_norm = nn.LayerNorm(DIM)
        self.feed = nn.Sequential(nn.Linear(DIM, 2 * DIM), nn.GELU(), nn.Linear(2 * DIM, DIM))

    def forward(self, query: Tensor, windows: Tensor) -> Tensor:
        """Queries (G, n, 256) after each read its window of tokens (G, L, 256).

        Keys and values are linear in the tokens, so that the few queries go through their weights
        instead of the many tokens. The bias of the keys adds the same to all tokens of a window,
        which attention does not see.
        """
        count = query.shape[:2]
        asked = self.to_query(self.query_norm(query)).view(*count, HEADS, -1)
        key, value = (
            part.weight.view(HEADS, -1, DIM)  # (8, 32, 256)
            for part in (self.to_key, self.to_value)
        )
        asked = torch.einsum("gnhd,hdc->gnhc", asked, key).flatten(1, 2)  # (G, 8 n, 256)
        near = (asked @ windows.mT / math.sqrt(DIM / HEADS)).softmax(dim=-1)  # (G, 8 n, L)
        seen = (near @ windows).view(*count, HEADS, DIM)
        read = torch.einsum("gnhc,hdc->gnhd", seen, value).flatten(2) + self.to_value.bias
        query = query + self.out(read)
        return cast(Tensor, query + self.feed(self.feed_norm(query)))


def _windows(tokens: Tensor, ys: Sequence[int], xs: Sequence[int]) -> Tensor:
    """Windows of a map (h, w, 256), each a row (G, L, 256)."""
    cut = [tokens[y : y + WINDOW, x : x + WINDOW].flatten(0, 1) for y in ys for x in xs]
    return torch.stack(cut)
