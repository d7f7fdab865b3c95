"""Points, boxes and a previous mask become tokens, with SAM's own prompt encoder.

Source: Segment Anything (arXiv 2304.02643), section 3 and appendix A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from segment_anything.modeling import PromptEncoder as SamPromptEncoder
from torch import Tensor, nn

from napari_pathseg.models.image_encoder import STRIDE

FRAME = 1024
MAX_POINTS = 4
NEGATIVE, POSITIVE, BOX_START, BOX_STOP, PADDING = 0, 1, 2, 3, -1


@dataclass(frozen=True, slots=True)
class PromptBatch:
    """N prompts on a batch of images.

    Attributes
    ----------
    image : int64 Tensor (N,)
        Which image of the batch each prompt is asked of.
    term : int64 Tensor (N, 3)
        Rows of the term encoder; object -1 = no text.
    points_xy : float Tensor (N, K, 2)
        Places in the model's frame of 1024 px, (x, y): SAM's convention.
    labels : int64 Tensor (N, K)
        0 "not this", 1 "this too", 2 and 3 corners of a box, -1 padding.
    mask : float Tensor (N, 1, H/4, W/4)
        Logits of a previous answer; ignored where `has_mask` is False.
    has_mask : bool Tensor (N,)
    """

    image: Tensor
    term: Tensor
    points_xy: Tensor
    labels: Tensor
    mask: Tensor
    has_mask: Tensor

    @property
    def has_text(self) -> Tensor:
        """Bool Tensor (N,)."""
        return self.term[:, 0] >= 0


class PromptEncoder(nn.Module):
    """SAM's prompt encoder with places in a fixed frame, so that any tile size means the same."""

    def __init__(self) -> None:
        super().__init__()
        grid = FRAME // STRIDE
        self.sam = SamPromptEncoder(256, (grid, grid), (FRAME, FRAME), 16)

    def grid_position(self, height: int, width: int, origin_yx: Tensor) -> Tensor:
        """Position encoding (B, 256, height, width) of tokens, images at `origin_yx` (B, 2)."""
        device = origin_yx.device
        y = (torch.arange(height, device=device) + 0.5) * STRIDE
        x = (torch.arange(width, device=device) + 0.5) * STRIDE
        ys = (origin_yx[:, 0, None, None] + y[:, None]).expand(-1, height, width)
        xs = (origin_yx[:, 1, None, None] + x[None, :]).expand(-1, height, width)
        pe = self.sam.pe_layer._pe_encoding(torch.stack([xs, ys], dim=-1) / FRAME)
        return cast(Tensor, pe).permute(0, 3, 1, 2)

    def sparse(self, points_xy: Tensor, labels: Tensor) -> Tensor:
        """Tokens (N, K, 256) of points and box corners."""
        tokens = self.sam.pe_layer._pe_encoding(points_xy / FRAME)  # (N, K, 256)
        tokens = torch.where((labels == PADDING)[..., None], torch.zeros_like(tokens), tokens)
        kinds = torch.stack(
            [self.sam.not_a_point_embed.weight[0]]
            + [self.sam.point_embeddings[i].weight[0] for i in range(4)]
        )  # (5, 256)
        marked: Tensor = tokens + kinds[labels + 1]
        return marked

    def dense(self, mask: Tensor, has_mask: Tensor) -> Tensor:
        """Map (N, 256, h, w) of previous masks (N, 1, 4h, 4w)."""
        none: Tensor = self.sam.no_mask_embed.weight.view(1, -1, 1, 1)
        if not bool(has_mask.any()):
            n, _, height, width = mask.shape
            return none.expand(n, -1, height // 4, width // 4)
        embedded: Tensor = self.sam.mask_downscaling(mask)
        chosen: Tensor = torch.where(has_mask[:, None, None, None], embedded, none)
        return chosen
