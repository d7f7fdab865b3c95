"""The labels of a whole slide as a read-only pyramid, composed of its stored fields on demand."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Pair, Shape
from napari_pathseg.inference.segmentation import Mask


@dataclass(frozen=True, slots=True, eq=False)
class PlacedMask:
    """A stored mask and where it belongs."""

    field: Field
    mask: Mask


class StoredLabels:
    """The stored fields that the pyramid shows; changed in place, then the layer is refreshed."""

    def __init__(self) -> None:
        self._placed: dict[str, PlacedMask] = {}

    def __len__(self) -> int:
        return len(self._placed)

    def put(self, field_id: str, placed: PlacedMask) -> None:
        """Show a field, over those that were put before."""
        self._placed.pop(field_id, None)
        self._placed[field_id] = placed

    def remove(self, field_id: str) -> None:
        """Show a field no more; nothing happens when it is not shown."""
        self._placed.pop(field_id, None)

    def ids(self) -> tuple[str, ...]:
        """The fields, lowest first."""
        return tuple(self._placed)

    def get(self, field_id: str) -> PlacedMask:
        """One field."""
        return self._placed[field_id]

    def at(self, y: float, x: float) -> str | None:
        """The topmost field that holds a level-0 place."""
        for field_id in reversed(self._placed):
            if self._placed[field_id].field.region.contains(y, x):
                return field_id
        return None

    def placed(self) -> Iterable[PlacedMask]:
        """All fields, lowest first."""
        return self._placed.values()


class StoredLevel:
    """One level of the pyramid: an array that computes what is asked of it.

    Lazy arrays of other kinds keep what they once computed; this one always shows what is
    stored now.
    """

    ndim = 2

    def __init__(
        self, stored: StoredLabels, shape: Shape, downsample: Pair, dtype: npt.DTypeLike
    ) -> None:
        self._stored = stored
        self.dtype = np.dtype(dtype)
        self.shape = shape
        self.downsample = downsample

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole level, were it computed."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Mask:
        return np.asarray(self[:, :], dtype)

    def __getitem__(self, key: object) -> Mask:
        parts = key if isinstance(key, tuple) else (key,)
        slices = [part for part in parts if part is not Ellipsis]
        slices += [slice(None)] * (2 - len(slices))
        rows, columns = (
            np.arange(length)[part if isinstance(part, slice) else np.asarray(part)]
            for part, length in zip(slices, self.shape, strict=True)
        )
        return self._compose(np.atleast_1d(rows), np.atleast_1d(columns)).reshape(
            rows.shape + columns.shape
        )

    def _compose(self, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> Mask:
        out = np.zeros((rows.size, columns.size), dtype=self.dtype)
        for placed in self._stored.placed():
            at_y, inside_y = self._in_field(rows, placed.field, axis=0)
            at_x, inside_x = self._in_field(columns, placed.field, axis=1)
            if not (inside_y.any() and inside_x.any()):
                continue
            part = placed.mask[np.ix_(at_y[inside_y], at_x[inside_x])]
            target = np.ix_(inside_y, inside_x)
            out[target] = np.where(part > 0, part, out[target])
        return out

    def _in_field(
        self, pixels: npt.NDArray[np.intp], field: Field, axis: int
    ) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.bool_]]:
        """Field pixel under the centre of each level pixel, and whether there is one."""
        level0 = (pixels + 0.5) * self.downsample[axis]
        start = (field.y, field.x)[axis]
        at = np.floor(level0 / field.downsample[axis]).astype(np.intp) - start
        return at, (at >= 0) & (at < field.shape[axis])


def stored_pyramid(
    stored: StoredLabels, levels: Sequence[tuple[Shape, Pair]], dtype: npt.DTypeLike
) -> list[StoredLevel]:
    """One array for each (shape, downsample) of the slide's levels."""
    return [StoredLevel(stored, shape, downsample, dtype) for shape, downsample in levels]
