"""zarr: OME-Zarr 0.4 and 0.5, in a folder or a zip archive."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import weakref
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import ZipStore

from napari_pathseg.errors import (
    DamagedSlideError,
    SlideError,
    UnsupportedSlideError,
    one_line,
)
from napari_pathseg.geometry import Field, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Pixels, Plane, SlideMetadata, Stack
from napari_pathseg.slide.channels import Channel, default_channels
from napari_pathseg.slide.identity import identity_of, identity_of_scene
from napari_pathseg.slide.mixing import middle_window
from napari_pathseg.slide.pixels import alpha_on_white, to_uint8
from napari_pathseg.slide.planes import PlaneSlide
from napari_pathseg.slide.scale import is_smaller_copy
from napari_pathseg.slide.zarr_scenes import pictures_of
from napari_pathseg.slide.zarr_store import InsideStore

ZARR_ERRORS = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OSError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    NotImplementedError,
    AssertionError,
    RecursionError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What zarr and its codecs are seen to raise on damaged stores."""

MAX_CHUNK_BYTES = 1 << 30
MIN_CHUNK_PX = 256
MAX_SIDE_PX = 4_000_000
RGB_COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class ZarrSlide(PlaneSlide):
    """An OME-Zarr picture.

    Parameters
    ----------
    path : Path
        Folder, or zip archive of one.
    scene : int, optional
        Which of its pictures that are slides; the largest by default.

    Raises
    ------
    UnsupportedSlideError
        When it holds no OME-Zarr picture.
    DamagedSlideError
        When metadata or arrays are broken.
    """

    reads_in_threads = True

    def __init__(self, path: Path, scene: int | None = None) -> None:
        super().__init__()
        self.path = path
        with self._wrapped("the slide can not be opened"):
            self._store = InsideStore(path) if path.is_dir() else ZipStore(path)
            weakref.finalize(self, self._store.close)
            self._arrays: list[zarr.Array[Any]] = []
            try:
                self._prepare(scene)
            except BaseException:
                self._store.close()
                raise

    def _prepare(self, scene: int | None) -> None:
        self._found, self._pictures = pictures_of(zarr.open_group(self._store, mode="r"), self.path)
        self.scenes = self._pictures.names
        self.scene = self._pictures.chosen(self.path, scene)
        self.associated_names = tuple(picture.name for picture in self._pictures.associated)
        group = self._use(self._pictures.pictures[self.scene].index)
        self.metadata = SlideMetadata(
            backend="zarr",
            vendor="ome-zarr",
            mpp=self.layout.mpp,
            objective_power=None,
            identity=self._identity(group),
            properties=self._properties(),
        )

    def _use(self, picture: int) -> zarr.Group:
        """Take the arrays, levels and channels of one of the pictures."""
        group, self.layout = self._found[picture]
        every: list[Any] = [group[name] for name in self.layout.paths]
        for array in every:
            self._check(array)
        self._arrays = arrays = _descending(every, self.layout.axes)
        self._rgb_axis, channels = self._kind()
        lengths = dict(zip(self.layout.axes, arrays[0].shape, strict=True))
        self.stack = Stack(
            int(lengths.get("z", 1)),
            int(lengths.get("t", 1)),
            self.layout.z_um,
            self.layout.t_s,
            channels,
            "uint8" if self._rgb_axis else arrays[0].dtype.name,
        )
        self.levels = _levels(arrays, self.layout.axes)
        return group

    def __reduce__(self) -> tuple[type[ZarrSlide], tuple[Path, int]]:
        return type(self), (self.path, self.scene)

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        for picture in self._pictures.associated:
            if picture.name == name:
                other = ZarrSlide(self.path)
                with other, self._wrapped(f"the {name} picture can not be opened"):
                    other._use(picture.index)
                    height, width = other.shape
                    return other.read(Field(0, 0, 0, height, width, (1.0, 1.0)))
        return super().associated(name)

    def close(self) -> None:
        """Release the files."""
        self._arrays = []
        self._store.close()

    def _planes(
        self, level: int, y: int, x: int, height: int, width: int, planes: Sequence[Plane]
    ) -> list[Pixels]:
        place = (y, x, height, width)
        with self._wrapped(f"level {level}, pixels {list(place)} can not be read"):
            if self._rgb_axis is not None:
                return [self._rgb(level, plane, place) for plane in planes]
            if len(planes) > 1 and len(planes) == len(self.stack.channels):
                # All channels of one focus and time at once: they may share a chunk.
                return list(self._channels(level, planes[0], place, slice(None)))
            one = (self._channels(level, plane, place, plane.channel or 0) for plane in planes)
            return [channels[0] for channels in one]

    def _rgb(self, level: int, plane: Plane, place: tuple[int, int, int, int]) -> RGB:
        # Stored with the colours last, as most are, it is contiguous already.
        channels = self._channels(level, plane, place, slice(None))
        stacked = np.ascontiguousarray(channels.transpose(1, 2, 0))
        # Numbers with a fraction are either 0 to 1 or, oftener in slides, 0 to 255.
        window = (0.0, 255.0) if stacked.dtype.kind == "f" and stacked.max(initial=0) > 1 else None
        pixels = to_uint8(stacked, window)
        return alpha_on_white(pixels) if pixels.shape[2] == 4 else pixels

    def _channels(
        self, level: int, plane: Plane, place: tuple[int, int, int, int], wanted: int | slice
    ) -> Pixels:
        """Windows of the wanted channels, (channels, height, width)."""
        arrays = self._arrays  # another thread may close the slide meanwhile
        if not arrays:
            raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
        y, x, height, width = place
        keys: dict[str, int | slice] = {
            "y": slice(y, y + height),
            "x": slice(x, x + width),
            "z": plane.z,
            "t": plane.t,
        }
        keys["c"] = keys["s"] = wanted if isinstance(wanted, slice) else slice(wanted, wanted + 1)
        axes = self.layout.axes
        values = np.asarray(arrays[level][tuple(keys[axis] for axis in axes)])
        order = ["c" if axis == "s" else axis for axis in axes if axis not in ("z", "t")]
        if "c" not in order:
            return (values if order == ["y", "x"] else values.T)[None]
        return values.transpose(order.index("c"), order.index("y"), order.index("x"))

    def _check(self, array: Any) -> None:
        if not isinstance(array, zarr.Array) or array.ndim != len(self.layout.axes):
            raise DamagedSlideError(f"{self.path}: a level does not fit the axes it names.")
        chunk_bytes = float(np.prod(array.chunks, dtype=float)) * array.dtype.itemsize
        if max(array.shape) > MAX_SIDE_PX or min(array.shape) < 1 or chunk_bytes > MAX_CHUNK_BYTES:
            raise DamagedSlideError(
                f"{self.path}: a level claims shape {array.shape} in chunks of {array.chunks}, "
                "which is refused."
            )
        y, x = (int(array.chunks[self.layout.axes.index(axis)]) for axis in "yx")
        if y * x < MIN_CHUNK_PX and max(array.shape) > MIN_CHUNK_PX:
            raise DamagedSlideError(
                f"{self.path}: chunks of {y} x {x} pixels are too small to be read in time.",
                "Convert the slide to chunks of 256 x 256 pixels or more.",
            )
        if array.dtype.kind not in "buif":
            raise UnsupportedSlideError(f"{self.path}: pixels of type {array.dtype} are not read.")
        if isinstance(self._store, InsideStore):
            self._store.watch(array)

    def _kind(self) -> tuple[str | None, tuple[Channel, ...]]:
        """The axis of red, green and blue, or the channels to mix."""
        axes, shape = self.layout.axes, self._arrays[0].shape
        if "s" in axes and shape[axes.index("s")] in (3, 4):
            return "s", ()
        if "c" not in axes and "s" not in axes:
            return None, default_channels(1)
        axis = "c" if "c" in axes else "s"
        count = shape[axes.index(axis)]
        named = self.layout.channels
        colors = tuple(channel.color for channel in named)
        if count == 3 and self._arrays[0].dtype == np.uint8 and colors in ((), RGB_COLORS):
            return axis, ()
        return None, named if len(named) == count else default_channels(count)

    def _identity(self, group: zarr.Group) -> str:
        """Of the archive's bytes, or of metadata and overview: a folder can have many files."""
        if self.path.is_file():
            whole = identity_of([self.path])
            return identity_of_scene(whole, self.scene, self._pictures.main)
        digest = hashlib.sha256(json.dumps(dict(group.attrs), sort_keys=True).encode())
        last = len(self.levels) - 1
        y, x, height, width = middle_window(*self.levels[last].shape)
        digest.update(str([level.shape for level in self.levels]).encode())
        place = (y, x, min(height, 512), min(width, 512))
        for channel in self._channels(last, self.stack.shown, place, slice(None)):
            digest.update(np.ascontiguousarray(channel).tobytes())
        return digest.hexdigest()

    def _properties(self) -> dict[str, str]:
        array = self._arrays[0]
        return {
            "zarr.format": str(array.metadata.zarr_format),
            "zarr.axes": "".join(self.layout.axes),
            "zarr.shape": str(array.shape),
            "zarr.chunks": str(array.chunks),
            "zarr.channels": ", ".join(channel.name for channel in self.stack.channels),
        }

    @contextlib.contextmanager
    def _wrapped(self, what: str) -> Iterator[None]:
        """Turn what zarr and its codecs leak into one line with the path."""
        try:
            yield
        except ZARR_ERRORS as error:
            raise DamagedSlideError(
                f"{self.path}: {what}: {one_line(error)}.", "Copy the slide again from its source."
            ) from error


def _descending(arrays: Sequence[Any], axes: Sequence[str]) -> list[Any]:
    """Arrays from the finest, as far as each is a smaller copy of the one before."""
    y, x = axes.index("y"), axes.index("x")

    def shape(array: Any) -> tuple[int, int]:
        return int(array.shape[y]), int(array.shape[x])

    ordered = sorted(arrays, key=lambda array: -shape(array)[0] * shape(array)[1])
    kept = ordered[:1]
    for array in ordered[1:]:
        if not is_smaller_copy(shape(kept[0]), shape(kept[-1]), shape(array)):
            break
        kept.append(array)
    return kept


def _levels(arrays: Sequence[Any], axes: Sequence[str]) -> tuple[Level, ...]:
    y, x = axes.index("y"), axes.index("x")
    shapes = [(int(array.shape[y]), int(array.shape[x])) for array in arrays]
    return tuple(
        Level(
            shape,
            exact_downsample(shapes[0], shape),
            (int(array.chunks[y]), int(array.chunks[x])),
        )
        for shape, array in zip(shapes, arrays, strict=True)
    )
