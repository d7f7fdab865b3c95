"""A hash of a slide that stays the same when the file is moved or renamed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

END_BYTES = 1 << 16
BLOCK_BYTES = 1 << 12
BLOCKS = 16
MAX_MEMBERS = 256


def identity_of(members: Sequence[Path], root: Path | None = None) -> str:
    """Hash of sizes, heads, tails and evenly spaced blocks of a slide's files.

    A slide of gigabytes is hashed in milliseconds; two slides differ in at least
    their headers or their compressed sizes.

    Parameters
    ----------
    members : sequence of Path
        The files that make up the slide.
    root : Path, optional
        Folder whose relative member names are part of the hash; a single file's name never is.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    OSError
        When a member can not be read.
    """
    digest = hashlib.sha256(b"napari-pathseg slide 1")
    ordered = sorted(members, key=lambda path: _name(path, root))
    digest.update(len(ordered).to_bytes(8, "little"))
    detailed = max(len(ordered) // MAX_MEMBERS, 1)
    for index, path in enumerate(ordered):
        size = path.stat().st_size
        digest.update(f"\0{_name(path, root)}\0{size}\0".encode())
        if index % detailed == 0:
            for block in _sampled_blocks(path, size, few=len(ordered) > 8):
                digest.update(block)
    return digest.hexdigest()


def identity_of_scene(identity: str, scene: int, main: int) -> str:
    """Identity of one of several slides in a file; the main one has the file's own."""
    if scene == main:
        return identity
    return hashlib.sha256(f"{identity} scene {scene}".encode()).hexdigest()


def _name(path: Path, root: Path | None) -> str:
    return path.relative_to(root).as_posix() if root is not None else ""


def _sampled_blocks(path: Path, size: int, few: bool) -> Iterable[bytes]:
    end = BLOCK_BYTES if few else END_BYTES
    with path.open("rb") as file:
        yield file.read(end)
        if not few:
            for index in range(1, BLOCKS + 1):
                file.seek(size * index // (BLOCKS + 1))
                yield file.read(BLOCK_BYTES)
        file.seek(max(size - end, 0))
        yield file.read(end)
