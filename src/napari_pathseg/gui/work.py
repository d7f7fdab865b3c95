"""The field under work: its draft, its record, and the states that undo goes back to."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Region
from napari_pathseg.gui.draft import Draft
from napari_pathseg.inference.segmentation import Answer, Mask, Segmentation
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import Prompt, TextPrompt

HISTORY_BYTES = 256 << 20
SAME_VIEW = 0.02


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """What one step of undo brings back.

    Attributes
    ----------
    draft : Draft
    prompts : tuple of Prompt
        Of the pending proposal: the text first, then clicks and boxes.
    """

    draft: Draft
    prompts: tuple[Prompt, ...] = ()

    @property
    def nbytes(self) -> int:
        """Memory it may hold alone."""
        logits = self.draft.proposal.logits.nbytes if self.draft.proposal is not None else 0
        return self.draft.kept.nbytes + self.draft.by_hand.nbytes + int(logits)

    @property
    def text(self) -> TextPrompt | None:
        """The words of the pending proposal."""
        return next((p for p in self.prompts if isinstance(p, TextPrompt)), None)


@dataclass(slots=True, eq=False)
class FieldWork:
    """The one field that can be changed now.

    Attributes
    ----------
    record : FieldRecord
        Provenance, as stored.
    region : Region
        What was asked for, level-0 pixels; its field may be a little larger.
    state : State
    classes : ClassList
        Of the whole slide: every value a mask of it can hold.
    """

    record: FieldRecord
    region: Region
    state: State
    classes: ClassList
    _undone: list[State] = field(default_factory=list)
    _done: list[State] = field(default_factory=list)
    _shown: tuple[State, ClassList, Mask] | None = None

    @property
    def mask(self) -> Mask:
        """What the viewer shows; not to be written to."""
        shown = self._shown
        if shown is None or shown[0] is not self.state or shown[1] is not self.classes:
            shown = self.state, self.classes, self.state.draft.mask(self.classes)
            self._shown = shown
        return shown[2]

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
        self.state = state
        if mask is not None:
            self._shown = state, self.classes, mask
        while len(self._done) > 1 and sum(s.nbytes for s in self._done) > HISTORY_BYTES:
            del self._done[0]

    def back(self, stored: Mask) -> None:
        """Undo a step; `stored` is the mask the store went back to, for states let go of."""
        self._undone.append(self.state)
        self.state = self._done.pop() if self._done else State(Draft.of_mask(stored))

    def forward(self, stored: Mask) -> None:
        """Redo a step."""
        self._done.append(self.state)
        self.state = self._undone.pop() if self._undone else State(Draft.of_mask(stored))

    def shows(self, region: Region) -> bool:
        """Whether a view is the one this field was made for, give or take a hair."""
        pairs = zip(self.region.as_list(), region.as_list(), strict=True)
        slack = SAME_VIEW * max(self.region.height, self.region.width)
        return all(abs(a - b) <= slack for a, b in pairs)


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
    answers |= dict(zip(values, segmentation.answers, strict=True))
    known = [classes[value] for value in answers]
    rest = [c for c in record.classes if c.value not in answers]
    return replace(
        record,
        classes=ClassList((*known, *rest)),
        prompts=_joined(record.prompts, segmentation.prompts),
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
