"""Pillow and imagecodecs: PNG, JPEG, BMP and WebP pictures, held in memory."""

from __future__ import annotations

import contextlib
import struct
import threading
import weakref
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError, one_line
from napari_pathseg.geometry import Field, Pair
from napari_pathseg.slide.base import RGB, Glimpse, Level, Slide, SlideMetadata
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.pixels import BLANK, read_on_white
from napari_pathseg.slide.scale import UM_PER_UNIT, mpp_of_resolution
from napari_pathseg.slide.scenes import require_one_scene
from napari_pathseg.slide.unpacking import Unpacking, first_look, unpacked

MAX_PIXELS = 200_000_000
"""A picture is held in memory whole: 600 MB at this size, and the file while it is decoded."""

AT_ONCE_PIXELS = 16_000_000
"""Of more pixels a viewer shows coarse levels as they are made, and need not wait for any."""

NOTHING_YET = np.full((1, 1, 3), BLANK, np.uint8)

PICTURE_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    SyntaxError,
    EOFError,
    OverflowError,
    MemoryError,
    AttributeError,
    AssertionError,
    struct.error,
    zlib.error,
    RuntimeError,
)
"""What Pillow's plugins and the codecs are seen to raise on damaged files."""

# The plugins are called by name: Image.open would warn, or refuse, by a global pixel limit.
PLUGINS: tuple[tuple[bytes, str, type[Any]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", "JPEG", JpegImagePlugin.JpegImageFile),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
    (b"RIFF", "WebP", WebPImagePlugin.WebPImageFile),
)


class PictureSlide(Slide):
    """A picture of one level, decoded as a whole and kept in memory.

    Pixels stand as they are stored: an EXIF rotation is not applied. It is decoded in a thread from
    now on, a large one when it is first read; all that are open of one file share the pixels.

    Parameters
    ----------
    path : Path
        PNG, JPEG, BMP or WebP file of at most `MAX_PIXELS` pixels.
    scene : int, optional
        Only 0.

    Raises
    ------
    UnsupportedSlideError
        For another kind of file, or a picture that is too large to hold.
    DamagedSlideError
        When its header can not be read; the rest is told by :meth:`settle` and by reading.
    """

    def __init__(self, path: Path, scene: int | None = None) -> None:
        require_one_scene(path, scene)
        self.path = path
        kind, plugin = _plugin(path)
        with _opened(path, kind, plugin) as picture:
            width, height = picture.size
            _check_size(path, width, height)
            mpp, mode = _mpp(picture), picture.mode
            icc = picture.info.get("icc_profile")
        self._unpacking = _unpacking(path, kind, plugin)
        self._is_small = width * height <= AT_ONCE_PIXELS
        if self._is_small:
            self._unpacking.begin(look=False)
        self._icc = bytes(icc) if icc and mode in ("RGB", "RGBA", "P") else None
        self.levels = (Level((height, width), (1.0, 1.0), (min(height, 512), min(width, 512))),)
        self.metadata = SlideMetadata(
            "pillow", kind, mpp, None, identity_of([path]), {"pillow.mode": mode}
        )

    def __reduce__(self) -> tuple[type[PictureSlide], tuple[Path]]:
        return type(self), (self.path,)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        def inside(y: int, x: int, height: int, width: int) -> RGB:
            return self._unpacking.pixels()[y : y + height, x : x + width].copy()

        return read_on_white(field, self.levels[field.level].shape, inside)

    def settle(self) -> None:  # noqa: D102 - as in Slide
        if self._is_small:
            self._unpacking.pixels()

    def glimpse(self, patience_s: float = 0.0) -> Glimpse:  # noqa: D102 - as in Slide
        self._unpacking.begin(look=True)
        self._unpacking.looked.wait(patience_s)
        final, look = self._unpacking.ended, self._unpacking.look
        return Glimpse(NOTHING_YET if look is None else look, final)

    def icc_profile(self) -> bytes | None:  # noqa: D102 - as in Slide
        return self._icc

    def close(self) -> None:
        """Nothing to release: the file is closed when it has been decoded."""


_open: weakref.WeakValueDictionary[tuple[Path, int, int], Unpacking] = weakref.WeakValueDictionary()
_open_lock = threading.Lock()


def _unpacking(path: Path, kind: str, plugin: type[Any]) -> Unpacking:
    """The pixels of a file, shared with who has it open already."""
    known = path.stat()
    with _open_lock:
        key = path.absolute(), known.st_mtime_ns, known.st_size
        works = (partial(_given_to, work, path, kind, plugin) for work in (unpacked, first_look))
        return _open.setdefault(key, Unpacking(*works))


def _given_to(work: Callable[[Any, Path], Any], path: Path, kind: str, plugin: type[Any]) -> Any:
    with _opened(path, kind, plugin) as picture:
        return work(picture, path)


@contextlib.contextmanager
def _opened(path: Path, kind: str, plugin: type[Any]) -> Iterator[Any]:
    with _wrapped(path, kind), plugin(path) as picture:
        yield picture


@contextlib.contextmanager
def _wrapped(path: Path, kind: str) -> Iterator[None]:
    """Whatever the libraries raise, as an error that names the file."""
    try:
        yield
    except PICTURE_ERRORS as error:
        raise DamagedSlideError(
            f"{path}: the {kind} picture is broken: {one_line(error)}.",
            "Copy or export the picture again.",
        ) from error


def _plugin(path: Path) -> tuple[str, type[Any]]:
    with path.open("rb") as file:
        head = file.read(16)
    for magic, kind, plugin in PLUGINS:
        if head.startswith(magic) and (kind != "WebP" or head[8:12] == b"WEBP"):
            return kind, plugin
    raise UnsupportedSlideError(
        f"{path}: this is not a PNG, JPEG, BMP or WebP picture.", "Export it as PNG or TIFF."
    )


def _check_size(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UnsupportedSlideError(
            f"{path}: {height} x {width} pixels are too many for a picture held in memory.",
            "Convert it to a tiled TIFF.",
        )


def _mpp(picture: Image.Image) -> Pair | None:
    dpi = picture.info.get("dpi")
    if not dpi:
        return None
    return mpp_of_resolution(float(dpi[1]), float(dpi[0]), UM_PER_UNIT["inch"])
