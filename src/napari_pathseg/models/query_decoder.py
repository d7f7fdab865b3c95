"""Words ask the image: each query reads the tokens and becomes a filter over the pixel features.

There is no attention among queries, so that a term's mask is the same alone and with others.
Source: SAT (arXiv 2312.17183), section on the query decoder.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn
from torch.nn import functional

from napari_pathseg.models.pixel_decoder import PIXEL_DIM

DIM, HEADS, LAYERS = 256, 8, 2


@dataclass(frozen=True, slots=True)
class WordMasks:
    """Answers to N terms on images of H x W pixels.

    Attributes
    ----------
    logits : Tensor (N, H/4, W/4)
    quality : Tensor (N,)
        Estimated IoU.
    presence : Tensor (N,)
        Logit that the term occurs in the image.
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
        keys = tokens.flatten(2).transpose(1, 2)  # (B, hw, 256)
        for layer in self.layers:
            query = layer(query, keys, image)
        query = self.norm(query)
        code, bias = self.filter(query).split([PIXEL_DIM, 1], dim=1)
        logits = torch.stack(
            [torch.einsum("c,chw->hw", code[n], pixels[i]) for n, i in enumerate(image.tolist())]
        )  # (N, 4h, 4w)
        quality, presence = self.outputs(query).unbind(1)
        return WordMasks(logits + bias[:, :, None], quality, presence)


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

    def forward(self, query: Tensor, keys: Tensor, image: Tensor) -> Tensor:
        """Queries (N, 256) after reading the keys (B, L, 256) of their images."""
        q = self.to_query(self.query_norm(query)).view(-1, HEADS, 1, DIM // HEADS)
        k, v = (
            part(keys).view(len(keys), -1, HEADS, DIM // HEADS).transpose(1, 2)[image]
            for part in (self.to_key, self.to_value)
        )  # (N, 8, L, 32)
        read = functional.scaled_dot_product_attention(q, k, v)  # (N, 8, 1, 32)
        query = query + self.out(read.reshape(-1, DIM))
        return cast(Tensor, query + self.feed(self.feed_norm(query)))
