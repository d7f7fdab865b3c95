"""The mask under work: what is kept, what was drawn by hand, what the model proposes.

The rule of who wins a pixel, in this order:

1. what a person drew or erased is never changed by the model, and no class that is locked;
2. what was kept (accepted, or left standing by a prompt for other classes) stays, except that
   a finer structure is laid over a coarser one: nuclei over cells over tissue;
3. where one proposal's classes overlap, the more probable wins.

Fields may overlap, each with a mask of its own; `overview` says which of them is seen.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import STRUCTURES, ClassList
from napari_pathseg.geometry import Field, Shape
from napari_pathseg.inference.segmentation import Mask, Segmentation
from napari_pathseg.labels.cleanup import Cleanup, tidy
from napari_pathseg.labels.masks import regridded

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """One state of the field under work; undo goes back to older ones.

    Attributes
    ----------
    kept : uint16 array (height, width)
        Class values on the field's grid that no new proposal takes away.
    by_hand : bool array (height, width)
        Pixels that a person drew or erased.
    proposal : Segmentation or None
        The model's pending answer.
    values : tuple of int
        For each class of the proposal its value in the field's class list; without a proposal
        the classes that are cleaned up.
    cleanup : Cleanup
        Of the proposal, or of what is kept where there is none.
    candidate : int
        Which of the proposal's candidates is shown.
    """

    kept: Mask
    by_hand: Bool
    proposal: Segmentation | None = None
    values: tuple[int, ...] = ()
    cleanup: Cleanup = field(default_factory=Cleanup)
    candidate: int = 0

    @classmethod
    def empty(cls, shape: Shape) -> Draft:
        """Nothing kept, drawn or proposed."""
        return cls(np.zeros(shape, np.uint16), np.zeros(shape, bool))

    @classmethod
    def of_mask(cls, mask: Mask, by_hand: Bool | None = None) -> Draft:
        """A stored mask, all of it kept."""
        return cls(mask.copy(), np.zeros(mask.shape, bool) if by_hand is None else by_hand)

    def mask(self, classes: ClassList, locked: Iterable[int] = ()) -> Mask:
        """What the viewer shows, (height, width).

        Parameters
        ----------
        classes : ClassList
            Gives the structures' order.
        locked : iterable of int
            Classes that nothing may change.
        """
        held = list(locked)
        if self.proposal is None:
            if not self.cleanup:
                return self.kept
            free = ~self.by_hand & ~np.isin(self.kept, held)
            return np.where(free, tidy(self.kept, self.values, self.cleanup), self.kept)
        proposed = tidy(self._proposed(self.proposal), self.values, self.cleanup)
        rank = structure_ranks(classes)
        free = (self.kept == 0) | (rank[proposed] > rank[self.kept])
        free &= (proposed > 0) & ~self.by_hand
        if held:
            free &= ~np.isin(self.kept, held) & ~np.isin(proposed, held)
        return np.where(free, proposed, self.kept)

    def _proposed(self, proposal: Segmentation) -> Mask:
        """The proposal in the values of the field's classes."""
        lookup = np.array([0, *self.values], dtype=np.uint16)
        own = np.array([0, *(c.value for c in proposal.classes)])
        index = np.zeros(own.max() + 1, dtype=np.uint16)
        index[own] = lookup
        found: Mask = index[proposal.mask]
        return found

    def with_proposal(
        self,
        proposal: Segmentation,
        values: tuple[int, ...],
        classes: ClassList,
        locked: Iterable[int] = (),
    ) -> Draft:
        """A new proposal replaces the pending one for its classes; others are kept.

        The cleanup goes on to a new answer for the same classes.
        """
        shown = self.mask(classes, locked)
        keep = np.isin(shown, values) & ~self.by_hand & (self.kept != shown)
        kept = np.where(keep, self.kept, shown) if self.proposal is not None else shown
        goes_on = self.proposal is not None and self.values == values
        cleanup = self.cleanup if goes_on else Cleanup()
        return Draft(kept, self.by_hand, proposal, values, cleanup)

    def with_threshold(self, threshold: float) -> Draft:
        """The pending proposal cut at another probability."""
        if self.proposal is None:
            return self
        return replace(self, proposal=self.proposal.with_threshold(threshold))

    def with_cleanup(self, cleanup: Cleanup, values: tuple[int, ...]) -> Draft:
        """Cleaned up in another way; `values` are the classes where nothing is proposed."""
        if self.proposal is not None:
            return replace(self, cleanup=cleanup)
        return replace(self, cleanup=cleanup, values=values)

    def with_candidate(self, candidate: int) -> Draft:
        """Another of the proposal's candidates."""
        if self.proposal is None:
            return self
        other = self.proposal.with_candidate(candidate)
        return replace(self, proposal=other, candidate=candidate)

    @property
    def candidates(self) -> int:
        """How many candidates there are to choose from."""
        return 0 if self.proposal is None else len(self.proposal.candidates)

    def with_stroke(
        self, shown: Mask, painted: Mask, window: tuple[slice, slice] | None = None
    ) -> Draft:
        """What was shown before and after a person painted; the changed pixels are theirs.

        All changes lie in `window`, where one is given.
        """
        part = window or (slice(None), slice(None))
        changed = shown[part] != painted[part]
        kept = (self.kept if self.proposal is not None else shown).copy()
        kept[part] = np.where(changed, painted[part], kept[part])
        by_hand = self.by_hand.copy()
        by_hand[part] |= changed
        draft = replace(self, kept=kept, by_hand=by_hand)
        return draft if self.proposal is not None else replace(draft, cleanup=Cleanup())

    def holding(self, value: int, shown: Mask) -> Draft:
        """A class is locked while this is shown: what is there of it is no proposal any more."""
        its = (shown == value) | (self.kept == value)
        return replace(self, kept=np.where(its, shown, self.kept))

    def accepted(self, classes: ClassList, locked: Iterable[int] = ()) -> Draft:
        """All that is shown is kept; nothing is pending."""
        return Draft(self.mask(classes, locked).copy(), self.by_hand)

    def rejected(self) -> Draft:
        """The pending proposal is thrown away; what was kept and drawn stays."""
        return Draft(self.kept, self.by_hand)

    def on_grid(self, source: Field, target: Field, shown: Mask) -> Draft:
        """What is shown, on the pixels of another field; nothing is pending."""
        return Draft(regridded(shown, source, target), regridded(self.by_hand, source, target))


def structure_ranks(classes: ClassList) -> npt.NDArray[np.int8]:
    """For each class value how fine its structure is; classes without a term count as tissue."""
    ranks = np.zeros(max((c.value for c in classes), default=0) + 1, dtype=np.int8)
    for label_class in classes:
        if label_class.term is not None and label_class.term.structure in STRUCTURES:
            ranks[label_class.value] = STRUCTURES.index(label_class.term.structure)
    return ranks
