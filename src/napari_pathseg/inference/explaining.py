"""Why a mask is as it is: where the model is unsure, and which objects speak for the term."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import find_objects, uniform_filter

from napari_pathseg.classes import LabelClass
from napari_pathseg.errors import PromptError
from napari_pathseg.geometry import Pair, Region
from napari_pathseg.inference.context import read_around
from napari_pathseg.inference.embeddings import EncodedPicture
from napari_pathseg.inference.plan import Plan
from napari_pathseg.inference.seeing import read_tile
from napari_pathseg.inference.segmentation import Logits, Segmentation
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.labels.masks import regridded
from napari_pathseg.labels.measure import MIN_INSTANCE_PX
from napari_pathseg.labels.raster import Instances, instances_of, split_touching
from napari_pathseg.models.base import TileAnswer, TileQuery
from napari_pathseg.models.context import COARSER
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress
from napari_pathseg.prompts import TextPrompt

MOST_OBJECTS = 24
LEAST_BLUR_PX = 8.0  # model pixels
SUREST = 1 - 1e-6  # a presence of 1 would leave no loss to compare with
RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ObjectImportance:
    """How much an object speaks for the presence of its term.

    Attributes
    ----------
    label : int
        Of the object in `Importance.instances`.
    label_class : LabelClass
    centroid : (float, float)
        Continuous level-0 pixels, (y, x).
    area_px : int
        Pixels of the segmentation's field.
    area_um2 : float or None
    importance : float
        Loss without the object over loss with it: 1 = it does not matter, the more the higher;
        below 1 the model is surer without it.
    """

    label: int
    label_class: LabelClass
    centroid: Pair
    area_px: int
    area_um2: float | None
    importance: float


@dataclass(frozen=True, slots=True, eq=False)
class Importance:
    """The objects of a segmentation that were looked at.

    Attributes
    ----------
    objects : tuple of ObjectImportance
        The most important first.
    instances : uint32 array (height, width)
        All objects on the segmentation's field, numbered; 0 = none.
    """

    objects: tuple[ObjectImportance, ...]
    instances: Instances


def uncertainty(segmentation: Segmentation) -> Logits:
    """How unsure the model is of each pixel, in bits.

    The entropy of each class's probability p, ``H = -p log2 p - (1 - p) log2 (1 - p)``, the
    highest of all classes: 1 where p is a half, 0 where it is 0 or 1. It is written with the
    logit z, where it falls with abs(z) and does not overflow:
    ``H ln 2 = log(1 + e) + abs(z) e / (1 + e)`` with ``e = exp(-abs(z))``.

    Returns
    -------
    float32 array (height, width)
        On the segmentation's field.
    """
    away = np.abs(segmentation.logits).min(axis=0)
    e = np.exp(-away)
    bits: Logits = ((np.log1p(e) + away * e / (1 + e)) / math.log(2)).astype(np.float32)
    return bits


def highest_probability(segmentation: Segmentation) -> Logits:
    """Probability (height, width) of the likeliest class of each pixel."""
    probability: Logits = 1 / (1 + np.exp(-segmentation.logits.max(axis=0)))
    return probability


def objects_in(segmentation: Segmentation) -> Instances:
    """The objects of a segmentation's mask, numbered class by class, (height, width).

    Nuclei and cells that touch are parted at their waists, tissue is not: a gland may have any
    shape. Objects under `MIN_INSTANCE_PX` pixels are left out.
    """
    mask = segmentation.mask
    found = np.zeros(mask.shape, dtype=np.uint32)
    for label_class in segmentation.classes:
        inside = (mask == label_class.value).astype(np.uint8)
        tissue = label_class.term is None or label_class.term.structure == "tissue"
        parted = instances_of if tissue else split_touching
        parts = parted(inside, min_area_px=MIN_INSTANCE_PX)
        found[parts > 0] = parts[parts > 0] + found.max()
    return found


def object_importance(
    session: Session,
    segmentation: Segmentation,
    region: Region,
    *,
    most: int = MOST_OBJECTS,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Importance:
    """How much each object speaks for the presence of its term.

    Object i is blurred away in the tile that holds it, the tile is encoded and asked again, and
    ``IMP_i = loss without i / loss with it``, the loss being ``-log(presence)`` of the tile.
    A blur of the object's diameter (standard deviation), at least `LEAST_BLUR_PX`, takes its place.

    Parameters
    ----------
    session : Session
        Where the segmentation is from.
    segmentation : Segmentation
        Of words; clicks and boxes may have refined it.
    region : Region
        That was asked for, so that its embeddings are found again.
    most : int
        The largest objects of each class that are looked at: one pass of the encoder each.

    Raises
    ------
    PromptError
        When there are no words: clicks say nothing of presence.
    PathsegError
        As `Session.segment`.
    CancelledError
        Within one pass of the encoder.

    Notes
    -----
    Object importance of PathSegmentor (arXiv 2506.20988), section on explainable diagnosis; what
    is explained here is the presence of the term, not a diagnosis.
    """
    cancel = cancel or CancelToken()
    working = _working_mpps(session, segmentation)
    instances = objects_in(segmentation)
    measured = _measured(segmentation, instances)
    found = list[ObjectImportance]()
    total = sum(min(len(ones), most) for ones in measured)
    for ones, mpp, answer in zip(measured, working, segmentation.answers, strict=True):
        if not ones:
            continue
        plan, encoded = session.look(region, mpp, progress=progress, cancel=cancel)
        labels = regridded(instances, segmentation.field, encoded.field)
        for one in ones[:most]:
            cancel.raise_if_cancelled()
            progress(Progress(len(found), total, "looking without one object at a time"))
            index = _holding(one, encoded)
            tile, own = plan.tiles[index], encoded.tiles[index]
            inside = np.zeros((tile.height, tile.width), bool)
            part = labels[own.inside(encoded.shape)] == one.label
            inside[: part.shape[0], : part.shape[1]] = part
            pixels = _without(read_tile(session.slide, plan, tile), inside)
            answers = encoded.encoded[index].answer_words(session.segmenter, answer.asked_as)
            before = _loss(answers)
            queries = [TileQuery(term=term) for term in answer.asked_as]
            around = _around(session, plan, tile, inside)
            embedding = session.segmenter.encode(pixels, *around)
            after = _loss(session.segmenter.decode(embedding, queries))
            found.append(replace(one, importance=after / before))
    progress(Progress(total, total, "looking without one object at a time"))
    found.sort(key=lambda one: one.importance, reverse=True)
    return Importance(tuple(found), instances)


def _working_mpps(session: Session, segmentation: Segmentation) -> list[float | None]:
    """The scale at which each class was looked at."""
    texts = [p for p in segmentation.prompts if isinstance(p, TextPrompt)]
    if not texts:
        raise PromptError("Only what words found can be explained.", "Ask for a term first.")
    questions = session.understand(texts)
    if [q.asked_as for q in questions] != [a.asked_as for a in segmentation.answers]:
        raise PromptError("These words mean something else since they were asked.", "Ask again.")
    return [question.working_mpp for question in questions]


def _measured(segmentation: Segmentation, instances: Instances) -> list[list[ObjectImportance]]:
    """The objects of each class, the largest first; their importance is still that of none."""
    field, mask, mpp = segmentation.field, segmentation.mask, segmentation.mpp
    by_class: dict[int, list[ObjectImportance]] = {c.value: [] for c in segmentation.classes}
    for index, box in enumerate(find_objects(instances), start=1):
        rows, columns = np.nonzero(instances[box] == index)
        value = int(mask[box][rows[0], columns[0]])
        y, x = rows.mean() + box[0].start + 0.5, columns.mean() + box[1].start + 0.5
        area_um2 = None if mpp is None else len(rows) * mpp[0] * mpp[1]
        by_class[value].append(
            ObjectImportance(
                index,
                segmentation.classes[value],
                field.to_level0(float(y), float(x)),
                len(rows),
                area_um2,
                1.0,
            )
        )
    return [sorted(ones, key=lambda o: o.area_px, reverse=True) for ones in by_class.values()]


def _holding(one: ObjectImportance, encoded: EncodedPicture) -> int:
    """The number of the tile in whose midst an object lies."""
    y, x = encoded.field.from_level0(*one.centroid)
    room = [min(y - t.y, t.y + t.height - y, x - t.x, t.x + t.width - x) for t in encoded.tiles]
    return int(np.argmax(room))


def _without(pixels: RGB, inside: npt.NDArray[np.bool_]) -> RGB:
    """Pixels (height, width, 3) that are blurred where `inside` (height, width) says.

    Three means over squares of twice the standard deviation are near a Gaussian, at a cost that
    does not grow with it.
    """
    if not inside.any():
        return pixels
    diameter = 2 * math.sqrt(int(inside.sum()) / math.pi)
    side = 2 * math.ceil(max(diameter, LEAST_BLUR_PX)) + 1
    blurred = pixels.astype(np.float32)
    for _ in range(3):
        blurred = uniform_filter(blurred, (side, side, 1), mode="nearest")
    rows, columns = np.nonzero(inside)
    out = pixels.copy()
    out[rows, columns] = np.rint(blurred[rows, columns]).astype(np.uint8)
    return out


def _around(
    session: Session, plan: Plan, tile: Tile, inside: npt.NDArray[np.bool_]
) -> tuple[RGB, ...]:
    """What a model that looks around a tile sees there, without the object; else nothing."""
    if not plan.context:
        return ()
    around = read_around(session.slide, plan.field, plan.shape, tile)
    rows, columns = tile.height // COARSER, tile.width // COARSER
    middle = inside.reshape(rows, COARSER, columns, COARSER).any(axis=(1, 3))
    height, width = around.shape[:2]
    seen = np.zeros((height, width), bool)
    top, left = (height - rows) // 2, (width - columns) // 2
    seen[top : top + rows, left : left + columns] = middle
    return (_without(around, seen),)


def _loss(answers: Sequence[TileAnswer]) -> float:
    """-log of the presence of what was asked; of several terms the likeliest counts."""
    presence = max(answer.presence for answer in answers)
    return -math.log(min(max(presence, 1 - SUREST), SUREST))
