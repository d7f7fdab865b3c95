"""The field under work: its draft, its record, and the states that undo goes back to."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Region
from napari_pathseg.gui.draft import Draft
from napari_pathseg.inference.segmentation import Answer, Mask, Segmentation
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import Prompt, TextPrompt

HISTORY_BYTES = 256 << 20
HELD, FILLED = 0.96, 0.7


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What one step of undo brings back.

    Attributes
    ----------
    draft : Draft
    record : FieldRecord
        Provenance, as stored; its `field` is the grid of the draft.
    prompts : tuple of Prompt
        Of the pending proposal: the text first, then clicks, boxes and lines.
    brought : frozenset of int
        Classes that the slide did not have before the pending proposal.
    """

    draft: Draft
    record: FieldRecord
    prompts: tuple[Prompt, ...] = ()
    brought: frozenset[int] = frozenset()

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """What takes memory; states share what did not change between them."""
        own: tuple[npt.NDArray[Any], ...] = (self.draft.kept, self.draft.by_hand)
        found = self.draft.proposal
        return own if found is None else (*own, _whole(found.logits), _whole(found.candidates))

    @property
    def text(self) -> TextPrompt | None:
        """The words of the pending proposal."""
        return next((p for p in self.prompts if isinstance(p, TextPrompt)), None)


@dataclass(slots=True, eq=False)
class FieldWork:
    """The one field that can be changed now.

    Attributes
    ----------
    region : Region
        What was asked for, level-0 pixels; its field may be a little larger.
    state : State
    classes : ClassList
        Of the whole slide: every value a mask of it can hold.
    locked : frozenset of int
        Classes that nothing may change.
    """

    region: Region
    state: State
    classes: ClassList
    locked: frozenset[int] = frozenset()
    _undone: list[State] = field(default_factory=list)
    _done: list[State] = field(default_factory=list)
    _shown: tuple[State, ClassList, frozenset[int], Mask] | None = None

    @property
    def record(self) -> FieldRecord:
        """Provenance, as stored."""
        return self.state.record

    @property
    def id(self) -> str:
        """The field's name in the store; the same in all its states."""
        return self.state.record.id

    @property
    def mask(self) -> Mask:
        """What the viewer shows; not to be written to."""
        shown = self._shown
        if shown is None or not self._is_shown(shown):
            mask = self.state.draft.mask(self.classes, self.locked)
            shown = self._shown = self.state, self.classes, self.locked, mask
        return shown[3]

    def _is_shown(self, shown: tuple[State, ClassList, frozenset[int], Mask]) -> bool:
        same = shown[0] is self.state and shown[1] is self.classes
        return same and shown[2] == self.locked

    @property
    def can_undo(self) -> bool:
        """Whether there is an older state in memory."""
        return bool(self._done)

    @property
    def can_redo(self) -> bool:
        """Whether there is an undone state in memory."""
        return bool(self._undone)

    @property
    def pending(self) -> Segmentation | None:
        """The proposal that waits for accept or reject."""
        return self.state.draft.proposal

    def push(self, state: State, mask: Mask | None = None) -> None:
        """A new state; what was undone can not be redone any more.

        `mask` is what it shows, where that is already known.
        """
        self._done.append(self.state)
        self._undone.clear()
        self.put(state, mask)
        while len(self._done) > 1 and _held_bytes(self._done) > HISTORY_BYTES:
            del self._done[0]

    def put(self, state: State, mask: Mask | None = None) -> None:
        """Another state in the place of this one, with no step of undo between them."""
        self.state = state
        if mask is not None:
            self._shown = state, self.classes, self.locked, mask

    def beside(self, *, forward: bool) -> State | None:
        """The state that a step of redo or undo would bring; None where memory let go of it."""
        states = self._undone if forward else self._done
        return states[-1] if states else None

    def back(self, otherwise: State) -> None:
        """Undo a step; `otherwise` is its state, for states that memory let go of."""
        self._undone.append(self.state)
        self.state = self._done.pop() if self._done else otherwise

    def forward(self, otherwise: State) -> None:
        """Redo a step."""
        self._done.append(self.state)
        self.state = self._undone.pop() if self._undone else otherwise

    def shows(self, region: Region) -> bool:
        """Whether a view is that of this field, give or take a margin around it."""
        return same_view(self.region, region)


def same_view(field: Region, view: Region) -> bool:
    """Whether a field fills a view: it holds nearly all of it, and not much besides."""
    common = field.intersection(view)
    if common is None:
        return False
    shared = common.height * common.width
    held = shared / (view.height * view.width)
    return held >= HELD and shared / (field.height * field.width) >= FILLED


def _whole(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array that a view keeps alive."""
    return array.base if isinstance(array.base, np.ndarray) else array


def _held_bytes(states: Sequence[State]) -> int:
    held = {id(array): array.nbytes for state in states for array in state.arrays}
    return sum(held.values())


def author() -> str:
    """Name of the person at the computer, "" when the system does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


def answered(
    record: FieldRecord,
    segmentation: Segmentation,
    values: Sequence[int],
    classes: ClassList,
    model_sha256: str,
    model_license: str,
) -> FieldRecord:
    """The record after the model's answer.

    Parameters
    ----------
    record : FieldRecord
        Before it.
    segmentation : Segmentation
    values : sequence of int
        The slide's class value for each class of the segmentation.
    classes : ClassList
        Of the slide.
    """
    old = zip(record.classes, record.asked_as, record.presence, record.scores, strict=False)
    answers = {c.value: Answer(c.term, asked, presence, score) for c, asked, presence, score in old}
    asked_with = {value: record.prompts_of(value) for value in answers}
    for value, answer in zip(values, segmentation.answers, strict=True):
        answers[value] = answer
        asked_with[value] = _joined(asked_with.get(value, ()), segmentation.prompts)
    prompts = _joined(record.prompts, segmentation.prompts)
    known = [classes[value] for value in answers]
    rest = [c for c in record.classes if c.value not in answers]
    return replace(
        record,
        classes=ClassList((*known, *rest)),
        prompts=prompts,
        asked_by=tuple(tuple(map(prompts.index, asked_with[value])) for value in answers),
        asked_as=tuple(answer.asked_as for answer in answers.values()),
        presence=tuple(float(answer.presence) for answer in answers.values()),
        scores=tuple(float(answer.score) for answer in answers.values()),
        model=segmentation.model,
        model_sha256=model_sha256,
        model_license=model_license,
        working_mpp=segmentation.working_mpp,
        updated=datetime.now(UTC),
        status="proposed",
    )


def _joined(old: Sequence[Prompt], new: Sequence[Prompt]) -> tuple[Prompt, ...]:
    """All prompts in the order they were given, each once."""
    return tuple(dict.fromkeys((*old, *new)))
