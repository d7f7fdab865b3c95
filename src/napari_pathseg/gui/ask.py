"""A request to the model and its answer laid on the draft: runs in the background."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import Field, Region
from napari_pathseg.gui.counts import Count, count_classes
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.messages import Message, read_and_found
from napari_pathseg.gui.work import State
from napari_pathseg.inference.segmentation import Mask, Segmentation
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.prompts import Prompt, TextPrompt

if TYPE_CHECKING:
    from napari_pathseg.inference.session import Session


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked, and of which state.

    Attributes
    ----------
    region : Region
    prompts : tuple of Prompt
        Text first.
    base : State or None
        Of the field under work; None for a new field.
    field : Field or None
        The grid of `base`.
    classes : ClassList
        Of the slide when it was asked.
    spatial_class : str or None
        Class that a click or box without words belongs to.
    threshold : float
    """

    region: Region
    prompts: tuple[Prompt, ...]
    base: State | None
    field: Field | None
    classes: ClassList
    spatial_class: str | None
    threshold: float


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """The model's answer, laid on the draft.

    Attributes
    ----------
    segmentation : Segmentation
    values : tuple of int
        The slide's class value for each class of the segmentation.
    classes : ClassList
        Of the slide, with those that are new.
    state : State
    mask : uint16 array
        What the viewer is to show.
    same_field : bool
        Whether it belongs to the field under work; a term that is seen at another resolution
        makes a new one.
    counts : dict of int to Count
        Objects and area of each class value in `mask`.
    message : Message
        What was read and found.
    """

    segmentation: Segmentation
    values: tuple[int, ...]
    classes: ClassList
    state: State
    mask: Mask
    same_field: bool
    counts: dict[int, Count]
    message: Message


def ask(
    session: Callable[[], Session],
    request: Request,
    report: ProgressCallback,
    cancel: CancelToken,
) -> Answered:
    """Ask the model; `session` makes it when it is not there yet.

    Raises
    ------
    PathsegError
        As `Session.segment` and the loading of the model.
    """
    ready = session()
    cancel.raise_if_cancelled()
    _refuse_wide_views(ready, request)
    segmentation = ready.segment(request.region, request.prompts, progress=report, cancel=cancel)
    cancel.raise_if_cancelled()
    return lay(segmentation.with_threshold(request.threshold), request)


def _refuse_wide_views(session: Session, request: Request) -> None:
    """Say how much too wide a view is, in the words of the panel."""
    texts = [prompt for prompt in request.prompts if isinstance(prompt, TextPrompt)]
    for question in session.understand(texts) if texts else ():
        plan = session.plan(request.region, question.working_mpp)
        tiles, limit = plan.tiles(session.config), session.config.max_tiles
        if tiles <= limit:
            continue
        width = f"{request.region.width:,} px"
        need = ""
        if session.mpp is not None and plan.mpp is not None:
            width = f"{request.region.width * session.mpp[1] / 1e3:.1f} mm"
            need = f"{question.label_class.name} needs {plan.mpp:.2g} µm/px: "
        raise RegionError(
            f"This view is {width} wide; {need}{tiles:,} tiles, and {limit} are the limit.",
            "Zoom in to a part of it.",
        )


def lay(segmentation: Segmentation, request: Request) -> Answered:
    """Lay a segmentation on the request's draft."""
    classes, values = _values(segmentation, request.classes, request.spatial_class)
    if request.field is not None and _belongs(segmentation, request.field):
        segmentation = on_grid(segmentation, request.field)
    draft = Draft.empty(segmentation.field.shape)
    same_field = request.base is not None and request.field == segmentation.field
    if request.base is not None and same_field:
        draft = request.base.draft
    state = State(draft.with_proposal(segmentation, values, classes), request.prompts)
    mask = state.draft.mask(classes)
    counts = count_classes(mask, segmentation.mpp)
    message = read_and_found(segmentation)
    return Answered(segmentation, values, classes, state, mask, same_field, counts, message)


def relaid(answered: Answered, request: Request, base: State, classes: ClassList) -> Answered:
    """The same answer on a draft that was painted on meanwhile."""
    return lay(answered.segmentation, replace(request, base=base, classes=classes))


def _belongs(segmentation: Segmentation, field: Field) -> bool:
    """Whether an answer goes onto a field's own grid: clicks do, and words seen no finer."""
    words = any(isinstance(prompt, TextPrompt) for prompt in segmentation.prompts)
    finer = segmentation.field.downsample[0] < field.downsample[0]
    return segmentation.field != field and not (words and finer)


def on_grid(segmentation: Segmentation, field: Field) -> Segmentation:
    """The same answer on the pixels of another field, bilinear.

    A click is looked at as it is shown, a word at its working resolution: both must land on the
    grid of the field under work.
    """
    own, layers = segmentation.field, []
    rows = (np.arange(field.height) + 0.5 + field.y) * field.downsample[0] / own.downsample[0]
    columns = (np.arange(field.width) + 0.5 + field.x) * field.downsample[1] / own.downsample[1]
    places = np.meshgrid(rows - own.y - 0.5, columns - own.x - 0.5, indexing="ij")
    for logits in segmentation.logits:
        moved = ndimage.map_coordinates(logits, places, order=1, mode="nearest")
        layers.append(moved.astype(np.float32))
    mpp = segmentation.mpp
    if mpp is not None:
        mpp = (
            mpp[0] * field.downsample[0] / own.downsample[0],
            mpp[1] * field.downsample[1] / own.downsample[1],
        )
    return replace(segmentation, field=field, logits=np.stack(layers), mpp=mpp)


def _values(
    segmentation: Segmentation, classes: ClassList, spatial_class: str | None
) -> tuple[ClassList, tuple[int, ...]]:
    values = []
    for label_class in segmentation.classes:
        name = label_class.name
        if label_class.term is None and spatial_class is not None:
            name = spatial_class
        classes = classes.with_class(name, label_class.term, label_class.color)
        found = classes.named(name)
        assert found is not None
        values.append(found.value)
    return classes, tuple(values)
