"""Labels that are read or computed where the viewer looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Shape

Places = npt.NDArray[np.intp]
Read = Callable[[Places, Places], npt.NDArray[Any]]


class LazyLabels:
    """One level of a label pyramid as an array that gets what is asked of it.

    Lazy arrays of other kinds keep what they once got; this one always shows what is there now.

    Parameters
    ----------
    shape : (int, int)
    dtype : numpy dtype
    read : callable
        Gets rows (n,) and columns (m,) of this level, none of them empty; gives labels (n, m).
    """

    ndim = 2

    def __init__(self, shape: Shape, dtype: npt.DTypeLike, read: Read) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype)
        self._read = read

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.shape[0] * self.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of the whole level, were it read."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> Any:
        return np.asarray(self[:, :], dtype)

    def __getitem__(self, key: object) -> npt.NDArray[Any]:
        parts = key if isinstance(key, tuple) else (key,)
        slices = [part for part in parts if part is not Ellipsis]
        slices += [slice(None)] * (2 - len(slices))
        rows, columns = (
            np.arange(length)[part if isinstance(part, slice) else np.asarray(part)]
            for part, length in zip(slices, self.shape, strict=True)
        )
        shape = rows.shape + columns.shape
        if not (rows.size and columns.size):
            return np.zeros(shape, self.dtype)
        return self._read(np.atleast_1d(rows), np.atleast_1d(columns)).reshape(shape)
