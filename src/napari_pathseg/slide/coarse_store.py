"""Coarse levels in files, filled piece by piece; what is done survives the program."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from napari_pathseg.geometry import Shape
from napari_pathseg.slide.base import Pixels

LAYOUT = 1
FACTS, DONE = "facts.json", "done.npy"
SAVED_EVERY = 32
"""Pieces after which the disk is told which are done."""


def default_folder() -> Path:
    """Where coarse levels are kept for the user."""
    return platformdirs.user_cache_path("napari-pathseg", appauthor=False) / "overviews"


class CoarseStore:
    """Levels that lie in one folder, each in a file of its own; safe under threads.

    Files are opened for each access: none stays open, and no page stays in memory for us. Two
    programs may fill the same folder, as both write the same pixels.

    Parameters
    ----------
    folder : Path
        Made, or taken over where it holds the same levels.
    shapes : sequence of tuples
        Of the levels, finest first: (height, width) or (height, width, 3).
    dtype : numpy dtype
    piece : (int, int)
        Pixels of the finest level that are done together.

    Raises
    ------
    OSError
        When the files can not be made.
    """

    def __init__(
        self, folder: Path, shapes: Sequence[tuple[int, ...]], dtype: npt.DTypeLike, piece: Shape
    ) -> None:
        self.folder = folder
        self.shapes = tuple(shapes)
        self.dtype = np.dtype(dtype)
        self.piece = piece
        grid = (-(-shapes[0][0] // piece[0]), -(-shapes[0][1] // piece[1]))
        self._lock = threading.Lock()
        self._unsaved = 0
        if not self._fits():
            self._make(grid)
        self.done: npt.NDArray[np.bool_] = np.load(folder / DONE)

    def read(self, level: int, y: int, x: int, height: int, width: int) -> Pixels:
        """A window of a level; zeros where nothing was written."""
        pixels = np.load(self._file(level), mmap_mode="r")
        return np.array(pixels[y : y + height, x : x + width])

    def write(self, level: int, y: int, x: int, pixels: Pixels) -> None:
        """Put pixels into a level."""
        stored = np.load(self._file(level), mmap_mode="r+")
        stored[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels

    def finish(self, row: int, column: int) -> None:
        """A piece is done: all its pixels were written."""
        with self._lock:
            self.done[row, column] = True
            self._unsaved += 1
            if self._unsaved < SAVED_EVERY and not self.done.all():
                return
            self._unsaved = 0
            part = self.folder / f"{DONE}.part"
            with part.open("wb") as file:
                np.save(file, self.done)
            part.replace(self.folder / DONE)

    def _file(self, level: int) -> Path:
        return self.folder / f"{level}.npy"

    def _facts(self) -> dict[str, Any]:
        shapes = [list(shape) for shape in self.shapes]
        return {
            "layout": LAYOUT,
            "shapes": shapes,
            "dtype": self.dtype.str,
            "piece": list(self.piece),
        }

    def _fits(self) -> bool:
        """Whether the folder holds the levels that are wanted; it is marked as used."""
        facts = self.folder / FACTS
        try:
            same = bool(json.loads(facts.read_text(encoding="utf-8")) == self._facts())
            sizes = [np.load(self._file(i), mmap_mode="r").shape for i in range(len(self.shapes))]
            np.load(self.folder / DONE)
            facts.touch()
        except (OSError, ValueError, EOFError):
            return False
        return same and sizes == list(self.shapes)

    def _make(self, grid: Shape) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, exist_ok=True)
        for level, shape in enumerate(self.shapes):
            # Sparse: what is not written takes no room.
            np.lib.format.open_memmap(self._file(level), "w+", self.dtype, shape)
        np.save(self.folder / DONE, np.zeros(grid, dtype=bool))
        (self.folder / FACTS).write_text(json.dumps(self._facts()), encoding="utf-8")


def make_room(root: Path, max_bytes: int, keep: Path) -> None:
    """Remove the coarse levels that were used longest ago until all take at most so much."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        try:
            used = (folder / FACTS).stat().st_mtime
            size = sum(file.stat().st_size for file in folder.iterdir())
        except OSError:
            continue
        found.append((used, size, folder))
    total = sum(size for _, size, _ in found)
    for _, size, folder in sorted(found):
        if total <= max_bytes:
            return
        if folder != keep:
            shutil.rmtree(folder, ignore_errors=True)
            total -= size
