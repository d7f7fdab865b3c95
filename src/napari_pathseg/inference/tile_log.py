"""The answers of a slide's tiles on the disk, so that work that was stopped goes on there."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from napari_pathseg.closing import Closing

_MAGIC = b"pathseg-tiles-1\n"
_HEAD = struct.Struct("<IIHHH")  # look, tile, classes, height, width
_CHECK = struct.Struct("<I")
Key = tuple[int, int]


@dataclass(frozen=True, slots=True, eq=False)
class TileResult:
    """What one tile says about the classes that are looked at together.

    Attributes
    ----------
    logits : float16 array (classes, height / 4, width / 4)
    presence, scores : float32 array (classes,)
    """

    logits: npt.NDArray[np.float16]
    presence: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]


def tiles_kept(path: Path, work: Mapping[str, Any]) -> Collection[Key]:
    """The tiles of some work that a log holds; it stays as it is, there or not."""
    try:
        with path.open("rb") as file:
            return _whole_records(file, _start_of(work))[0]
    except FileNotFoundError:
        return ()


class TileLog(Closing):
    """Appended tile by tile; what a crash cut short is left out when it is opened again.

    Parameters
    ----------
    path : Path
        Made when missing, and made anew when it belongs to other work.
    work : mapping
        All that the answers depend on, as plain values for JSON.
    """

    def __init__(self, path: Path, work: Mapping[str, Any]) -> None:
        start = _start_of(work)
        self._file: BinaryIO = path.open("r+b" if path.exists() else "w+b")
        self._places, end = _whole_records(self._file, start)
        self._file.seek(end)
        self._file.truncate()
        if not end:
            self._file.write(start)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def get(self, key: Key) -> TileResult:
        """The result of (look, tile); KeyError when it is not there."""
        self._file.seek(self._places[key])
        found = _record(self._file)
        self._file.seek(0, 2)
        if found is None:
            raise KeyError(key)
        return found[1]

    def put(self, key: Key, result: TileResult) -> None:
        """Keep the result of (look, tile)."""
        place = self._file.tell()
        head = _HEAD.pack(*key, *result.logits.shape)
        body = result.presence.tobytes() + result.scores.tobytes() + result.logits.tobytes()
        self._file.write(head + body + _CHECK.pack(zlib.crc32(head + body)))
        self._file.flush()
        self._places[key] = place

    def close(self) -> None:
        """Release the file."""
        self._file.close()


def _start_of(work: Mapping[str, Any]) -> bytes:
    """What the log of some work begins with."""
    text = json.dumps(work, sort_keys=True).encode()
    return _MAGIC + hashlib.sha256(text).digest()


def _whole_records(file: BinaryIO, start: bytes) -> tuple[dict[Key, int], int]:
    """Where the whole records are, and where the last one ends; 0 when the file is of other work
    than that whose log begins with `start`.
    """
    places: dict[Key, int] = {}
    if file.read(len(start)) != start:
        return places, 0
    while True:
        place = file.tell()
        found = _record(file)
        if found is None:
            return places, place
        places[found[0]] = place


def _record(file: BinaryIO) -> tuple[Key, TileResult] | None:
    """The record at the file's place, None when it is not whole."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    look, tile, classes, height, width = _HEAD.unpack(head)
    small, large = 4 * classes, 2 * classes * height * width
    body = file.read(2 * small + large)
    check = file.read(_CHECK.size)
    if len(check) < _CHECK.size or _CHECK.unpack(check)[0] != zlib.crc32(head + body):
        return None
    numbers = np.frombuffer(body[: 2 * small], np.float32)
    logits = np.frombuffer(body[2 * small :], np.float16).reshape(classes, height, width)
    return (look, tile), TileResult(logits, numbers[:classes], numbers[classes:])
