"""A picture that is unpacked as a whole: by a codec that other threads can run beside."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.pixels import alpha_on_white, to_uint8

BAND_PX = 256
END_OF_JPEG, START_OF_SCAN = b"\xff\xd9", 0xDA


class Unpacking:
    """The pixels of one file, decoded once by whoever asks first, or by a thread.

    Parameters
    ----------
    decode : callable
        Gives the pixels, (height, width, 3).
    """

    def __init__(self, decode: Callable[[], RGB]) -> None:
        self._decode = decode
        self._lock = threading.Lock()
        self._pixels: RGB | None = None
        self._error: DamagedSlideError | None = None
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether the pixels are there."""
        return self._pixels is not None

    def begin(self) -> None:
        """Decode in a thread."""
        if not self._begun:
            self._begun = True
            threading.Thread(target=self._try, name="pathseg-unpacking", daemon=True).start()

    def pixels(self) -> RGB:
        """All of them, which must not be written to; waits until they are there.

        Raises
        ------
        DamagedSlideError
            When the picture can not be decoded.
        """
        self._try()
        if self._error is not None:  # a new one, as each keeps who raised it
            raise DamagedSlideError(self._error.what, self._error.remedy)
        assert self._pixels is not None
        return self._pixels

    def _try(self) -> None:
        with self._lock:  # whoever comes meanwhile waits
            if self._pixels is not None or self._error is not None:
                return
            try:
                self._pixels = self._decode()
            except DamagedSlideError as error:
                self._error = error


def unpacked(picture: Any, path: Path) -> RGB:
    """Pixels of a picture, (height, width, 3), alpha on white.

    The codecs of imagecodecs take half the time and memory that Pillow takes, and decode beside
    other threads. Pillow decodes what they know not, or take for whole though its end is missing.

    Parameters
    ----------
    picture : PIL.Image.Image
        Opened, not loaded.
    path : Path
        Its file.
    """
    values = _decoded(picture, path)
    if values is None or values.shape[:2] != (picture.height, picture.width):
        return _by_pillow(picture)
    if values.dtype == np.uint8 and values.shape[2:] == (3,):
        return values
    stored = values
    return _in_bands(picture, lambda top, stop: _on_white(to_uint8(stored[top:stop])))


def _decoded(picture: Any, path: Path) -> npt.NDArray[Any] | None:
    """Pixels as they are stored, None where Pillow must decode them."""
    if picture.format == "PNG":
        from imagecodecs import png_decode as decode
    elif picture.format == "WEBP" and not getattr(picture, "is_animated", False):
        from imagecodecs import webp_decode as decode
    elif picture.format == "JPEG" and picture.mode in ("RGB", "L"):
        from imagecodecs import jpeg8_decode as decode
    else:
        return None
    data = path.read_bytes()
    if picture.format == "JPEG" and not _has_its_end(data):
        return None
    values: npt.NDArray[Any] = decode(data)
    return values


def _has_its_end(data: bytes) -> bool:
    """Whether the pixels of a JPEG are followed by its end; that of a preview does not count."""
    place = 2
    while place + 4 <= len(data) and data[place] == 0xFF and data[place + 1] != START_OF_SCAN:
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return data.find(END_OF_JPEG, place) >= 0


def _on_white(values: npt.NDArray[np.uint8]) -> RGB:
    """Rows of grey or colours, with alpha or without."""
    if values.ndim == 2:
        return np.repeat(values[..., None], 3, axis=2)
    if values.shape[2] == 2:
        values = values[..., [0, 0, 0, 1]]
    return values if values.shape[2] == 3 else alpha_on_white(values)


def _by_pillow(picture: Any) -> RGB:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        values = np.asarray(picture)
        window = (0.0, 65535.0)
        if picture.mode == "F":
            window = (float(values.min()), float(values.max()))
        return np.repeat(to_uint8(values, window)[..., None], 3, axis=2)
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    picture.load()

    def rows(top: int, stop: int) -> RGB:
        part = np.asarray(picture.crop((0, top, picture.width, stop)).convert(mode))
        return alpha_on_white(part) if mode == "RGBA" else part

    return _in_bands(picture, rows)


def _in_bands(picture: Any, rows: Callable[[int, int], RGB]) -> RGB:
    """A picture out of its rows from `top` to `stop`: as a whole it would be held many times."""
    out = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    for top in range(0, picture.height, BAND_PX):
        stop = min(top + BAND_PX, picture.height)
        out[top:stop] = rows(top, stop)
    return out
