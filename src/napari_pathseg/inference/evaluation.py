"""How good a model is on images with known masks, prompt by prompt, with the protocol stated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.classes import Term
from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import PathsegError, PromptError
from napari_pathseg.geometry import Region
from napari_pathseg.inference.panoptic import panoptic_quality
from napari_pathseg.inference.segmentation import Segmentation
from napari_pathseg.inference.session import Session
from napari_pathseg.labels.overlap import dice_and_iou
from napari_pathseg.labels.raster import split_touching
from napari_pathseg.models.base import Segmenter
from napari_pathseg.prompts import BoxPrompt, PointPrompt, Prompt, TextPrompt
from napari_pathseg.slide.open import open_slide
from napari_pathseg.vocabulary.vocabulary import Vocabulary

Bool = npt.NDArray[np.bool_]
MIN_OBJECT_PX = 30

PROTOCOLS = {
    "text": "the term's name alone, without its organ; Dice of the class mask",
    "point": "one click at each object's deepest point (oracle); Dice of that object",
    "points5": "the deepest point, then four clicks at the deepest point of the largest error "
    "(oracle); Dice of that object",
    "box": "each object's bounding box (oracle); Dice of that object",
}


@dataclass(frozen=True, slots=True)
class Truth:
    """One term of one image with its mask.

    Attributes
    ----------
    mask, known : bool array (height, width)
        Where the term is; where anything is known.
    objects : int array (height, width)
        Single objects, 0 = none; connected parts where the data does not tell them apart.
    single : bool
        Whether the data tells touching objects apart.
    """

    dataset: str
    image: Path
    mpp: float | None
    term: Term
    mask: Bool
    known: Bool
    objects: npt.NDArray[np.int32]
    single: bool = False


@dataclass(frozen=True, slots=True)
class Measured:
    """The outcome for one term of one image, or for one object in it.

    Attributes
    ----------
    present : bool
        Whether the term is in the image.
    false_area : float
        The share of known pixels that were marked though the term is absent.
    presence, score : float
        The model's own estimates: that the term is there; the IoU of its mask.
    panoptic : float or None
        Panoptic quality of the objects, where the data has single objects and words were asked.
    target : int
        The number of the object in the truth that was pointed at; 0 for words.
    """

    dataset: str
    term: str
    prompt: str
    image: str
    dice: float
    iou: float
    present: bool
    false_area: float
    presence: float
    score: float = 0.0
    panoptic: float | None = None
    target: int = 0


def evaluate(
    truths: Iterable[Truth],
    segmenter: Segmenter,
    vocabulary: Vocabulary,
    prompt: str,
    *,
    objects_per_image: int = 3,
    seed: int = 0,
    config: SegmentConfig | None = None,
) -> Iterator[Measured]:
    """Ask the model about each truth and compare; words it may not be asked are left out.

    Raises
    ------
    PromptError
        When `prompt` is none of `PROTOCOLS`.
    """
    if prompt not in PROTOCOLS:
        raise PromptError(f"'{prompt}' is no kind of prompt.", f"Choose of: {', '.join(PROTOCOLS)}")
    rng = np.random.default_rng(seed)
    asked = (t for t in truths if prompt != "text" or segmenter.knows(t.term))
    # One session for all terms of an image: it is encoded once.
    for _, own in groupby(asked, key=lambda t: (t.image, t.mpp)):
        first = next(own)
        with session_for(first, segmenter, vocabulary, config) as session:
            for truth in chain([first], own):
                if prompt == "text":
                    yield _ask_words(session, truth)
                else:
                    yield from _ask_objects(session, truth, prompt, objects_per_image, rng)


@contextmanager
def session_for(
    truth: Truth, segmenter: Segmenter, vocabulary: Vocabulary, config: SegmentConfig | None = None
) -> Iterator[Session]:
    """A session on a truth's image.

    Raises
    ------
    SlideError
        When the image can not be read.
    PathsegError
        When its mask has another size.
    """
    with open_slide(truth.image) as slide:
        if slide.shape != truth.mask.shape:
            (height, width), (tall, wide) = slide.shape, truth.mask.shape
            raise PathsegError(
                f"{truth.image} has {width} x {height} pixels and its mask {wide} x {tall}.",
                "Give a mask of the image's size.",
            )
        mpp = (truth.mpp, truth.mpp) if truth.mpp else None
        yield Session(slide, segmenter, vocabulary, mpp=mpp, config=config)


def answer_again(session: Session, truth: Truth, measured: Measured) -> Bool:
    """The mask (height, width) that was measured, to be looked at."""
    if measured.prompt == "text":
        return _words_mask(session, truth)[0]
    return _ask_object(session, truth.objects == measured.target, measured.prompt)[0]


def _words_mask(session: Session, truth: Truth) -> tuple[Bool, Segmentation]:
    region = Region.whole(session.slide.shape)
    result = session.segment(region, [TextPrompt(truth.term.object)])
    return (result.mask > 0) & truth.known, result


def _ask_words(session: Session, truth: Truth) -> Measured:
    answer, result = _words_mask(session, truth)
    dice, iou = dice_and_iou(answer, truth.mask)
    present = bool(truth.mask.any())
    panoptic = None
    if truth.single and present:
        found = split_touching(answer.astype(np.uint8), min_area_px=MIN_OBJECT_PX)
        panoptic = panoptic_quality(found, truth.objects)
    return Measured(
        dataset=truth.dataset,
        term=truth.term.object,
        prompt="text",
        image=truth.image.name,
        dice=dice,
        iou=iou,
        present=present,
        false_area=0.0 if present else float(answer.sum() / max(truth.known.sum(), 1)),
        presence=result.answers[0].presence,
        score=result.answers[0].score,
        panoptic=panoptic,
    )


def _ask_objects(
    session: Session, truth: Truth, prompt: str, count: int, rng: np.random.Generator
) -> Iterator[Measured]:
    sizes = np.bincount(truth.objects.ravel())
    large = [i for i in range(1, len(sizes)) if sizes[i] >= MIN_OBJECT_PX]
    for i in rng.permutation(large)[:count]:
        target = truth.objects == i
        answer, score = _ask_object(session, target, prompt)
        dice, iou = dice_and_iou(answer, target)
        yield Measured(
            dataset=truth.dataset,
            term=truth.term.object,
            prompt=prompt,
            image=truth.image.name,
            dice=dice,
            iou=iou,
            present=True,
            false_area=0.0,
            presence=1.0,
            score=score,
            target=int(i),
        )


def _ask_object(session: Session, target: Bool, prompt: str) -> tuple[Bool, float]:
    """The mask of one object, and the model's own score of it."""
    region = Region.whole(session.slide.shape)

    def answer(prompts: Sequence[Prompt]) -> tuple[Bool, float]:
        result = session.segment(region, prompts)
        return result.mask > 0, result.answers[0].score

    if prompt == "box":
        ys, xs = np.nonzero(target)
        return answer([BoxPrompt(ys.min(), xs.min(), ys.max() + 1, xs.max() + 1)])
    points = [_deepest(target, positive=True)]
    mask, score = answer(points)
    for _ in range(4 if prompt == "points5" else 0):
        missing, wrong = target & ~mask, mask & ~target
        positive = bool(missing.sum() >= wrong.sum())
        error = missing if positive else wrong
        if not error.any():
            break
        points.append(_deepest(error, positive=positive))
        mask, score = answer(points)
    return mask, score


def _deepest(mask: Bool, *, positive: bool) -> PointPrompt:
    padded = np.pad(mask, 1)
    depth = ndimage.distance_transform_edt(padded)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), mask.shape)
    return PointPrompt(float(y) + 0.5, float(x) + 0.5, positive)
