"""The slide that labels come in for, and where on it they belong."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError
from napari_pathseg.export.incoming.meaning import Numbers
from napari_pathseg.geometry import Field, Pair, Region, Shape, field_covering, nearest_level
from napari_pathseg.labels.apart import told_apart
from napari_pathseg.labels.masks import regridded
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.slide.base import Slide

Mask = npt.NDArray[np.uint16]

FIELD_PX = 4096
"""Larger labels come in as several fields of this side, so that each can be edited."""
AGAIN = "Export it again from its source."
_FINE_PX = 1 << 26
_SAME = 1e-3


@dataclass(frozen=True, slots=True)
class Frame:
    """What is known of the slide.

    Attributes
    ----------
    identity, name : str
    levels : tuple of (shape, downsample)
        Finest first.
    mpp : (float, float) or None
        Micrometres per level-0 pixel.
    """

    identity: str
    name: str
    levels: tuple[tuple[Shape, Pair], ...]
    mpp: Pair | None

    @classmethod
    def of(cls, slide: Slide, mpp: Pair | None = None) -> Frame:
        """The frame of a slide; `mpp` where a person gave one."""
        levels = tuple((level.shape, level.downsample) for level in slide.levels)
        known = mpp or slide.metadata.mpp
        return cls(slide.metadata.identity, slide.path.name, levels, known)


@dataclass(frozen=True, slots=True)
class Where:
    """What a person says of a file's place.

    Attributes
    ----------
    level : int or None
        Of the mask, or that objects are drawn at.
    corner : (int, int) or None
        Level-0 place (y, x) of the mask's first pixel.
    other_slide : bool
        Take labels of another slide too, such as of the same slide in another file format.
    numbers : "classes", "objects" or ""
        What the numbers of a mask are; "" to tell it from the file.
    """

    level: int | None = None
    corner: tuple[int, int] | None = None
    other_slide: bool = False
    numbers: Numbers = ""


@dataclass(frozen=True, slots=True, eq=False)
class IncomingField:
    """Labels of one field, on a grid of the slide.

    Attributes
    ----------
    field : Field
    mask : uint16 array (height, width)
        Class mask; values as in the classes of the file.
    record : FieldRecord or None
        All that the file says of it, where it is one of ours.
    objects : uint32 array (height, width) or None
        One value an object, where some touch or come in pieces.
    """

    field: Field
    mask: Mask
    record: FieldRecord | None = None
    objects: Instances | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """What a file holds for a slide.

    Attributes
    ----------
    path : Path
    kind : str
        Name of the format.
    classes : ClassList
        Of the file; terms only where it says them.
    fields : tuple of IncomingField
    notes : tuple of str
        What was left out, and why.
    numbers : "classes", "objects" or ""
        What the numbers of a mask were taken for, where its file does not say it.
    asked : tuple of str
        Names of classes that hold objects of which the file does not say what they are.
    """

    path: Path
    kind: str
    classes: ClassList
    fields: tuple[IncomingField, ...]
    notes: tuple[str, ...] = ()
    numbers: Numbers = ""
    asked: tuple[str, ...] = ()


def placed(
    path: Path,
    frame: Frame,
    mask: Mask,
    field: Field | None,
    where: Where,
    record: FieldRecord | None = None,
    objects: Instances | None = None,
) -> Iterator[IncomingField]:
    """Lay a mask on the slide: where the file says, else where the user does, else by its size.

    Parameters
    ----------
    path : Path
        Named in errors.
    frame : Frame
    mask : uint16 array (height, width)
    field : Field or None
        What the file says; its level may be another one than the slide's.
    where : Where
    record : FieldRecord, optional
    objects : uint32 array (height, width), optional

    Raises
    ------
    ExportError
        When it lies outside the slide, or nothing says where it belongs.
    """
    if field is None:
        field = _said(path, frame, mask.shape, where)
    elif field.shape != mask.shape:
        raise ExportError(
            f"{path}: the mask has {mask.shape[0]} x {mask.shape[1]} pixels, its field"
            f" {field.height} x {field.width}.",
            AGAIN,
        )
    level = level_of(frame, field.downsample)
    if level is None:
        level = _nearest(frame, field.downsample)
        check_region(path, frame, field.region, max(field.downsample))
        target = covering(path, frame, field.region, level)
        mask = regridded(mask, field, target)
        objects = None if objects is None else regridded(objects, field, target)
        field, record = target, None
    field = replace(field, level=level, downsample=frame.levels[level][1])
    check_inside(path, frame, field)
    if max(field.shape) <= 2 * FIELD_PX:
        yield IncomingField(field, mask, record, _touching(objects))
        return
    for y in range(0, field.height, FIELD_PX):
        for x in range(0, field.width, FIELD_PX):
            window = np.s_[y : y + FIELD_PX, x : x + FIELD_PX]
            part = mask[window].copy()
            if part.any():
                own = None if objects is None else _touching(objects[window])
                yield IncomingField(field.cropped(y, x, *part.shape), part, None, own)


def _touching(objects: Instances | None) -> Instances | None:
    """Objects where some touch or come in pieces; None takes less memory, and tells the same."""
    return None if objects is None else told_apart((objects > 0).astype(np.uint8), objects)


def level_of(frame: Frame, downsample: Pair) -> int | None:
    """The level of a downsample, None when there is none."""
    for level, (_, down) in enumerate(frame.levels):
        if all(math.isclose(a, b, rel_tol=_SAME) for a, b in zip(down, downsample, strict=True)):
            return level
    return None


def _nearest(frame: Frame, downsample: Pair) -> int:
    downs = [down for _, down in frame.levels]
    return nearest_level(downs, math.sqrt(downsample[0] * downsample[1]), tolerance=1.0001)


def covering(path: Path, frame: Frame, region: Region, level: int) -> Field:
    """The field of a level that holds a region; ExportError when it lies outside the slide."""
    if not 0 <= level < len(frame.levels):
        raise ExportError(
            f"{frame.name} has no level {level}.",
            f"Its levels are 0 to {len(frame.levels) - 1}.",
        )
    shape, down = frame.levels[level]
    whole = Region.whole(frame.levels[0][0])
    if region.intersection(whole) is None:
        raise _outside(path, frame, region)
    return field_covering(region, level, down, shape)


def check_inside(path: Path, frame: Frame, field: Field) -> None:
    """ExportError when a field is not wholly on its level."""
    height, width = frame.levels[field.level][0]
    inside = field.y >= 0 and field.x >= 0
    if not inside or field.y + field.height > height or field.x + field.width > width:
        raise _outside(path, frame, field.region)


def check_region(path: Path, frame: Frame, region: Region, slack: float) -> None:
    """ExportError when a region reaches further than `slack` level-0 pixels over the slide."""
    height, width = frame.levels[0][0]
    if (
        min(region.y, region.x) < -slack
        or region.stop_y > height + slack
        or region.stop_x > width + slack
        or slack > min(height, width)
    ):
        raise _outside(path, frame, region)


def _outside(path: Path, frame: Frame, region: Region) -> ExportError:
    height, width = frame.levels[0][0]
    return ExportError(
        f"{path}: labels at {region.as_list()} lie outside {frame.name}, which is"
        f" {height} x {width} pixels.",
        "Check that they belong to this slide and are in its level-0 pixels.",
    )


def _said(path: Path, frame: Frame, shape: tuple[int, ...], where: Where) -> Field:
    """The field of a mask that does not say its place."""
    size = int(shape[0]), int(shape[1])
    if where.corner is not None:
        level = where.level or 0
        region = Region(*where.corner, 1, 1)
        start = covering(path, frame, region, level)
        return Field(level, start.y, start.x, *size, frame.levels[level][1])
    levels = range(len(frame.levels)) if where.level is None else [where.level]
    for level in levels:
        if 0 <= level < len(frame.levels) and frame.levels[level][0] == size:
            return Field(level, 0, 0, *size, frame.levels[level][1])
    known = ", ".join(f"{s[0]} x {s[1]}" for s, _ in frame.levels)
    raise ExportError(
        f"{path} has {size[0]} x {size[1]} pixels, which is no level of {frame.name} ({known}),"
        " and does not say where it belongs.",
        "Give the level and the level-0 place of its first pixel (--level, --corner).",
    )


def by_scale(path: Path, frame: Frame, shape: Shape, um: Pair | None, first_um: Pair) -> Field:
    """The field of a mask that says its scale and place in micrometres.

    Parameters
    ----------
    um : (float, float) or None
        Micrometres per pixel; None where they are level-0 pixels.
    first_um : (float, float)
        Centre of its first pixel from the centre of the slide's.

    Raises
    ------
    ExportError
        When the slide's own scale is unknown, or the mask's is none.
    """
    if um is not None and not all(math.isfinite(v) and v > 0 for v in um):
        raise ExportError(f"{path}: a pixel of {um[0]:g} x {um[1]:g} µm is none.", AGAIN)
    if not all(math.isfinite(v) for v in first_um):
        raise ExportError(f"{path}: its first pixel lies nowhere: {first_um}.", AGAIN)
    whole = [level for level, (own, _) in enumerate(frame.levels) if own == shape]
    if whole:
        return Field(whole[0], 0, 0, *shape, frame.levels[whole[0]][1])
    if um is None:
        raise ExportError(
            f"{path} does not say its scale, and is of another size than {frame.name}.",
            "Give the level and the level-0 place of its first pixel (--level, --corner).",
        )
    if frame.mpp is None:
        raise ExportError(
            f"{path} is placed in micrometres, and {frame.name} does not say its scale.",
            "Set the slide's scale first.",
        )
    down = um[0] / frame.mpp[0], um[1] / frame.mpp[1]
    level = level_of(frame, down)
    if level is not None:
        down = frame.levels[level][1]
    start = [
        round((first / own + 0.5) / d - 0.5)
        for first, own, d in zip(first_um, frame.mpp, down, strict=True)
    ]
    return Field(level if level is not None else -1, start[0], start[1], *shape, down)


def grids(
    path: Path, frame: Frame, boxes: npt.NDArray[np.float64], level: int | None
) -> Iterable[Field]:
    """Fields that hold objects.

    Parameters
    ----------
    boxes : float array (objects, 4)
        y0, x0, y1, x1 of each object, level-0 pixels.
    level : int or None
        The finest one at which all of them are not too large by default.

    Raises
    ------
    ExportError
        When an object lies outside the slide.
    """
    low, high = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    region = Region.from_corners(float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    shape = frame.levels[0][0]
    if low.min() < -1 or high[0] > shape[0] + 1 or high[1] > shape[1] + 1:
        raise _outside(path, frame, region)
    if level is None:
        level = _fine_enough(frame, region)
    whole = covering(path, frame, region, level)
    if max(whole.shape) <= 2 * FIELD_PX:
        return [whole]
    return _blocks(whole, boxes)


def _fine_enough(frame: Frame, region: Region) -> int:
    for level, (_, down) in enumerate(frame.levels):
        if region.height / down[0] * (region.width / down[1]) <= _FINE_PX:
            return level
    return len(frame.levels) - 1


def _blocks(whole: Field, boxes: npt.NDArray[np.float64]) -> Iterator[Field]:
    """Parts of a large field that an object reaches into."""
    step = np.array(whole.downsample) * FIELD_PX
    start = np.array(whole.origin)
    first = np.floor((boxes[:, :2] - start) / step).astype(int).clip(0)
    last = np.floor((boxes[:, 2:] - start) / step - 1e-9).astype(int).clip(0)
    cells: set[tuple[int, int]] = set()
    for (y0, x0), (y1, x1) in zip(first.tolist(), last.tolist(), strict=True):
        cells |= {(y, x) for y in range(y0, y1 + 1) for x in range(x0, x1 + 1)}
    for y, x in sorted(cells):
        top, left = y * FIELD_PX, x * FIELD_PX
        height, width = min(FIELD_PX, whole.height - top), min(FIELD_PX, whole.width - left)
        if height > 0 and width > 0:
            yield whole.cropped(top, left, height, width)


def check_slide(path: Path, frame: Frame, identities: Sequence[str], where: Where) -> None:
    """ExportError when labels belong to other slides only."""
    if identities and frame.identity not in identities and not where.other_slide:
        raise ExportError(
            f"{path} holds labels of another slide than {frame.name}.",
            "Open that slide, or say that it is the same tissue in another file (--other-slide).",
        )
