"""pylibCZIrw, an optional extra: Zeiss CZI with all its scenes, channels and focal planes."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Pair, exact_downsample
from napari_pathseg.slide.base import Level, Pixels, Plane, SlideMetadata, Stack
from napari_pathseg.slide.channels import Channel, default_channels
from napari_pathseg.slide.identity import identity_of, identity_of_scene
from napari_pathseg.slide.planes import LibrarySlide
from napari_pathseg.slide.scale import plausible_mpp
from napari_pathseg.slide.scenes import Picture, scenes_of

# An optional extra: by name, so that neither checkers nor installers take it for a requirement.
czi = import_module("pylibCZIrw.czi")

CZI_ERRORS = (RuntimeError, ValueError, TypeError, KeyError, IndexError, OSError, MemoryError)
TILE_PX = 512
SMALLEST_PX = 1024
MAX_SIDE_PX = 4_000_000
PIXELS = {
    "Bgr24": "uint8",
    "Bgr48": "uint16",
    "Gray8": "uint8",
    "Gray16": "uint16",
    "Gray32Float": "float32",
}
WHITE = (1.0, 1.0, 1.0)


class CziSlide(LibrarySlide):
    """One scene of a CZI; the library makes every level from the pyramid in the file.

    Parameters
    ----------
    path : Path
    scene : int, optional
        The largest by default.

    Raises
    ------
    UnsupportedSlideError
        For pixels of an uncommon type.
    DamagedSlideError
        When the file can not be opened or read.
    """

    remedy = "Copy the slide again from its source."

    def __init__(self, path: Path, scene: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._lock = threading.Lock()
        try:
            self._file: Any = czi.CziReader(str(path))
            self._release = weakref.finalize(self, self._file.close)
            self._prepare(scene)
        except CZI_ERRORS as error:
            raise self._damaged("the slide can not be opened", error) from error

    def _prepare(self, scene: int | None) -> None:
        file = self._file
        boxes = dict(file.scenes_bounding_rectangle) or {0: file.total_bounding_rectangle}
        self._numbers = sorted(boxes)
        several = len(boxes) > 1
        pictures = [
            Picture(i, f"scene {number + 1}" if several else "", boxes[number].w * boxes[number].h)
            for i, number in enumerate(self._numbers)
        ]
        scenes = scenes_of(pictures, self.path)
        self.scenes = scenes.names
        self.scene = scenes.chosen(self.path, scene)
        self._box = boxes[self._numbers[self.scene]]
        metadata = _section(file.metadata, "ImageDocument", "Metadata")
        kinds = {str(kind) for kind in file.pixel_types.values()}
        self._is_rgb = kinds <= {"Bgr24", "Bgr48"}
        if len(kinds) != 1 or not kinds <= set(PIXELS):
            raise UnsupportedSlideError(f"{self.path}: pixels of types {sorted(kinds)} are mixed.")
        (self._kind,) = kinds
        self.levels = _levels(self._box.h, self._box.w, self.path)
        lengths = {axis: high - low for axis, (low, high) in file.total_bounding_box.items()}
        z_m = _distances(metadata).get("Z")
        self.stack = Stack(
            int(lengths.get("Z", 1)),
            int(lengths.get("T", 1)),
            z_m * 1e6 if z_m else None,
            None,
            () if self._is_rgb else _channels(metadata, len(file.pixel_types)),
            "uint8" if self._is_rgb else PIXELS[self._kind],
        )
        self.metadata = SlideMetadata(
            backend="pylibCZIrw",
            vendor="zeiss",
            mpp=_mpp(metadata),
            objective_power=_power(metadata),
            identity=identity_of_scene(identity_of([self.path]), self.scene, scenes.main),
            properties={"czi.scenes": str(len(boxes)), "czi.pixels": self._kind},
        )

    def __reduce__(self) -> tuple[type[CziSlide], tuple[Path, int]]:
        return type(self), (self.path, self.scene)

    def close(self) -> None:
        """Release the file when the read that is running has ended."""
        with self._lock:
            self._release()
            self._file = None

    def _plane(self, level: int, place: tuple[int, int, int, int], plane: Plane) -> Pixels:
        y, x, height, width = place
        step = 2**level
        roi_xy = (self._box.x + x * step, self._box.y + y * step, width * step, height * step)
        options = {
            "plane": {"C": plane.channel or 0, "Z": plane.z, "T": plane.t},
            "scene": self._numbers[self.scene] if len(self._numbers) > 1 else None,
            "zoom": 1 / step,
            "background_pixel": WHITE if self._is_rgb else (0.0, 0.0, 0.0),
        }
        with self._lock:
            if self._file is None:
                raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
            try:
                pixels = np.asarray(self._file.read(roi=roi_xy, **options))
            except CZI_ERRORS as error:
                raise self._damaged(
                    f"level {level}, pixels {list(place)} can not be read", error
                ) from error
        pixels = pixels[:height, :width]
        if not self._is_rgb:
            return pixels[..., 0]
        bgr = pixels if pixels.dtype == np.uint8 else (pixels >> 8).astype(np.uint8)
        return np.ascontiguousarray(bgr[..., ::-1])


def _levels(height: int, width: int, path: Path) -> tuple[Level, ...]:
    """Each half as large as the one before, down to an overview."""
    if not all(0 < side <= MAX_SIDE_PX for side in (height, width)):
        raise DamagedSlideError(f"{path}: its header claims {height} x {width} pixels.")
    levels = [Level((height, width), (1.0, 1.0), (TILE_PX, TILE_PX))]
    while max(levels[-1].shape) > SMALLEST_PX and min(levels[-1].shape) > 1:
        step = 2 ** len(levels)
        shape = (height // step, width // step)
        levels.append(Level(shape, exact_downsample((height, width), shape), (TILE_PX, TILE_PX)))
    return tuple(levels)


def _section(metadata: Any, *names: str) -> Mapping[str, Any]:
    """A part of the nested metadata, empty where a step is missing."""
    for name in names:
        metadata = metadata.get(name) if isinstance(metadata, Mapping) else None
    return metadata if isinstance(metadata, Mapping) else {}


def _listed(value: Any) -> list[Mapping[str, Any]]:
    """One element or several of the same name."""
    items = value if isinstance(value, list) else [value]
    return [item for item in items if isinstance(item, Mapping)]


def _distances(metadata: Mapping[str, Any]) -> dict[str, float]:
    """Metres a pixel along each axis."""
    found: dict[str, float] = {}
    for item in _listed(_section(metadata, "Scaling", "Items").get("Distance")):
        try:
            found[str(item.get("@Id"))] = float(item.get("Value", 0))
        except (TypeError, ValueError):
            continue
    return found


def _mpp(metadata: Mapping[str, Any]) -> Pair | None:
    distances = _distances(metadata)
    return plausible_mpp(distances.get("Y", 0.0) * 1e6, distances.get("X", 0.0) * 1e6)


def _power(metadata: Mapping[str, Any]) -> float | None:
    objectives = _section(metadata, "Information", "Instrument", "Objectives").get("Objective")
    for objective in _listed(objectives):
        try:
            return float(objective.get("NominalMagnification", "")) or None
        except (TypeError, ValueError):
            continue
    return None


def _channels(metadata: Mapping[str, Any], count: int) -> tuple[Channel, ...]:
    described = _section(metadata, "Information", "Image", "Dimensions", "Channels").get("Channel")
    listed = _listed(described)
    names = [str(item.get("@Name") or "") for item in listed]
    defaults = default_channels(count, names)
    shown = _listed(_section(metadata, "DisplaySetting", "Channels").get("Channel"))
    colors = [_color(item.get("Color")) for item in (shown or listed)]
    return tuple(
        Channel(channel.name, color if color is not None else channel.color)
        for channel, color in zip(defaults, [*colors, *[None] * count], strict=False)
    )


def _color(text: Any) -> tuple[int, int, int] | None:
    """#AARRGGBB, as Zeiss writes colours."""
    try:
        red, green, blue = bytes.fromhex(str(text).lstrip("#"))[-3:]
    except ValueError:
        return None
    return red, green, blue
