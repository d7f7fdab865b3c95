"""The preview of the tissue: a layer over the slide that follows its threshold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Pair, world_scale, world_translate
from napari_pathseg.gui.layers import KEY, place_field, units
from napari_pathseg.slide.tissue import Mask

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Labels

COLOR = (0.1, 0.75, 0.95, 1.0)
OPACITY = 0.35


class TissueLayer:
    """Shows one tissue mask at a time in a viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Labels | None = None

    @property
    def layer(self) -> Labels | None:
        """The layer, None while nothing is shown or after the user removed it."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
        return self._layer

    def show(self, name: str, mask: Mask, field: Field, mpp: Pair | None) -> None:
        """Show a mask, (height, width) bool, on the place of its field."""
        values = mask.astype(np.uint8)
        layer = self.layer
        if layer is None:
            layer = self._layer = self._added(name, values, field, mpp)
        elif layer.data.shape == values.shape:
            layer.data[...] = values
            layer.refresh()
        else:
            layer.data = values
        layer.name = f"{name} tissue"
        place_field(layer, field, mpp)

    def hide(self) -> None:
        """Take the layer away."""
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _added(
        self,
        name: str,
        values: npt.NDArray[np.uint8],
        field: Field,
        mpp: Pair | None,
    ) -> Labels:
        from napari.layers import Labels
        from napari.utils import DirectLabelColormap

        none = np.zeros(4, dtype=np.float32)
        colors: dict[int | None, npt.NDArray[np.float32]] = {
            None: none,
            0: none,
            1: np.array(COLOR, dtype=np.float32),
        }
        layer = Labels(
            values,
            name=f"{name} tissue",
            opacity=OPACITY,
            metadata={KEY: "tissue"},
            colormap=DirectLabelColormap(color_dict=colors),
            # Before it is added: napari ignores the units of all layers when one has others.
            scale=world_scale(field.downsample, mpp),
            translate=world_translate(field, mpp),
            units=units(mpp),
        )
        layer.editable = False
        active = self._viewer.layers.selection.active
        self._viewer.add_layer(layer)
        if active is not None:
            self._viewer.layers.selection.active = active
        return layer
