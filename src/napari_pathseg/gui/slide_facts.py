"""What the panel tells of a slide: rows of plain text, and pictures as they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from napari_pathseg.geometry import Field, Pair
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide.base import RGB, Slide, Stack
from napari_pathseg.slide.color import SrgbSlide, profile_name
from napari_pathseg.slide.info import size_mm
from napari_pathseg.slide.tissue import (
    TARGET_PX,
    Mask,
    TissueConfig,
    overview,
    tissue_of,
    tissue_signal,
    tissue_threshold,
)

UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class Overview:
    """The whole slide at a coarse level, and how much each pixel of it looks like tissue.

    Attributes
    ----------
    pixels : uint8 array (height, width, 3)
    field : Field
        Where it lies: the whole slide.
    signal : float32 array (height, width)
    threshold : float
        Where the signal is cut when nobody moves it.
    """

    pixels: RGB
    field: Field
    signal: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    threshold: float

    def tissue(self, threshold: float, mpp: Pair | None) -> Mask:
        """Mask of the tissue, (height, width), at a threshold and a level-0 scale."""
        return tissue_of(self.signal, threshold, TissueConfig(), self.field.mpp(mpp))

    def tissue_mm2(self, mask: Mask, mpp: Pair | None) -> float | None:
        """Area of a mask of this overview, None where the scale is unknown."""
        scale = self.field.mpp(mpp)
        return None if scale is None else float(mask.sum()) * scale[0] * scale[1] / 1e6


def overview_of(slide: Slide, cancel: CancelToken | None = None) -> Overview:
    """Read the overview of a slide; for the background, a slide of one level is read whole.

    Raises
    ------
    DamagedSlideError
        When it can not be read.
    CancelledError
        When cancelled.
    """
    pixels, field = overview(slide, TARGET_PX, cancel)
    signal = tissue_signal(pixels)
    return Overview(pixels, field, signal, tissue_threshold(signal))


def rows_of(slide: Slide, mpp: Pair | None) -> list[tuple[str, str]]:
    """Name and value of everything that is known of a slide, for people.

    Parameters
    ----------
    slide : Slide
    mpp : (float, float) or None
        The file's, or the one a person gave.
    """
    metadata = slide.metadata
    height, width = slide.shape
    power = metadata.objective_power
    rows = [
        ("Scanner", _scanner(slide)),
        ("Objective", UNKNOWN if power is None else f"{power:g}×"),
        ("Pixels", f"{width:,} × {height:,} (width × height)"),
        ("Scale", UNKNOWN if mpp is None else _scale(mpp, from_file=metadata.mpp is not None)),
        ("Size", _size(size_mm(slide.shape, mpp))),
        ("Levels", _levels(slide)),
        ("Colours", _colors(slide)),
        *_planes(slide.stack),
    ]
    if len(slide.scenes) > 1:
        rows.append(("Scene", f"{slide.scene + 1} of {len(slide.scenes)}"))
    rows.append(("Read by", metadata.backend))
    rows.append(("Identity", metadata.identity[:16]))
    return rows


def _scanner(slide: Slide) -> str:
    properties = slide.metadata.properties
    known = (
        "dicom.ManufacturerModelName",
        "dicom.model",
        "aperio.ScanScope ID",
        "hamamatsu.Product",
        "leica.device-model",
        "philips.DICOM_MANUFACTURERS_MODEL_NAME",
        "mirax.GENERAL.SLIDE_TYPE",
        "ventana.ScannerModel",
        "tiff.Model",
    )
    named = (properties.get(name, "") for name in known)
    model = next((value for value in named if value.lower() not in ("", UNKNOWN)), "")
    return f"{slide.metadata.vendor}, {model}" if model else slide.metadata.vendor


def _scale(mpp: Pair, *, from_file: bool) -> str:
    same = abs(mpp[0] - mpp[1]) < 1e-4 * mpp[0]
    text = f"{mpp[0]:.4g}" if same else f"{mpp[1]:.4g} × {mpp[0]:.4g} (x × y)"
    return f"{text} µm/px" + ("" if from_file else ", as you set it")


def _size(size: Pair | None) -> str:
    return UNKNOWN if size is None else f"{size[1]:.3g} × {size[0]:.3g} mm"


def _levels(slide: Slide) -> str:
    """How many, and how much smaller each is."""
    steps = [math.sqrt(level.downsample[0] * level.downsample[1]) for level in slide.levels]
    names = ["1", *(f"1/{step:.4g}" for step in steps[1:])]
    shown = names if len(names) <= 8 else [*names[:7], "…"]
    return f"{len(names)}: {', '.join(shown)}" if len(names) > 1 else "1, the full resolution"


def _colors(slide: Slide) -> str:
    channels = slide.stack.channels
    if channels:
        return f"{', '.join(channel.name for channel in channels)} ({slide.stack.dtype})"
    profile = profile_name(slide)
    if profile is None:
        return "RGB"
    return f"RGB, {profile}{', turned to sRGB' if isinstance(slide, SrgbSlide) else ''}"


def _planes(stack: Stack) -> list[tuple[str, str]]:
    rows = []
    if stack.z > 1:
        apart = "" if stack.z_um is None else f", {stack.z_um:.3g} µm apart"
        rows.append(("Focus", f"{stack.z} planes{apart}"))
    if stack.t > 1:
        apart = "" if stack.t_s is None else f", {stack.t_s:.3g} s apart"
        rows.append(("Time", f"{stack.t} points{apart}"))
    return rows
