"""Region, Field and every conversion between frames.

Frames, all (y, x):

* **level-0**: continuous pixels of the full-resolution slide; pixel (i, j) covers
  [i, i+1) x [j, j+1), so the centre of the first pixel is (0.5, 0.5).
* **level**: continuous pixels of one pyramid level; level-0 = level * downsample, corner on corner.
* **field**: level pixels counted from the field's first pixel.
* **world**: what napari shows: micrometres when the mpp is known, level-0 pixels otherwise,
  with the *centre* of level-0 pixel (0, 0) at the origin, as napari has it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from napari_pathseg.errors import RegionError

Shape = tuple[int, int]
Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of whole level-0 pixels."""

    y: int
    x: int
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height <= 0 or self.width <= 0:
            raise RegionError(
                f"The region {self.as_list()} has no area.",
                "Give [y, x, height, width] with a height and width of at least one pixel.",
            )

    @property
    def stop_y(self) -> int:
        """First row below the region."""
        return self.y + self.height

    @property
    def stop_x(self) -> int:
        """First column right of the region."""
        return self.x + self.width

    @property
    def center(self) -> Pair:
        """Middle, continuous level-0 pixels."""
        return self.y + self.height / 2, self.x + self.width / 2

    def as_list(self) -> list[int]:
        """[y, x, height, width], as in every file we write."""
        return [self.y, self.x, self.height, self.width]

    def contains(self, y: float, x: float) -> bool:
        """Whether a continuous level-0 place lies inside."""
        return self.y <= y < self.stop_y and self.x <= x < self.stop_x

    def intersection(self, other: Region) -> Region | None:
        """The common part, or None."""
        y0, x0 = max(self.y, other.y), max(self.x, other.x)
        y1, x1 = min(self.stop_y, other.stop_y), min(self.stop_x, other.stop_x)
        return Region(y0, x0, y1 - y0, x1 - x0) if y1 > y0 and x1 > x0 else None

    @classmethod
    def from_corners(cls, y0: float, x0: float, y1: float, x1: float) -> Region:
        """The smallest region of whole pixels that holds two continuous corners in any order."""
        top, left = math.floor(min(y0, y1)), math.floor(min(x0, x1))
        bottom, right = math.ceil(max(y0, y1)), math.ceil(max(x0, x1))
        return cls(top, left, bottom - top, right - left)

    @classmethod
    def whole(cls, shape: Shape) -> Region:
        """All of a slide of `shape` (height, width)."""
        return cls(0, 0, *shape)


def region_inside(region: Region, shape: Shape) -> Region:
    """The part of `region` on a slide of `shape`; RegionError when there is none."""
    inside = region.intersection(Region.whole(shape))
    if inside is None:
        raise RegionError(
            f"The region {region.as_list()} lies outside the slide, "
            f"which is {shape[0]} x {shape[1]} pixels (height x width).",
            "Give level-0 pixels as y x height width.",
        )
    return inside


@dataclass(frozen=True, slots=True)
class Field:
    """A rectangle of whole pixels of one pyramid level: what is read and segmented at once.

    Attributes
    ----------
    level : int
        Pyramid index, 0 = full resolution.
    y, x, height, width : int
        Level pixels.
    downsample : (float, float)
        Level-0 pixels per level pixel, (y, x), never rounded.
    """

    level: int
    y: int
    x: int
    height: int
    width: int
    downsample: Pair

    @property
    def shape(self) -> Shape:
        """(height, width) of the array that is read."""
        return self.height, self.width

    @property
    def origin(self) -> Pair:
        """Level-0 place of the field's top left corner."""
        return self.y * self.downsample[0], self.x * self.downsample[1]

    @property
    def region(self) -> Region:
        """The smallest region of whole level-0 pixels that holds the field."""
        (y0, x0), (dy, dx) = self.origin, self.downsample
        # 1e-6 px: a product such as 3 * (10 / 3) must not gain a row by rounding.
        eps = 1e-6
        top, left = math.floor(y0 + eps), math.floor(x0 + eps)
        bottom = math.ceil(y0 + self.height * dy - eps)
        right = math.ceil(x0 + self.width * dx - eps)
        return Region(top, left, max(bottom - top, 1), max(right - left, 1))

    def from_level0(self, y: float, x: float) -> Pair:
        """Continuous field pixels of a level-0 place."""
        return y / self.downsample[0] - self.y, x / self.downsample[1] - self.x

    def to_level0(self, y: float, x: float) -> Pair:
        """Level-0 place of continuous field pixels."""
        return (y + self.y) * self.downsample[0], (x + self.x) * self.downsample[1]

    def mpp(self, slide_mpp: Pair | None) -> Pair | None:
        """Micrometres per field pixel, or None when the slide's are unknown."""
        if slide_mpp is None:
            return None
        return slide_mpp[0] * self.downsample[0], slide_mpp[1] * self.downsample[1]

    def cropped(self, y: int, x: int, height: int, width: int) -> Field:
        """A part of this field, given in field pixels."""
        return Field(self.level, self.y + y, self.x + x, height, width, self.downsample)


def field_covering(region: Region, level: int, downsample: Pair, level_shape: Shape) -> Field:
    """The smallest field of `level` that holds `region`, cut to the level.

    Raises
    ------
    RegionError
        When the region lies outside the level.
    """
    eps = 1e-6
    y0 = max(math.floor(region.y / downsample[0] + eps), 0)
    x0 = max(math.floor(region.x / downsample[1] + eps), 0)
    y1 = min(math.ceil(region.stop_y / downsample[0] - eps), level_shape[0])
    x1 = min(math.ceil(region.stop_x / downsample[1] - eps), level_shape[1])
    if y1 <= y0 or x1 <= x0:
        raise RegionError(
            f"The region {region.as_list()} lies outside level {level}, "
            f"which is {level_shape[0]} x {level_shape[1]} pixels.",
            "Give level-0 pixels as y x height width.",
        )
    return Field(level, y0, x0, y1 - y0, x1 - x0, downsample)


def exact_downsample(shape0: Shape, shape: Shape) -> Pair:
    """Level-0 pixels per level pixel, (y, x), from the two shapes."""
    return shape0[0] / shape[0], shape0[1] / shape[1]


def nearest_level(downsamples: Sequence[Pair], wanted: float, tolerance: float = 1.25) -> int:
    """The coarsest level that is not more than `tolerance` times coarser than wanted.

    Parameters
    ----------
    downsamples : sequence of (float, float)
        One for each level, finest first.
    wanted : float
        Level-0 pixels per pixel at which the reader wants to see the slide.
    tolerance : float
        A level a little coarser than wanted costs much less than the finer one below it.

    Returns
    -------
    int
        Level 0 when every level is too coarse.
    """
    best = 0
    for level, downsample in enumerate(downsamples):
        mean = math.sqrt(downsample[0] * downsample[1])
        if mean <= wanted * tolerance:
            best = level
    return best


def world_scale(downsample: Pair, mpp: Pair | None) -> Pair:
    """Napari `scale` of an array at this downsample: world units per pixel."""
    um_y, um_x = mpp or (1.0, 1.0)
    return downsample[0] * um_y, downsample[1] * um_x


def world_translate(field: Field, mpp: Pair | None) -> Pair:
    """Napari `translate` that lays a field's array corner on corner over the slide.

    napari's origin is the centre of the first pixel, so a coarser pixel starts
    (downsample - 1) / 2 level-0 pixels further in.
    """
    um_y, um_x = mpp or (1.0, 1.0)
    dy, dx = field.downsample
    return ((field.y + 0.5) * dy - 0.5) * um_y, ((field.x + 0.5) * dx - 0.5) * um_x


def world_to_level0(y: float, x: float, mpp: Pair | None) -> Pair:
    """Continuous level-0 place of a world place."""
    um_y, um_x = mpp or (1.0, 1.0)
    return y / um_y + 0.5, x / um_x + 0.5


def level0_to_world(y: float, x: float, mpp: Pair | None) -> Pair:
    """World place of a continuous level-0 place."""
    um_y, um_x = mpp or (1.0, 1.0)
    return (y - 0.5) * um_y, (x - 0.5) * um_x


def visible_region(center: Pair, canvas: Shape, zoom: float, mpp: Pair | None) -> Region:
    """The region a camera sees.

    Parameters
    ----------
    center : (float, float)
        Camera centre, world.
    canvas : (int, int)
        Height and width of the canvas in screen pixels.
    zoom : float
        Screen pixels per world unit.
    mpp : (float, float) or None
        Of the slide, as used for its layer's scale.

    Returns
    -------
    Region
        Not cut to the slide.
    """
    half_y, half_x = canvas[0] / zoom / 2, canvas[1] / zoom / 2
    top_left = world_to_level0(center[0] - half_y, center[1] - half_x, mpp)
    bottom_right = world_to_level0(center[0] + half_y, center[1] + half_x, mpp)
    return Region.from_corners(*top_left, *bottom_right)
