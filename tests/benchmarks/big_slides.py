"""Large pyramids in seconds: a few tiles of generated tissue, encoded once and repeated."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from napari_pathseg.geometry import Field
from napari_pathseg.slide.synthetic import SyntheticSlide

TILE = 256
BLOCK_TILES = 6


def write_big(
    path: Path,
    side: int | tuple[int, int],
    *,
    layout: str = "svs",
    quality: int = 85,
    share: float = 1.0,
    mpp: float = 0.5,
) -> Path:
    """A pyramid of `side` pixels in JPEG tiles, each level a quarter of the one before.

    Parameters
    ----------
    side : int or (int, int)
        Height and width.
    layout : {"svs", "ome", "generic", "zarr", "single"}
        As Aperio writes, OME-TIFF with SubIFDs, pages one after the other, OME-Zarr in chunks of
        512 pixels, or level 0 alone.
    share : float
        Of the width that is tissue, from the left; the rest is glass.
    """
    block = BLOCK_TILES * TILE
    shape = (side, side) if isinstance(side, int) else side
    tissue = SyntheticSlide((4096, 4096), mpp=mpp, seed=2)
    pixels = tissue.read(Field(0, 1200, 1200, block, block, (1.0, 1.0)))
    if layout == "zarr":
        return _write_zarr(path, pixels, min(shape))
    steps = [1] if layout == "single" else [4**i for i in range(8) if min(shape) // 4**i >= 256]
    with tifffile.TiffWriter(path, bigtiff=True, ome=layout == "ome") as tif:
        for index, step in enumerate(steps):
            size = shape[0] // step, shape[1] // step
            options: dict[str, Any] = {
                "shape": (*size, 3),
                "dtype": np.uint8,
                "tile": (TILE, TILE),
                "photometric": "rgb",
                "compression": "jpeg",
                "metadata": None,
                "resolution": (1e4 / mpp / step, 1e4 / mpp / step),
                "resolutionunit": "CENTIMETER",
            }
            if layout == "svs":
                options["description"] = (
                    f"Aperio Image Library\r\n{shape[1]}x{shape[0]}|MPP = {mpp}"
                )
            elif layout == "ome" and index == 0:
                options["subifds"] = len(steps) - 1
                options["metadata"] = {"axes": "YXS", "PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
            if index and layout == "ome":
                options["subfiletype"] = 1
            picture = np.asarray(Image.fromarray(pixels).reduce(step))
            tif.write(_tiles(picture, size, quality, share), **options)
            if layout == "svs" and index == 0:
                tif.write(pixels[::8, ::8], photometric="rgb", metadata=None, description="x")
    return path


def _write_zarr(path: Path, pixels: np.ndarray, side: int) -> Path:
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3)
    steps = [4**i for i in range(8) if side // 4**i >= 512]
    for index, step in enumerate(steps):
        size = side // step
        array = group.create_array(
            str(index), shape=(size, size, 3), chunks=(512, 512, 3), dtype=np.uint8
        )
        part = pixels[::step, ::step]
        repeats = -(-size // part.shape[0])
        for top in range(0, size, 512):  # a row of chunks at a time
            rows = np.arange(top, min(top + 512, size)) % part.shape[0]
            array[top : top + 512] = np.tile(part[rows], (1, repeats, 1))[:, :size]
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    levels = [
        {
            "path": str(index),
            "coordinateTransformations": [
                {"type": "scale", "scale": [0.5 * step, 0.5 * step, 1.0]}
            ],
        }
        for index, step in enumerate(steps)
    ]
    channel = {"name": "c", "type": "channel"}
    scales = [{"axes": [*axes, channel], "datasets": levels}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": scales}
    return path


def _tiles(
    pixels: np.ndarray, shape: tuple[int, int], quality: int, share: float
) -> Iterator[bytes]:
    """Encoded tiles of a level, from a few that are repeated."""
    many = max(min(BLOCK_TILES, pixels.shape[0] // TILE), 1)
    repeats = -(-many * TILE // pixels.shape[0])
    pixels = np.tile(pixels, (repeats, repeats, 1))
    known = {}
    for y in range(many):
        for x in range(many):
            tile = pixels[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
            known[y, x] = _encoded(tile, quality)
    bare = np.full((TILE, TILE, 3), 240, np.uint8)
    glass, border = _encoded(bare, quality), round(share * shape[1])
    edge = {}
    for y in range(many):
        tile = bare.copy()
        x = border // TILE % many
        inside = pixels[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE]
        tile[:, : border % TILE] = inside[:, : border % TILE]
        edge[y] = _encoded(tile, quality)
    down, across = -(-shape[0] // TILE), -(-shape[1] // TILE)
    for row in range(down):
        for column in range(across):
            if column == border // TILE:
                yield edge[row % many]
            else:
                yield known[row % many, column % many] if column * TILE < border else glass


def _encoded(tile: np.ndarray, quality: int) -> bytes:
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(tile)).save(out, "JPEG", quality=quality, subsampling=0)
    return out.getvalue()
