"""napari layers for the desk: the editable field, the stored labels, the prompts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import (
    Field,
    Pair,
    level0_to_world,
    world_scale,
    world_translate,
)
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.prompts import BoxPrompt, LassoPrompt, PointPrompt, Prompt, ScribblePrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Image, Labels, Points, Shapes

KEY = "pathseg"
PLACE = "pathseg-field"
"""Where the layer of a field keeps its Field, for napari's own Save."""
FIELD_OPACITY = 0.45
POSITIVE, NEGATIVE = "#00e676", "#ff3030"
PROMPT_SCREEN_PX = 2
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
    layer.units = units(mpp)


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


def warm_up() -> None:
    """Import and compile what napari needs for its first Labels layer; takes seconds, once.

    For the background, so no layer is made here: their units come from a registry that two
    threads must not load at once.
    """
    for name in ("xarray", "vispy.visuals.line"):
        if find_spec(name.partition(".")[0]) is not None:
            import_module(name)
    colors = mask_colormap(ClassList.from_names(["warm-up"], [(1, 2, 3)]))
    colors.map(np.eye(8, dtype=np.uint8))


def add_field(
    viewer: ViewerModel,
    field: Field,
    mpp: Pair | None,
    mask: Mask,
    name: str,
    classes: ClassList,
    hidden: Iterable[int],
) -> Labels:
    """A small editable Labels layer on the place of `field`, below all clicks and boxes."""
    from napari.layers import Labels

    layer = Labels(
        mask.astype(display_dtype(classes)),
        name=name,
        opacity=FIELD_OPACITY,
        metadata={KEY: "field"},
        colormap=mask_colormap(classes, hidden),
    )
    place_field(layer, field, mpp)
    prompts = (i for i, other in enumerate(viewer.layers) if other.metadata.get(KEY) == "prompts")
    viewer.layers.insert(next(prompts, len(viewer.layers)), layer)
    return layer


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
    rows, columns = np.ogrid[: by_hand.shape[0], : by_hand.shape[1]]
    found: npt.NDArray[np.uint8] = (by_hand & ((rows + columns) % HATCH_PX < 1)).astype(np.uint8)
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


def show_prompts(
    viewer: ViewerModel,
    prompts: Iterable[Prompt],
    mpp: Pair | None,
    name: str,
    drawn: Sequence[Prompt] = (),
) -> None:
    """Show clicks as discs and crosses, boxes and lines as outlines, also the one being drawn.

    Their layers stay and are hidden: napari takes long to add one, and longer to remove it.
    """
    known = [*prompts, *drawn]
    points = [p for p in known if isinstance(p, PointPrompt)]
    shapes = [p for p in known if isinstance(p, (BoxPrompt, ScribblePrompt, LassoPrompt))]
    active = viewer.layers.selection.active
    _show_points(viewer, points, mpp, f"{name} points")
    _show_shapes(viewer, shapes, mpp, f"{name} boxes")
    if active is not None and active in viewer.layers:
        viewer.layers.selection.active = active


def drop_prompts(viewer: ViewerModel, name: str) -> None:
    """Take the layers of a slide's prompts away."""
    for layer in (_named(viewer, f"{name} points"), _named(viewer, f"{name} boxes")):
        if layer is not None:
            viewer.layers.remove(layer)


def _named(viewer: ViewerModel, name: str) -> Any:
    found = (x for x in viewer.layers if x.name == name and x.metadata.get(KEY) == "prompts")
    return next(found, None)


def _is_new(layer: Points | Shapes, prompts: Sequence[Prompt], mpp: Pair | None) -> bool:
    """Whether a layer shows other prompts than these; it has the units of the slide then."""
    shown = (tuple(prompts), mpp)
    if layer.metadata.get("shown") == shown:
        return False
    layer.metadata["shown"] = shown
    layer.units = units(mpp)
    return True


def _show_points(
    viewer: ViewerModel, points: list[PointPrompt], mpp: Pair | None, name: str
) -> None:
    from napari.layers import Points

    layer: Points | None = _named(viewer, name)
    if layer is None:
        if not points:
            return
        layer = Points(
            ndim=2,
            name=name,
            size=1,
            border_width=0,
            units=units(mpp),
            metadata={KEY: "prompts"},
        )
        layer.canvas_size_limits = (13, 13)  # screen pixels, at every zoom
        layer.editable = False
        viewer.add_layer(layer)
    if not _is_new(layer, points, mpp):
        return
    layer.visible = bool(points)
    layer.data = np.array([level0_to_world(p.y, p.x, mpp) for p in points]).reshape(-1, 2)
    if points:
        layer.symbol = ["disc" if p.positive else "x" for p in points]
        layer.face_color = [POSITIVE if p.positive else NEGATIVE for p in points]


def _show_shapes(
    viewer: ViewerModel,
    shapes: list[BoxPrompt | ScribblePrompt | LassoPrompt],
    mpp: Pair | None,
    name: str,
) -> None:
    from napari.layers import Shapes

    layer: Shapes | None = _named(viewer, name)
    if layer is None:
        if not shapes:
            return
        layer = Shapes(
            ndim=2,
            name=name,
            face_color="transparent",
            units=units(mpp),
            metadata={KEY: "prompts"},
        )
        layer.editable = False
        viewer.add_layer(layer)
    if not _is_new(layer, shapes, mpp):
        return
    layer.visible = bool(shapes)
    outlines = [_outline(shape) for shape in shapes]
    layer.data = [
        (np.array([level0_to_world(*place, mpp) for place in places]), kind)
        for places, kind, _ in outlines
    ]
    if shapes:
        layer.edge_width = PROMPT_SCREEN_PX / float(viewer.scene.camera.zoom)
        layer.edge_color = [POSITIVE if adds else NEGATIVE for _, _, adds in outlines]


def _outline(shape: BoxPrompt | ScribblePrompt | LassoPrompt) -> tuple[tuple[Pair, ...], str, bool]:
    """Level-0 places of a prompt, napari's name for its shape, and whether it adds."""
    match shape:
        case BoxPrompt(y0, x0, y1, x1):
            return ((y0, x0), (y1, x1)), "rectangle", True
        case ScribblePrompt(path, positive):
            return (path if len(path) > 1 else path * 2), "path", positive
        case LassoPrompt(outline, positive):
            return outline, "polygon", positive
