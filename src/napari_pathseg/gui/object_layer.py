"""All objects of a slide as a napari Points layer: measures and origin are its features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathseg.geometry import Pair, level0_to_world
from napari_pathseg.gui.layers import KEY, objects_name, objects_of, units
from napari_pathseg.gui.measuring import SlideMeasures
from napari_pathseg.gui.object_columns import columns, rows

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Points

POINT_PX = 7


def show_objects(viewer: ViewerModel, measures: SlideMeasures, mpp: Pair | None) -> Points:
    """Add the layer, in the place of an older one of the slide.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    measures : SlideMeasures
        With at least one object.
    mpp : (float, float) or None
        Of the slide.
    """
    from napari.layers import Points

    for old in objects_of(viewer, measures.slide_name):
        viewer.layers.remove(old)
    told = columns(measures.stains, mpp is not None)
    cells = zip(*rows(measures, told), strict=True)
    colors = np.array([(*one.label_class.color, 255) for one in measures.objects]) / 255
    layer = Points(
        np.array([level0_to_world(*one.center, mpp) for one in measures.objects]),
        name=objects_name(measures.slide_name),
        features={c.name: list(values) for c, values in zip(told, cells, strict=True)},
        face_color=colors,
        border_color=colors,  # vispy gives points of a fixed size on the screen a wide rim
        size=1,
        units=units(mpp),
        metadata={KEY: "objects"},
    )
    layer.canvas_size_limits = (POINT_PX, POINT_PX)  # screen pixels, at every zoom
    active = viewer.layers.selection.active
    viewer.add_layer(layer)
    viewer.layers.selection.active = active
    return layer
