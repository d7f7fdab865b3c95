"""What part of a slide the viewer shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import Pair, Region, Shape, region_inside, visible_region

if TYPE_CHECKING:
    from napari.components import ViewerModel


def field_in_view(viewer: ViewerModel, shape: Shape, mpp: Pair | None) -> Region:
    """The visible part of a slide, from camera and canvas.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    shape : (int, int)
        Height and width of the slide at level 0.
    mpp : (float, float) or None
        As used for the scale of the slide's layer.

    Returns
    -------
    Region
        Whole level-0 pixels, cut to the slide. napari's `corner_pixels` would be larger: it
        is rounded out to whole chunks of one level.

    Raises
    ------
    RegionError
        When the slide is out of view.
    """
    camera = viewer.scene.camera
    height, width = viewer.canvas.size
    center = (float(camera.center[-2]), float(camera.center[-1]))
    seen = visible_region(center, (int(height), int(width)), float(camera.zoom), mpp)
    try:
        return region_inside(seen, shape)
    except RegionError as error:
        raise RegionError(
            "The slide is out of view.", "Press Ctrl+R to bring it back, then try again."
        ) from error
