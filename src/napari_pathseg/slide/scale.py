"""Micrometres per pixel out of resolution tags, never a guess, and what is a level of what."""

from __future__ import annotations

import math

from napari_pathseg.geometry import Pair, Shape

PLAUSIBLE_MPP = (0.05, 20.0)
"""What a microscope or a slide scanner can record; 72 dpi would be 353 micrometres."""

ASPECT_TOLERANCE = 0.02

# A picture without a scale is shown to the model as it is, but not smaller than one input, and for
# what is seen at low resolution (coarser than FINE_MPP) not larger, if it need not shrink too far.
SMALLEST_SIDE_PX, FINE_MPP, MOST_SHRUNK = 384, 0.4, 3.0

UM_PER_UNIT = {
    "m": 1e6,
    "meter": 1e6,
    "metre": 1e6,
    "cm": 1e4,
    "centimeter": 1e4,
    "centimetre": 1e4,
    "mm": 1e3,
    "millimeter": 1e3,
    "millimetre": 1e3,
    "µm": 1.0,
    "μm": 1.0,
    "um": 1.0,
    "\\u00b5m": 1.0,
    "micron": 1.0,
    "microns": 1.0,
    "micrometer": 1.0,
    "micrometre": 1.0,
    "nm": 1e-3,
    "nanometer": 1e-3,
    "nanometre": 1e-3,
    "inch": 25400.0,
    "in": 25400.0,
}

SECONDS_PER_UNIT = {
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "seconds": 1.0,
    "ms": 1e-3,
    "millisecond": 1e-3,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
}


def plausible_mpp(y: float | None, x: float | None) -> Pair | None:
    """(y, x) when both are what a microscope can record, else None."""
    if y is None or x is None:
        return None
    low, high = PLAUSIBLE_MPP
    fits = all(math.isfinite(value) and low <= value <= high for value in (y, x))
    return (float(y), float(x)) if fits else None


def length_um(value: str | float | None, unit: str | None) -> float | None:
    """A length in micrometres, or None when the number or the unit is not one."""
    if value is None:
        return None
    factor = UM_PER_UNIT.get((unit or "µm").strip().lower())
    try:
        number = float(value)
    except ValueError:
        return None
    return number * factor if factor is not None and 0 < number < math.inf else None


def time_s(value: str | float | None, unit: str | None) -> float | None:
    """A time in seconds, or None when the number or the unit is not one."""
    if value is None:
        return None
    factor = SECONDS_PER_UNIT.get((unit or "s").strip().lower())
    try:
        number = float(value)
    except ValueError:
        return None
    return number * factor if factor is not None and 0 < number < math.inf else None


def mpp_of_resolution(pixels_y: float, pixels_x: float, unit_um: float | None) -> Pair | None:
    """Micrometres per pixel from pixels per unit.

    Parameters
    ----------
    pixels_y, pixels_x : float
        Pixels per unit down and across.
    unit_um : float or None
        Length of the unit in micrometres; None when the file names no unit.

    Returns
    -------
    (float, float) or None
        None for no unit, and for values no microscope records (72 or 96 dpi).
    """
    if unit_um is None or pixels_y <= 0 or pixels_x <= 0:
        return None
    return plausible_mpp(unit_um / pixels_y, unit_um / pixels_x)


def is_smaller_copy(full: Shape, finer: Shape, shape: Shape) -> bool:
    """Whether a picture shows the whole slide again, smaller than the level before it."""
    if min(shape) < 1 or shape[0] > finer[0] or shape[1] > finer[1] or shape == finer:
        return False
    down_y, down_x = full[0] / shape[0], full[1] / shape[1]
    # A level's sides are rounded to whole pixels, up to one on either side.
    slack = ASPECT_TOLERANCE + 1 / min(shape)
    return abs(down_y / down_x - 1) <= slack


def unscaled_downsample(longest: float, working_mpp: float) -> float:
    """Level-0 pixels per model pixel of a picture that does not say its scale.

    Parameters
    ----------
    longest : float
        Its longest side, level-0 pixels.
    working_mpp : float
        At which a scaled one would be shown.
    """
    as_is = min(1.0, longest / SMALLEST_SIDE_PX)
    if working_mpp > FINE_MPP:
        as_is = max(as_is, min(longest / SMALLEST_SIDE_PX, MOST_SHRUNK))
    return as_is
