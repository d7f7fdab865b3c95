"""The mask under work: what is kept, what was drawn by hand, what the model proposes.

The rule of who wins a pixel, in this order:

1. what a person drew or erased is never changed by the model;
2. what was kept (accepted, or left standing by a prompt for other classes) stays, except that
   a finer structure is laid over a coarser one: nuclei over cells over tissue;
3. where one proposal's classes overlap, the more probable wins.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import STRUCTURES, ClassList
from napari_pathseg.geometry import Shape
from napari_pathseg.inference.segmentation import Mask, Segmentation


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
        For each class of the proposal its value in the field's class list.
    """

    kept: Mask
    by_hand: npt.NDArray[np.bool_]
    proposal: Segmentation | None = None
    values: tuple[int, ...] = ()

    @classmethod
    def empty(cls, shape: Shape) -> Draft:
        """Nothing kept, drawn or proposed."""
        return cls(np.zeros(shape, np.uint16), np.zeros(shape, bool))

    @classmethod
    def of_mask(cls, mask: Mask) -> Draft:
        """A stored mask, all of it kept."""
        return cls(mask.copy(), np.zeros(mask.shape, bool))

    def mask(self, classes: ClassList) -> Mask:
        """What the viewer shows, (height, width); `classes` gives the structures' order."""
        if self.proposal is None:
            return self.kept
        lookup = np.array([0, *self.values], dtype=np.uint16)
        own = np.array([0, *(c.value for c in self.proposal.classes)])
        index = np.zeros(own.max() + 1, dtype=np.uint16)
        index[own] = lookup
        proposed = index[self.proposal.mask]
        rank = _ranks(classes)
        free = (self.kept == 0) | (rank[proposed] > rank[self.kept])
        return np.where((proposed > 0) & free & ~self.by_hand, proposed, self.kept)

    def with_proposal(
        self, proposal: Segmentation, values: tuple[int, ...], classes: ClassList
    ) -> Draft:
        """A new proposal replaces the pending one for its classes; others are kept."""
        shown = self.mask(classes)
        keep = np.isin(shown, values) & ~self.by_hand & (self.kept != shown)
        kept = np.where(keep, self.kept, shown) if self.proposal is not None else self.kept
        return Draft(kept, self.by_hand, proposal, values)

    def with_threshold(self, threshold: float) -> Draft:
        """The pending proposal cut at another probability."""
        if self.proposal is None:
            return self
        return replace(self, proposal=self.proposal.with_threshold(threshold))

    def with_stroke(self, shown: Mask, painted: Mask) -> Draft:
        """What was shown before and after a person painted; the changed pixels are theirs."""
        changed = shown != painted
        kept = np.where(changed, painted, self.kept)
        return replace(self, kept=kept, by_hand=self.by_hand | changed)

    def accepted(self, classes: ClassList) -> Draft:
        """All that is shown is kept; nothing is pending."""
        return Draft(self.mask(classes).copy(), self.by_hand)

    def rejected(self) -> Draft:
        """The pending proposal is thrown away; what was kept and drawn stays."""
        return Draft(self.kept, self.by_hand)


def _ranks(classes: ClassList) -> npt.NDArray[np.int8]:
    """For each class value how fine its structure is; classes without a term count as tissue."""
    ranks = np.zeros(max((c.value for c in classes), default=0) + 1, dtype=np.int8)
    for label_class in classes:
        if label_class.term is not None and label_class.term.structure in STRUCTURES:
            ranks[label_class.value] = STRUCTURES.index(label_class.term.structure)
    return ranks
