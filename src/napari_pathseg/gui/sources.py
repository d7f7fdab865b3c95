"""Slides by name: files, and generated slides that have no file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from napari_pathseg.geometry import world_scale
from napari_pathseg.gui.layers import KEY, units
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.pyramid import dask_pyramid

LayerData = tuple[Any, dict[str, Any], str]

_GENERATED = re.compile(r"synthetic-(\d+)x(\d+)-([0-9.]+)-(\d+)")


def open_source(path: Path) -> Slide:
    """A slide file, or the generated slide of that name.

    Raises
    ------
    SlideError
        As `open_slide`.
    """
    found = _GENERATED.fullmatch(path.name)
    if found is None or path.exists():
        return open_slide(path)
    from napari_pathseg.slide.synthetic import SyntheticSlide

    height, width, mpp, seed = found.groups()
    return SyntheticSlide((int(height), int(width)), float(mpp), int(seed))


def layer_data(slide: Slide) -> LayerData:
    """What napari needs to show a slide: lazy levels, scale, units and where it came from.

    The pixels are read when they come into view; the scale is in micrometres, or in level-0
    pixels where the slide does not say its resolution.
    """
    mpp = slide.metadata.mpp
    levels = dask_pyramid(slide)
    options: dict[str, Any] = {
        "name": slide.path.name,
        "rgb": True,
        "multiscale": len(levels) > 1,
        "scale": world_scale((1.0, 1.0), mpp),
        "units": units(mpp),
        "metadata": {KEY: {"path": str(slide.path), "identity": slide.metadata.identity}},
    }
    return (levels if len(levels) > 1 else levels[0]), options, "image"
