"""napari layers for the desk: the editable field, the stored labels, the prompts."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field, Pair, world_scale, world_translate
from napari_pathseg.inference.segmentation import Mask

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Layer

    from napari_pathseg.slide.base import Slide

KEY = "pathseg"
PLACE = "pathseg-field"
"""Where the layer of a field keeps its Field, for napari's own Save."""
FIELD_OPACITY = 0.45
HATCH_PX, HATCH_COLOR, HATCH_OPACITY = 4, (1.0, 1.0, 1.0, 1.0), 0.55


def units(mpp: Pair | None) -> tuple[str, str]:
    """Units for every layer of a slide: napari ignores them all when they differ."""
    return ("um", "um") if mpp else ("pixel", "pixel")


def place_slide(layer: Image | Labels, mpp: Pair | None) -> None:
    """Give a layer over the whole slide its scale; further dimensions keep theirs."""
    layer.scale = (*layer.scale[:-2], *world_scale((1.0, 1.0), mpp))
    layer.units = (*layer.units[:-2], *units(mpp))


def place_field(layer: Image | Labels, field: Field, mpp: Pair | None) -> None:
    """Put a field's layer exactly on top of the slide."""
    layer.metadata[PLACE] = field
    scale, translate = world_scale(field.downsample, mpp), world_translate(field, mpp)
    if tuple(layer.scale) != scale:
        layer.scale = scale
    if tuple(layer.translate) != translate:
        layer.translate = translate
    if str(layer.units[-1]) != ("micrometer" if mpp else "pixel"):
        layer.units = units(mpp)


def channels_of(viewer: ViewerModel, slide_layer: Image) -> list[Image]:
    """The layers of a slide's other channels that are in the viewer."""
    own = slide_layer.metadata.get(KEY)
    identity = own.get("identity") if isinstance(own, dict) else None
    said = ((layer, layer.metadata.get(KEY)) for layer in viewer.layers)
    channels = [(layer, each) for layer, each in said if isinstance(each, dict)]
    return [x for x, each in channels if "channel_of" in each and each["identity"] == identity]


def objects_name(slide_name: str) -> str:
    """What the layer of a slide's objects is called."""
    return f"{slide_name} objects"


def objects_of(viewer: ViewerModel, slide_name: str) -> list[Layer]:
    """The layers of a slide's objects that are in the viewer."""
    found = (layer for layer in viewer.layers if layer.metadata.get(KEY) == "objects")
    return [layer for layer in found if layer.name == objects_name(slide_name)]


def whole_slide_key(slide: Slide) -> str:
    """What marks the labels of a whole slide; two slides may have one name."""
    return f"whole slide {slide.path} {slide.name}"


def whole_slide_of(viewer: ViewerModel, slide: Slide) -> list[Layer]:
    """The layers of a whole slide's labels that are in the viewer."""
    key = whole_slide_key(slide)
    return [layer for layer in viewer.layers if layer.metadata.get(KEY) == key]


def mask_colormap(classes: ClassList, hidden: Iterable[int] = ()) -> Any:
    """Class colours by value; background and hidden classes are transparent."""
    from napari.utils import DirectLabelColormap

    none = np.zeros(4, dtype=np.float32)
    colors: dict[int | None, Any] = {None: none, 0: none}
    unseen = set(hidden)
    for label_class in classes:
        red, green, blue = (part / 255 for part in label_class.color)
        shown = 0.0 if label_class.value in unseen else 1.0
        colors[label_class.value] = np.array([red, green, blue, shown], dtype=np.float32)
    return DirectLabelColormap(color_dict=colors)


def display_dtype(classes: ClassList) -> np.dtype[np.uint8] | np.dtype[np.uint16]:
    """One byte a pixel while that holds every class: napari colours 16 bits much slower."""
    largest = max((c.value for c in classes), default=0)
    return np.dtype(np.uint8) if largest < 256 else np.dtype(np.uint16)


READING = ("napari_pathseg.slide.pyramid", "napari_pathseg.slide.backend_openslide")
DRAWING = ("scipy.ndimage", "xarray", "vispy.visuals.line")
"""What napari imports when it first draws a layer of each kind."""
CHANGING = ("skimage.segmentation", "skimage.draw")
"""What the first click on an object and the first line through one import."""


def warm_up() -> None:
    """Import and compile what the first slide and its first mask need; takes seconds, once.

    For the background, so no layer is made here: their units come from a registry that two
    threads must not load at once.
    """
    for name in READING + DRAWING + CHANGING:
        if find_spec(name.partition(".")[0]) is not None:
            import_module(name)
    colors = mask_colormap(ClassList.from_names(["warm-up"], [(1, 2, 3)]))
    colors.map(np.eye(8, dtype=np.uint8))


def make_field_layer(name: str, mpp: Pair | None) -> Labels:
    """The layer of the field under work, which can be changed; empty at first."""
    from napari_pathseg.gui.outlined_labels import Labels

    return Labels(
        np.zeros((1, 1), np.uint8),
        name=f"{name} field",
        opacity=FIELD_OPACITY,
        metadata={KEY: "field"},
        colormap=mask_colormap(ClassList()),
        scale=world_scale((1.0, 1.0), mpp),
        units=units(mpp),
    )


def show_mask(layer: Labels, mask: Mask, classes: ClassList) -> None:
    """Write a mask into a field's layer.

    napari keeps the strokes of its own undo across a change of the data and would write them
    into the new mask: making the layer editable again clears them.
    """
    mode = layer.mode
    dtype = display_dtype(classes)
    if layer.data.dtype == dtype and layer.data.shape == mask.shape:
        layer.data[...] = mask
    else:
        layer.data = mask.astype(dtype)
    layer.editable = False
    layer.editable = True
    layer.mode = mode
    layer.refresh()


def hatched(by_hand: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Stripes over the pixels that a person drew, uint8 (height, width)."""
    found = np.zeros(by_hand.shape, np.uint8)
    for row in range(HATCH_PX):
        striped = slice(row, None, HATCH_PX), slice(-row % HATCH_PX, None, HATCH_PX)
        found[striped] = by_hand[striped]
    return found


def make_hand_layer(name: str, mpp: Pair | None) -> Labels:
    """The layer that shows which pixels the model may not change; empty at first."""
    from napari.layers import Labels
    from napari.utils import DirectLabelColormap

    none, stripe = np.zeros(4, dtype=np.float32), np.array(HATCH_COLOR, dtype=np.float32)
    layer = Labels(
        np.zeros((1, 1), np.uint8),
        name=f"{name} corrected",
        opacity=HATCH_OPACITY,
        metadata={KEY: "hand"},
        colormap=DirectLabelColormap(color_dict={None: none, 0: none, 1: stripe}),
        scale=world_scale((1.0, 1.0), mpp),
        units=units(mpp),
    )
    layer.editable = False
    return layer
