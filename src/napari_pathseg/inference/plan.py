"""How a region is looked at: which tiles of the whole slide, at which resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import RegionError, UnknownScaleError
from napari_pathseg.geometry import Field, Pair, Region, Shape
from napari_pathseg.inference.tiling import Starts, Tile
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.scale import unscaled_downsample

MAX_FIELD_PIXELS = 64_000_000
PICTURE_BACKEND = "pillow"
FINEST_DOWNSAMPLE = 0.25


@dataclass(frozen=True)
class Plan:
    """The tiles of a slide that the model looks at.

    All regions that are looked at with one resolution share one picture, that of the whole slide,
    and its tiles: the same place is seen in the same input from wherever it is asked.

    Attributes
    ----------
    field : Field
        The whole slide at the level that is read.
    shape : (int, int)
        Of the whole slide in model pixels.
    mpp : float or None
        Micrometres per model pixel.
    tile_px : int
        Side of a model input.
    rows, columns : Starts
        Where the tiles start, model pixels.
    context : bool
        Whether the model also sees what lies around each input.
    """

    field: Field
    shape: Shape
    mpp: float | None
    tile_px: int
    rows: Starts
    columns: Starts
    context: bool = False

    @property
    def count(self) -> int:
        """How many tiles; at no cost, as an absurd scale asks for billions."""
        return len(self.rows) * len(self.columns)

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """In reading order, model pixels of the whole slide."""
        side = self.tile_px
        return tuple(
            Tile(y, x, side, side, self.rows.late(y), self.columns.late(x))
            for y in self.rows
            for x in self.columns
        )

    @property
    def downsample(self) -> Pair:
        """Level-0 pixels per model pixel, exact."""
        return (
            self.field.height * self.field.downsample[0] / self.shape[0],
            self.field.width * self.field.downsample[1] / self.shape[1],
        )

    @property
    def seen(self) -> Field:
        """What the tiles cover together of the slide; its pixels are the model's."""
        stop_y = min(self.rows.last + self.tile_px, self.shape[0])
        stop_x = min(self.columns.last + self.tile_px, self.shape[1])
        y, x = self.rows.first, self.columns.first
        return Field(self.field.level, y, x, stop_y - y, stop_x - x, self.downsample)


def wanted_downsample(
    slide: Slide, mpp: Pair | None, region: Region, working_mpp: float | None, click_px: int
) -> Pair:
    """Level-0 pixels per model pixel with which a region is to be looked at.

    Parameters
    ----------
    slide : Slide
    mpp : (float, float) or None
        Micrometres per level-0 pixel.
    region : Region
    working_mpp : float or None
        None = so that the region fits one model input of side `click_px`.

    Raises
    ------
    UnknownScaleError
        When words need a scale and the slide has none, or an absurd one.
    """
    longest = max(region.height, region.width)
    if working_mpp is None:
        fit = max(longest / click_px, FINEST_DOWNSAMPLE)
        return fit, fit
    if mpp is not None:
        wanted = working_mpp / mpp[0], working_mpp / mpp[1]
        if max(wanted) > min(region.height, region.width):
            raise UnknownScaleError(
                f"{slide.path}: at {mpp[0]:g} µm/px the region is smaller than one "
                f"pixel at the working resolution of {working_mpp:g} µm/px.",
                "Give the slide's true resolution (--mpp), or a larger region.",
            )
        return wanted
    if slide.metadata.backend == PICTURE_BACKEND:
        as_is = unscaled_downsample(longest, working_mpp)
        return as_is, as_is
    raise UnknownScaleError(
        f"{slide.path}: the file does not say its resolution, and words need it.",
        "Give it as micrometres per pixel (--mpp 0.25 for a 40x scan, 0.5 for 20x).",
    )


def check_size(plan: Plan, field: Field, config: SegmentConfig) -> None:
    """Refuse a plan of too many tiles, or an answer on a field of too many pixels.

    Raises
    ------
    RegionError
    """
    if plan.count <= config.max_tiles and field.height * field.width <= MAX_FIELD_PIXELS:
        return
    scale = f"at {plan.mpp:.2g} µm/px " if plan.mpp else ""
    side = int(math.sqrt(config.max_tiles) * (plan.tile_px - config.overlap_px))
    side_um = f" ({side * plan.mpp / 1000:.1f} mm)" if plan.mpp else ""
    raise RegionError(
        f"The region {field.region.as_list()} is too large for one field: {scale}it takes "
        f"{plan.count:,} tiles of {plan.tile_px} pixels, and {config.max_tiles} is the "
        "limit.",
        f"Zoom in, or give a smaller --region, of about {side} model pixels{side_um} a side.",
    )
