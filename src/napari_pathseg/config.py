"""One frozen config for each operation, shared by the panel, the command line and TOML files."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SegmentConfig:
    """How a field is segmented.

    Attributes
    ----------
    tile_px : int
        Side of a model input.
    overlap_px : int
        Shared by neighbouring tiles, blended on logits.
    max_tiles : int
        A field of more tiles is refused with the advice to zoom in or to run a batch.
    threshold : float
        Probability above which a pixel belongs to the class.
    cached_tiles : int
        Embeddings kept in memory, 10 MB each at 1024 pixels.
    """

    tile_px: int = 1024
    overlap_px: int = 128
    max_tiles: int = 36
    threshold: float = 0.5
    cached_tiles: int = 48
