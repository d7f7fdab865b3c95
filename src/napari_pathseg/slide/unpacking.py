"""A picture that is unpacked as a whole, from the top: rows are read as soon as they are there."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.pixels import alpha_on_white, to_uint8

HEAD_START_S = 0.1
"""The viewer draws first."""

TELL_EVERY_S = 0.15
BAND_PX = 256

Reached = Callable[[RGB, int], None]
"""Takes the pixels, and how many rows of them are there."""


class Unpacking:
    """The pixels of one file, decoded once by whoever asks first, or by a thread.

    Parameters
    ----------
    opened : callable
        Gives the picture in a `with` block, which turns what Pillow raises into DamagedSlideError.
    """

    def __init__(self, opened: Callable[[], AbstractContextManager[Any]]) -> None:
        self._opened = opened
        self._changed = threading.Condition()
        self._pixels: RGB | None = None
        self._rows = 0
        self._error: DamagedSlideError | None = None
        self._started = self._timed = False

    @property
    def ended(self) -> bool:
        """Whether all pixels are there."""
        return self._pixels is not None and self._rows == len(self._pixels)

    def begin(self) -> None:
        """Decode in a thread, soon."""
        if self._timed or self._started:
            return
        self._timed = True
        thread = threading.Timer(HEAD_START_S, self._decode)
        thread.daemon = True
        thread.start()

    def rows(self, stop: int) -> RGB:
        """The pixels, of which at least the first `stop` rows are there; waits for them.

        Raises
        ------
        DamagedSlideError
            When the picture can not be decoded.
        """
        if not self._timed:  # or who waits for the first rows would decode the last before
            self._decode()
        with self._changed:
            self._changed.wait_for(lambda: self._error is not None or self._rows >= stop)
            if self._error is not None:  # a new one, as each keeps who raised it
                raise DamagedSlideError(self._error.what, self._error.remedy)
            assert self._pixels is not None
            return self._pixels

    def _decode(self) -> None:
        """All of it, unless somebody does so already."""
        with self._changed:
            if self._started:
                return
            self._started = True
        try:
            with self._opened() as picture:
                pixels = unpacked(picture, self._reached)
        except DamagedSlideError as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()
        else:
            self._reached(pixels, len(pixels))

    def _reached(self, pixels: RGB, rows: int) -> None:
        with self._changed:
            self._pixels, self._rows = pixels, rows
            self._changed.notify_all()


def unpacked(picture: Any, reached: Reached) -> RGB:
    """Pixels of an opened picture, (height, width, 3), alpha on white.

    Parameters
    ----------
    picture : PIL.Image.Image
        Not loaded yet.
    reached : callable
        Told of rows that are there, now and then, where the kind of picture allows it.
    """
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _gray_to_rgb(np.asarray(picture), picture.mode)
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    out = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    following = _Following(picture, out, reached)
    if picture.mode == mode == "RGB" and not picture.info.get("interlace"):
        following.follow()
    picture.load()
    for top in range(following.rows, picture.height, BAND_PX):  # or it would be held four times
        stop = min(top + BAND_PX, picture.height)
        band = np.asarray(picture.crop((0, top, picture.width, stop)).convert(mode))
        out[top:stop] = alpha_on_white(band) if mode == "RGBA" else band
    return out


class _Following:
    """Takes rows out of an RGB picture that Pillow is decoding, whenever it asks for more bytes.

    Pillow keeps four bytes a pixel; the last is 0 before the pixel is decoded, and 255 then.
    """

    def __init__(self, picture: Any, out: RGB, reached: Reached) -> None:
        self._picture, self._out, self._reached = picture, out, reached
        self._read = getattr(picture, "load_read", None)
        self._told = time.perf_counter()
        self.rows = 0

    def follow(self) -> None:
        """Be asked from now on; nothing for kinds of pictures that are read otherwise."""
        if self._read is not None:
            self._picture.load_read = self._load_read

    def _load_read(self, count: int) -> bytes:
        if time.perf_counter() - self._told > TELL_EVERY_S:
            self._take()
            self._told = time.perf_counter()
        assert self._read is not None
        read: bytes = self._read(count)
        return read

    def _take(self) -> None:
        width, height = self._picture.size
        column = self._part((width - 1, self.rows, width, height)).tobytes("raw", "RGBX")
        fills = np.frombuffer(column, np.uint8)[3::4]
        # The last row may not be whole.
        stop = self.rows + int(np.argmin(fills == 255)) - 1
        if stop > self.rows:
            self._out[self.rows : stop] = self._part((0, self.rows, width, stop))
            self.rows = stop
            self._reached(self._out, stop)

    def _part(self, box_xy: tuple[int, int, int, int]) -> Any:
        # Image.crop would begin to load it again.
        return Image.Image._new(self._picture, self._picture.im.crop(box_xy))


def _gray_to_rgb(values: npt.NDArray[Any], mode: str) -> RGB:
    window = (0.0, 65535.0) if mode != "F" else (float(values.min()), float(values.max()))
    gray = to_uint8(values, window)
    return np.repeat(gray[..., None], 3, axis=2)
