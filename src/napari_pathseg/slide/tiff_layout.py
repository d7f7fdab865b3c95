"""Where in a TIFF the levels, planes and channels of a slide lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import tifffile

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError
from napari_pathseg.geometry import Pair, Shape
from napari_pathseg.slide.base import Plane, Stack
from napari_pathseg.slide.channels import Channel, default_channels
from napari_pathseg.slide.ome import XmlFacts, ome_facts, qptiff_channel, qptiff_objective
from napari_pathseg.slide.scale import (
    UM_PER_UNIT,
    is_smaller_copy,
    mpp_of_resolution,
    plausible_mpp,
)
from napari_pathseg.slide.scenes import is_associated
from napari_pathseg.slide.tiff_segments import Page, check_page, keyframe

MAX_SIDE_PX = 4_000_000
RGB_PHOTOMETRIC = (2, 6)
"""RGB, and YCbCr that tifffile decodes to RGB."""

PALETTE, WHITE_IS_ZERO = 3, 0
ALPHA = (1, 2)
"""Extra samples that say how opaque a pixel is."""

CHANNEL_AXIS, TIME_AXIS, FOCUS_AXIS = "C", "T", "Z"


@dataclass(frozen=True, slots=True)
class TiffLevel:
    """One level: its shape, the page whose tags hold for it, and its pages by number."""

    shape: Shape
    key: tifffile.TiffPage
    pages: Sequence[Page | None]


@dataclass(frozen=True, slots=True)
class TiffLayout:
    """What is read when a field is asked for.

    Attributes
    ----------
    levels : tuple of TiffLevel
    lead : tuple of (str, int)
        Axes that the pages are numbered by, as C, T or Z, and how long they are.
    is_rgb : bool
        The first three samples are the picture; otherwise each channel has a colour.
    alpha : bool
        The fourth sample is alpha.
    stack : Stack
    """

    levels: tuple[TiffLevel, ...]
    lead: tuple[tuple[str, int], ...]
    is_rgb: bool
    alpha: bool
    stack: Stack
    mpp: Pair | None
    objective_power: float | None

    @property
    def channels_in_pages(self) -> bool:
        """Whether each channel has pages of its own, not samples of one page."""
        return any(axis == CHANNEL_AXIS for axis, _ in self.lead)

    def page(self, path: Path, level: int, plane: Plane) -> Page:
        """The page of a plane.

        Raises
        ------
        DamagedSlideError
            When it is missing, or its header is absurd.
        """
        return _page(path, self.levels[level], self.lead, plane)


def layout_of(tif: tifffile.TiffFile, path: Path, series_index: int) -> TiffLayout:
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
    lead = _lead(series, key, path)
    is_rgb = key.photometric == PALETTE or (
        key.photometric in RGB_PHOTOMETRIC and key.samplesperpixel >= 3
    )
    counts = dict(lead)
    facts = _facts(tif, series_index, counts.get(CHANNEL_AXIS, 1))
    stack = Stack(
        counts.get(FOCUS_AXIS, 1),
        counts.get(TIME_AXIS, 1),
        facts.z_um,
        facts.t_s,
        () if is_rgb else _channels(key, facts, counts.get(CHANNEL_AXIS, 0)),
        "uint8" if is_rgb or key.dtype is None else key.dtype.name,
    )
    return TiffLayout(
        levels=_levels(_stored_levels(tif, series_index), path, lead, stack),
        lead=lead,
        is_rgb=is_rgb,
        alpha=is_rgb and key.samplesperpixel == 4 and tuple(key.extrasamples) in ((1,), (2,)),
        stack=stack,
        mpp=facts.mpp or _resolution_mpp(tif, key),
        objective_power=facts.objective_power,
    )


def levels_after(tif: tifffile.TiffFile, index: int) -> int:
    """How many of the series after this one are only its smaller copies."""
    return max(len(_stored_levels(tif, index)) - len(tif.series[index].levels), 0)


def _lead(
    series: tifffile.TiffPageSeries, key: tifffile.TiffPage, path: Path
) -> tuple[tuple[str, int], ...]:
    """Axes of the page numbers; an axis of another name counts as focus, else as time."""
    letters = series.axes[: len(series.axes) - len(key.axes)]
    lengths = series.shape[: len(letters)]
    names: list[str] = []
    for letter in letters:
        free = [
            axis for axis in (FOCUS_AXIS, TIME_AXIS) if axis not in letters and axis not in names
        ]
        known = letter in (CHANNEL_AXIS, TIME_AXIS, FOCUS_AXIS)
        names.append(letter if known else (free or [""])[0])
    fits = series.axes == letters + key.axes and key.axes in ("YX", "YXS", "SYX")
    if not fits or "" in names:
        raise UnsupportedSlideError(
            f"{path}: its axes {series.axes} are not read.", "Export it as OME-TIFF."
        )
    if key.dtype is None or key.dtype.kind not in "buif":
        raise UnsupportedSlideError(f"{path}: pixels of type {key.dtype} are not read.")
    if len(series.pages) != prod(lengths):
        raise UnsupportedSlideError(
            f"{path}: it lists {len(series.pages)} pages for {prod(lengths)} planes.",
            "Export it as OME-TIFF.",
        )
    return tuple(zip(names, (int(length) for length in lengths), strict=True))


def _page(path: Path, level: TiffLevel, lead: tuple[tuple[str, int], ...], plane: Plane) -> Page:
    wanted = {FOCUS_AXIS: plane.z, TIME_AXIS: plane.t, CHANNEL_AXIS: plane.channel or 0}
    number = 0
    for axis, length in lead:
        number = number * length + wanted[axis]
    page = level.pages[number] if number < len(level.pages) else None
    if page is None:
        raise DamagedSlideError(
            f"{path}: page {number} of the {level.shape[0]} x {level.shape[1]} level is missing.",
            "Copy the slide again, with all files that belong to it.",
        )
    check_page(path, page, page.parent.filehandle.size)
    return page


def _stored_levels(tif: tifffile.TiffFile, index: int) -> list[tifffile.TiffPageSeries]:
    """The series' own levels, or the tiled pages after it that nobody marked as its levels."""
    main = tif.series[index]
    levels = list(main.levels)
    if len(levels) > 1 or not main.keyframe.is_tiled or tif.is_ome:
        return levels
    for other in tif.series[index + 1 :]:
        key = other.keyframe
        same_kind = (other.axes, other.dtype) == (main.axes, main.dtype) and key.is_tiled
        shapes = [(k.imagelength, k.imagewidth) for k in (main.keyframe, levels[-1].keyframe, key)]
        if not same_kind or is_associated(other.name) or not is_smaller_copy(*shapes):
            break
        levels.append(other)
    return levels


def _levels(
    stored_levels: list[tifffile.TiffPageSeries],
    path: Path,
    lead: tuple[tuple[str, int], ...],
    stack: Stack,
) -> tuple[TiffLevel, ...]:
    """Levels from the finest; the pages that are shown first are checked."""
    shown = stack.shown
    planes = [replace(shown, channel=i) for i in range(len(stack.channels))] or [shown]
    levels: list[TiffLevel] = []
    for stored in stored_levels:
        key = keyframe(stored.keyframe)
        shape = (int(key.imagelength), int(key.imagewidth))
        if not all(0 < side <= MAX_SIDE_PX for side in shape):
            raise DamagedSlideError(
                f"{path}: its header claims {shape[0]} x {shape[1]} pixels, which is refused."
            )
        if levels and not is_smaller_copy(levels[0].shape, levels[-1].shape, shape):
            break
        level = TiffLevel(shape, key, stored.pages)
        for plane in planes:
            _page(path, level, lead, plane)
        levels.append(level)
    return tuple(levels)


def _facts(tif: tifffile.TiffFile, index: int, channels: int) -> XmlFacts:
    if tif.is_ome and tif.ome_metadata:
        return ome_facts(tif.ome_metadata, index)
    if not tif.is_qpi:
        return XmlFacts()
    pages = list(tif.series[index].pages)[:channels]
    texts = [_description(page) for page in pages if page is not None]
    found = [qptiff_channel(text) for text in texts]
    named = tuple(channel for channel in found if channel is not None)
    return XmlFacts(
        objective_power=qptiff_objective(texts[0]) if texts else None,
        channels=named if len(named) == len(texts) else (),
    )


def _description(page: Page) -> str:
    """A frame knows only where its data lies: its own tags have to be read."""
    full = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
    return full.description


def _channels(key: tifffile.TiffPage, facts: XmlFacts, in_pages: int) -> tuple[Channel, ...]:
    """Channels in pages, or else in samples of one page without its alpha."""
    extra = tuple(key.extrasamples)
    alpha = 1 if extra and extra[-1] in ALPHA and key.samplesperpixel > 1 else 0
    count = in_pages or int(key.samplesperpixel) - alpha
    return facts.channels[:count] if len(facts.channels) >= count else default_channels(count)


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
