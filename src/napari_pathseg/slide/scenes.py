"""Which pictures of a file are slides of their own, and which are shown only on request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.errors import UnsupportedSlideError

ASSOCIATED = re.compile(r"\b(label|macro|thumbnail|overview|map|barcode|preview)\b", re.IGNORECASE)
SMALL = 16
"""A picture this many times smaller than the slide, and without a name, may be its label."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of a file: where the backend finds it, its name and its pixels."""

    index: int
    name: str
    area: int


@dataclass(frozen=True, slots=True)
class Scenes:
    """The pictures of a file.

    Attributes
    ----------
    pictures : tuple of Picture
        Slides of their own, in the order of the file.
    associated : tuple of Picture
        Label, macro, thumbnail and small pictures without a name: a label can carry a patient's
        name, so these are shown only on request.
    main : int
        Which of `pictures` is meant when nobody says: the largest.
    """

    pictures: tuple[Picture, ...]
    associated: tuple[Picture, ...]
    main: int

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scenes, "" where the file gives none."""
        return tuple(picture.name for picture in self.pictures)

    def chosen(self, path: Path, scene: int | None) -> int:
        """Which of `pictures` to open; UnsupportedSlideError when there is no such scene."""
        if scene is None:
            return self.main
        if not 0 <= scene < len(self.pictures):
            raise UnsupportedSlideError(
                f"{path}: there is no scene {scene}; it has {len(self.pictures)}.",
                "Scenes are counted from 0.",
            )
        return scene


def is_associated(name: str) -> bool:
    """Whether a picture's name says that it is a label, macro, thumbnail or overview."""
    return ASSOCIATED.search(name.replace("_", " ")) is not None


def scenes_of(pictures: Sequence[Picture], path: Path) -> Scenes:
    """Sort the pictures of a file.

    Raises
    ------
    UnsupportedSlideError
        When none of them has pixels.
    """
    named = [picture for picture in pictures if not is_associated(picture.name)] or list(pictures)
    largest = max(named, key=lambda picture: (picture.area, -picture.index), default=None)
    if largest is None or largest.area <= 0:
        raise UnsupportedSlideError(f"{path}: it holds no picture.")
    kept = [p for p in named if p is largest or (p.area > 0 and _is_slide(p, largest))]
    rest = [picture for picture in pictures if picture not in kept]
    return Scenes(tuple(kept), _uniquely_named(rest), kept.index(largest))


def require_one_scene(path: Path, scene: int | None) -> None:
    """Raise UnsupportedSlideError when another scene than the only one is asked for."""
    if scene not in (None, 0):
        raise UnsupportedSlideError(f"{path}: there is no scene {scene}; it has 1.")


def _is_slide(picture: Picture, largest: Picture) -> bool:
    return bool(picture.name) or picture.area * SMALL >= largest.area


def _uniquely_named(pictures: Sequence[Picture]) -> tuple[Picture, ...]:
    seen: set[str] = set()
    named = []
    for picture in pictures:
        name = picture.name or f"picture {picture.index + 1}"
        name = f"{name} {picture.index + 1}" if name in seen else name
        seen.add(name)
        named.append(Picture(picture.index, name, picture.area))
    return tuple(named)
