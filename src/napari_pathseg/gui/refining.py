"""Live changes of the mask: threshold, cleanup, candidates. Computed away from the GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from napari_pathseg.gui.counts import Count, count_classes
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.host import Host
from napari_pathseg.gui.jobs import Job
from napari_pathseg.gui.messages import Message, read_and_found
from napari_pathseg.gui.work import FieldWork, State
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.cleanup import Cleanup

Rendered = tuple[State, Mask, dict[int, Count]]


@dataclass(frozen=True, slots=True)
class _Wish:
    """A change that is wanted: what it does to the draft, whether the slider was let go, and what
    is said then, where that is not what there is to see.
    """

    kind: str
    change: Callable[[Draft], Draft]
    final: bool
    told: Message | None = None


class Refining:
    """One change is computed at a time; while it is, only the latest wish waits."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._running = False
        self._waiting: _Wish | None = None
        self._sliding: tuple[str, State] | None = None
        self._stepping: int | None = None

    @property
    def cleanup(self) -> Cleanup:
        """The cleanup of the field under work."""
        desk = self._host.desk
        return Cleanup() if desk is None or desk.work is None else desk.work.state.draft.cleanup

    @property
    def candidate(self) -> tuple[int, int]:
        """Which candidate of the click is shown, from 0, and how many there are."""
        desk = self._host.desk
        if desk is None or desk.work is None:
            return 0, 0
        return desk.work.state.draft.candidate, desk.work.state.draft.candidates

    def set_threshold(self, threshold: float, final: bool) -> None:
        """Cut the pending proposal at another probability; saved when `final`."""
        self._host.threshold = threshold
        desk = self._host.desk
        if desk is None or desk.work is None or desk.work.pending is None:
            return

        self._want(_Wish("threshold", lambda d: d.with_threshold(threshold), final))

    def set_cleanup(self, cleanup: Cleanup, final: bool) -> None:
        """Clean up the proposal, or the selected class where none is pending; saved when `final`.

        What a person drew is left as it is.
        """
        desk = self._host.desk
        if desk is None or desk.work is None:
            self._host.say(Message("There is nothing to clean up yet."))
            return
        chosen = desk.classes.named(self._host.selected or "")
        if desk.work.pending is None and chosen is None:
            self._host.say(Message("Select a class to clean up."))
            return
        values = () if chosen is None else (chosen.value,)
        classes, locked = desk.work.classes, desk.work.locked

        def change(draft: Draft) -> Draft:
            other = draft.proposal is None and draft.cleanup and draft.values != values
            base = draft.accepted(classes, locked) if other else draft
            return base.with_cleanup(cleanup, values)

        self._want(_Wish("cleanup", change, final))

    def next_candidate(self, step: int = 1) -> None:
        """Show the next of what a click could mean."""
        candidate, count = self.candidate
        if count < 2:
            text = "There is one answer only. After a single click there are others to choose from."
            self._host.say(Message(text))
            return
        # Pressed again before the last one was shown, it goes on from there.
        wanted = ((candidate if self._stepping is None else self._stepping) + step) % count
        self._stepping = wanted
        told = Message(f"Candidate {wanted + 1} of {count}.")
        self._want(_Wish("candidate", lambda d: d.with_candidate(wanted), True, told))

    def recount(self, desk: Desk, work: FieldWork) -> None:
        """Count the objects of the field under work, if its mask is another one than last time."""
        mask, mpp, field_id = work.mask, work.record.field.mpp(desk.mpp), work.id
        if desk.is_counted(field_id, mask):
            return

        def counted(counts: dict[int, Count] | None) -> None:
            # Also of a field that was left meanwhile; not of one that is gone.
            if counts is not None and work.mask is mask and field_id in desk.records:
                desk.counted(field_id, mask, counts)
                self._host.changed.emit()

        self._host.mender.submit(
            Job(
                "Counting",
                lambda _report, _cancel: count_classes(mask, mpp) if work.mask is mask else None,
                counted,
                _raise,
            )
        )

    def _want(self, wish: _Wish) -> None:
        desk = self._host.desk
        if desk is None or not self._host.may_change(desk):
            self._stepping = None
            return
        self._waiting = wish
        if not self._running:
            self._start()

    def _start(self) -> None:
        wish, self._waiting = self._waiting, None
        desk = self._host.desk
        if wish is None or desk is None or desk.work is None:
            self._stepping = None
            return
        work, base = desk.work, desk.work.state
        classes, locked, mpp = work.classes, work.locked, work.record.field.mpp(desk.mpp)

        def render() -> Rendered:
            record = replace(base.record, updated=datetime.now(UTC))
            state = replace(base, draft=wish.change(base.draft), record=record)
            mask = state.draft.mask(classes, locked)
            return state, mask, count_classes(mask, mpp)

        self._running = True
        self._host.mender.submit(
            Job(
                "Changing the mask",
                lambda _report, _cancel: render(),
                lambda rendered: self._rendered(desk, work, base, wish, rendered),
                _raise,
            )
        )

    def _rendered(
        self, desk: Desk, work: FieldWork, base: State, wish: _Wish, rendered: Rendered
    ) -> None:
        self._running = False
        if desk.work is work and work.state is not base:
            # Something else was done meanwhile: the wish is for what there is now.
            self._waiting = self._waiting or wish
        elif desk.work is work:
            self._show(desk, work, wish, rendered)
        self._start()

    def _found(self, desk: Desk, work: FieldWork) -> Message:
        """What there is after a slider moved."""
        if work.pending is None:
            told = Message("Cleaned up. Ctrl+Z goes back.")
        else:
            told = read_and_found(work.pending)
        if told.kind != "warning" and not desk.objects_in(work.id):
            text = "Nothing is left: take remove small or smooth back a little."
            told = Message(text, "warning")
        return told

    def _show(self, desk: Desk, work: FieldWork, wish: _Wish, rendered: Rendered) -> None:
        state, mask, counts = rendered
        goes_on = self._sliding == (wish.kind, work.state)
        (work.put if goes_on else work.push)(state, mask)
        self._sliding = None if wish.final else (wish.kind, state)
        desk.counted(work.id, mask, counts)
        if wish.final:
            self._host.editing.show_and_save(desk)
            self._host.say(wish.told or self._found(desk, work))
        else:
            self._host.editing.show(desk)


def _raise(error: BaseException) -> None:
    raise error
