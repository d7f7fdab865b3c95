"""What the metadata of an OME-Zarr picture say: axes, levels, channels and scale.

Versions 0.4 (zarr 2) and 0.5 (zarr 3) of the Next-Generation File Format,
J. Moore et al., "OME-NGFF: a next-generation file format" (2021).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError
from napari_pathseg.geometry import Pair
from napari_pathseg.slide.channels import Channel, default_channels
from napari_pathseg.slide.scale import length_um, plausible_mpp, time_s

DEFAULT_AXES = "tczyx"
"""Of version 0.3 and older, which name no axes."""


@dataclass(frozen=True, slots=True)
class ZarrLayout:
    """Where the pixels are.

    Attributes
    ----------
    axes : tuple of str
        Lower-case names, one for each dimension.
    paths : tuple of str
        Arrays of the levels inside the group, finest first.
    channels : tuple of Channel
        As the file names them; empty when it does not.
    mpp : (float, float) or None
    z_um, t_s : float or None
        Distance of focal planes and of time points.
    name : str
        Of the picture, "" when it has none.
    """

    axes: tuple[str, ...]
    paths: tuple[str, ...]
    channels: tuple[Channel, ...]
    mpp: Pair | None
    z_um: float | None = None
    t_s: float | None = None
    name: str = ""


def layout_of(attributes: Mapping[str, Any], path: Path) -> ZarrLayout | None:
    """Read the metadata of a group; None when it is not a picture.

    Raises
    ------
    DamagedSlideError
        When a level lies outside the group.
    UnsupportedSlideError
        When there is no y or x axis, or it is a plate of wells.
    """
    facts = attributes.get("ome", attributes)
    if not isinstance(facts, Mapping):
        return None
    if "plate" in facts or "well" in facts:
        raise UnsupportedSlideError(f"{path}: this is a plate of wells.", "Open one of its fields.")
    scales = facts.get("multiscales")
    if not isinstance(scales, Sequence) or not scales or not isinstance(scales[0], Mapping):
        return None
    scale = scales[0]
    axes = _axes(scale)
    known = set(axes) <= {"t", "c", "s", "z", "y", "x"} and len(set(axes)) == len(axes)
    if not known or not {"y", "x"} <= set(axes) or {"c", "s"} <= set(axes):
        raise UnsupportedSlideError(f"{path}: its axes {axes} hold no picture.")
    datasets = [item for item in scale.get("datasets", []) if isinstance(item, Mapping)]
    paths = tuple(_inside(str(item.get("path", "")), path) for item in datasets)
    if not paths:
        raise DamagedSlideError(f"{path}: its metadata list no levels.")
    steps = _steps(scale, datasets[0], axes)
    y, x, z, t = (steps.get(axis, (None, None)) for axis in "yxzt")
    return ZarrLayout(
        axes,
        paths,
        _channels(facts),
        plausible_mpp(_um(*y), _um(*x)),
        _um(*z),
        time_s(*t) if t[1] else None,
        str(scale.get("name") or ""),
    )


def _axes(scale: Mapping[str, Any]) -> tuple[str, ...]:
    axes = scale.get("axes") or DEFAULT_AXES
    names = (axis.get("name", "") if isinstance(axis, Mapping) else axis for axis in axes)
    return tuple(str(name).lower() for name in names)


def _inside(name: str, path: Path) -> str:
    """A level's name, refused when it would lead out of the slide."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if not parts or parts[0] == "/" or ".." in parts or ":" in name:
        raise DamagedSlideError(
            f"{path}: a level is said to lie at {name[:80]!r}, outside the slide; refused."
        )
    return "/".join(parts)


def _channels(facts: Mapping[str, Any]) -> tuple[Channel, ...]:
    omero = facts.get("omero")
    listed = omero.get("channels") if isinstance(omero, Mapping) else None
    if not isinstance(listed, Sequence):
        return ()
    entries = [entry if isinstance(entry, Mapping) else {} for entry in listed]
    names = [str(entry.get("label") or f"channel {i + 1}") for i, entry in enumerate(entries)]
    channels = []
    for entry, default in zip(entries, default_channels(len(entries), names), strict=True):
        try:
            red, green, blue = bytes.fromhex(str(entry.get("color", "")))[:3]
        except ValueError:
            red, green, blue = default.color
        channels.append(Channel(default.name, (red, green, blue), _window(entry.get("window"))))
    return tuple(channels)


def _window(said: object) -> tuple[float, float] | None:
    """Where a channel's colour begins and is full; `min` and `max` only bound what one may set."""
    if not isinstance(said, Mapping):
        return None
    try:
        start, end = float(said["start"]), float(said["end"])
    except (KeyError, TypeError, ValueError):
        return None
    return (start, end) if math.isfinite(end - start) and end > start else None


def _steps(
    scale: Mapping[str, Any], finest: Mapping[str, Any], axes: tuple[str, ...]
) -> dict[str, tuple[float, str | None]]:
    """Step and unit of each axis: the finest level's scale times that of the whole picture."""
    if not isinstance(scale.get("axes"), Sequence):
        return {}
    own = _scale_of(finest, len(axes))
    if own is None:
        return {}
    whole = _scale_of(scale, len(axes)) or [1.0] * len(axes)
    units = {
        str(axis.get("name", "")).lower(): axis.get("unit")
        for axis in scale["axes"]
        if isinstance(axis, Mapping)
    }
    steps = zip(axes, own, whole, strict=True)
    return {axis: (a * b, str(units[axis]) if units.get(axis) else None) for axis, a, b in steps}


def _um(step: float | None, unit: str | None) -> float | None:
    # Without a unit the numbers may be pixels: never a guess.
    return length_um(step, unit) if unit else None


def _scale_of(entry: Mapping[str, Any], count: int) -> list[float] | None:
    for step in entry.get("coordinateTransformations") or ():
        if isinstance(step, Mapping) and step.get("type") == "scale":
            try:
                values = [float(value) for value in step.get("scale", ())]
            except (TypeError, ValueError):
                return None
            return values if len(values) == count else None
    return None
