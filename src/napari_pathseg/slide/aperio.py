"""Tiles of an Aperio slide, decoded without OpenSlide: the same pixels in a third of the time."""

from __future__ import annotations

import weakref
from pathlib import Path

import numpy as np
import tifffile

from napari_pathseg.errors import SlideError
from napari_pathseg.slide.base import RGB, Level
from napari_pathseg.slide.ome import refuse_hostile_xml
from napari_pathseg.slide.tiff_segments import TIFF_ERRORS, SegmentReader, check_page

SAME_AS_OPENSLIDE = (1, 5, 7, 8, 32946)
"""None, LZW, JPEG and deflate: compressions that both decode to the same pixels."""


class AperioTiles:
    """Levels of an SVS whose tiles are no JPEG 2000; OpenSlide reads all others.

    Parameters
    ----------
    path : Path
    tif : TiffFile
    pages : mapping of int to TiffPage
        Page of each level that can be read here.
    """

    def __init__(
        self, path: Path, tif: tifffile.TiffFile, pages: dict[int, tifffile.TiffPage]
    ) -> None:
        self._tif = tif
        self._pages = pages
        self._segments = SegmentReader(path)
        weakref.finalize(self, tif.close)

    @classmethod
    def open(cls, path: Path, levels: tuple[Level, ...]) -> AperioTiles | None:
        """Open the tiles of an SVS; None where OpenSlide is the only way."""
        try:
            tif = tifffile.TiffFile(path)
        except TIFF_ERRORS:
            return None
        try:
            refuse_hostile_xml(tif.pages.first.description, str(path))
            pages = _pages(path, tif, levels)
        except (*TIFF_ERRORS, SlideError):
            pages = {}
        if not pages:
            tif.close()
            return None
        return cls(path, tif, pages)

    def holds(self, level: int) -> bool:
        """Whether this level can be read here."""
        return level in self._pages

    def read(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        """A window that lies wholly inside a level, (height, width, 3) uint8.

        Raises
        ------
        DamagedSlideError
            When a tile can not be decoded.
        """
        pixels: RGB = self._segments.window(self._pages[level], y, x, height, width, fill=255)
        return pixels

    def close(self) -> None:
        """Release the file."""
        self._segments.close()
        self._tif.close()


def _pages(
    path: Path, tif: tifffile.TiffFile, levels: tuple[Level, ...]
) -> dict[int, tifffile.TiffPage]:
    """The tiled page of each level's shape, where all its tiles are there and in colour."""
    found: dict[int, tifffile.TiffPage] = {}
    wanted = {level.shape: index for index, level in enumerate(levels)}
    for page in tif.pages:
        key = page.aspage() if isinstance(page, tifffile.TiffFrame) else page
        index = wanted.get((int(key.imagelength), int(key.imagewidth)))
        decoded = key.compression in SAME_AS_OPENSLIDE
        plain = decoded and key.is_tiled and key.dtype == np.uint8
        if index is None or index in found or not plain or key.samplesperpixel != 3:
            continue
        # OpenSlide fills tiles that the scanner left out from the level above.
        if all(key.databytecounts) and key.imagedepth == 1:
            check_page(path, key, tif.filehandle.size)
            found[index] = key
    return found
