"""The network: one image embedding answers words, points, boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from napari_pathseg.models.image_encoder import ImageEncoder, ImageMaps
from napari_pathseg.models.mask_decoder import DecodedMasks, MaskDecoder
from napari_pathseg.models.prompt_encoder import PromptBatch, PromptEncoder
from napari_pathseg.models.text_encoder import TermEncoder


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """Everything the decoder needs of a batch of images, computed once.

    Attributes
    ----------
    tokens, position : Tensor (B, 256, H/16, W/16)
    sharp : (Tensor (B, 64, H/8, W/8), Tensor (B, 32, H/4, W/4))
    """

    tokens: Tensor
    position: Tensor
    sharp: tuple[Tensor, Tensor]


class PathsegNetwork(nn.Module):
    """Image, term and prompt encoders and one mask decoder.

    Parameters
    ----------
    objects : sequence of (structure, object)
        Terms the model is taught.
    regions : sequence of str
        Organs it is taught.
    """

    def __init__(self, objects: Sequence[tuple[str, str]], regions: Sequence[str]) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder()
        self.term_encoder = TermEncoder(objects, regions)
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()

    def embed(self, image: Tensor, origin_yx: Tensor | None = None) -> ImageEmbedding:
        """Encode images (B, 3, H, W), 0 to 255, whose corner lies at `origin_yx` (B, 2) px."""
        return self.embedding_of(self.image_encoder(image), origin_yx)

    def embedding_of(self, maps: ImageMaps, origin_yx: Tensor | None = None) -> ImageEmbedding:
        """The embedding of an image's maps."""
        batch, _, height, width = maps.tokens.shape
        if origin_yx is None:
            origin_yx = torch.zeros(batch, 2, device=maps.tokens.device)
        position = self.prompt_encoder.grid_position(height, width, origin_yx)
        return ImageEmbedding(
            maps.tokens, position, self.mask_decoder.sharpen(maps.middle, maps.early)
        )

    def decode(self, embedding: ImageEmbedding, prompts: PromptBatch) -> DecodedMasks:
        """Answer prompts; no pass of the image encoder."""
        i = prompts.image
        query = self.term_encoder(prompts.term.clamp(min=0))
        none = self.mask_decoder.no_text.weight.expand_as(query)
        answers = self.mask_decoder(
            embedding.tokens[i],
            embedding.position[i],
            (embedding.sharp[0][i], embedding.sharp[1][i]),
            self.prompt_encoder.dense(prompts.mask, prompts.has_mask),
            self.prompt_encoder.sparse(prompts.points_xy, prompts.labels),
            torch.where(prompts.has_text[:, None], query, none),
        )
        return cast(DecodedMasks, answers)
