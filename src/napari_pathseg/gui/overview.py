"""The labels of a whole slide as a read-only pyramid, composed of its stored fields on demand.

Fields may overlap. The rule of which is seen: the finer structure lies over the coarser (nuclei
over cells over tissue), and of two alike the one that was worked on last; where the upper one is
empty, the lower one shows. Each keeps its own pixels, in the store and in every export.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field, Pair, Region, Shape
from napari_pathseg.gui.draft import structure_ranks
from napari_pathseg.gui.lazy_labels import LazyLabels, Places
from napari_pathseg.gui.work import same_view
from napari_pathseg.inference.segmentation import Mask


@dataclass(frozen=True, slots=True, eq=False)
class PlacedMask:
    """A stored mask and where it belongs.

    Attributes
    ----------
    field : Field
    mask : uint8 or uint16 array (height, width)
    packed : uint8 array
        The pixels that a person drew, eight to a byte, row after row; empty for none.
    rank : int
        Of its finest structure.
    """

    field: Field
    mask: Mask
    packed: npt.NDArray[np.uint8]
    rank: int = 0

    @classmethod
    def of(
        cls, field: Field, mask: Mask, by_hand: npt.NDArray[np.bool_], classes: ClassList
    ) -> PlacedMask:
        """Of a mask as it is worked on, kept small."""
        small = mask.astype(np.uint8) if not mask.size or mask.max() < 256 else mask
        none = np.zeros(0, np.uint8)
        placed = cls(field, cast("Mask", small), none, finest_rank(small, classes))
        return placed.with_hand(by_hand)

    def with_hand(self, by_hand: npt.NDArray[np.bool_]) -> PlacedMask:
        """The same mask with other pixels drawn by a person."""
        packed = np.packbits(by_hand) if by_hand.any() else np.zeros(0, np.uint8)
        return replace(self, packed=packed)

    @property
    def by_hand(self) -> npt.NDArray[np.bool_]:
        """The pixels that a person drew, bool (height, width)."""
        if not self.packed.size:
            return np.zeros(self.field.shape, dtype=bool)
        count = self.field.height * self.field.width
        return np.unpackbits(self.packed, count=count).reshape(self.field.shape).astype(bool)


class StoredLabels:
    """The stored fields that the pyramid shows; changed in place, then the layer is refreshed."""

    def __init__(self) -> None:
        self._placed: dict[str, PlacedMask] = {}

    def __len__(self) -> int:
        return len(self._placed)

    def put(self, field_id: str, placed: PlacedMask) -> None:
        """Show a field, over those of its rank that were put before."""
        rest = {i: other for i, other in self._placed.items() if i != field_id}
        ordered = sorted([*rest.items(), (field_id, placed)], key=lambda pair: pair[1].rank)
        self._placed = dict(ordered)

    def remove(self, field_id: str) -> None:
        """Show a field no more; nothing happens when it is not shown."""
        self._placed = {i: other for i, other in self._placed.items() if i != field_id}

    def ids(self) -> tuple[str, ...]:
        """The fields, lowest first."""
        return tuple(self._placed)

    def get(self, field_id: str) -> PlacedMask:
        """One field."""
        return self._placed[field_id]

    def at(self, y: float, x: float) -> str | None:
        """The topmost field with a label at a level-0 place, else the topmost that holds it."""
        over = None
        for field_id, placed in reversed(self._placed.items()):
            if not placed.field.region.contains(y, x):
                continue
            row, column = (int(v) for v in placed.field.from_level0(y, x))
            height, width = placed.mask.shape
            if placed.mask[min(max(row, 0), height - 1), min(max(column, 0), width - 1)]:
                return field_id
            over = over or field_id
        return over

    def showing(self, region: Region) -> str | None:
        """The topmost field whose region is nearly this one."""
        found = (i for i, p in reversed(self._placed.items()) if same_view(p.field.region, region))
        return next(found, None)

    def placed(self) -> tuple[PlacedMask, ...]:
        """All fields, lowest first."""
        return tuple(self._placed.values())


def stored_pyramid(
    stored: StoredLabels, levels: Sequence[tuple[Shape, Pair]], dtype: npt.DTypeLike
) -> list[LazyLabels]:
    """One array for each (shape, downsample) of the slide's levels."""
    return [
        LazyLabels(shape, dtype, partial(_compose, stored, downsample, dtype))
        for shape, downsample in levels
    ]


def _compose(
    stored: StoredLabels, downsample: Pair, dtype: npt.DTypeLike, rows: Places, columns: Places
) -> npt.NDArray[np.integer]:
    out = np.zeros((rows.size, columns.size), dtype=dtype)
    seen = _level0(rows, downsample[0]), _level0(columns, downsample[1])
    for placed in stored.placed():
        if not _meets(placed.field, *seen):
            continue
        at_y, inside_y = _in_field(rows, downsample, placed.field, axis=0)
        at_x, inside_x = _in_field(columns, downsample, placed.field, axis=1)
        if not (inside_y.any() and inside_x.any()):
            continue
        part = placed.mask[np.ix_(at_y[inside_y], at_x[inside_x])]
        target = np.ix_(inside_y, inside_x)
        out[target] = np.where(part > 0, part, out[target])
    return out


def _level0(pixels: Places, downsample: float) -> Pair:
    """Where level pixels begin and end, level-0 pixels."""
    return float(pixels.min() * downsample), float((pixels.max() + 1) * downsample)


def _in_field(
    pixels: Places, downsample: Pair, field: Field, axis: int
) -> tuple[Places, npt.NDArray[np.bool_]]:
    """Field pixel under the centre of each level pixel, and whether there is one."""
    level0 = (pixels + 0.5) * downsample[axis]
    at = np.floor(level0 / field.downsample[axis]).astype(np.intp) - (field.y, field.x)[axis]
    return at, (at >= 0) & (at < field.shape[axis])


def finest_rank(mask: npt.NDArray[np.integer], classes: ClassList) -> int:
    """How fine the finest structure in a mask is; see `structure_ranks`."""
    ranks = structure_ranks(classes)
    for rank in range(int(ranks.max()), 0, -1):
        # A comparison for each value is a tenth of the time that counting every value takes.
        if any((mask == value).any() for value in np.flatnonzero(ranks == rank)):
            return rank
    return 0


def _meets(field: Field, rows: Pair, columns: Pair) -> bool:
    """Whether a field may lie under level-0 rows and columns."""
    region = field.region
    below, right = rows[0] <= region.stop_y, columns[0] <= region.stop_x
    return below and right and region.y <= rows[1] and region.x <= columns[1]
