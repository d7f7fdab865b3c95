"""zarr: OME-Zarr 0.4 and 0.5, in a folder or a zip archive."""

from __future__ import annotations

import contextlib
import hashlib
import json
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.storage import LocalStore, ZipStore

from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.mixing import Plane, Window, display_windows, middle_window, mixed
from napari_pathseg.slide.ome import Channel, default_channels
from napari_pathseg.slide.pixels import alpha_on_white, read_on_white, to_uint8
from napari_pathseg.slide.zarr_layout import ZarrLayout, layout_of

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
MAX_SIDE_PX = 4_000_000
RGB_COLORS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


class ZarrSlide(Slide):
    """An OME-Zarr picture; stacks show their middle focal plane and first time point.

    Parameters
    ----------
    path : Path
        Folder, or zip archive of one.

    Raises
    ------
    UnsupportedSlideError
        When it holds no OME-Zarr picture.
    DamagedSlideError
        When metadata or arrays are broken.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._window_lock = threading.Lock()
        self._windows: tuple[Window, ...] | None = None
        with self._wrapped("the slide can not be opened"):
            self._store = LocalStore(path, read_only=True) if path.is_dir() else ZipStore(path)
            self._arrays: list[zarr.Array[Any]] = []
            try:
                self._prepare()
            except BaseException:
                self._store.close()
                raise

    def _prepare(self) -> None:
        group, self.layout = _picture(zarr.open_group(self._store, mode="r"), self.path)
        arrays: list[Any] = [group[name] for name in self.layout.paths]
        for array in arrays:
            self._check(array)
        self._arrays = arrays
        self._rgb_axis, self.channels = self._kind()
        y, x = self.layout.axes.index("y"), self.layout.axes.index("x")
        shapes = [(int(array.shape[y]), int(array.shape[x])) for array in arrays]
        self.levels = tuple(
            Level(
                shape,
                exact_downsample(shapes[0], shape),
                (int(array.chunks[y]), int(array.chunks[x])),
            )
            for shape, array in zip(shapes, arrays, strict=True)
        )
        self.metadata = SlideMetadata(
            backend="zarr",
            vendor="ome-zarr",
            mpp=self.layout.mpp,
            objective_power=None,
            identity=self._identity(group),
            properties=self._properties(),
        )

    def __reduce__(self) -> tuple[type[ZarrSlide], tuple[Path]]:
        return type(self), (self.path,)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        def inside(y: int, x: int, height: int, width: int) -> RGB:
            place = f"level {field.level}, pixels [{y}, {x}, {height}, {width}]"
            with self._wrapped(f"{place} can not be read"):
                return self._rgb(field.level, y, x, height, width)

        return read_on_white(field, self.levels[field.level].shape, inside)

    def close(self) -> None:
        """Release the files."""
        self._arrays = []
        self._store.close()

    def _rgb(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        planes = self._planes(level, y, x, height, width)
        if self._rgb_axis is None:
            return mixed(planes, self._display_windows(), self.channels)
        stacked = np.stack(planes, axis=-1)
        # Numbers with a fraction are either 0 to 1 or, oftener in slides, 0 to 255.
        window = (0.0, 255.0) if stacked.dtype.kind == "f" and stacked.max(initial=0) > 1 else None
        pixels = to_uint8(stacked, window)
        return alpha_on_white(pixels) if pixels.shape[2] == 4 else pixels

    def _planes(self, level: int, y: int, x: int, height: int, width: int) -> list[Plane]:
        """The channels of a window, each (height, width)."""
        arrays = self._arrays  # another thread may close the slide meanwhile
        if not arrays:
            raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
        array = arrays[level]
        key: list[slice | int] = []
        order: list[str] = []
        for axis, length in zip(self.layout.axes, array.shape, strict=True):
            if axis in ("y", "x"):
                start, size = (y, height) if axis == "y" else (x, width)
                key.append(slice(start, start + size))
                order.append(axis)
            elif axis in ("c", "s"):
                key.append(slice(None))
                order.append("c")
            else:
                key.append(length // 2 if axis == "z" else 0)
        values = np.asarray(array[tuple(key)])
        if "c" not in order:
            return [values if order == ["y", "x"] else values.T]
        moved = values.transpose(order.index("c"), order.index("y"), order.index("x"))
        return list(moved)

    def _display_windows(self) -> tuple[Window, ...]:
        """Measured once, when the first field is mixed."""
        with self._window_lock:
            if self._windows is None:
                last = len(self.levels) - 1
                place = middle_window(*self.levels[last].shape)
                self._windows = tuple(display_windows(self._planes(last, *place)))
            return self._windows

    def _check(self, array: Any) -> None:
        if not isinstance(array, zarr.Array) or array.ndim != len(self.layout.axes):
            raise DamagedSlideError(f"{self.path}: a level does not fit the axes it names.")
        chunk_bytes = float(np.prod(array.chunks, dtype=float)) * array.dtype.itemsize
        if max(array.shape) > MAX_SIDE_PX or min(array.shape) < 1 or chunk_bytes > MAX_CHUNK_BYTES:
            raise DamagedSlideError(
                f"{self.path}: a level claims shape {array.shape} in chunks of {array.chunks}, "
                "which is refused."
            )
        if array.dtype.kind not in "buif":
            raise UnsupportedSlideError(f"{self.path}: pixels of type {array.dtype} are not read.")

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
            return identity_of([self.path])
        digest = hashlib.sha256(json.dumps(dict(group.attrs), sort_keys=True).encode())
        last = len(self.levels) - 1
        y, x, height, width = middle_window(*self.levels[last].shape)
        digest.update(str([level.shape for level in self.levels]).encode())
        for plane in self._planes(last, y, x, min(height, 512), min(width, 512)):
            digest.update(np.ascontiguousarray(plane).tobytes())
        return digest.hexdigest()

    def _properties(self) -> dict[str, str]:
        array = self._arrays[0]
        return {
            "zarr.format": str(array.metadata.zarr_format),
            "zarr.axes": "".join(self.layout.axes),
            "zarr.shape": str(array.shape),
            "zarr.chunks": str(array.chunks),
            "zarr.channels": ", ".join(channel.name for channel in self.channels),
        }

    @contextlib.contextmanager
    def _wrapped(self, what: str) -> Iterator[None]:
        """Turn what zarr and its codecs leak into one line with the path."""
        try:
            yield
        except ZARR_ERRORS as error:
            reason = " ".join(str(error).split()).rstrip(".")[:200] or type(error).__name__
            raise DamagedSlideError(
                f"{self.path}: {what}: {reason}.", "Copy the slide again from its source."
            ) from error


def _picture(group: zarr.Group, path: Path) -> tuple[zarr.Group, ZarrLayout]:
    """The group itself or, where a converter left one series a folder, the first series."""
    layout = layout_of(dict(group.attrs), path)
    if layout is not None:
        return group, layout
    for name in ("0", path.name.removesuffix(".zip")):
        inner = group.get(name)
        if isinstance(inner, zarr.Group):
            layout = layout_of(dict(inner.attrs), path)
            if layout is not None:
                return inner, layout
    raise UnsupportedSlideError(
        f"{path}: this zarr holds no OME-Zarr picture (no multiscales in its metadata)."
    )
