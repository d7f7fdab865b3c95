"""Embeddings kept on the disk, so that a place seen before is not encoded again."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import platformdirs

from napari_pathseg.models.base import Segmenter, TileEmbedding

SUFFIX = ".embedding"
_log = logging.getLogger(__name__)


def default_folder() -> Path:
    """Where embeddings are kept for the user."""
    return platformdirs.user_cache_path("napari-pathseg", appauthor=False) / "embeddings"


class EmbeddingStore:
    """Embeddings of tiles by their pixels and the model, the least used given up first.

    The pixels themselves are the key: whatever slide, level or colour they come from, the same
    pixels have the same embedding. A disk that is full or gone only costs time.

    Parameters
    ----------
    folder : Path
    max_bytes : int
        What all files together may take.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max = max_bytes
        self._size: int | None = None

    def encode(self, segmenter: Segmenter, *seen: npt.NDArray[np.uint8]) -> TileEmbedding:
        """The embedding of a tile (height, width, 3), and its context if one is given: kept, or
        made now and kept.
        """
        path = self._folder / f"{_key(segmenter, seen)}{SUFFIX}"
        known = self._load(path, segmenter.unpack)
        if known is not None:
            return known
        made = segmenter.encode(*seen)
        self._save(path, segmenter.pack(made))
        return made

    def _load(self, path: Path, unpack: Callable[[bytes], TileEmbedding]) -> TileEmbedding | None:
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        try:
            return unpack(data)
        except ValueError as error:
            _log.warning("%s is damaged and made again: %s", path, error)
            return None

    def _save(self, path: Path, data: bytes) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(data)
            Path(file.name).replace(path)
            self._make_room(len(data))
        except OSError as error:
            _log.warning("An embedding could not be kept: %s", error)

    def _make_room(self, added: int) -> None:
        """Give up the files used longest ago; the folder is listed only when it may be full."""
        if self._size is not None and self._size + added <= self._max:
            self._size += added
            return
        stats = [(p.stat(), p) for p in self._folder.iterdir() if p.is_file()]
        self._size = sum(stat.st_size for stat, _ in stats)
        for stat, path in sorted(stats, key=lambda pair: pair[0].st_mtime):
            if self._size <= self._max:
                return
            path.unlink(missing_ok=True)
            self._size -= stat.st_size


def _key(segmenter: Segmenter, seen: Sequence[npt.NDArray[np.uint8]]) -> str:
    digest = hashlib.blake2b(segmenter.card.sha256.encode(), digest_size=20)
    for image in seen:
        digest.update(repr(image.shape).encode())
        digest.update(np.ascontiguousarray(image).data)
    return digest.hexdigest()
