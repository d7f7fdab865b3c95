"""Stacks as a viewer draws them: of the plane in view what is there now, the rest later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_pathseg.geometry import Shape
from napari_pathseg.slide.base import Pixels
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.damage import Damage
from napari_pathseg.slide.indexing import Block
from napari_pathseg.slide.late import LateLevels
from napari_pathseg.slide.sources import Source


class LateStack:
    """The levels of all planes, each as :class:`LateLevels`.

    Parameters
    ----------
    planes : sequence of lists of Source
        The levels of each plane, finest first.
    lengths : tuple of int
        Of the leading axes; the last one is the fastest along `planes`.
    cache, patience, damage
        As there.

    Attributes
    ----------
    on_late : callable
        As there.
    """

    def __init__(
        self,
        planes: Sequence[list[Source]],
        lengths: tuple[int, ...],
        cache: ChunkCache,
        patience: Callable[[], float | None],
        damage: Damage,
    ) -> None:
        self._planes = [LateLevels([*levels], cache, patience, damage) for levels in planes]
        self._lengths = lengths
        self._shown = self._planes[0]
        self.on_late: Callable[[], None] = _nobody

    @property
    def waiting(self) -> bool:
        """Whether something of the last view is owed."""
        return self._shown.waiting

    @property
    def news(self) -> bool:
        """Whether some of it is there now, so that drawing again shows more."""
        return self._shown.news

    def is_late(self, level: int) -> bool:
        """Whether views of a level may be answered before all of it is read."""
        return self._shown.is_late(level)

    def side(self, level: int) -> Shape:
        """Height and width of the pieces of a level."""
        return self._shown.side(level)

    def draw(self, level: int, part: Block) -> Pixels | None:
        """Pixels of a part of a level, as far as they are there; None for who reads them all.

        Who looks at several planes at once reads them all. Else as :meth:`LateLevels.draw`.
        """
        lead, rest = part[: len(self._lengths)], part[len(self._lengths) :]
        if any(axis.stop - axis.start != 1 for axis in lead):
            return None
        index = np.ravel_multi_index([axis.start for axis in lead], self._lengths)
        plane = self._planes[int(index)]
        if plane is not self._shown:
            self._shown.leave()
            self._shown = plane
        pixels = plane.draw(level, rest)
        if pixels is None:
            return None
        if plane.waiting:
            self.on_late()
        return pixels.reshape(*[1] * len(lead), *pixels.shape)


def _nobody() -> None:
    """Nobody is told."""
