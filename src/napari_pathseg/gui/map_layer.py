"""A soft map of the field under work, in colours, with a bar that says what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathseg.geometry import Field, Pair, world_scale, world_translate
from napari_pathseg.gui.layers import KEY, place_field, units
from napari_pathseg.inference.heat import OPACITY, RAMP
from napari_pathseg.inference.segmentation import Logits

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels


class MapLayer:
    """Shows one map at a time in a viewer, under the mask that it belongs to.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
    """

    def __init__(self, viewer: ViewerModel) -> None:
        self._viewer = viewer
        self._layer: Image | None = None
        self._over: Labels | None = None

    @property
    def layer(self) -> Image | None:
        """The layer, None while nothing is shown or after the user removed it."""
        if self._layer is not None and self._layer not in self._viewer.layers:
            self._layer = None
        return self._layer

    def show(self, name: str, values: Logits, field: Field, mpp: Pair | None, over: Labels) -> None:
        """Show values from 0 to 1, (height, width), on the place of their field.

        Parameters
        ----------
        over : napari.layers.Labels
            The mask of the field: it lies above, and what hides it hides the map.
        """
        layer = self.layer
        if layer is None:
            layer = self._layer = self._added(name, values, field, mpp, over)
        else:
            layer.data = values
            layer.name = name
        place_field(layer, field, mpp)
        if over is not self._over:
            self._leave()
            self._over = over
            over.events.visible.connect(self._seen_with)

    def hide(self) -> None:
        """Take the layer away."""
        self._leave()
        layer, self._layer = self.layer, None
        if layer is not None:
            self._viewer.layers.remove(layer)

    def _leave(self) -> None:
        over, self._over = self._over, None
        if over is not None:
            over.events.visible.disconnect(self._seen_with)

    def _seen_with(self, _event: Any) -> None:
        layer = self.layer
        if layer is not None and self._over is not None:
            layer.visible = self._over.visible

    def _added(
        self, name: str, values: Logits, field: Field, mpp: Pair | None, over: Labels
    ) -> Image:
        from napari.layers import Image
        from napari.utils import Colormap

        layer = Image(
            values,
            name=name,
            colormap=Colormap(RAMP / 255, name="pathseg map"),
            contrast_limits=(0, 1),
            opacity=OPACITY,
            blending="translucent",
            interpolation2d="nearest",
            metadata={KEY: "map"},
            # Before it is added: napari ignores the units of all layers when one has others.
            scale=world_scale(field.downsample, mpp),
            translate=world_translate(field, mpp),
            units=units(mpp),
        )
        layer.colorbar.visible = True
        layers = self._viewer.layers
        active = layers.selection.active
        layers.insert(layers.index(over), layer)
        if active is not None:
            layers.selection.active = active
        return layer
