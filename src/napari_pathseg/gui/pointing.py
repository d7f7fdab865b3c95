"""Brings a place of a slide before the eyes: the slide to the front, the camera, an outline."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pathseg.geometry import Field, Region, level0_to_world, world_scale
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.desks import Desks
from napari_pathseg.gui.prompt_layers import Ring
from napari_pathseg.labels.raster import Outline

if TYPE_CHECKING:
    from napari.components import ViewerModel

FILLS = 0.9
"""Part of the canvas that a field takes."""

SEEN_AT_LEAST, SEEN_AT_MOST, COMFORTABLE = 0.03, 0.6, 0.25
"""An object that takes less or more of the canvas than this is looked at anew."""

CLOSEST = 8.0
"""Screen pixels of a level-0 pixel at most: of a speck one sees where it lies."""


def level0_rings(field: Field, outline: Outline) -> list[Ring]:
    """Closed rings (points, 2) of level-0 places, of an outline in pixels of a field."""
    first, down = np.array([field.y, field.x]), np.array(field.downsample)
    return [(ring + first) * down for ring in outline.rings]


class Pointing:
    """Points at fields and objects in one viewer."""

    def __init__(self, viewer: ViewerModel, desks: Desks) -> None:
        self._viewer = viewer
        self._desks = desks

    def at_field(self, desk: Desk, region: Region) -> None:
        """Fill the view with a region of a slide (level-0 pixels)."""
        self._desks.bring_forward(desk)
        self._look(desk, region, FILLS)

    def at_object(self, desk: Desk, region: Region) -> None:
        """Put an object into the middle, at a zoom that shows it.

        Parameters
        ----------
        desk : Desk
        region : Region
            Its bounding box, level-0 pixels.
        """
        self._desks.bring_forward(desk)
        now = self._taken(desk, region)
        comfortable = SEEN_AT_LEAST <= now <= SEEN_AT_MOST
        self._look(desk, region, now if comfortable else COMFORTABLE)

    def outline(self, desk: Desk, rings: list[Ring]) -> None:
        """Outline an object, and no other one.

        Parameters
        ----------
        desk : Desk
        rings : list of float arrays (points, 2)
            Closed rings, continuous level-0 pixels.
        """
        self._desks.point(desk, rings)

    def clear(self) -> None:
        """Take the outline away."""
        self._desks.point(None)

    def _taken(self, desk: Desk, region: Region) -> float:
        """The part of the canvas's side that a region takes now."""
        tall, wide = self._extent(desk, region)
        height, width = self._viewer.canvas.size
        zoom = float(self._viewer.scene.camera.zoom)
        return zoom * max(tall / float(height), wide / float(width))

    def _look(self, desk: Desk, region: Region, part: float) -> None:
        tall, wide = self._extent(desk, region)
        height, width = self._viewer.canvas.size
        camera = self._viewer.scene.camera
        camera.center = (0.0, *level0_to_world(*region.center, desk.mpp))
        closest = CLOSEST / world_scale((1.0, 1.0), desk.mpp)[0]
        camera.zoom = min(part * min(height / tall, width / wide), closest)

    def _extent(self, desk: Desk, region: Region) -> tuple[float, float]:
        scale = world_scale((1.0, 1.0), desk.mpp)
        return region.height * scale[0], region.width * scale[1]
