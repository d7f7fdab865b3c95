"""Decoded pixels of what was seen last, bounded by bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable

from napari_pathseg.slide.base import Pixels


class ChunkCache:
    """The chunks used last; safe under threads; a copy that was pickled begins empty.

    Parameters
    ----------
    max_bytes : int
        Nothing is held when it is 0.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._chunks: OrderedDict[Hashable, Pixels] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[type[ChunkCache], tuple[int]]:
        return type(self), (self._max_bytes,)

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._bytes

    def resize(self, max_bytes: int) -> None:
        """Hold at most this much from now on."""
        with self._lock:
            self._max_bytes = max_bytes
            self._shrink()

    def get(self, key: Hashable) -> Pixels | None:
        """The chunk of a key if it is held; it must not be written to."""
        with self._lock:
            chunk = self._chunks.get(key)
            if chunk is not None:
                self._chunks.move_to_end(key)
            return chunk

    def put(self, key: Hashable, chunk: Pixels) -> bool:
        """Hold a chunk, and let go of the oldest; False where it is not held.

        That is one that is larger than the cache, or that is held already.
        """
        with self._lock:
            if key in self._chunks or chunk.nbytes > self._max_bytes:
                return False
            self._chunks[key] = chunk
            self._bytes += chunk.nbytes
            self._shrink()
            return True

    def _shrink(self) -> None:
        while self._bytes > self._max_bytes and self._chunks:
            self._bytes -= self._chunks.popitem(last=False)[1].nbytes
