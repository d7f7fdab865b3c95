"""Write any slide to a tiled pyramidal TIFF, block by block."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tifffile

from napari_pathseg.errors import SlideError, describe_os_error
from napari_pathseg.geometry import Field
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress
from napari_pathseg.slide.base import RGB, Slide

TILE_PX = 256
BAND_TILES = 4
"""Rows of tiles that are read at once."""

Layout = Literal["svs", "ome", "generic"]
Compression = Literal["jpeg", "deflate"]
JPEG_QUALITY = 85


@dataclass(slots=True)
class _Counter:
    """Tiles done of tiles in all, told to the caller."""

    total: int
    report: ProgressCallback
    cancel: CancelToken
    name: str
    done: int = 0

    def step(self) -> None:
        self.cancel.raise_if_cancelled()
        self.done += 1
        if self.done % 16 == 0 or self.done == self.total:
            self.report(Progress(self.done, self.total, f"Writing {self.name}"))


def write_pyramid(
    slide: Slide,
    path: Path,
    *,
    layout: Layout = "svs",
    compression: Compression = "jpeg",
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Path:
    """Write all levels of a slide as a pyramid; memory does not grow with its size.

    Parameters
    ----------
    slide : Slide
    path : Path
        Written whole or not at all; an existing file is replaced.
    layout : {"svs", "ome", "generic"}
        As Aperio's scanners write, OME-TIFF with SubIFDs, or plain pages.
    compression : {"jpeg", "deflate"}
        Deflate keeps every pixel.
    progress, cancel
        Counted in tiles.

    Returns
    -------
    Path

    Raises
    ------
    SlideError
        When the folder can not be written or the disk is full.
    CancelledError
        When cancelled; nothing is left behind.
    """
    total = sum(_tiles(level.shape) for level in slide.levels)
    counter = _Counter(total, progress, cancel or CancelToken(), path.name)
    part = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with contextlib.ExitStack() as stack:
            stack.callback(part.unlink, missing_ok=True)
            with tifffile.TiffWriter(part, bigtiff=_is_big(slide), ome=layout == "ome") as tif:
                _write_levels(tif, slide, layout, compression, counter)
            part.replace(path)
    except OSError as error:
        raise SlideError(
            describe_os_error(error, path), "Make room or choose another folder."
        ) from error
    return path


def _write_levels(
    tif: tifffile.TiffWriter,
    slide: Slide,
    layout: Layout,
    compression: Compression,
    counter: _Counter,
) -> None:
    for index, level in enumerate(slide.levels):
        options: dict[str, Any] = {
            "shape": (*level.shape, 3),
            "dtype": np.uint8,
            "tile": (TILE_PX, TILE_PX),
            "photometric": "rgb",
            "compression": compression,
            "metadata": None,
        }
        if compression == "jpeg":
            options["compressionargs"] = {"level": JPEG_QUALITY}
        if index == 0:
            options.update(_head(slide, layout))
        elif layout != "svs":
            options["subfiletype"] = 1
        options.update(_resolution(slide, index))
        tif.write(_blocks(slide, index, counter), **options)
        if layout == "svs" and index == 0:
            _write_thumbnail(tif, slide)


def _head(slide: Slide, layout: Layout) -> dict[str, Any]:
    mpp = slide.metadata.mpp
    if layout == "ome":
        facts: dict[str, Any] = {"axes": "YXS"}
        if mpp is not None:
            facts.update(
                PhysicalSizeY=mpp[0],
                PhysicalSizeYUnit="µm",
                PhysicalSizeX=mpp[1],
                PhysicalSizeXUnit="µm",
            )
        return {"subifds": len(slide.levels) - 1, "metadata": facts}
    if layout == "generic":
        return {}
    height, width = slide.shape
    words = [f"Aperio Image Library\r\n{width}x{height} ({TILE_PX}x{TILE_PX}) napari-pathseg"]
    if slide.metadata.objective_power is not None:
        words.append(f"AppMag = {slide.metadata.objective_power:g}")
    if mpp is not None:
        words.append(f"MPP = {mpp[1]:.6g}")
    return {"description": "|".join(words)}


def _resolution(slide: Slide, index: int) -> dict[str, Any]:
    """Pixels per centimetre, so that any reader knows the scale."""
    mpp = slide.metadata.mpp
    if mpp is None:
        return {}
    down_y, down_x = slide.levels[index].downsample
    across, down = 1e4 / (mpp[1] * down_x), 1e4 / (mpp[0] * down_y)
    return {"resolution": (across, down), "resolutionunit": "CENTIMETER"}


def _write_thumbnail(tif: tifffile.TiffWriter, slide: Slide) -> None:
    """Aperio's second page: the coarsest level in one strip."""
    last = len(slide.levels) - 1
    level = slide.levels[last]
    pixels = slide.read(Field(last, 0, 0, *level.shape, level.downsample))
    step = max(max(level.shape) // 768, 1)
    tif.write(
        pixels[::step, ::step],
        photometric="rgb",
        compression="jpeg",
        metadata=None,
        description="Aperio Image Library\r\nthumbnail",
    )


def _blocks(slide: Slide, index: int, counter: _Counter) -> Iterator[RGB]:
    """Tiles of a level in the order TIFF wants them; a band of rows is read at once."""
    level = slide.levels[index]
    height, width = level.shape
    band = TILE_PX * BAND_TILES
    for top in range(0, height, band):
        rows = min(band, height - top)
        pieces = [
            slide.read(Field(index, top, left, rows, min(band, width - left), level.downsample))
            for left in range(0, width, band)
        ]
        pixels = np.concatenate(pieces, axis=1)
        for y in range(0, rows, TILE_PX):
            for x in range(0, width, TILE_PX):
                counter.step()
                yield _padded(pixels[y : y + TILE_PX, x : x + TILE_PX])


def _padded(tile: RGB) -> RGB:
    down, across = TILE_PX - tile.shape[0], TILE_PX - tile.shape[1]
    if down or across:
        tile = np.pad(tile, ((0, down), (0, across), (0, 0)), mode="edge")
    return np.ascontiguousarray(tile)


def _tiles(shape: tuple[int, int]) -> int:
    return -(-shape[0] // TILE_PX) * -(-shape[1] // TILE_PX)


def _is_big(slide: Slide) -> bool:
    height, width = slide.shape
    return height * width * 4 > 3 << 30
