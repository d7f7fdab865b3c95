"""Label tiles on the disk in any order, so that a slide's mask need not fit into memory."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.closing import Closing
from napari_pathseg.geometry import Shape
from napari_pathseg.labels.masks import under_centers
from napari_pathseg.slide.tiff_segments import paste

TILE_PX = 512
LEVEL = 1  # of deflate: label tiles are nearly empty, more effort gains little

Ints = npt.NDArray[np.integer[Any]]


class LabelSpool(Closing):
    """A label array of any size as compressed tiles in one file; tiles of zeros take no room.

    A tile is a zlib stream of `TILE_PX` x `TILE_PX` little-endian integers, as a TIFF tile with
    Deflate is, so that it can be copied into one. Safe under threads.

    Parameters
    ----------
    path : Path
        Made anew; the caller removes it.
    shape : (int, int)
        Height and width of the array.
    dtype : numpy dtype
    """

    def __init__(self, path: Path, shape: Shape, dtype: npt.DTypeLike = np.uint16) -> None:
        self.shape = shape
        self.dtype = np.dtype(dtype).newbyteorder("<")
        self._file = path.open("w+b")
        self._places: dict[tuple[int, int], tuple[int, int]] = {}
        self._end = 0
        self._lock = threading.Lock()

    @property
    def grid(self) -> Shape:
        """Tiles down and across."""
        return -(-self.shape[0] // TILE_PX), -(-self.shape[1] // TILE_PX)

    @property
    def stored_bytes(self) -> int:
        """Size of all tiles that are not empty."""
        return sum(length for _, length in self._places.values())

    def tiles(self) -> Iterator[tuple[int, int]]:
        """(row, column) of the tiles that are not empty, in reading order."""
        return iter(sorted(self._places))

    def put(self, row: int, column: int, tile: Ints) -> None:
        """Store a tile (height, width), smaller than `TILE_PX` only at the array's edge."""
        if not tile.any():
            return
        if tile.shape != (TILE_PX, TILE_PX):
            down, across = TILE_PX - tile.shape[0], TILE_PX - tile.shape[1]
            tile = np.pad(tile, ((0, down), (0, across)))
        encoded = zlib.compress(np.ascontiguousarray(tile, dtype=self.dtype).tobytes(), LEVEL)
        with self._lock:
            self._file.seek(self._end)
            self._file.write(encoded)
            self._places[row, column] = self._end, len(encoded)
            self._end += len(encoded)

    def encoded(self, row: int, column: int) -> bytes | None:
        """The compressed tile, None when it is empty."""
        with self._lock:
            place = self._places.get((row, column))
            if place is None:
                return None
            self._file.seek(place[0])
            return self._file.read(place[1])

    def tile(self, row: int, column: int) -> Ints | None:
        """The tile (TILE_PX, TILE_PX), None when it is empty; zeros beyond the array's edge."""
        encoded = self.encoded(row, column)
        if encoded is None:
            return None
        values = np.frombuffer(zlib.decompress(encoded), dtype=self.dtype)
        return values.reshape(TILE_PX, TILE_PX)

    def read(self, y: int, x: int, height: int, width: int) -> Ints:
        """A window (height, width); zeros outside the array."""
        out = np.zeros((height, width), dtype=self.dtype.newbyteorder("="))
        rows = range(max(y, 0) // TILE_PX, -(-min(y + height, self.shape[0]) // TILE_PX))
        columns = range(max(x, 0) // TILE_PX, -(-min(x + width, self.shape[1]) // TILE_PX))
        for row in rows:
            for column in columns:
                tile = self.tile(row, column)
                if tile is not None:
                    paste(out, tile, row * TILE_PX - y, column * TILE_PX - x)
        return out

    def resampled(self, shape: Shape) -> Ints:
        """The whole array in another number of pixels: each takes the value under its centre.

        Holds one tile at a time.
        """
        out = np.zeros(shape, dtype=self.dtype.newbyteorder("="))
        down, across = map(under_centers, self.shape, shape)
        for row, column in self.tiles():
            tile = self.tile(row, column)
            rows = np.flatnonzero(down // TILE_PX == row)
            columns = np.flatnonzero(across // TILE_PX == column)
            if tile is not None and rows.size and columns.size:
                seen = np.ix_(down[rows] % TILE_PX, across[columns] % TILE_PX)
                out[np.ix_(rows, columns)] = tile[seen]
        return out

    def close(self) -> None:
        """Release the file."""
        self._file.close()
