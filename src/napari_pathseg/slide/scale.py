"""Micrometres per pixel out of resolution tags, and never a guess."""

from __future__ import annotations

import math

from napari_pathseg.geometry import Pair

PLAUSIBLE_MPP = (0.05, 20.0)
"""What a microscope or a slide scanner can record; 72 dpi would be 353 micrometres."""

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
    return number * factor if factor is not None and number > 0 else None


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
