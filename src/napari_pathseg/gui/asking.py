"""Asking the model: words, clicks and boxes become requests, answers become masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_pathseg.errors import (
    CancelledError,
    PathsegError,
    RegionError,
    StoreError,
    UnknownScaleError,
    UnknownTermError,
)
from napari_pathseg.geometry import Region
from napari_pathseg.gui.ahead import Ahead
from napari_pathseg.gui.ask import Answered, Request, ask, relaid
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.field import field_in_view
from napari_pathseg.gui.gestures import beside, cut_to, place_of
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import OPEN_FIRST, Action, Message, of_error
from napari_pathseg.gui.overview import PlacedMask
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import Gesture, LassoPrompt, PointPrompt, Prompt, TextPrompt

if TYPE_CHECKING:
    from napari_pathseg.inference.session import Session


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
        self._ahead = Ahead(host.viewer, runner)
        self._generation = 0
        self._token: CancelToken | None = None
        self._running = False
        self._waiting: list[Gesture] = []
        self._asked: Desk | None = None

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
        if not self._host.may_change(desk):
            return
        self._host.threshold = self._host.config.threshold
        same = self._host.fields.go_to_view(desk, region)
        region = desk.work.region if same and desk.work is not None else region
        self._ask(desk, region, (TextPrompt(text),), refine=same)

    def add(self, gesture: Gesture) -> None:
        """Ask with a click, a box, a scribble or a lasso: this too, or not this."""
        desk, drawing = self._host.desk, self._host.drawing
        if desk is None:
            self._host.say(Message(OPEN_FIRST, "warning"))
            return
        trouble = beside(gesture, desk.slide.shape)
        if trouble:
            self._host.say(Message(trouble, "warning"))
            return
        if not self._host.may_change(desk):
            return
        gesture = cut_to(gesture, Region.whole(desk.slide.shape))
        if isinstance(gesture, PointPrompt) and drawing.takes_away(desk, gesture):
            return
        if isinstance(gesture, LassoPrompt) and drawing.clears(desk, gesture):
            return
        self._ask_with(desk, gesture)

    def _ask_with(self, desk: Desk, gesture: Gesture) -> None:
        if self.busy:
            self._waiting.append(gesture)
            return
        place = place_of(gesture)
        self._host.fields.go_to_at(desk, *place)
        work = desk.work
        if work is not None and work.record.field.region.contains(*place):
            before = work.state.prompts if self._continues(desk) else ()
            inside = cut_to(gesture, work.region)
            self._ask(desk, work.region, (*before, inside), refine=True)
            return
        try:
            region = field_in_view(self._host.viewer, desk.slide.shape, desk.mpp)
        except PathsegError as error:
            self._host.say(of_error(error))
            return
        self._ask(desk, region, (cut_to(gesture, region),), refine=False)

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
        chosen = self._host.selected
        request = Request(
            region,
            prompts,
            work.state.draft if work is not None else None,
            work.record.field if work is not None else None,
            desk.classes,
            None if chosen is None else self._host.classing.of_name(desk, chosen),
            self._host.threshold,
            frozenset(desk.locked),
            _others(desk),
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
        self._show_asked(desk, prompts)
        token = self._runner.submit(job)
        # A runner without a background has already answered.
        self._token = token if self._running else None

    def _show_asked(self, desk: Desk, prompts: tuple[Prompt, ...]) -> None:
        """Show where was clicked before the answer is there."""
        known = desk.work.state.prompts if desk.work is not None else ()
        new = [p for p in prompts if not isinstance(p, TextPrompt) and p not in known]
        if new:
            self._asked = desk
            self._host.stage.show_prompts(desk, new)

    def _unshow_asked(self) -> None:
        """What was asked has no answer: show the prompts that have one."""
        desk, self._asked = self._asked, None
        if desk is not None and desk in tuple(self._host.desks):
            self._host.stage.show_prompts(desk)

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
        self._asked = None
        if desk not in tuple(self._host.desks):
            return
        work = desk.work
        base = None if work is None else work.state.draft
        painted = answered.same_field and base is not request.base
        if painted or desk.classes is not request.classes or desk.locked != request.locked:
            answered = relaid(answered, request, base if request.base is not None else None, desk)
        self._host.editing.apply(desk, request, answered)
        self._host.selected = answered.classes[answered.values[0]].name
        self._host.say(answered.message)
        self._host.changed.emit()
        waiting, self._waiting = self._waiting, []
        for gesture in waiting:
            self.add(gesture)
        texts = tuple(p for p in request.prompts if isinstance(p, TextPrompt))
        if texts and not waiting and self._host.settings.value.ahead:
            self._ahead.begin(lambda: self._session(desk), request.region, texts)

    def _failed(self, generation: int, error: BaseException) -> None:
        if generation != self._generation:
            return
        self._set_busy(False)
        self._waiting.clear()
        self._unshow_asked()
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
        self._unshow_asked()
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
        self._ahead.close()
        self._runner.close()


def _others(desk: Desk) -> Callable[[], tuple[PlacedMask, ...]]:
    """All fields as they are now; the one under work is packed in the background."""
    stored, work, classes = desk.stored.placed(), desk.work, desk.classes
    if work is None:
        return lambda: stored
    field, mask, by_hand = work.record.field, work.mask, work.state.draft.by_hand
    return lambda: (*stored, PlacedMask.of(field, mask, by_hand, classes))
