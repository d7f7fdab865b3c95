"""One frozen config for each operation, shared by the panel, the command line and TOML files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentConfig:
    """How a field is segmented.

    Attributes
    ----------
    tile_px : int
        Side of a model input for words; near the crops it was trained on, which is where it is
        most exact.
    click_px : int
        Side of the one model input in which clicks and boxes without words are answered: a window
        around them, at the scale of the field on a screen of `screen_px`.
    screen_px : int
    overlap_px : int
        Shared by neighbouring tiles, blended on logits.
    max_tiles : int
        A field of more tiles is refused with the advice to zoom in or to run a batch.
    threshold : float
        Probability above which a pixel belongs to the class.
    cached_tiles : int
        Embeddings kept in memory, 2.5 MB each at 512 pixels.
    """

    tile_px: int = 512
    click_px: int = 512
    screen_px: int = 1024
    overlap_px: int = 96
    max_tiles: int = 150
    threshold: float = 0.5
    cached_tiles: int = 200

    def __post_init__(self) -> None:
        sides = (self.tile_px, self.click_px)
        if any(side < 64 or side % 32 for side in sides):
            raise ValueError(f"model inputs are multiples of 32 pixels, at least 64: {sides}")
        if not 0 <= self.overlap_px < self.tile_px:
            raise ValueError(f"tiles of {self.tile_px} can not share {self.overlap_px} pixels")
        if not 0 < self.threshold < 1:
            raise ValueError(f"a threshold lies between 0 and 1: {self.threshold}")
