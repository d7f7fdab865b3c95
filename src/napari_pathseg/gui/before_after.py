"""An object before and after its correction: what the model gave, what the person made of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Region
from napari_pathseg.gui.pointing import level0_rings
from napari_pathseg.gui.prompt_layers import Ring
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.apart import objects_apart
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.overlap import dice_and_iou
from napari_pathseg.labels.raster import Instances, outlines
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.slide.base import RGB, Slide

MARGIN = 0.25
LONGEST_PX = 256


@dataclass(frozen=True, slots=True, eq=False)
class BeforeAfter:
    """A window around an object.

    Attributes
    ----------
    pixels : uint8 array (height, width, 3)
    before, after : bool array (height, width)
        Pixels of the object's class, as proposed and now.
    """

    pixels: RGB
    before: npt.NDArray[np.bool_]
    after: npt.NDArray[np.bool_]

    @property
    def agreement(self) -> float:
        """Dice of before and after in the window; 1 when nothing was changed."""
        return dice_and_iou(self.before, self.after)[0]


def window_of(field: Field, region: Region, margin: float = 0.0) -> tuple[slice, slice]:
    """The rows and columns of a field that hold a region (level-0 pixels) with a margin."""
    tall, wide = margin * region.height, margin * region.width
    top, left = field.from_level0(region.y - tall, region.x - wide)
    bottom, right = field.from_level0(region.stop_y + tall, region.stop_x + wide)
    rows = slice(max(int(top), 0), min(int(np.ceil(bottom)), field.height))
    return rows, slice(max(int(left), 0), min(int(np.ceil(right)), field.width))


def before_after(
    slide: Slide,
    store: LabelStore | None,
    record: FieldRecord,
    mask: Mask,
    region: Region,
    value: int,
) -> BeforeAfter:
    """Read the window around an object; for the background.

    Raises
    ------
    PathsegError
        When slide or store can not be read.
    """
    rows, columns = window_of(record.field, region, MARGIN)
    step = max(1, max(rows.stop - rows.start, columns.stop - columns.start) // LONGEST_PX)
    height, width = rows.stop - rows.start, columns.stop - columns.start
    pixels = slide.read(record.field.cropped(rows.start, columns.start, height, width))
    before = mask if store is None else store.proposal(record.id)
    if before.shape != mask.shape:
        before = mask
    part = np.s_[rows.start : rows.stop : step, columns.start : columns.stop : step]
    return BeforeAfter(pixels[::step, ::step], before[part] == value, mask[part] == value)


def rings_of(
    field: Field,
    mask: Mask,
    region: Region,
    value: int,
    area_px: int,
    numbers: Instances | None = None,
) -> list[Ring]:
    """The outline of an object as closed rings of level-0 places; [] when it is gone.

    Parameters
    ----------
    field : Field
        Of `mask`.
    region : Region
        Bounding box of the object, level-0 pixels.
    value : int
        Of its class.
    area_px : int
        Its mask pixels, to tell it from others in its box.
    numbers : uint32 array, optional
        What is known of the objects that the mask's pixels belong to.
    """
    rows, columns = window_of(field, region)
    inside = (mask[rows, columns] == value).astype(np.uint8)
    parts = objects_apart(inside, None if numbers is None else numbers[rows, columns])
    areas = np.bincount(parts.ravel())[1:]
    if not areas.size:
        return []
    chosen = int(np.abs(areas.astype(int) - area_px).argmin()) + 1
    (traced,) = outlines((parts == chosen).astype(np.uint8))
    return level0_rings(field, traced.moved(rows.start, columns.start))
