"""Objects of a label array of any size: found block by block and joined across the seams."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.inference.spool import TILE_PX, LabelSpool
from napari_pathseg.labels.raster import instances_of, split_touching
from napari_pathseg.progress import CancelToken

Ints = npt.NDArray[np.integer[Any]]
Numbers = npt.NDArray[np.int64]

BLOCK_PX = 2 * TILE_PX
HALO_PX = 128
"""Round objects are cut apart in a block and this much around it, so that two blocks see what
lies between them alike."""

SAME = 0.5
"""Intersection over union from which what two blocks see there is one object: at most one pair."""


@dataclass(frozen=True, slots=True)
class Block:
    """A square of label pixels that is worked on at once."""

    row: int
    column: int
    y: int
    x: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """The objects of a label array.

    Attributes
    ----------
    parts : LabelSpool
        uint32, the number of the part each pixel belongs to; a part is 4-connected in its block.
    part : int array
        For each number, the least number of the whole 4-connected part, across blocks.
    owner : int array
        For each number, the object, from 1 in the order of the blocks; 0 for none.
    classes : int array
        Class value of each object; [0] is 0.
    crossing : bool array
        Whether an object lies in more than one block.
    """

    parts: LabelSpool
    part: Numbers
    owner: Numbers
    classes: Ints
    crossing: npt.NDArray[np.bool_]


class Union:
    """Sets of numbers that turn out to be one; the least number stands for its set."""

    def __init__(self) -> None:
        self._parent: list[int] = [0]

    def add(self, count: int) -> int:
        """So many new numbers; the first of them."""
        first = len(self._parent)
        self._parent.extend(range(first, first + count))
        return first

    def find(self, number: int) -> int:
        """What stands for a number's set."""
        parent = self._parent
        while parent[number] != number:
            parent[number] = number = parent[parent[number]]
        return number

    def join(self, a: int, b: int) -> None:
        """Two numbers are one."""
        a, b = self.find(a), self.find(b)
        self._parent[max(a, b)] = min(a, b)

    def flat(self) -> Numbers:
        """For each number what stands for its set."""
        found = np.array(self._parent, dtype=np.int64)
        while not np.array_equal(found, found[found]):
            found = found[found]
        return found


def blocks_of(labels: LabelSpool) -> Iterator[Block]:
    """The blocks that hold labels, in reading order."""
    step = BLOCK_PX // TILE_PX
    height, width = labels.shape
    for row, column in sorted({(r // step, c // step) for r, c in labels.tiles()}):
        y, x = row * BLOCK_PX, column * BLOCK_PX
        yield Block(row, column, y, x, min(BLOCK_PX, height - y), min(BLOCK_PX, width - x))


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Class, object and part along two edges of a block, (3, pixels) each, and what lies around.

    `around_right` and `around_bottom` are the cut objects in a strip over the seam, compressed.
    """

    right: Ints
    bottom: Ints
    around_right: bytes
    around_bottom: bytes


class ObjectJoiner:
    """Numbers the objects of a class mask, while it is still being made.

    Objects are 8-connected pixels of one class. Those of the classes in `split` are cut at their
    waists, as :func:`~napari_pathseg.labels.raster.split_touching` does.

    Parameters
    ----------
    labels : LabelSpool
    path : Path
        Of the spool that is made; who makes this closes it.
    split : collection of int
        Class values.
    min_neck_px : float

    Attributes
    ----------
    parts : LabelSpool
    """

    def __init__(
        self,
        labels: LabelSpool,
        path: Path,
        *,
        split: Collection[int] = (),
        min_neck_px: float = 1.0,
    ) -> None:
        self.parts = LabelSpool(path, labels.shape, np.uint32)
        self._labels = labels
        self._split = np.array(sorted(split), dtype=np.int64)
        self._halo = HALO_PX if self._split.size else 0
        self._neck = min_neck_px
        self._objects, self._pieces = Union(), Union()
        self._class_of: list[Ints] = [np.zeros(1, np.uint16)]
        self._object_of: list[Numbers] = [np.zeros(1, np.int64)]
        self._held: dict[tuple[int, int], _Lines] = {}
        self._later: list[tuple[int, int, int, int]] = []
        self._next_row = 0

    def advance(self, rows: int, cancel: CancelToken | None = None) -> None:
        """Number the objects of the blocks that lie above, now that so many rows are final.

        Raises
        ------
        CancelledError
        """
        cancel = cancel or CancelToken()
        whole = rows >= self._labels.shape[0]
        stop = -(-rows // BLOCK_PX) if whole else max(rows - self._halo, 0) // BLOCK_PX
        if stop <= self._next_row:
            return
        for block in blocks_of(self._labels):
            if self._next_row <= block.row < stop:
                cancel.raise_if_cancelled()
                self._add(block)
        self._next_row = stop

    def result(self, cancel: CancelToken | None = None) -> Joined:
        """The objects of all blocks, now that all rows are final.

        Raises
        ------
        CancelledError
        """
        self.advance(self._labels.shape[0], cancel)
        return self._joined()

    def _add(self, block: Block) -> None:
        halo = self._halo
        window = self._labels.read(
            block.y - halo, block.x - halo, block.height + 2 * halo, block.width + 2 * halo
        )
        core = (slice(halo, halo + block.height), slice(halo, halo + block.width))
        cut = self._cut(window)
        classes = window[core]
        objects = self._numbered(classes, cut[core])
        parts = instances_of_four(objects)
        first = self._pieces.add(int(parts.max(initial=0)))
        self._object_of.append(objects.ravel()[_firsts(parts)])
        parts[parts > 0] += first - 1
        self._store(block, parts)
        maps = (classes, objects, parts)
        top, left, bottom, right = (
            np.stack([each[line] for each in maps]).astype(np.int64)
            for line in (np.s_[0], np.s_[:, 0], np.s_[-1], np.s_[:, -1])
        )
        self._meet(block, top, left, cut)
        self._held[block.row, block.column] = _Lines(
            right,
            bottom,
            _packed(cut[:, cut.shape[1] - 2 * halo :]),
            _packed(cut[cut.shape[0] - 2 * halo :]),
        )
        for key in [k for k in self._held if k[0] < block.row - 1]:
            del self._held[key]

    def _joined(self) -> Joined:
        for a, b, object_a, object_b in self._later:
            if self._objects.find(object_a) == self._objects.find(object_b):
                self._pieces.join(a, b)
        root = self._objects.flat()
        object_of = np.concatenate(self._object_of)
        present = np.zeros(root.size, dtype=bool)
        present[object_of] = True
        # What is seen only around a block has no pixel of its own there.
        pieces = np.bincount(root[present], minlength=root.size)
        stands = np.flatnonzero(pieces[1:]) + 1
        numbers = np.zeros(root.size, dtype=np.int64)
        numbers[stands] = np.arange(1, stands.size + 1)
        classes = np.concatenate(self._class_of)
        return Joined(
            self.parts,
            self._pieces.flat(),
            numbers[root[object_of]],
            np.concatenate([[0], classes[stands]]),
            np.concatenate([[False], pieces[stands] > 1]),
        )

    def _cut(self, window: Ints) -> Numbers:
        """Objects of the classes to split, numbered, in a window; 0 elsewhere."""
        chosen = np.where(np.isin(window, self._split), window, 0)
        if not chosen.any():
            return np.zeros(window.shape, dtype=np.int64)
        found = split_touching(chosen, min_neck_px=self._neck).astype(np.int64)
        where = _firsts(found)
        self._class_of.append(chosen.ravel()[where])
        first = self._objects.add(where.size)
        found[found > 0] += first - 1
        return found

    def _numbered(self, classes: Ints, cut: Numbers) -> Numbers:
        """All objects of a block: those that were cut, and the connected ones of other classes."""
        divided = cut > 0 if self._split.size else None
        rest = classes if divided is None else np.where(divided, 0, classes)
        whole = instances_of(rest).astype(np.int64)
        where = _firsts(whole)
        if where.size:
            self._class_of.append(classes.ravel()[where])
            first = self._objects.add(where.size)
            whole[whole > 0] += first - 1
        return whole if divided is None else np.where(divided, cut, whole)

    def _store(self, block: Block, parts: Ints) -> None:
        for y in range(0, block.height, TILE_PX):
            for x in range(0, block.width, TILE_PX):
                tile = parts[y : y + TILE_PX, x : x + TILE_PX]
                self.parts.put((block.y + y) // TILE_PX, (block.x + x) // TILE_PX, tile)

    def _meet(self, block: Block, top: Ints, first: Ints, cut: Numbers) -> None:
        """Join a block to those above and left of it, which meet its top row and first column."""
        held, row, column = self._held, block.row, block.column
        left, above = held.get((row, column - 1)), held.get((row - 1, column))
        if left is not None:
            self._match(
                _unpacked(left.around_right, cut[:, : 2 * self._halo].shape),
                cut[:, : 2 * self._halo],
            )
            self._touch(left.right, first)
        if above is not None:
            self._match(
                _unpacked(above.around_bottom, cut[: 2 * self._halo].shape), cut[: 2 * self._halo]
            )
            self._touch(above.bottom, top)
        for other, mine in ((column - 1, top[:, :1]), (column + 1, top[:, -1:])):
            corner = held.get((row - 1, other))
            if corner is not None:
                end = corner.bottom[:, -1:] if other < column else corner.bottom[:, :1]
                self._touch(end, mine, parts=False)

    def _match(self, theirs: Numbers, mine: Numbers) -> None:
        """Objects that were cut in two windows are one where they cover the same pixels."""
        both = (theirs > 0) & (mine > 0)
        if not both.any():
            return
        pairs, common = np.unique(np.stack([theirs[both], mine[both]]), axis=1, return_counts=True)
        sizes = []
        for values, own in ((theirs, pairs[0]), (mine, pairs[1])):
            present, counts = np.unique(values, return_counts=True)
            sizes.append(counts[np.searchsorted(present, own)])
        same = common > SAME * (sizes[0] + sizes[1] - common)
        for a, b in pairs[:, same].T.tolist():
            self._objects.join(a, b)

    def _touch(self, theirs: Ints, mine: Ints, *, parts: bool = True) -> None:
        """Join what touches over a seam: (class, object, part) along its two sides."""
        length = theirs.shape[1]
        for shift in (0, -1, 1):
            a = theirs[:, max(shift, 0) : length + min(shift, 0)]
            b = mine[:, max(-shift, 0) : length - max(shift, 0)]
            same = (a[0] == b[0]) & (a[0] > 0)
            if not same.any():
                continue
            free = same & ~np.isin(a[0], self._split)
            for x, y in np.unique(np.stack([a[1, free], b[1, free]]), axis=1).T.tolist():
                self._objects.join(x, y)
            if shift == 0 and parts:
                pairs = np.stack([a[2, same], b[2, same], a[1, same], b[1, same]])
                self._later += [tuple(p) for p in np.unique(pairs, axis=1).T.tolist()]


def instances_of_four(objects: Ints) -> Numbers:
    """4-connected parts of equal value, numbered from 1 in reading order."""
    from skimage.measure import label

    found = label(objects, background=0, connectivity=1)  # type: ignore[no-untyped-call]
    return np.asarray(found).astype(np.int64)


def _firsts(numbers: Ints) -> Numbers:
    """Where each of the numbers 1, 2, … comes first, counted along the rows."""
    flat = numbers.ravel()
    inside = np.flatnonzero(flat)[::-1]
    where = np.zeros(int(flat.max(initial=0)) + 1, dtype=np.int64)
    where[flat[inside]] = inside  # of those that are equal the last is kept
    return where[1:]


def _packed(strip: Numbers) -> bytes:
    return zlib.compress(np.ascontiguousarray(strip).tobytes(), 1) if strip.any() else b""


def _unpacked(packed: bytes, shape: tuple[int, ...]) -> Numbers:
    if not packed:
        return np.zeros(shape, dtype=np.int64)
    return np.frombuffer(zlib.decompress(packed), dtype=np.int64).reshape(shape)
