"""slideio, an optional extra: Olympus VSI, and Zeiss CZI that OpenSlide does not know."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field, Pair, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.mixing import Plane, Window, display_windows, middle_window, mixed
from napari_pathseg.slide.ome import default_channels
from napari_pathseg.slide.pixels import read_on_white
from napari_pathseg.slide.scale import plausible_mpp

# An optional extra: by name, so that neither checkers nor installers take it for a requirement.
slideio = import_module("slideio")

SLIDEIO_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, OSError, MemoryError)
DRIVERS = {".vsi": "VSI", ".czi": "CZI", ".zvi": "ZVI"}
MAX_SIDE_PX = 4_000_000


class SlideioSlide(Slide):
    """The largest scene of a file that slideio reads.

    Parameters
    ----------
    path : Path

    Raises
    ------
    UnsupportedSlideError
        When the file holds no scene.
    DamagedSlideError
        When slideio can not open or read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # slideio says nothing of threads: one read at a time.
        self._lock = threading.Lock()
        self._windows: tuple[Window, ...] | None = None
        try:
            self._file: Any = slideio.open_slide(
                str(path), DRIVERS.get(path.suffix.lower(), "AUTO")
            )
            scenes = [self._file.get_scene(i) for i in range(self._file.num_scenes)]
            if not scenes:
                raise UnsupportedSlideError(f"{path}: slideio finds no picture in it.")
            self._scene: Any = max(scenes, key=lambda scene: scene.size[0] * scene.size[1])
            self.levels = _levels(self._scene, path)
            self._is_rgb = _is_rgb(self._scene)
            names = [self._scene.get_channel_name(i) for i in range(self._scene.num_channels)]
            self.channels = default_channels(len(names), [name for name in names if name])
            self.metadata = self._metadata(len(scenes))
        except SLIDEIO_ERRORS as error:
            raise self._damaged("the slide can not be opened", error) from error

    def __reduce__(self) -> tuple[type[SlideioSlide], tuple[Path]]:
        return type(self), (self.path,)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        def inside(y: int, x: int, height: int, width: int) -> RGB:
            planes = self._planes(field.level, y, x, height, width)
            if self._is_rgb:
                return np.ascontiguousarray(np.stack(planes, axis=-1))
            return mixed(planes, self._display_windows(), self.channels)

        return read_on_white(field, self.levels[field.level].shape, inside)

    def close(self) -> None:
        """Release the file when the read that is running has ended."""
        with self._lock:
            self._scene = self._file = None

    def _planes(self, level: int, y: int, x: int, height: int, width: int) -> list[Plane]:
        with self._lock:
            if self._scene is None:
                raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
            rect_xy = (x, y, width, height)
            try:
                block = np.asarray(self._scene.read_block_from_level(level, rect_xy))
            except SLIDEIO_ERRORS as error:
                place = f"level {level}, pixels [{y}, {x}, {height}, {width}] can not be read"
                raise self._damaged(place, error) from error
        cube = block.reshape(height, width, -1)
        return [cube[..., channel] for channel in range(cube.shape[2])]

    def _display_windows(self) -> tuple[Window, ...]:
        if self._windows is None:
            last = len(self.levels) - 1
            place = middle_window(*self.levels[last].shape)
            self._windows = tuple(display_windows(self._planes(last, *place)))
        return self._windows

    def _metadata(self, scenes: int) -> SlideMetadata:
        scene = self._scene
        members = [self.path]
        data = self.path.with_name(f"_{self.path.stem}_")
        root = None
        if data.is_dir():
            members, root = [file for file in data.rglob("*") if file.is_file()], data
        return SlideMetadata(
            backend="slideio",
            vendor={".vsi": "olympus", ".czi": "zeiss"}.get(self.path.suffix.lower(), "unknown"),
            mpp=_mpp(scene),
            objective_power=float(scene.magnification) or None,
            identity=identity_of(members, root),
            properties={"slideio.scene": str(scene.name), "slideio.scenes": str(scenes)},
        )

    def _damaged(self, what: str, error: BaseException) -> DamagedSlideError:
        reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
        return DamagedSlideError(
            f"{self.path}: {what}: {reason}.", "Copy the slide again, with all files it needs."
        )


def _levels(scene: Any, path: Path) -> tuple[Level, ...]:
    infos = [scene.get_zoom_level_info(i) for i in range(scene.num_zoom_levels)]
    shapes = [(int(info.size.height), int(info.size.width)) for info in infos]
    if not shapes or not all(0 < side <= MAX_SIDE_PX for shape in shapes for side in shape):
        raise DamagedSlideError(f"{path}: its header claims levels of {shapes[:3]} pixels.")
    tiles = [
        (int(info.tile_size.height) or 512, int(info.tile_size.width) or 512) for info in infos
    ]
    return tuple(
        Level(shape, exact_downsample(shapes[0], shape), tile)
        for shape, tile in zip(shapes, tiles, strict=True)
    )


def _is_rgb(scene: Any) -> bool:
    kinds = {str(scene.get_channel_data_type(i)) for i in range(scene.num_channels)}
    return scene.num_channels == 3 and kinds == {"uint8"}


def _mpp(scene: Any) -> Pair | None:
    """Resolution is (x, y) in metres; 0 when unknown."""
    across_m, down_m = scene.resolution
    return plausible_mpp(down_m * 1e6, across_m * 1e6)
