"""What is known of a slide, as plain values for JSON."""

from __future__ import annotations

from typing import Any

from napari_pathseg.geometry import Pair, Shape
from napari_pathseg.slide.base import Level, Slide


def describe(slide: Slide, *, properties: bool = False) -> dict[str, Any]:
    """Everything that `pathseg info` tells; pixels are not read.

    Parameters
    ----------
    slide : Slide
    properties : bool
        Also give all that the file says of itself, which can name the patient.

    Returns
    -------
    dict
        JSON-ready: shapes are [height, width], pairs [y, x], lengths micrometres per
        pixel; unknown is null. Of associated pictures only the names are given.
    """
    from napari_pathseg.slide.color import profile_name

    metadata, stack = slide.metadata, slide.stack
    facts: dict[str, Any] = {
        "path": str(slide.path),
        "backend": metadata.backend,
        "vendor": metadata.vendor,
        "identity": metadata.identity,
        "shape": list(slide.shape),
        "mpp": _pair(metadata.mpp),
        "size_mm": _pair(size_mm(slide.shape, metadata.mpp)),
        "objective_power": metadata.objective_power,
        "levels": [_level(index, level, metadata.mpp) for index, level in enumerate(slide.levels)],
        "associated": list(slide.associated_names),
        "scene": slide.scene,
        "scenes": list(slide.scenes),
        "channels": [{"name": c.name, "color": list(c.color)} for c in stack.channels],
        "stack": {"z": stack.z, "t": stack.t, "z_um": stack.z_um, "t_s": stack.t_s},
        "dtype": stack.dtype,
        "color_profile": profile_name(slide),
    }
    if properties:
        facts["properties"] = dict(metadata.properties)
    return facts


def size_mm(shape: Shape, mpp: Pair | None) -> Pair | None:
    """Height and width in millimetres, None where the scale is unknown."""
    return None if mpp is None else (shape[0] * mpp[0] / 1000, shape[1] * mpp[1] / 1000)


def _level(index: int, level: Level, mpp: Pair | None) -> dict[str, Any]:
    down_y, down_x = level.downsample
    return {
        "index": index,
        "shape": list(level.shape),
        "downsample": (down_y + down_x) / 2,
        "downsample_yx": [down_y, down_x],
        "mpp": None if mpp is None else [mpp[0] * down_y, mpp[1] * down_x],
        "tile": list(level.tile),
    }


def _pair(pair: Pair | None) -> list[float] | None:
    return None if pair is None else list(pair)
