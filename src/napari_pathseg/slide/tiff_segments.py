"""Decode only the tiles or strips of a TIFF page that a window touches."""

from __future__ import annotations

import logging
import struct
import threading
import zlib
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile

from napari_pathseg.errors import DamagedSlideError, SlideError, one_line

# What tifffile says of a damaged file is raised by us; it must not be printed besides. Who wants
# to see it sets up logging, as ever.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

Page = tifffile.TiffPage | tifffile.TiffFrame
Samples = npt.NDArray[Any]

TIFF_ERRORS = (
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    OSError,
    EOFError,
    OverflowError,
    MemoryError,
    RuntimeError,
    ZeroDivisionError,
    NotImplementedError,
    AssertionError,
    RecursionError,
    SyntaxError,  # of the XML that scanners write
    struct.error,
    zlib.error,
)
"""What tifffile and imagecodecs are seen to raise on damaged files."""

MAX_SEGMENT_BYTES = 1 << 30
CACHE_BYTES = 32 << 20


def keyframe(page: Page) -> tifffile.TiffPage:
    """The page whose tags hold for `page`."""
    key = page.keyframe
    if key is None:
        raise DamagedSlideError(f"{page.parent.filename}: a page without tags.")
    return key


class SegmentReader:
    """Windows out of TIFF pages; file access is locked, decoding is not.

    Parameters
    ----------
    path : Path
        For messages.
    cache_bytes : int
        Decoded tiles kept for the next window.

    Attributes
    ----------
    lock : RLock
        Held by whoever reads from the file.
    """

    def __init__(self, path: Path, cache_bytes: int = CACHE_BYTES) -> None:
        self._path = path
        self._max_bytes = cache_bytes
        self._bytes = 0
        self._cache: OrderedDict[tuple[int, int, int], Samples] = OrderedDict()
        self.lock = threading.RLock()
        self._closed = False

    def window(
        self,
        page: Page,
        y: int,
        x: int,
        height: int,
        width: int,
        fill: int,
        sample: int | None = None,
    ) -> Samples:
        """Pixels of a window that lies wholly inside the page.

        Parameters
        ----------
        page : TiffPage or TiffFrame
        y, x, height, width : int
            Page pixels.
        fill : int
            Value of tiles that the file leaves out.
        sample : int, optional
            Only this one of the samples of a pixel.

        Returns
        -------
        array (height, width, samples) of the page's type

        Raises
        ------
        DamagedSlideError
            When a tile can not be decoded.
        """
        key = keyframe(page)
        if is_raw(key):
            return self._raw_window(page, y, x, height, width, sample)
        tile_h, tile_w = segment_shape(key)
        separate = key.planarconfig == 2
        samples = [sample] if sample is not None else list(range(int(key.samplesperpixel)))
        full_h, full_w = int(key.imagelength), int(key.imagewidth)
        across, down = -(-full_w // tile_w), -(-full_h // tile_h)
        out = np.empty((height, width, len(samples)), dtype=key.dtype)
        missing = np.full((1, 1, 1), fill, dtype=key.dtype)
        # Who reads whole tiles holds what comes; of others the next window may need the rest.
        keep = not (
            y % tile_h == x % tile_w == 0
            and ((y + height) % tile_h == 0 or y + height == full_h)
            and ((x + width) % tile_w == 0 or x + width == full_w)
        )
        for place, plane in enumerate(samples if separate else [0]):
            target = out[..., place : place + 1] if separate else out
            for row in range(y // tile_h, -(-(y + height) // tile_h)):
                for column in range(x // tile_w, -(-(x + width) // tile_w)):
                    needed = (
                        min(tile_h, full_h - row * tile_h),
                        min(tile_w, full_w - column * tile_w),
                    )
                    index = (plane * down + row) * across + column
                    tile = self._segment(page, index, needed, keep)
                    if tile is None:
                        tile = np.broadcast_to(missing, (tile_h, tile_w, target.shape[2]))
                    elif sample is not None and not separate:
                        tile = tile[..., sample : sample + 1]
                    paste(target, tile, row * tile_h - y, column * tile_w - x)
        return out

    def _raw_window(
        self, page: Page, y: int, x: int, height: int, width: int, sample: int | None
    ) -> Samples:
        """Rows of strips that are not compressed, which may be as large as the whole picture."""
        key = keyframe(page)
        separate = key.planarconfig == 2
        samples = [sample] if sample is not None else list(range(int(key.samplesperpixel)))
        stored = 1 if separate else int(key.samplesperpixel)
        dtype = np.dtype(key.dtype).newbyteorder(page.parent.byteorder)
        out = np.empty((height, width, len(samples)), dtype=key.dtype)
        for place, plane in enumerate(samples if separate else [0]):
            for row in range(height):
                data = self._raw_row(page, plane, y + row, x, width, stored * dtype.itemsize)
                values = np.frombuffer(data, dtype).reshape(width, stored)
                if separate:
                    out[row, :, place] = values[:, 0]
                else:
                    out[row] = values if sample is None else values[:, sample : sample + 1]
        return out

    def _raw_row(
        self, page: Page, plane: int, y: int, x: int, width: int, pixel_bytes: int
    ) -> bytes:
        key = keyframe(page)
        strip_h, _ = segment_shape(key)
        strips = -(-key.imagelength // strip_h)
        strip, row = plane * strips + y // strip_h, y % strip_h
        offset = page.dataoffsets[strip] + (row * key.imagewidth + x) * pixel_bytes
        data = self._bytes_at(page, offset, width * pixel_bytes)
        if len(data) < width * pixel_bytes:
            raise DamagedSlideError(
                f"{self._path}: row {y} of {key.imagelength} is cut short.",
                "Copy the slide again from its source.",
            )
        return data

    def close(self) -> None:
        """Refuse further reads and forget the decoded tiles; waits for a running file access."""
        with self.lock:
            self._closed = True
            self._cache.clear()

    def _segment(
        self, page: Page, index: int, needed: tuple[int, int], keep: bool
    ) -> Samples | None:
        """A tile that holds at least so many rows and columns; None where the file has none."""
        cache_key = (id(page.parent), page.offset, index)
        with self.lock:
            self._check_open()
            held = self._cache.get(cache_key)
            if held is not None:
                self._cache.move_to_end(cache_key)
                return held
        try:
            tile = self._decode(page, index)
        except TIFF_ERRORS as error:
            raise DamagedSlideError(
                f"{self._path}: tile {index} of a {keyframe(page).imagelength} x "
                f"{keyframe(page).imagewidth} level can not be decoded: {one_line(error)}.",
                "Copy the slide again from its source.",
            ) from error
        if tile is not None:
            if tile.shape[0] < needed[0] or tile.shape[1] < needed[1]:
                raise self._too_small(page, index, tile, needed)
            if keep:
                self._keep(cache_key, tile)
        return tile

    def _too_small(
        self, page: Page, index: int, tile: Samples, needed: tuple[int, int]
    ) -> DamagedSlideError:
        """A tile that holds fewer pixels than its page says must not leave others undefined."""
        key = keyframe(page)
        return DamagedSlideError(
            f"{self._path}: tile {index} of a {key.imagelength} x {key.imagewidth} level holds "
            f"{tile.shape[0]} x {tile.shape[1]} of {needed[0]} x {needed[1]} pixels.",
            "Copy the slide again from its source.",
        )

    def _decode(self, page: Page, index: int) -> Samples | None:
        offset, count = page.dataoffsets[index], page.databytecounts[index]
        if count == 0 or offset == 0:
            return None
        with self.lock:  # what decodes is made on first use, and looks into the file for it
            data = self._bytes_at(page, offset, count)
            tables = page.jpegtables if keyframe(page).compression in (6, 7) else None
            decode = page.decode
        if len(data) < count:
            raise EOFError(f"{count} bytes are expected and {len(data)} are there")
        tile: Samples | None = decode(data, index, jpegtables=tables)[0]
        return None if tile is None else tile[0]

    def _bytes_at(self, page: Page, offset: int, count: int) -> bytes:
        file = page.parent.filehandle
        with self.lock:
            self._check_open()  # or a late read would open the file again, and leave it open
            if file.closed:
                file.open()
            file.seek(offset)
            data: bytes = file.read(count)
        return data

    def _check_open(self) -> None:
        if self._closed:
            raise SlideError(f"{self._path}: the slide was closed.", "Open it again.")

    def _keep(self, key: tuple[int, int, int], tile: Samples) -> None:
        with self.lock:
            if key in self._cache or self._closed:
                return
            self._cache[key] = tile
            self._bytes += tile.nbytes
            while self._bytes > self._max_bytes and len(self._cache) > 1:
                self._bytes -= self._cache.popitem(last=False)[1].nbytes


def segment_shape(key: tifffile.TiffPage) -> tuple[int, int]:
    """Height and width of a page's tiles or strips."""
    if key.is_tiled:
        return int(key.tilelength), int(key.tilewidth)
    return max(min(int(key.rowsperstrip), int(key.imagelength)), 1), int(key.imagewidth)


def is_raw(key: tifffile.TiffPage) -> bool:
    """Whether a page's strips hold its rows as they are, so that any part can be read alone."""
    if key.is_tiled or key.dtype is None or key.compression != 1 or key.predictor != 1:
        return False
    return bool(key.fillorder == 1 and key.bitspersample == key.dtype.itemsize * 8)


def check_page(path: Path, page: Page, file_bytes: int) -> None:
    """Refuse a page whose header is absurd or whose tiles lie beyond the end of the file.

    Raises
    ------
    DamagedSlideError
        Naming how much is missing.
    """
    key = keyframe(page)
    tile_h, tile_w = segment_shape(key)
    samples = int(key.samplesperpixel)
    if key.imagedepth != 1 or tile_h <= 0 or tile_w <= 0 or key.dtype is None:
        raise DamagedSlideError(f"{path}: a level of {key.shape} is not a flat picture.")
    contiguous = samples if key.planarconfig != 2 else 1
    too_large = tile_h * tile_w * contiguous * key.dtype.itemsize > MAX_SEGMENT_BYTES
    if too_large and not is_raw(key):
        raise DamagedSlideError(
            f"{path}: its header claims tiles of {tile_h} x {tile_w} pixels, which are refused.",
            "Convert the slide to a tiled TIFF.",
        )
    planes = samples if key.planarconfig == 2 else 1
    expected = planes * -(-key.imagelength // tile_h) * -(-key.imagewidth // tile_w)
    if len(page.dataoffsets) < expected or len(page.databytecounts) < expected:
        raise DamagedSlideError(
            f"{path}: {len(page.dataoffsets)} of {expected} tiles of the "
            f"{key.imagelength} x {key.imagewidth} level are listed."
        )
    ends = np.asarray(page.dataoffsets, dtype=np.float64) + page.databytecounts
    missing = int((ends > file_bytes).sum())
    if missing:
        raise DamagedSlideError(
            f"{path}: the file is cut short: {missing} of {expected} tiles of the "
            f"{key.imagelength} x {key.imagewidth} level are missing "
            f"({file_bytes} bytes are there, {int(ends.max())} are needed).",
            "Copy the slide again from its source.",
        )


def paste(target: Samples, tile: Samples, top: int, left: int) -> None:
    """Copy the part of a tile that falls on the target."""
    y0, x0 = max(top, 0), max(left, 0)
    y1 = min(top + tile.shape[0], target.shape[0])
    x1 = min(left + tile.shape[1], target.shape[1])
    if y1 > y0 and x1 > x0:
        target[y0:y1, x0:x1] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
