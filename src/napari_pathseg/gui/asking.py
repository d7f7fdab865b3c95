"""Asking the model: words, clicks and boxes become requests, answers become masks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import (
    CancelledError,
    PathsegError,
    RegionError,
    StoreError,
    UnknownScaleError,
    UnknownTermError,
)
from napari_pathseg.geometry import Pair, Region
from napari_pathseg.gui.ask import Answered, Request, ask, relaid
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.desks import Desks
from napari_pathseg.gui.editing import Editing
from napari_pathseg.gui.field import field_in_view
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import OPEN_FIRST, Action, Message, of_error
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import BoxPrompt, PointPrompt, Prompt, SpatialPrompt, TextPrompt
from napari_pathseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_pathseg.inference.session import Session


class Host(Protocol):
    """What asking needs of the controller."""

    viewer: ViewerModel
    vocabulary: Vocabulary
    model: SharedModel
    remembered: Remembered
    config: SegmentConfig
    desks: Desks
    editing: Editing
    threshold: float
    selected: str | None
    changed: Any
    busy_changed: Any

    @property
    def desk(self) -> Desk | None:
        """The slide in work."""

    def say(self, message: Message) -> None:
        """Show a message."""

    def ask_for_scale(self) -> None:
        """Say that the scale is unknown."""

    def zoom_in(self) -> None:
        """Show less."""


class Asking:
    """One request at a time: a new text replaces it, clicks wait for it, late answers are dropped.

    Parameters
    ----------
    host : Host
    runner : Runner
        Runs the model in the background.
    """

    def __init__(self, host: Host, runner: Runner) -> None:
        self._host = host
        self._runner = runner
        self._generation = 0
        self._token: CancelToken | None = None
        self._running = False
        self._waiting: list[SpatialPrompt] = []

    @property
    def busy(self) -> bool:
        """Whether the model is asked."""
        return self._running

    def segment_field(self, text: str) -> None:
        """Ask for a text in the visible field."""
        desk = self._host.desk
        if desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
            return
        try:
            self._host.vocabulary.resolve(text)
            region = field_in_view(self._host.viewer, desk.slide.shape, desk.mpp)
            self._remember(text)
        except PathsegError as error:
            self._host.say(of_error(error))
            return
        self._host.threshold = self._host.config.threshold
        same = desk.work is not None and desk.work.shows(region)
        region = desk.work.region if same and desk.work is not None else region
        self._ask(desk, region, (TextPrompt(text),), refine=same)

    def add_point(self, point: PointPrompt) -> None:
        """Ask with a click: this too, or not this."""
        desk = self._host.desk
        if desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
        elif not Region.whole(desk.slide.shape).contains(point.y, point.x):
            self._host.say(Message("This click is beside the slide.", "warning"))
        elif not self._host.editing.drawing.takes_away(desk, point):
            self._ask_spatial(desk, point, (point.y, point.x))

    def add_box(self, box: BoxPrompt) -> None:
        """Ask with a box."""
        desk = self._host.desk
        if desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
            return
        height, width = desk.slide.shape
        cut = BoxPrompt(max(box.y0, 0.0), max(box.x0, 0.0), min(box.y1, height), min(box.x1, width))
        if cut.y1 <= cut.y0 or cut.x1 <= cut.x0:
            self._host.say(Message("This box is beside the slide.", "warning"))
            return
        self._ask_spatial(desk, cut, ((cut.y0 + cut.y1) / 2, (cut.x0 + cut.x1) / 2))

    def _ask_spatial(self, desk: Desk, prompt: SpatialPrompt, place: Pair) -> None:
        if self.busy:
            self._waiting.append(prompt)
            return
        self._host.editing.go_to_field_at(desk, *place)
        work = desk.work
        if work is not None and work.record.field.region.contains(*place):
            before = work.state.prompts if self._continues(desk) else ()
            self._ask(desk, work.region, (*before, prompt), refine=True)
            return
        try:
            region = field_in_view(self._host.viewer, desk.slide.shape, desk.mpp)
        except PathsegError as error:
            self._host.say(of_error(error))
            return
        self._ask(desk, region, (prompt,), refine=False)

    def _continues(self, desk: Desk) -> bool:
        """Whether a click adds to the pending proposal, not to another class."""
        work = desk.work
        if work is None or work.pending is None:
            return False
        if work.state.text is not None or self._host.selected is None:
            return True
        chosen = desk.classes.named(self._host.selected)
        return chosen is not None and chosen.value in work.state.draft.values

    def _ask(
        self, desk: Desk, region: Region, prompts: tuple[Prompt, ...], *, refine: bool
    ) -> None:
        work = desk.work if refine else None
        request = Request(
            region,
            prompts,
            work.state if work is not None else None,
            work.record.field if work is not None else None,
            desk.classes,
            self._host.selected,
            self._host.threshold,
        )
        self.cancel()
        self._generation += 1
        generation = self._generation
        job = Job(
            "Segmenting",
            lambda report, cancel: ask(lambda: self._session(desk), request, report, cancel),
            lambda answered: self._answered(generation, desk, request, answered),
            lambda error: self._failed(generation, error),
            lambda progress: self._progressed(generation, progress),
        )
        self._set_busy(True)
        token = self._runner.submit(job)
        # A runner without a background has already answered.
        self._token = token if self._running else None

    def _session(self, desk: Desk) -> Session:
        """The desk's session; in the background, since it may load the model."""
        if desk.session is None:
            from napari_pathseg.inference.session import Session

            desk.session = Session(
                desk.slide,
                self._host.model.get(),
                self._host.vocabulary,
                mpp=desk.mpp,
                config=self._host.config,
            )
        return desk.session

    def _answered(self, generation: int, desk: Desk, request: Request, answered: Answered) -> None:
        if generation != self._generation:
            return
        self._set_busy(False)
        if desk not in tuple(self._host.desks):
            return
        work = desk.work
        painted = work is not None and answered.same_field and work.state is not request.base
        if work is not None and (painted or desk.classes is not request.classes):
            answered = relaid(answered, request, work.state, desk.classes)
        self._host.editing.apply(desk, request, answered)
        self._host.selected = answered.classes[answered.values[0]].name
        self._host.say(answered.message)
        self._host.changed.emit()
        waiting, self._waiting = self._waiting, []
        for prompt in waiting:
            if isinstance(prompt, PointPrompt):
                self.add_point(prompt)
            else:
                self.add_box(prompt)

    def _failed(self, generation: int, error: BaseException) -> None:
        if generation != self._generation:
            return
        self._set_busy(False)
        self._waiting.clear()
        if isinstance(error, CancelledError):
            self._host.say(Message("Cancelled. Nothing was changed."))
        elif isinstance(error, UnknownTermError):
            chips = [
                Action(name, lambda name=name: self.segment_field(name), f"Segment {name} instead")  # type: ignore[misc]
                for name in error.suggestions
            ]
            self._host.say(Message(str(error), "warning", tuple(chips)))
        elif isinstance(error, UnknownScaleError):
            self._host.ask_for_scale()
        elif isinstance(error, RegionError):
            self._host.say(
                of_error(error, (Action("Zoom in", self._host.zoom_in, "Show a quarter as much"),))
            )
        elif isinstance(error, PathsegError):
            self._host.say(of_error(error))
        else:
            self._host.say(Message(f"The model stopped with an error: {error}", "error"))
            raise error

    def _progressed(self, generation: int, progress: Progress) -> None:
        if generation == self._generation and self.busy:
            steps = f" ({progress.done} of {progress.total})" if progress.total > 1 else ""
            self._host.say(Message(f"{progress.message}{steps}", "busy"))

    def cancel(self) -> None:
        """Stop the request that runs; its answer, should it still come, is dropped."""
        if not self._running:
            return
        self._generation += 1
        self._waiting.clear()
        if self._token is not None:
            self._token.cancel()
        self._set_busy(False)
        self._host.say(Message("Cancelled. Nothing was changed."))

    def _set_busy(self, busy: bool) -> None:
        if not busy:
            self._token = None
        if busy is not self._running:
            self._running = busy
            self._host.busy_changed.emit(busy)

    def _remember(self, text: str) -> None:
        try:
            self._host.remembered.add_recent(text.strip())
        except StoreError as error:
            self._host.say(of_error(error))

    def close(self) -> None:
        """Stop what runs; nothing is delivered any more."""
        self._generation += 1
        self._runner.close()
