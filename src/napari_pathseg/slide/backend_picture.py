"""Pillow: PNG, JPEG, BMP and WebP pictures, held in memory."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError, one_line
from napari_pathseg.geometry import Field, Pair
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.pixels import alpha_on_white, read_on_white, to_uint8
from napari_pathseg.slide.scale import UM_PER_UNIT, mpp_of_resolution
from napari_pathseg.slide.scenes import require_one_scene

MAX_PIXELS = 200_000_000
"""A picture is held in memory whole: 600 MB at this size, and 1.4 GB while it is decoded."""

BAND_PX = 256

PILLOW_ERRORS = (
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
    NotImplementedError,
    AssertionError,
    struct.error,
)
"""What Pillow's plugins are seen to raise on damaged files."""

# The plugins are called by name: Image.open would warn, or refuse, by a global pixel limit.
PLUGINS: tuple[tuple[bytes, str, type[Any]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", "JPEG", JpegImagePlugin.JpegImageFile),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
    (b"RIFF", "WebP", WebPImagePlugin.WebPImageFile),
)


class PictureSlide(Slide):
    """A picture of one level, decoded at once and kept in memory.

    Pixels stand as they are stored: an EXIF rotation is not applied.

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
        When it can not be decoded.
    """

    def __init__(self, path: Path, scene: int | None = None) -> None:
        require_one_scene(path, scene)
        self.path = path
        kind, plugin = _plugin(path)
        try:
            with plugin(path) as picture:
                _check_size(path, *picture.size)
                self._pixels = _rgb(picture)
                mpp, mode = _mpp(picture), picture.mode
                icc = picture.info.get("icc_profile")
        except PILLOW_ERRORS as error:
            raise DamagedSlideError(
                f"{path}: the {kind} picture is broken: {one_line(error)}.",
                "Copy or export the picture again.",
            ) from error
        self._icc = bytes(icc) if icc and mode in ("RGB", "RGBA", "P") else None
        shape = (self._pixels.shape[0], self._pixels.shape[1])
        self.levels = (Level(shape, (1.0, 1.0), (min(shape[0], 512), min(shape[1], 512))),)
        self.metadata = SlideMetadata(
            "pillow", kind, mpp, None, identity_of([path]), {"pillow.mode": mode}
        )

    def __reduce__(self) -> tuple[type[PictureSlide], tuple[Path]]:
        return type(self), (self.path,)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        def inside(y: int, x: int, height: int, width: int) -> RGB:
            return self._pixels[y : y + height, x : x + width].copy()

        return read_on_white(field, self.levels[field.level].shape, inside)

    def icc_profile(self) -> bytes | None:  # noqa: D102 - as in Slide
        return self._icc

    def close(self) -> None:
        """Nothing to release: the file was closed when it had been decoded."""


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


def _rgb(picture: Image.Image) -> RGB:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        return _gray_to_rgb(np.asarray(picture), picture.mode)
    picture.load()
    mode = "RGBA" if picture.has_transparency_data else "RGB"
    out = np.empty((picture.height, picture.width, 3), dtype=np.uint8)
    for top in range(0, picture.height, BAND_PX):  # or a large picture would be held four times
        stop = min(top + BAND_PX, picture.height)
        band = np.asarray(picture.crop((0, top, picture.width, stop)).convert(mode))
        out[top:stop] = alpha_on_white(band) if mode == "RGBA" else band
    return out


def _gray_to_rgb(values: npt.NDArray[Any], mode: str) -> RGB:
    window = (0.0, 65535.0) if mode != "F" else (float(values.min()), float(values.max()))
    gray = to_uint8(values, window)
    return np.repeat(gray[..., None], 3, axis=2)


def _mpp(picture: Image.Image) -> Pair | None:
    dpi = picture.info.get("dpi")
    if not dpi:
        return None
    return mpp_of_resolution(float(dpi[1]), float(dpi[0]), UM_PER_UNIT["inch"])
