"""A picture that is unpacked as a whole: by a codec that other threads can run beside.

The whole of a large one takes seconds, so a few of its pixels are looked at before.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.pixels import BLANK, alpha_on_white, to_uint8

THREAD = "pathseg-unpacking"
BAND_PX = 256
END_OF_JPEG, START_OF_SCAN = b"\xff\xd9", 0xDA
PNG_SIGNATURE_BYTES = 8
AT_ONCE_BYTES = 1 << 20
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 6: 4}
"""Of a colour type; the codec for first rows does not know grey with alpha."""

LOOK_PX = 1024
"""Longer side of what is seen of a picture before it is decoded; at most."""

FEWER = 8
"""A first look takes one in so many rows of a PNG, and of a JPEG all at so many times less."""


class Unpacking:
    """The pixels of one file, decoded once by whoever asks first, or by a thread.

    Parameters
    ----------
    decode : callable
        Gives the pixels, (height, width, 3).
    look : callable
        Gives roughly what they look like in a fraction of that time; None where there is no way.

    Attributes
    ----------
    look : uint8 array (height, width, 3) or None
        A few of the pixels, evenly spread, or what is known of these.
    looked : threading.Event
        Set when `look` is there before the pixels, or nothing can be seen before them.
    """

    def __init__(
        self, decode: Callable[[], RGB], look: Callable[[], RGB | None] = lambda: None
    ) -> None:
        self._decode, self._first_look = decode, look
        self.look: RGB | None = None
        self.looked = threading.Event()
        self._lock = threading.Lock()
        self._pixels: RGB | None = None
        self._error: DamagedSlideError | None = None
        self._begun = False

    @property
    def ended(self) -> bool:
        """Whether nobody has to wait any more, for pixels or an error."""
        return self._pixels is not None or self._error is not None

    def begin(self, *, look: bool) -> None:
        """Decode in a thread, which may have a look first."""
        if not self._begun:
            self._begun = True
            work = self._look_and_try if look else self._try
            threading.Thread(target=work, name=THREAD, daemon=True).start()

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

    def _look_and_try(self) -> None:
        try:
            look = self._first_look()
        except DamagedSlideError:
            look = None  # whoever reads is told
        if not self.ended:
            self.look = look
        self.looked.set()
        self._try()

    def _try(self) -> None:
        with self._lock:  # whoever comes meanwhile waits
            if self.ended:
                return
            try:
                pixels = self._decode()
            except DamagedSlideError as error:
                self._error = error
            else:
                self.look = _few(pixels)
                self._pixels = pixels
            self.looked.set()


def first_look(picture: Any, path: Path) -> RGB | None:
    """Roughly what a picture looks like, in a tenth to a third of the time that decoding takes.

    All of a JPEG, whose codec can leave out what is fine, and the first rows of a PNG.

    Parameters
    ----------
    picture : PIL.Image.Image
        Opened, not loaded; it can not be decoded at its full size any more.
    path : Path
        Its file.
    """
    height, width = picture.height, picture.width
    if picture.format == "JPEG":
        picture.draft(None, (width // FEWER, height // FEWER))
        return _few(np.asarray(picture.convert("RGB")))
    if picture.format == "PNG" and not picture.info.get("interlace"):
        rows = _first_rows(path)
        return None if rows is None else _few(_on_white(to_uint8(rows)), height, width)
    return None


def _few(pixels: RGB, height: int | None = None, width: int | None = None) -> RGB:
    """Pixels, evenly spread, of a picture of which the first rows are given."""
    height, width = height or pixels.shape[0], width or pixels.shape[1]
    step = -(-max(height, width) // LOOK_PX)
    down, across = (len(range(step // 2, side, step)) for side in (height, width))
    few = np.full((down, across, 3), BLANK, np.uint8)
    known = pixels[step // 2 :: step, step // 2 :: step]
    few[: known.shape[0]] = known
    return few


def _first_rows(path: Path) -> npt.NDArray[Any] | None:
    """One in `FEWER` rows of a PNG, from the top: it is made a shorter one that ends there."""
    from imagecodecs import spng_decode

    with path.open("rb") as file:
        data = memoryview(file.read(path.stat().st_size // FEWER))
    others: list[tuple[bytes, bytes]] = []
    packed: list[tuple[bytes, bytes]] = []
    for name, content in _png_chunks(data):
        (packed if name == b"IDAT" else others).append((name, content))
    name, header = others[0]
    width, height, depth, color = struct.unpack(">IIBB", header[:10])
    if color not in PNG_CHANNELS:
        return None
    row_bytes = 1 + -(-width * depth * PNG_CHANNELS[color] // 8)
    rows = _unpacked_bytes((content for _, content in packed), height * row_bytes) // row_bytes
    if rows == 0:
        return None
    others[0] = name, header[:4] + struct.pack(">I", rows) + header[8:]
    end = (b"IEND", b"")
    short = [_png_chunk(*chunk) for chunk in (*others, *packed, end)]
    first: npt.NDArray[Any] = spng_decode(b"".join((data[:PNG_SIGNATURE_BYTES], *short)))
    return first


def _unpacked_bytes(packed: Iterable[bytes], most: int) -> int:
    """How much they unpack to, up to `most`: a bomb is not unpacked, and little is held at once."""
    unpacker, count = zlib.decompressobj(), 0
    for content in packed:
        while content and count < most:
            count += len(unpacker.decompress(content, AT_ONCE_BYTES))
            content = unpacker.unconsumed_tail
    return min(count, most)


def _png_chunks(data: memoryview) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents; the last may be cut short, and is left out where its name is."""
    place = PNG_SIGNATURE_BYTES
    while place + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, place)
        yield name, bytes(data[place + 8 : place + 8 + length])
        place += length + 12


def _png_chunk(name: bytes, content: bytes) -> bytes:
    check = struct.pack(">I", zlib.crc32(content, zlib.crc32(name)))
    return struct.pack(">I", len(content)) + name + content + check


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
