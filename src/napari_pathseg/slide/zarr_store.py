"""A folder as a zarr store that nothing leads out of."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import zarr
from zarr.abc.store import ByteRequest
from zarr.core.buffer import Buffer, BufferPrototype
from zarr.storage import LocalStore

from napari_pathseg.errors import DamagedSlideError

METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")
BLOSC_HEAD_BYTES = 16
"""Of a chunk; the last four tell how long it is."""

MAX_METADATA_BYTES = 64 << 20
MAX_MEMBER_BYTES = 8 << 30
MAX_EXPANSION = 2000
"""A member that grows more than this when it is unpacked is a bomb, not pixels."""


class InsideStore(LocalStore):
    """A read-only folder; links that lead out of it and huge metadata are refused.

    Parameters
    ----------
    root : Path
    """

    def __init__(self, root: Path | str, *, read_only: bool = True) -> None:
        super().__init__(root, read_only=read_only)
        self._real_root = os.path.realpath(root)
        self._folders_inside: set[str] = set()
        self._blosc: tuple[str, ...] = ()

    def watch(self, array: zarr.Array[Any]) -> None:
        """Refuse chunks of an array that are cut short, where its codec would read on behind them.

        Blosc believes the size that a chunk names, and can crash the process.
        """
        if array.shards is None and any("Blosc" in type(c).__name__ for c in array.compressors):
            self._blosc = (*self._blosc, f"{array.path}/")

    async def get(
        self,
        key: str,
        prototype: BufferPrototype | None = None,
        byte_range: ByteRequest | None = None,
    ) -> Buffer | None:
        """Bytes of a member, None when there is none; DamagedSlideError when it lies outside."""
        self._check(key)
        return self._whole(key, await super().get(key, prototype, byte_range))

    async def get_partial_values(
        self,
        prototype: BufferPrototype,
        key_ranges: Iterable[tuple[str, ByteRequest | None]],
    ) -> list[Buffer | None]:
        """Parts of members; DamagedSlideError when one lies outside."""
        wanted = list(key_ranges)
        for key, _ in wanted:
            self._check(key)
        return await super().get_partial_values(prototype, wanted)

    def _whole(self, key: str, chunk: Buffer | None) -> Buffer | None:
        if chunk is None or not key.startswith(self._blosc) or key.endswith(METADATA):
            return chunk
        head = chunk.as_numpy_array()[:BLOSC_HEAD_BYTES].tobytes()
        needed = int.from_bytes(head[-4:], "little")
        if len(head) < BLOSC_HEAD_BYTES or needed > len(chunk):
            raise DamagedSlideError(
                f"{self.root}: {key} is cut short: {len(chunk)} bytes are there.",
                "Copy the slide again from its source.",
            )
        return chunk

    def _check(self, key: str) -> None:
        folder, _, name = key.rpartition("/")
        if folder not in self._folders_inside:
            self._check_inside(key, os.path.realpath(self.root / folder))
            self._folders_inside.add(folder)
        # To follow all links on the way to each chunk would cost a tenth of reading it, and a Path
        # for each a twentieth.
        place = f"{self.root}{os.sep}{key}"
        if name in ("", ".", "..") or os.path.islink(place):  # noqa: PTH114
            self._check_inside(key, os.path.realpath(place))
        if name in METADATA and Path(place).is_file():
            _check_metadata(self.root, key, Path(place).stat().st_size)

    def _check_inside(self, key: str, place: str) -> None:
        if place != self._real_root and not place.startswith(self._real_root + os.sep):
            raise DamagedSlideError(
                f"{self.root}: {key} is a link that leads out of the slide, which is refused.",
                "Copy the file that it points to into the slide.",
            )


def check_archive(path: Path, members: Iterable[zipfile.ZipInfo]) -> None:
    """Refuse an archive with members that are absurdly large once they are unpacked.

    Raises
    ------
    DamagedSlideError
        Naming the member.
    """
    for member in members:
        if member.filename.rpartition("/")[2] in METADATA:
            _check_metadata(path, member.filename, member.file_size)
        expands = member.file_size > MAX_EXPANSION * max(member.compress_size, 1 << 10)
        if member.file_size > MAX_MEMBER_BYTES or expands:
            raise DamagedSlideError(
                f"{path}: {member.filename} claims {member.file_size} bytes, which is refused.",
                "Pack the slide again without compression.",
            )


def _check_metadata(path: Path, name: str, size: int) -> None:
    if size > MAX_METADATA_BYTES:
        raise DamagedSlideError(
            f"{path}: {name} of {size} bytes is not what describes a slide, and is refused."
        )
