"""The session: the one object that the panel, the command line and the batch drive."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import PromptError, RegionError, UnknownScaleError
from napari_pathseg.geometry import (
    Field,
    Pair,
    Region,
    Shape,
    field_covering,
    nearest_level,
    region_inside,
)
from napari_pathseg.inference.answering import FieldAnswers, answer_question
from napari_pathseg.inference.context import read_around
from napari_pathseg.inference.embedding_store import EmbeddingStore, default_folder
from napari_pathseg.inference.embeddings import EmbeddingCache, EncodedPicture, encode_picture
from napari_pathseg.inference.gestures import (
    cut_to_lassos,
    spatial_prompts,
    square_around,
    well_inside,
)
from napari_pathseg.inference.segmentation import Segmentation
from napari_pathseg.inference.tiling import count_tiles, plan_tiles, resize_picture
from napari_pathseg.inference.understanding import (
    Question,
    class_list,
    clicks_only,
    understand,
)
from napari_pathseg.models.base import Segmenter
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress
from napari_pathseg.prompts import BoxPrompt, PointPrompt, Prompt, SpatialPrompt, TextPrompt
from napari_pathseg.slide.base import RGB, Slide
from napari_pathseg.slide.scale import unscaled_downsample
from napari_pathseg.vocabulary.entry import Resolution
from napari_pathseg.vocabulary.vocabulary import Vocabulary

PICTURE_BACKEND = "pillow"
MAX_FIELD_PIXELS = 64_000_000
FINEST_DOWNSAMPLE = 0.25


@dataclass(frozen=True, slots=True)
class Plan:
    """How a region is looked at: the field that is read, and the model's pixels.

    Attributes
    ----------
    field : Field
    shape : (int, int)
        Of the picture the model sees.
    mpp : float or None
        Micrometres per model pixel.
    tile_px : int
        Longest side of a model input.
    context : bool
        Whether the model also sees what lies around each input.
    """

    field: Field
    shape: Shape
    mpp: float | None
    tile_px: int
    context: bool = False

    def tiles(self, config: SegmentConfig) -> int:
        """How many model inputs it takes; counted, as an absurd scale asks for billions."""
        return count_tiles(self.shape, self.tile_px, config.overlap_px)


class Session:
    """A slide, a model and a vocabulary, ready to be asked.

    Parameters
    ----------
    slide : Slide
    segmenter : Segmenter
    vocabulary : Vocabulary
    mpp : (float, float), optional
        Micrometres per level-0 pixel, where the slide does not say or says it wrong.
    config : SegmentConfig
    """

    def __init__(
        self,
        slide: Slide,
        segmenter: Segmenter,
        vocabulary: Vocabulary,
        *,
        mpp: Pair | None = None,
        config: SegmentConfig | None = None,
    ) -> None:
        self.slide = slide
        self.segmenter = segmenter
        self.vocabulary = vocabulary
        self.mpp = mpp or slide.metadata.mpp
        self.config = config or SegmentConfig()
        self._cache = EmbeddingCache(self.config.cached_tiles)
        kept = self.config.kept_mb * 1_000_000
        self._store = EmbeddingStore(default_folder(), kept) if kept else None

    def resolve(self, text: str) -> Resolution:
        """How a text is understood; PromptError when it is empty or too long."""
        return self.vocabulary.resolve(text)

    def understand(self, texts: Sequence[TextPrompt]) -> tuple[Question, ...]:
        """The classes some texts ask for, and what the model is asked for each.

        Raises
        ------
        PromptError, UnknownTermError
        """
        return understand(texts, self.vocabulary, self.segmenter)

    def plan(self, region: Region, working_mpp: float | None) -> Plan:
        """How a region would be looked at, without reading it.

        Parameters
        ----------
        working_mpp : float or None
            None = so that the region fits one model input.

        Raises
        ------
        RegionError
            When the region lies outside the slide.
        UnknownScaleError
            When words need a scale and the slide has none.
        """
        region = region_inside(region, self.slide.shape)
        wanted = self._wanted_downsample(region, working_mpp)
        field = self._field(region, wanted[0])
        height = max(round(field.height * field.downsample[0] / wanted[0]), 1)
        width = max(round(field.width * field.downsample[1] / wanted[1]), 1)
        mpp = (working_mpp or wanted[0] * self.mpp[0]) if self.mpp else None
        context = self.config.context and self.segmenter.card.context
        if working_mpp is not None:
            return Plan(field, (height, width), mpp, self.config.tile_px, context)
        # The field can be a level pixel longer than the region; one input must stay one.
        side = self.config.click_px
        return Plan(field, (min(height, side), min(width, side)), mpp, side, context)

    def segment(
        self,
        region: Region,
        prompts: Sequence[Prompt],
        *,
        threshold: float | None = None,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> Segmentation:
        """Masks of a region.

        Parameters
        ----------
        region : Region
            Cut to the slide.
        prompts : sequence of Prompt
            Each term of the texts is a class, in order. Points and boxes refine all of them: a
            box or lasso restricts, a positive point or scribble adds what it lies on, a negative
            one takes it away. Without any text they make one class named "object".
        threshold : float, optional
            Probability at which the masks are shown, and so what a click finds in or out;
            by default the config's.

        Raises
        ------
        PromptError, UnknownTermError
            When there is nothing to ask, or a word is not known; nothing is guessed.
        RegionError
            When the region, a point or a box lies outside the slide, or is too large.
        UnknownScaleError
            When the slide does not say its mpp and none was given.
        DamagedSlideError
            When the pixels can not be read.
        CancelledError
            Within one tile of the cancel.
        """
        start = time.perf_counter()
        cancel = cancel or CancelToken()
        threshold = self.config.threshold if threshold is None else threshold
        texts = [p for p in prompts if isinstance(p, TextPrompt)]
        spatial = spatial_prompts(prompts)
        if not texts and not spatial:
            raise PromptError("Nothing was asked.", "Type a term, click or draw a box.")
        region = region_inside(region, self.slide.shape)
        self._check_places(region, spatial)
        questions = self.understand(texts) if texts else (clicks_only(),)
        if texts:
            plans = {mpp: self.plan(region, mpp) for mpp in {q.working_mpp for q in questions}}
            field = min((p.field for p in plans.values()), key=lambda f: f.level)
        else:
            plans = {None: self.plan(self._window(region, spatial), None)}
            field = self._field(region, self._screen_downsample(region))
        for plan in plans.values():
            self._check_size(plan)
        answers: list[FieldAnswers] = []
        for question in questions:
            plan = plans[question.working_mpp]
            picture = self._encoded(plan, progress, cancel)
            answers.append(
                answer_question(
                    question, picture, plan, field, spatial, self.segmenter, threshold, cancel
                )
            )
        cancel.raise_if_cancelled()
        working = [p.mpp for p in plans.values() if p.mpp is not None]
        return Segmentation(
            field=field,
            classes=class_list(questions),
            answers=tuple(a.answer for a in answers),
            logits=cut_to_lassos(np.stack([a.logits for a in answers]), prompts, field),
            prompts=tuple(prompts),
            model=self.segmenter.card.identity,
            mpp=field.mpp(self.mpp),
            working_mpp=min(working, default=None),
            seconds=time.perf_counter() - start,
            threshold=threshold,
            notes=tuple(q.note for q in questions if q.note),
            candidates=cut_to_lassos(answers[0].candidates, prompts, field),
        )

    def look(
        self,
        region: Region,
        working_mpp: float | None,
        *,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> tuple[Plan, RGB, EncodedPicture]:
        """How a region is looked at, the sRGB picture that the model sees, and its embeddings.

        Raises
        ------
        RegionError, UnknownScaleError, DamagedSlideError, CancelledError
            As `segment`.
        """
        plan = self.plan(region, working_mpp)
        self._check_size(plan)
        encoded = self._encoded(plan, progress, cancel or CancelToken())
        return plan, self._picture(plan), encoded

    def _field(self, region: Region, downsample: float) -> Field:
        """The field of a region at the level for a downsample."""
        level = nearest_level([level.downsample for level in self.slide.levels], downsample)
        chosen = self.slide.levels[level]
        return field_covering(region, level, chosen.downsample, chosen.shape)

    def _screen_downsample(self, region: Region) -> float:
        """Level-0 pixels per pixel of a screen that shows a region."""
        return max(max(region.height, region.width) / self.config.screen_px, FINEST_DOWNSAMPLE)

    def _window(self, region: Region, spatial: Sequence[SpatialPrompt]) -> Region:
        """What is looked at around clicks and boxes: small, so that small things are seen.

        It stays where the first of them put it while the others are well inside, so that the next
        click nearby finds the embedding made already.
        """
        side = self.config.click_px * self._screen_downsample(region)
        window = square_around(spatial[:1], side)
        if not all(well_inside(prompt, window) for prompt in spatial):
            window = square_around(spatial, side)
        return region_inside(window, self.slide.shape)

    def _wanted_downsample(self, region: Region, working_mpp: float | None) -> Pair:
        """Level-0 pixels per model pixel."""
        longest = max(region.height, region.width)
        if working_mpp is None:
            fit = max(longest / self.config.click_px, FINEST_DOWNSAMPLE)
            return fit, fit
        if self.mpp is not None:
            wanted = working_mpp / self.mpp[0], working_mpp / self.mpp[1]
            if max(wanted) > min(region.height, region.width):
                raise UnknownScaleError(
                    f"{self.slide.path}: at {self.mpp[0]:g} µm/px the region is smaller than one "
                    f"pixel at the working resolution of {working_mpp:g} µm/px.",
                    "Give the slide's true resolution (--mpp), or a larger region.",
                )
            return wanted
        if self.slide.metadata.backend == PICTURE_BACKEND:
            as_is = unscaled_downsample(longest, working_mpp)
            return as_is, as_is
        raise UnknownScaleError(
            f"{self.slide.path}: the file does not say its resolution, and words need it.",
            "Give it as micrometres per pixel (--mpp 0.25 for a 40x scan, 0.5 for 20x).",
        )

    def _check_places(self, region: Region, spatial: Sequence[SpatialPrompt]) -> None:
        for prompt in spatial:
            if isinstance(prompt, PointPrompt) and not region.contains(prompt.y, prompt.x):
                raise RegionError(
                    f"The point ({prompt.y:g}, {prompt.x:g}) lies outside the field "
                    f"{region.as_list()}.",
                    "Points are level-0 pixels, y before x.",
                )
            if isinstance(prompt, BoxPrompt):
                box = Region.from_corners(prompt.y0, prompt.x0, prompt.y1, prompt.x1)
                if box.intersection(region) is None:
                    raise RegionError(
                        f"The box {box.as_list()} [y, x, height, width] lies outside the field "
                        f"{region.as_list()}.",
                        "Boxes are level-0 pixels: y0 x0 y1 x1.",
                    )

    def _check_size(self, plan: Plan) -> None:
        tiles = plan.tiles(self.config)
        pixels = plan.field.height * plan.field.width
        if tiles <= self.config.max_tiles and pixels <= MAX_FIELD_PIXELS:
            return
        scale = f"at {plan.mpp:.2g} µm/px " if plan.mpp else ""
        side = int(math.sqrt(self.config.max_tiles) * (plan.tile_px - self.config.overlap_px))
        side_um = f" ({side * plan.mpp / 1000:.1f} mm)" if plan.mpp else ""
        raise RegionError(
            f"The region {plan.field.region.as_list()} is too large for one field: {scale}it takes "
            f"{tiles:,} tiles of {plan.tile_px} pixels, and {self.config.max_tiles} is the "
            "limit.",
            f"Zoom in, or give a smaller --region, of about {side} model pixels{side_um} a side.",
        )

    def _encoded(
        self, plan: Plan, progress: ProgressCallback, cancel: CancelToken
    ) -> EncodedPicture:
        make = partial(self._encode, plan, progress, cancel)
        return self._cache.get((plan.field, plan.shape), make)

    def _picture(self, plan: Plan) -> RGB:
        return resize_picture(self.slide.read(plan.field), plan.shape)

    def _encode(
        self, plan: Plan, progress: ProgressCallback, cancel: CancelToken
    ) -> EncodedPicture:
        cancel.raise_if_cancelled()
        tiles = plan_tiles(plan.shape, plan.tile_px, self.config.overlap_px)
        around = partial(read_around, self.slide, plan.field, plan.shape) if plan.context else None
        return encode_picture(
            self._picture(plan), tiles, self.segmenter, progress, cancel, self._store, around
        )


def open_session(
    path: Path | str,
    *,
    mpp: Pair | None = None,
    model: str = "default",
    config: SegmentConfig | None = None,
    adapters: Sequence[Path] = (),
) -> Session:
    """Open a slide and the default vocabulary and model, ready to be asked.

    Parameters
    ----------
    adapters : sequence of Path
        Files of adapters for the model, used in this order.

    Raises
    ------
    SlideError
        As `open_slide`.
    ModelError
        When there is no such model or adapter, its file is damaged, or the adapter belongs to
        another model; the slide is closed again.
    """
    from napari_pathseg.inference.adapting import load_adapted
    from napari_pathseg.slide.open import open_slide

    with contextlib.ExitStack() as stack:
        slide = stack.enter_context(open_slide(path))
        segmenter, vocabulary = load_adapted(model, adapters)
        session = Session(slide, segmenter, vocabulary, mpp=mpp, config=config)
        stack.pop_all()
    return session
