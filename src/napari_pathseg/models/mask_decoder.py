"""One decoder for points, boxes and previous masks, with or without words.

SAM's two-way decoder gets one token more for answers that words are part of (as HQ-SAM and
WSI-SAM add theirs), a text query among its prompt tokens, and sharp maps of stride 8 and 4 in
its upscaling (as SAM 2 has them). Every prompt is a row of its own: none sees another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from segment_anything.modeling import MaskDecoder as SamMaskDecoder
from segment_anything.modeling import TwoWayTransformer
from segment_anything.modeling.common import LayerNorm2d
from segment_anything.modeling.mask_decoder import MLP
from torch import Tensor, nn

SAM_TOKENS = 5
CANDIDATES = 3


@dataclass(frozen=True, slots=True)
class DecodedMasks:
    """Answers to N prompts on images of H x W pixels.

    Attributes
    ----------
    text : Tensor (N, H/4, W/4)
        Logits of the mask where words are part of the prompt.
    clicks : Tensor (N, 4, H/4, W/4)
        SAM's masks: the single one, then whole, part and sub-part.
    quality : Tensor (N, 5)
        Estimated IoU of the four click masks and the mask with words.
    """

    text: Tensor
    clicks: Tensor
    quality: Tensor


class MaskDecoder(nn.Module):
    """SAM's mask decoder, extended for words."""

    def __init__(self) -> None:
        super().__init__()
        transformer = TwoWayTransformer(depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8)
        self.sam = SamMaskDecoder(transformer_dim=256, transformer=transformer)
        self.text_token = nn.Embedding(1, 256)
        self.no_text = nn.Embedding(1, 256)
        self.text_mask = MLP(256, 256, 32, 3)
        self.text_quality = MLP(256, 256, 1, 3)
        middle, early = nn.Conv2d(128, 64, 1), nn.Conv2d(64, 32, 3, padding=1)
        for conv in (middle, early):  # starts as SAM's own upscaling
            nn.init.zeros_(conv.weight)
            nn.init.zeros_(cast(Tensor, conv.bias))
        self.sharpen_middle = nn.Sequential(LayerNorm2d(128), middle)
        self.sharpen_early = nn.Sequential(LayerNorm2d(64), early)

    def forward(
        self,
        tokens: Tensor,
        position: Tensor,
        sharp: tuple[Tensor, Tensor],
        dense: Tensor,
        sparse: Tensor,
        query: Tensor,
    ) -> DecodedMasks:
        """Answer N prompts, each with its own image row.

        Parameters
        ----------
        tokens, position, dense : Tensor (N, 256, h, w)
        sharp : (Tensor (N, 64, 2h, 2w), Tensor (N, 32, 4h, 4w))
            From :meth:`sharpen`.
        sparse : Tensor (N, K, 256)
        query : Tensor (N, 256)
            Of the term, or `no_text`.
        """
        n = len(query)
        own = torch.cat(
            [self.sam.iou_token.weight, self.sam.mask_tokens.weight, self.text_token.weight]
        )
        prompts = torch.cat([own.expand(n, -1, -1), query[:, None], sparse], dim=1)
        hidden, keys = self.sam.transformer(tokens + dense, position, prompts)
        pixels = self._upscale(keys.transpose(1, 2).view_as(tokens), sharp)  # (N, 32, 4h, 4w)
        text_out = hidden[:, SAM_TOKENS]  # (N, 256)
        codes = [mlp(hidden[:, 1 + i]) for i, mlp in enumerate(self.sam.output_hypernetworks_mlps)]
        codes.append(self.text_mask(text_out))
        masks = torch.einsum("nmc,nchw->nmhw", torch.stack(codes, dim=1), pixels)
        quality = self.sam.iou_prediction_head(hidden[:, 0])  # (N, 4)
        return DecodedMasks(
            text=masks[:, 4],
            clicks=masks[:, :4],
            quality=torch.cat([quality, self.text_quality(text_out)], dim=1),
        )

    def sharpen(self, middle: Tensor, early: Tensor) -> tuple[Tensor, Tensor]:
        """What the upscaling adds at stride 8 and 4; once an image."""
        return self.sharpen_middle(middle), self.sharpen_early(early)

    def _upscale(self, tokens: Tensor, sharp: tuple[Tensor, Tensor]) -> Tensor:
        first, norm, act, second, last = self.sam.output_upscaling
        x = act(norm(first(tokens) + sharp[0]))  # (N, 64, 2h, 2w)
        return cast(Tensor, last(second(x) + sharp[1]))  # (N, 32, 4h, 4w)
