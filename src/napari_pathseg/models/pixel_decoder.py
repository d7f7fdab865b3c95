"""Pixel features that words are compared with: the encoder's maps merged from coarse to fine.

Source: feature pyramid (arXiv 1612.03144) as the pixel decoder of a query-based segmenter
(SAT, arXiv 2312.17183; PathSegmentor, arXiv 2506.20988). Made once an image, whatever is asked.
"""

from __future__ import annotations

from typing import cast

import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

from napari_pathseg.models.image_encoder import ImageMaps

PIXEL_DIM = 64
SURROUNDINGS = 8  # tokens on each side of a place that make up its surroundings
_COARSE = 128


class PixelDecoder(nn.Module):
    """Tokens of stride 16 and the maps of stride 8 and 4 become one map of stride 4."""

    def __init__(self) -> None:
        super().__init__()
        self.coarse = _block(256, _COARSE)
        self.surroundings = nn.Sequential(
            nn.Linear(256, _COARSE), nn.GELU(), nn.Linear(_COARSE, _COARSE)
        )
        self.lateral_middle = nn.Sequential(LayerNorm2d(128), nn.Conv2d(128, _COARSE, 1))
        self.middle = _block(_COARSE, _COARSE)
        self.narrow = nn.Conv2d(_COARSE, PIXEL_DIM, 1)
        self.lateral_early = nn.Sequential(LayerNorm2d(64), nn.Conv2d(64, PIXEL_DIM, 1))
        self.fine = nn.Sequential(
            _block(PIXEL_DIM, PIXEL_DIM), nn.Conv2d(PIXEL_DIM, PIXEL_DIM, 3, padding=1)
        )

    def forward(self, maps: ImageMaps) -> Tensor:
        """Pixel features (B, 64, H/4, W/4)."""
        x = self.coarse(maps.tokens) + self._around(maps.tokens)  # (B, 128, H/16, W/16)
        x = self.middle(_double(x) + self.lateral_middle(maps.middle))  # (B, 128, H/8, W/8)
        x = _double(self.narrow(x)) + self.lateral_early(maps.early)  # (B, 64, H/4, W/4)
        return cast(Tensor, self.fine(x))

    def _around(self, tokens: Tensor) -> Tensor:
        """What the neighbourhood of each token is like, whatever the size of the image."""
        height, width = tokens.shape[-2:]
        mean = _nearby(height, tokens) @ tokens @ _nearby(width, tokens).transpose(0, 1)
        return cast(Tensor, self.surroundings(mean.movedim(1, -1))).movedim(-1, 1)


def _nearby(length: int, like: Tensor) -> Tensor:
    """Weights (length, length) of each place's mean along one axis, without what lies outside.

    Two products with them cost a fiftieth of a pooling over a large window.
    """
    place = torch.arange(length, device=like.device)
    near = ((place[:, None] - place[None]).abs() <= SURROUNDINGS).to(like.dtype)
    return near / near.sum(1, keepdim=True)


def _block(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), LayerNorm2d(outside), nn.GELU()
    )


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
