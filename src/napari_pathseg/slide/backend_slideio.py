"""slideio, an optional extra: Olympus VSI, and Zeiss CZI that OpenSlide does not know."""

from __future__ import annotations

import threading
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Pair, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Pixels, Plane, SlideMetadata, Stack
from napari_pathseg.slide.channels import default_channels
from napari_pathseg.slide.identity import identity_of, identity_of_scene
from napari_pathseg.slide.planes import LibrarySlide
from napari_pathseg.slide.scale import plausible_mpp
from napari_pathseg.slide.scenes import Picture, Scenes, scenes_of

# An optional extra: by name, so that neither checkers nor installers take it for a requirement.
slideio = import_module("slideio")

SLIDEIO_ERRORS = (RuntimeError, ValueError, TypeError, IndexError, OSError, MemoryError)
DRIVERS = {".vsi": "VSI", ".czi": "CZI", ".zvi": "ZVI"}
MAX_SIDE_PX = 4_000_000


class SlideioSlide(LibrarySlide):
    """One scene of a file that slideio reads.

    Parameters
    ----------
    path : Path
    scene : int, optional
        The largest by default.

    Raises
    ------
    UnsupportedSlideError
        When the file holds no scene.
    DamagedSlideError
        When slideio can not open or read it.
    """

    remedy = "Copy the slide again, with all files it needs."

    def __init__(self, path: Path, scene: int | None = None) -> None:
        super().__init__()
        self.path = path
        # slideio says nothing of threads: one read at a time.
        self._lock = threading.Lock()
        try:
            self._file: Any = slideio.open_slide(
                str(path), DRIVERS.get(path.suffix.lower(), "AUTO")
            )
            self._prepare(scene)
        except SLIDEIO_ERRORS as error:
            raise self._damaged("the slide can not be opened", error) from error

    def _prepare(self, scene: int | None) -> None:
        file = self._file
        stored = [file.get_scene(i) for i in range(file.num_scenes)]
        pictures = [
            Picture(i, str(one.name), one.size[0] * one.size[1]) for i, one in enumerate(stored)
        ]
        scenes = scenes_of(pictures, self.path)
        self.scenes = scenes.names
        self.scene = scenes.chosen(self.path, scene)
        self._scene: Any = stored[scenes.pictures[self.scene].index]
        self.associated_names = tuple(str(name) for name in self._scene.get_aux_image_names())
        self.levels = _levels(self._scene, self.path)
        self._is_rgb = _is_rgb(self._scene)
        names = [self._scene.get_channel_name(i) for i in range(self._scene.num_channels)]
        self.stack = Stack(
            z=max(int(self._scene.num_z_slices), 1),
            t=max(int(self._scene.num_t_frames), 1),
            channels=() if self._is_rgb else default_channels(len(names), names),
            dtype="uint8" if self._is_rgb else _dtype(self._scene),
        )
        self.metadata = self._metadata(scenes)

    def __reduce__(self) -> tuple[type[SlideioSlide], tuple[Path, int]]:
        return type(self), (self.path, self.scene)

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        if name not in self.associated_names:
            return super().associated(name)
        with self._lock:
            try:
                picture = np.asarray(self._opened().get_aux_image_raster(name).read_block())
            except SLIDEIO_ERRORS as error:
                raise self._damaged(f"the {name} picture is broken", error) from error
        pixels = picture.reshape(*picture.shape[:2], -1).astype(np.uint8)
        return np.repeat(pixels[..., :1], 3, axis=2) if pixels.shape[2] < 3 else pixels[..., :3]

    def close(self) -> None:
        """Release the file when the read that is running has ended."""
        with self._lock:
            self._scene = self._file = None

    def _plane(self, level: int, place: tuple[int, int, int, int], plane: Plane) -> Pixels:
        y, x, height, width = place
        options = {
            "channel_indices": [] if plane.channel is None else [plane.channel],
            "slices": (plane.z, plane.z + 1),
            "frames": (plane.t, plane.t + 1),
        }
        with self._lock:
            try:
                block = self._opened().read_block_from_level(
                    level, (x, y, width, height), **options
                )
            except SLIDEIO_ERRORS as error:
                where = f"level {level}, pixels {list(place)} can not be read"
                raise self._damaged(where, error) from error
        pixels = np.asarray(block).reshape(height, width, -1)
        return np.ascontiguousarray(pixels) if self._is_rgb else pixels[..., 0]

    def _opened(self) -> Any:
        if self._scene is None:
            raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
        return self._scene

    def _metadata(self, scenes: Scenes) -> SlideMetadata:
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
            identity=identity_of_scene(identity_of(members, root), self.scene, scenes.main),
            properties={"slideio.scene": str(scene.name), "slideio.scenes": str(len(scenes.names))},
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


def _dtype(scene: Any) -> str:
    return np.dtype(str(scene.get_channel_data_type(0))).name


def _mpp(scene: Any) -> Pair | None:
    """Resolution is (x, y) in metres; 0 when unknown."""
    across_m, down_m = scene.resolution
    return plausible_mpp(down_m * 1e6, across_m * 1e6)
