"""A request to the model and its answer laid on the draft: runs in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import RegionError
from napari_pathseg.geometry import Field, Region
from napari_pathseg.gui.counts import Count, count_classes
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.messages import Message, read_and_found
from napari_pathseg.gui.overview import PlacedMask
from napari_pathseg.inference.segmentation import Logits, Mask, Segmentation
from napari_pathseg.labels.masks import regridded
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.prompts import Prompt, TextPrompt

if TYPE_CHECKING:
    from napari_pathseg.gui.desk import Desk
    from napari_pathseg.inference.session import Session

Places = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """What is asked, and of which state.

    Attributes
    ----------
    region : Region
    prompts : tuple of Prompt
        Text first.
    base : Draft or None
        Of the field under work; None for a new field.
    field : Field or None
        The grid of `base`.
    classes : ClassList
        Of the slide when it was asked.
    spatial_class : LabelClass or None
        Class that a click or box without words belongs to; the slide need not have it yet.
    threshold : float
    locked : frozenset of int
        Classes that nothing may change.
    others : callable
        Gives all fields, as PlacedMask: what a person drew in them is left alone in a new one too.
    """

    region: Region
    prompts: tuple[Prompt, ...]
    base: Draft | None
    field: Field | None
    classes: ClassList
    spatial_class: LabelClass | None
    threshold: float
    locked: frozenset[int] = frozenset()
    others: Callable[[], tuple[PlacedMask, ...]] = tuple


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
    draft : Draft
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
    draft: Draft
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
        tiles, limit = plan.count, session.config.max_tiles
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
    same_field = request.base is not None and request.field == segmentation.field
    if request.base is not None and same_field:
        base = request.base
    else:
        base = _drawn_elsewhere(segmentation.field, request.others())
    draft = base.with_proposal(segmentation, values, classes, request.locked)
    mask = draft.mask(classes, request.locked)
    counts = count_classes(mask, segmentation.mpp)
    message = read_and_found(segmentation)
    return Answered(segmentation, values, classes, draft, mask, same_field, counts, message)


def _drawn_elsewhere(field: Field, others: Sequence[PlacedMask]) -> Draft:
    """An empty draft that holds what a person drew at this place in other fields."""
    kept, by_hand = np.zeros(field.shape, np.uint16), np.zeros(field.shape, bool)
    for other in others:
        if not other.packed.size or other.field.region.intersection(field.region) is None:
            continue
        theirs = regridded(other.by_hand, other.field, field)
        kept[theirs] = regridded(other.mask, other.field, field)[theirs]
        by_hand |= theirs
    return Draft(kept, by_hand)


def relaid(answered: Answered, request: Request, base: Draft | None, desk: Desk) -> Answered:
    """The same answer on a desk where a person went on meanwhile."""
    now = replace(request, base=base, classes=desk.classes, locked=frozenset(desk.locked))
    return lay(answered.segmentation, now)


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
    own = segmentation.field
    rows = (np.arange(field.height) + 0.5 + field.y) * field.downsample[0] / own.downsample[0]
    columns = (np.arange(field.width) + 0.5 + field.x) * field.downsample[1] / own.downsample[1]
    places: tuple[Places, Places] = rows - own.y - 0.5, columns - own.x - 0.5
    mpp = segmentation.mpp
    if mpp is not None:
        mpp = (
            mpp[0] * field.downsample[0] / own.downsample[0],
            mpp[1] * field.downsample[1] / own.downsample[1],
        )
    logits = _at_places(segmentation.logits, *places)
    candidates = _at_places(segmentation.candidates, *places)
    return replace(segmentation, field=field, logits=logits, candidates=candidates, mpp=mpp)


def _at_places(maps: Logits, rows: Places, columns: Places) -> Logits:
    """Maps (n, height, width) at places along both axes, bilinear; the edge goes on outside."""
    if not len(maps):
        return maps
    for axis, places in ((1, rows), (2, columns)):
        inside = np.clip(places, 0, maps.shape[axis] - 1)
        low = np.floor(inside).astype(np.intp)
        high = np.minimum(low + 1, maps.shape[axis] - 1)
        shape = (1, -1, 1) if axis == 1 else (1, 1, -1)
        part = (inside - low).astype(np.float32).reshape(shape)
        below = maps.take(low, axis=axis)
        maps = below + (maps.take(high, axis=axis) - below) * part
    return maps


def _values(
    segmentation: Segmentation, classes: ClassList, spatial_class: LabelClass | None
) -> tuple[ClassList, tuple[int, ...]]:
    values = []
    for label_class in segmentation.classes:
        meant: LabelClass = label_class
        if label_class.term is None and spatial_class is not None:
            meant = spatial_class
        elif (renamed := classes.of_term(label_class.term)) is not None:
            meant = renamed
        classes = classes.with_class(meant.name, meant.term, meant.color)
        found = classes.named(meant.name)
        assert found is not None
        values.append(found.value)
    return classes, tuple(values)
