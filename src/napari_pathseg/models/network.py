"""The network: one image embedding answers words, points, boxes and masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import cast

import torch
from torch import Tensor, nn

from napari_pathseg.models.context import ContextBranch
from napari_pathseg.models.image_encoder import ImageEncoder, ImageMaps
from napari_pathseg.models.mask_decoder import DecodedMasks, MaskDecoder
from napari_pathseg.models.pixel_decoder import PixelDecoder
from napari_pathseg.models.prompt_encoder import PromptBatch, PromptEncoder
from napari_pathseg.models.query_decoder import QueryDecoder, WordMasks
from napari_pathseg.models.text_encoder import TermEncoder


@dataclass(frozen=True, slots=True)
class ImageEmbedding:
    """Everything the decoder needs of a batch of images, computed once.

    Attributes
    ----------
    tokens, position : Tensor (B, 256, H/16, W/16)
    sharp : (Tensor (B, 64, H/8, W/8), Tensor (B, 32, H/4, W/4))
        What keeps the masks of clicks sharp.
    pixels : Tensor (B, 64, H/4, W/4)
        What words are compared with.
    """

    tokens: Tensor
    position: Tensor
    sharp: tuple[Tensor, Tensor]
    pixels: Tensor


class PathsegNetwork(nn.Module):
    """Image, term and prompt encoders; a decoder for words, and one for clicks, boxes and words.

    Parameters
    ----------
    objects : sequence of (structure, object)
        Terms the model is taught.
    regions : sequence of str
        Organs it is taught.
    context : bool
        With a branch for what lies around the image.
    """

    def __init__(
        self,
        objects: Sequence[tuple[str, str]],
        regions: Sequence[str],
        *,
        context: bool = False,
    ) -> None:
        super().__init__()
        self.image_encoder = ImageEncoder()
        self.context_branch = ContextBranch() if context else None
        self.term_encoder = TermEncoder(objects, regions)
        self.pixel_decoder = PixelDecoder()
        self.query_decoder = QueryDecoder()
        self.prompt_encoder = PromptEncoder()
        self.mask_decoder = MaskDecoder()

    def embed(self, image: Tensor, around: Tensor | None = None) -> ImageEmbedding:
        """Encode images (B, 3, H, W), 0 to 255, and their context (B, 3, H/2, W/2), if given."""
        maps = self.image_encoder(image)
        if around is not None:
            maps = replace(maps, around=self.image_encoder(around).tokens)
        return self.embedding_of(maps)

    def embedding_of(self, maps: ImageMaps, origin_yx: Tensor | None = None) -> ImageEmbedding:
        """The embedding of images' maps, whose corners lie at `origin_yx` (B, 2) px."""
        if maps.around is not None and self.context_branch is not None:
            maps = replace(maps, tokens=self.context_branch(maps.tokens, maps.around))
        batch, _, height, width = maps.tokens.shape
        if origin_yx is None:
            origin_yx = torch.zeros(batch, 2, device=maps.tokens.device)
        position = self.prompt_encoder.grid_position(height, width, origin_yx)
        sharp = self.mask_decoder.sharpen(maps.middle, maps.early)
        return ImageEmbedding(maps.tokens, position, sharp, self.pixel_decoder(maps))

    def ask(self, tokens: Tensor, pixels: Tensor, term: Tensor, image: Tensor) -> WordMasks:
        """Answer words alone, from an embedding's tokens and pixels: terms (N, 3), rows of the
        term encoder, of images (N,).
        """
        answers = self.query_decoder(tokens, pixels, self.term_encoder(term), image)
        return cast(WordMasks, answers)

    def decode(self, embedding: ImageEmbedding, prompts: PromptBatch) -> DecodedMasks:
        """Answer points, boxes and masks, with or without words; no pass of the image encoder."""
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
