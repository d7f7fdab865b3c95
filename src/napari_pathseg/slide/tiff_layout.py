"""Where in a TIFF the levels, planes and channels of a slide lie."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from pathlib import Path

import tifffile

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError
from napari_pathseg.geometry import Pair, Shape
from napari_pathseg.slide.ome import (
    Channel,
    XmlFacts,
    default_channels,
    ome_facts,
    qptiff_channel,
    qptiff_objective,
)
from napari_pathseg.slide.scale import UM_PER_UNIT, mpp_of_resolution, plausible_mpp
from napari_pathseg.slide.tiff_segments import Page, check_page, keyframe

MAX_SIDE_PX = 4_000_000
ASSOCIATED = ("label", "macro", "thumbnail", "overview", "map")
RGB_PHOTOMETRIC = (2, 6)
"""RGB, and YCbCr that tifffile decodes to RGB."""

ASPECT_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Plane:
    """Which of the planes of a stack are shown.

    Attributes
    ----------
    z : int or None
        Focal plane; None = the middle one.
    t : int
        Time point.
    channels : tuple of int or None
        Channels that are mixed; None = all.
    """

    z: int | None = None
    t: int = 0
    channels: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One level: a page for each shown channel, or one page that holds them all."""

    shape: Shape
    pages: tuple[Page, ...]


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """What is read when a field is asked for.

    Attributes
    ----------
    levels : tuple of TiffLevel
    is_rgb : bool
        The first three samples are the picture; otherwise each channel has a colour.
    alpha : bool
        The fourth sample is alpha.
    channels : tuple of Channel
        Those shown, in the order of the pages or samples.
    samples : tuple of int or None
        Samples shown of one page that holds all channels.
    stack : tuple of (str, int)
        Axes besides y and x and how long they are.
    """

    levels: tuple[TiffLevel, ...]
    is_rgb: bool
    alpha: bool
    channels: tuple[Channel, ...]
    samples: tuple[int, ...] | None
    stack: tuple[tuple[str, int], ...]
    mpp: Pair | None
    objective_power: float | None


def main_series(tif: tifffile.TiffFile, path: Path, wanted: int | None) -> int:
    """Index of the series to show: the one asked for, or the largest that is no label."""
    count = len(tif.series)
    if wanted is not None:
        if not 0 <= wanted < count:
            raise UnsupportedSlideError(f"{path}: there is no picture {wanted}; it has {count}.")
        return wanted
    sizes = []
    for index, series in enumerate(tif.series):
        extent = dict(zip(series.axes, series.shape, strict=True))
        area = extent.get("Y", 0) * extent.get("X", 0)
        named = series.name.lower().startswith(ASSOCIATED)
        sizes.append((not named, area, -index))
    if not sizes or max(sizes)[1] == 0:
        raise UnsupportedSlideError(f"{path}: the TIFF holds no picture.")
    return -max(sizes)[2]


def layout_of(tif: tifffile.TiffFile, path: Path, series_index: int, plane: Plane) -> TiffLayout:
    """Levels, channels and scale of one series.

    Raises
    ------
    UnsupportedSlideError
        When its pages are ordered in a way that is not read.
    DamagedSlideError
        When its header is absurd or tiles are missing.
    """
    series = tif.series[series_index]
    key = series.keyframe
    lead = series.axes[: len(series.axes) - len(key.axes)]
    if series.axes != lead + key.axes or key.axes not in ("YX", "YXS", "SYX"):
        raise UnsupportedSlideError(
            f"{path}: its axes {series.axes} are not read.", "Export it as OME-TIFF."
        )
    picks = _page_numbers(series, lead, plane, path)
    levels = _levels(_stored_levels(tif, series_index), path, picks)
    is_rgb = key.photometric in RGB_PHOTOMETRIC and key.samplesperpixel >= 3 and len(picks) == 1
    facts = _facts(tif, series_index, levels[0])
    channels, samples = _channels(key, facts, lead, series.shape, plane, is_rgb)
    return TiffLayout(
        levels=levels,
        is_rgb=is_rgb,
        alpha=is_rgb and key.samplesperpixel == 4 and tuple(key.extrasamples) in ((1,), (2,)),
        channels=channels,
        samples=samples,
        stack=tuple(zip(lead, series.shape[: len(lead)], strict=True)),
        mpp=facts.mpp or _resolution_mpp(tif, key),
        objective_power=facts.objective_power,
    )


def _page_numbers(
    series: tifffile.TiffPageSeries, lead: str, plane: Plane, path: Path
) -> tuple[int, ...]:
    """Numbers of the pages that hold the wanted plane, one for each shown channel."""
    lengths = series.shape[: len(lead)]
    if len(series.pages) != prod(lengths):
        raise UnsupportedSlideError(
            f"{path}: it lists {len(series.pages)} pages for {prod(lengths)} planes.",
            "Export it as OME-TIFF.",
        )
    numbers = [0]
    for axis, length in zip(lead, lengths, strict=True):
        chosen = _indices(axis, length, plane)
        if not all(0 <= index < length for index in chosen):
            raise UnsupportedSlideError(f"{path}: axis {axis} has {length} planes, not {chosen}.")
        numbers = [number * length + index for number in numbers for index in chosen]
    return tuple(numbers)


def _indices(axis: str, length: int, plane: Plane) -> tuple[int, ...]:
    if axis == "C":
        return plane.channels or tuple(range(length))
    if axis == "T":
        return (plane.t,)
    return (length // 2 if plane.z is None else plane.z,)


def _stored_levels(tif: tifffile.TiffFile, index: int) -> list[tifffile.TiffPageSeries]:
    """The series' own levels, or the tiled pages after it that nobody marked as its levels."""
    main = tif.series[index]
    levels = list(main.levels)
    if len(levels) > 1 or not main.keyframe.is_tiled or tif.is_ome:
        return levels
    for other in tif.series[index + 1 :]:
        key = other.keyframe
        same_kind = (other.axes, other.dtype) == (main.axes, main.dtype) and key.is_tiled
        if not same_kind or other.name.lower().startswith(ASSOCIATED):
            break
        levels.append(other)
    return levels


def _levels(
    stored_levels: list[tifffile.TiffPageSeries], path: Path, picks: tuple[int, ...]
) -> tuple[TiffLevel, ...]:
    levels: list[TiffLevel] = []
    for stored in stored_levels:
        pages = []
        for number in picks:
            page = stored.pages[number] if number < len(stored.pages) else None
            if page is None:
                raise DamagedSlideError(f"{path}: page {number} of a level is missing.")
            pages.append(page)
        key = keyframe(pages[0])
        shape = (int(key.imagelength), int(key.imagewidth))
        if not all(0 < side <= MAX_SIDE_PX for side in shape):
            raise DamagedSlideError(
                f"{path}: its header claims {shape[0]} x {shape[1]} pixels, which is refused."
            )
        if levels and not _is_smaller_copy(levels[0].shape, levels[-1].shape, shape):
            break
        for page in pages:
            check_page(path, page, page.parent.filehandle.size)
        levels.append(TiffLevel(shape, tuple(pages)))
    return tuple(levels)


def _is_smaller_copy(full: Shape, finer: Shape, shape: Shape) -> bool:
    """Whether a page shows the whole slide again, smaller than the level before it."""
    if shape[0] > finer[0] or shape[1] > finer[1] or shape == finer:
        return False
    down_y, down_x = full[0] / shape[0], full[1] / shape[1]
    # A level's sides are rounded to whole pixels, up to one on either side.
    slack = ASPECT_TOLERANCE + 1 / min(shape)
    return abs(down_y / down_x - 1) <= slack


def _facts(tif: tifffile.TiffFile, index: int, level: TiffLevel) -> XmlFacts:
    if tif.is_ome and tif.ome_metadata:
        return ome_facts(tif.ome_metadata, index)
    if not tif.is_qpi:
        return XmlFacts()
    texts = [getattr(page, "description", "") or _description(tif, page) for page in level.pages]
    channels = [qptiff_channel(text) for text in texts]
    named = tuple(channel for channel in channels if channel is not None)
    return XmlFacts(
        objective_power=qptiff_objective(texts[0]),
        channels=named if len(named) == len(texts) else (),
    )


def _description(tif: tifffile.TiffFile, page: Page) -> str:
    """A frame knows only where its data lies: its own tags have to be read."""
    full = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
    return full.description


def _channels(
    key: tifffile.TiffPage,
    facts: XmlFacts,
    lead: str,
    shape: tuple[int, ...],
    plane: Plane,
    is_rgb: bool,
) -> tuple[tuple[Channel, ...], tuple[int, ...] | None]:
    """Shown channels and, where one page holds them all, their samples."""
    if is_rgb:
        return (), None
    in_pages = shape[lead.index("C")] if "C" in lead else 0
    count = in_pages or int(key.samplesperpixel)
    known = facts.channels if len(facts.channels) >= count else default_channels(count)
    if in_pages and len(facts.channels) == len(plane.channels or ()) != 0:
        return facts.channels, None
    shown = plane.channels or tuple(range(count))
    picked = tuple(known[index] for index in shown if index < len(known))
    return picked, None if in_pages else shown


def _resolution_mpp(tif: tifffile.TiffFile, key: tifffile.TiffPage) -> Pair | None:
    """Scale by the resolution tags, or by ImageJ's and Aperio's words."""
    if tif.is_svs:
        mpp = tifffile.tifffile.svs_description_metadata(key.description).get("MPP")
        return plausible_mpp(mpp, mpp) if isinstance(mpp, float) else None
    tags = key.tags
    if "XResolution" not in tags or "YResolution" not in tags:
        return None
    across, down = key.get_resolution()
    unit = {2: UM_PER_UNIT["inch"], 3: UM_PER_UNIT["cm"]}.get(int(key.resolutionunit))
    if unit is None and tif.is_imagej and tif.imagej_metadata:
        unit = UM_PER_UNIT.get(str(tif.imagej_metadata.get("unit", "")).lower())
    return mpp_of_resolution(float(down), float(across), unit)
