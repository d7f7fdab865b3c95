"""Repeatable randomness in space: the same place always gives the same value.

Lattice noise after Perlin ("An image synthesizer", 1985) in its value form: random numbers
on a square lattice, joined by a smooth step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Hashes = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class Grid:
    """Places of the pixel centres of a field.

    Attributes
    ----------
    y_um, x_um : float arrays (height,) and (width,)
        Micrometres from the slide's corner.
    pixel_um : float
        Size of a pixel.
    """

    y_um: npt.NDArray[Any]
    x_um: npt.NDArray[Any]
    pixel_um: float

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width)."""
        return len(self.y_um), len(self.x_um)

    def bands(self, rows: int) -> Iterator[tuple[slice, Grid]]:
        """The grid cut into bands of rows: small arrays stay in the processor's cache."""
        for top in range(0, len(self.y_um), rows):
            band = slice(top, min(top + rows, len(self.y_um)))
            yield band, Grid(self.y_um[band], self.x_um, self.pixel_um)

    @cached_property
    def y(self) -> Floats:
        """Places down, (height, 1)."""
        return self.y_um.astype(np.float32)[:, None]

    @cached_property
    def x(self) -> Floats:
        """Places across, (1, width)."""
        return self.x_um.astype(np.float32)[None, :]


def hashed(a: npt.NDArray[Any], b: npt.NDArray[Any], salt: int) -> Hashes:
    """Well mixed 32 bits of two whole numbers (finaliser of MurmurHash3, A. Appleby)."""
    h = _bits(a) * np.uint32(0x9E3779B1)
    h = h ^ (_bits(b) * np.uint32(0x85EBCA77))
    h ^= np.uint32(salt * 0x27D4EB2F & 0xFFFFFFFF)
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h


def _bits(whole: npt.NDArray[Any]) -> Hashes:
    if whole.dtype.kind == "f":
        whole = whole.astype(np.int32)
    return whole.astype(np.uint32, copy=False)


def unit(hashes: Hashes, byte: int) -> Floats:
    """One of the four bytes of a hash as a number from 0 to 1."""
    bits = (hashes >> np.uint32(8 * byte)) & np.uint32(255)
    return bits.astype(np.float32) * np.float32(1 / 255)


def smooth_noise(grid: Grid, spacing_um: float, salt: int) -> Floats:
    """Noise of -1 to 1 whose hills are about `spacing_um` wide.

    Returns
    -------
    float32 array (height, width)
    """
    rows, row_step = _steps(grid.y_um, spacing_um)
    columns, column_step = _steps(grid.x_um, spacing_um)
    lattice_rows = np.arange(rows[0], rows[-1] + 2)
    lattice_columns = np.arange(columns[0], columns[-1] + 2)
    corners = hashed(lattice_rows[:, None], lattice_columns[None, :], salt)
    values = corners.astype(np.float32) * np.float32(2 / 2**32) - np.float32(1)
    top = rows - rows[0]
    left = columns - columns[0]
    row_step, column_step = row_step[:, None], column_step[None, :]
    # take() keeps rows together in memory, which fancy indexing does not.
    lines = values.take(top, axis=0) * (1 - row_step) + values.take(top + 1, axis=0) * row_step
    start = lines.take(left, axis=1)
    noise: Floats = start + (lines.take(left + 1, axis=1) - start) * column_step
    return noise


def _steps(places: npt.NDArray[Any], spacing: float) -> tuple[npt.NDArray[np.int64], Floats]:
    scaled = places / spacing
    whole = np.floor(scaled)
    part = (scaled - whole).astype(np.float32)
    return whole.astype(np.int64), part * part * (3 - 2 * part)
