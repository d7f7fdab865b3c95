"""The session: the one object that the panel, the command line and the batch drive."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import PromptError
from napari_pathseg.geometry import (
    Field,
    Pair,
    Region,
    field_covering,
    nearest_level,
    region_inside,
)
from napari_pathseg.inference.answering import FieldAnswers, answer_question
from napari_pathseg.inference.embedding_store import EmbeddingStore, default_folder
from napari_pathseg.inference.embeddings import EmbeddingCache, EncodedPicture
from napari_pathseg.inference.gestures import (
    CLICKS_DOWNSAMPLE,
    beside_clicks,
    check_places,
    cut_to_lassos,
    ends_at_window,
    is_one_click,
    spatial_prompts,
    window_around,
)
from napari_pathseg.inference.one_click import surest
from napari_pathseg.inference.plan import FINEST_DOWNSAMPLE, Plan, check_size, wanted_downsample
from napari_pathseg.inference.seeing import read_seen
from napari_pathseg.inference.segmentation import IN_CHANNELS, ON_GLASS, Segmentation, logit
from napari_pathseg.inference.tiling import one_start, tile_starts
from napari_pathseg.inference.understanding import (
    Question,
    class_list,
    clicks_only,
    understand,
)
from napari_pathseg.models.base import Segmenter, TileEmbedding
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress
from napari_pathseg.prompts import BoxPrompt, Prompt, SpatialPrompt, TextPrompt
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.tissue import is_bare
from napari_pathseg.vocabulary.entry import Resolution
from napari_pathseg.vocabulary.vocabulary import Vocabulary


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
        # Of the last question: the next click is mostly there.
        self._pictures: dict[Plan, EncodedPicture] = {}
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
        return understand(texts, self.vocabulary, self.segmenter, self.config.working_mpp)

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
        side = self.config.click_px
        wanted = wanted_downsample(self.slide, self.mpp, region, working_mpp, side)
        whole = self._field(Region.whole(self.slide.shape), wanted[0])
        shape = (
            max(round(whole.height * whole.downsample[0] / wanted[0]), 1),
            max(round(whole.width * whole.downsample[1] / wanted[1]), 1),
        )
        if working_mpp is None:
            spans = zip(region.center, wanted, shape, strict=True)
            rows, columns = (one_start(at / down, length, side) for at, down, length in spans)
        else:
            side = self.config.tile_px
            lows, highs = (region.y, region.x), (region.stop_y, region.stop_x)
            rows, columns = (
                tile_starts(length, side, self.config.overlap_px, low / down, high / down)
                for length, low, high, down in zip(shape, lows, highs, wanted, strict=True)
            )
        mpp = (working_mpp or wanted[0] * self.mpp[0]) if self.mpp else None
        context = self.config.context and self.segmenter.card.context
        return Plan(whole, shape, mpp, side, rows, columns, context)

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
        check_places(region, spatial)
        questions = self.understand(texts) if texts else (clicks_only(),)
        looks, field = self._looks(region, questions, spatial)
        every = {plan for own in looks for plan in own}
        for plan in every:
            check_size(plan, field, self.config)
        self._pictures = {plan: self._pictures[plan] for plan in every & self._pictures.keys()}
        chosen: list[tuple[Plan, FieldAnswers]] = []
        for question, own in zip(questions, looks, strict=True):
            found = self._answers(question, own, field, spatial, threshold, progress, cancel)
            near = self._pictures[own[0]]
            chosen.append(surest(found, field, near, spatial, self.segmenter))
        answers = [answer for _, answer in chosen]
        cancel.raise_if_cancelled()
        return Segmentation(
            field=field,
            classes=class_list(questions),
            answers=tuple(a.answer for a in answers),
            logits=cut_to_lassos(np.stack([a.logits for a in answers]), prompts, field),
            prompts=tuple(prompts),
            model=self.segmenter.card.identity,
            mpp=field.mpp(self.mpp),
            working_mpp=min(plan.mpp or math.inf for plan, _ in chosen) if self.mpp else None,
            seconds=time.perf_counter() - start,
            threshold=threshold,
            notes=(*(q.note for q in questions if q.note), *self._doubts(texts, spatial, field)),
            candidates=cut_to_lassos(answers[0].candidates, prompts, field),
        )

    def look(
        self,
        region: Region,
        working_mpp: float | None,
        *,
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> tuple[Plan, EncodedPicture]:
        """How a region is looked at, and the embeddings of what is seen.

        Raises
        ------
        RegionError, UnknownScaleError, DamagedSlideError, CancelledError
            As `segment`.
        """
        plan = self.plan(region, working_mpp)
        check_size(plan, self._field(region, plan.downsample[0]), self.config)
        return plan, self._encoded(plan, progress, cancel or CancelToken())

    def look_ahead(
        self,
        region: Region,
        texts: Sequence[TextPrompt],
        progress: ProgressCallback = no_progress,
        cancel: CancelToken | None = None,
    ) -> int:
        """Encode the tiles beside a region, so that words are answered there at once.

        `progress` is called before each tile and may wait.

        Returns
        -------
        int
            The number of tiles around and in the region; none are looked at where they are more
            than are kept.

        Raises
        ------
        PromptError, UnknownTermError, UnknownScaleError, DamagedSlideError, CancelledError
            As `segment`.
        """
        count = 0
        if self.mpp is None:
            # How such a picture is looked at depends on the size of the region.
            return count
        for mpp in dict.fromkeys(q.working_mpp for q in self.understand(texts)):
            down = self.plan(region, mpp).downsample
            beyond = [(self.config.tile_px - self.config.overlap_px) * each for each in down]
            wide = Region.from_corners(
                region.y - beyond[0],
                region.x - beyond[1],
                region.stop_y + beyond[0],
                region.stop_x + beyond[1],
            )
            plan = self.plan(wide, mpp)
            if plan.count <= self.config.cached_tiles:
                self._encoded(plan, progress, cancel or CancelToken())
                count += plan.count
        return count

    def _doubts(
        self, texts: Sequence[TextPrompt], spatial: Sequence[SpatialPrompt], field: Field
    ) -> Iterator[str]:
        """What speaks against an answer."""
        if self.slide.stack.channels:
            yield IN_CHANNELS
        down = field.downsample[0]
        beside = (region_inside(r, self.slide.shape) for r in beside_clicks(spatial, down))
        seen = (self.slide.read(self._field(region, down)) for region in beside)
        if not texts and any(map(is_bare, seen)):
            yield ON_GLASS

    def _field(self, region: Region, downsample: float) -> Field:
        """The field of a region at the level for a downsample."""
        level = nearest_level([level.downsample for level in self.slide.levels], downsample)
        chosen = self.slide.levels[level]
        return field_covering(region, level, chosen.downsample, chosen.shape)

    def _screen_downsample(self, region: Region) -> float:
        """Level-0 pixels per pixel of a screen that shows a region."""
        return max(max(region.height, region.width) / self.config.screen_px, FINEST_DOWNSAMPLE)

    def _looks(
        self, region: Region, questions: Sequence[Question], spatial: Sequence[SpatialPrompt]
    ) -> tuple[list[tuple[Plan, ...]], Field]:
        """How the region is looked at for each question, and the field of the answer."""
        if questions[0].asked_as:
            plans = [self.plan(region, question.working_mpp) for question in questions]
            field = self._field(region, min(plan.downsample[0] for plan in plans))
            return [(plan,) for plan in plans], field
        # What clicks mean may be small, or as large as the view; a box tells.
        boxed = any(isinstance(prompt, BoxPrompt) for prompt in spatial)
        names = self.config.looks[:1] if boxed else self.config.looks
        px = self.config.click_px
        usual, finest = px * self._screen_downsample(region), px * CLICKS_DOWNSAMPLE
        near = window_around(spatial, usual, finest)
        seen = {"near": region_inside(near, self.slide.shape), "wide": region}
        looks = dict.fromkeys(self.plan(seen[name], None) for name in names)
        return [tuple(looks)], self._field(region, self._screen_downsample(region))

    def _answers(
        self,
        question: Question,
        plans: Sequence[Plan],
        field: Field,
        spatial: Sequence[SpatialPrompt],
        threshold: float,
        progress: ProgressCallback,
        cancel: CancelToken,
    ) -> list[tuple[Plan, FieldAnswers]]:
        """What one click means in each view; or several, near them and on from their window."""

        def ask(plan: Plan) -> FieldAnswers:
            own = self._picture(plan, progress, cancel)
            return answer_question(question, own, field, spatial, self.segmenter, threshold, cancel)

        if is_one_click(spatial):
            return [(plan, ask(plan)) for plan in plans]
        near, window, cut = ask(plans[0]), plans[0].seen.region, logit(threshold)
        if len(plans) > 1 and ends_at_window(near.logits > cut, field, window):
            near = near.carried_on(ask(plans[1]).logits, field, window, cut)
        return [(plans[0], near)]

    def _picture(self, plan: Plan, report: ProgressCallback, cancel: CancelToken) -> EncodedPicture:
        """What a plan looks at, as of the last question or now."""
        if plan not in self._pictures:
            self._pictures[plan] = self._encoded(plan, report, cancel)
        return self._pictures[plan]

    def _encoded(
        self, plan: Plan, progress: ProgressCallback, cancel: CancelToken
    ) -> EncodedPicture:
        """What a plan looks at; only what is not known yet is read and encoded.

        Raises
        ------
        CancelledError
            Between two tiles, once cancelled.
        """

        def encode(i: int) -> TileEmbedding:
            cancel.raise_if_cancelled()
            progress(Progress(i, plan.count, "encoding the field"))
            seen = read_seen(self.slide, plan, plan.tiles[i])
            store = self._store
            return store.encode(self.segmenter, *seen) if store else self.segmenter.encode(*seen)

        keys = [(plan.field.level, plan.shape, plan.context, tile) for tile in plan.tiles]
        encoded = self._cache.get(keys, encode)
        progress(Progress(plan.count, plan.count, "encoding the field"))
        covered = plan.seen
        tiles = tuple(replace(t, y=t.y - covered.y, x=t.x - covered.x) for t in plan.tiles)
        return EncodedPicture(covered, tiles, encoded)


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
