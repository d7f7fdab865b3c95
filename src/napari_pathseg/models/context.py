"""The context branch: what lies around a tile, seen coarsely, tells what its tokens are part of.

Source: WSI-SAM (arXiv 2403.09257): a concentric field at a lower resolution is fused with the
field itself. Ours is twice as wide and seen with a quarter of the resolution, in one window of
the encoder: a quarter of the tile's cost, whatever lies beside it.
"""

from __future__ import annotations

from typing import cast

from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional

WIDER, COARSER = 2, 4
"""How much wider than the tile the context is, and how much coarser it is seen."""
_HIDDEN = 128


class ContextBranch(nn.Module):
    """Adds to each token what the context knows of its place and of everything around."""

    def __init__(self) -> None:
        super().__init__()
        self.here = nn.Sequential(LayerNorm2d(256), nn.Conv2d(256, _HIDDEN, 1))
        self.everywhere = nn.Sequential(nn.LayerNorm(256), nn.Linear(256, _HIDDEN))
        self.tile = nn.Sequential(LayerNorm2d(256), nn.Conv2d(256, _HIDDEN, 1))
        self.out = nn.Conv2d(_HIDDEN, 256, 1)
        # It starts as a model without context.
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(cast(Tensor, self.out.bias))

    def forward(self, tokens: Tensor, around: Tensor) -> Tensor:
        """Tokens (B, 256, h, w) of a tile that know of their context.

        Parameters
        ----------
        around : Tensor (B, 256, h / 2, w / 2)
            Tokens of the concentric field; the tile is its middle, half as high and wide.
        """
        height, width = tokens.shape[2:]
        # A token of the context lies over 4 x 4 of the tile's, corner on corner.
        wide = functional.interpolate(
            self.here(around), scale_factor=COARSER, mode="bilinear", align_corners=False
        )
        top, left = (wide.shape[2] - height) // 2, (wide.shape[3] - width) // 2
        here = wide[:, :, top : top + height, left : left + width]
        everywhere = self.everywhere(around.mean((2, 3)))[:, :, None, None]
        fused = self.out(functional.gelu(self.tile(tokens) + here + everywhere))
        return cast(Tensor, tokens + fused)
