"""The image encoder: MobileSAM's TinyViT, built from timm, with maps of three strides.

Source: MobileSAM (arXiv 2306.14289), TinyViT (arXiv 2207.10666), Segment Anything
(arXiv 2304.02643, neck).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import timm
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn

PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
STRIDE = 16


@dataclass(frozen=True, slots=True)
class ImageMaps:
    """What the encoder gives for a batch of images of H x W pixels.

    Attributes
    ----------
    tokens : Tensor (B, 256, H/16, W/16)
        The embedding that prompts attend to.
    middle : Tensor (B, 128, H/8, W/8)
    early : Tensor (B, 64, H/4, W/4)
        Maps that keep edges sharp.
    around : Tensor (B, 256, H/32, W/32), optional
        Tokens of the concentric fields, as :class:`ContextBranch` takes them.
    """

    tokens: Tensor
    middle: Tensor
    early: Tensor
    around: Tensor | None = None


@dataclass(frozen=True, slots=True)
class LowerMaps:
    """What the convolutional part of the encoder gives for a batch.

    Attributes
    ----------
    early : Tensor
        As in `ImageMaps`.
    around : Tensor (B, 64, H/8, W/8), optional
        The early map of the concentric fields.
    """

    early: Tensor
    around: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> LowerMaps:
        """All maps changed alike."""
        around = None if self.around is None else change(self.around)
        return LowerMaps(change(self.early), around)

    @classmethod
    def stacked(cls, maps: Sequence[LowerMaps]) -> LowerMaps:
        """Maps of single images, without a batch axis, as a batch."""
        around = [m.around for m in maps if m.around is not None]
        early = torch.stack([m.early for m in maps])
        return cls(early, torch.stack(around) if around else None)

    def finished(self, encoder: ImageEncoder) -> ImageMaps:
        """With what the attending part makes of them."""
        maps = encoder.upper(self.early)
        return (
            maps if self.around is None else replace(maps, around=encoder.upper(self.around).tokens)
        )


class ImageEncoder(nn.Module):
    """TinyViT body and SAM neck; any input size that is a multiple of 32."""

    def __init__(self) -> None:
        super().__init__()
        body: Any = timm.create_model("tiny_vit_5m_224", pretrained=False, num_classes=0)
        # MobileSAM keeps stride 16 in the last stage.
        body.stages[3].downsample.conv2.conv.stride = (1, 1)
        self.stem: nn.Module = body.patch_embed
        self.stages: nn.ModuleList = nn.ModuleList(body.stages)
        self.neck = nn.Sequential(
            nn.Conv2d(320, 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            LayerNorm2d(256),
        )
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(PIXEL_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(PIXEL_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, image: Tensor) -> ImageMaps:
        """Encode sRGB images.

        Parameters
        ----------
        image : float Tensor (B, 3, H, W)
            0 to 255; H and W multiples of 32.
        """
        return self.upper(self.lower(image))

    def lower(self, image: Tensor) -> Tensor:
        """The convolutional part: the early map."""
        x = (image - self.mean) / self.std  # (B, 3, H, W)
        return cast(Tensor, self.stages[0](self.stem(x)))  # (B, 64, H/4, W/4)

    def upper(self, early: Tensor) -> ImageMaps:
        """The attending part: the other maps from the early one."""
        middle = self.stages[1](early)  # (B, 128, H/8, W/8)
        x = self.stages[3](self.stages[2](middle))  # (B, 320, H/16, W/16)
        return ImageMaps(self.neck(x), middle, early)


def mobile_sam_name(name: str) -> str | None:
    """Our name of a parameter of MobileSAM's `image_encoder`; None when it is not used."""
    if name.startswith(("norm_head", "head")):
        return None
    if name.startswith("neck."):
        return name
    name = name.replace(".c.weight", ".conv.weight")
    name = name.replace("patch_embed.seq.0.", "stem.conv1.")
    name = name.replace("patch_embed.seq.2.", "stem.conv2.")
    if ".downsample." in name:
        index = int(name.split(".")[1])
        return name.replace(f"layers.{index}.downsample", f"stages.{index + 1}.downsample")
    return name.replace("layers.", "stages.")
