"""Labels of any size as a pyramid: in a tiled TIFF, or as OME-Zarr 0.5."""

from __future__ import annotations

import contextlib
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import zarr

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Pair
from napari_pathseg.inference.spool import TILE_PX, LabelSpool
from napari_pathseg.labels.record import classes_to_json

Ints = npt.NDArray[np.integer[Any]]

COARSEST_PX = 1024
BIG_BYTES = 3 << 30
UM_PER_CM = 10_000.0


@contextlib.contextmanager
def label_pyramid(labels: LabelSpool, folder: Path) -> Iterator[list[LabelSpool]]:
    """The labels and coarser levels of them, each half the one before, until one is small.

    A coarse pixel is what most of its four pixels are.
    """
    with contextlib.ExitStack() as stack:
        levels = [labels]
        while max(levels[-1].shape) > COARSEST_PX:
            finer = levels[-1]
            height, width = (-(-side // 2) for side in finer.shape)
            path = folder / f"{id(labels):x}-{len(levels)}.spool"
            coarser = LabelSpool(path, (height, width), labels.dtype)
            stack.callback(path.unlink)
            stack.callback(coarser.close)
            for row, column in sorted({(r // 2, c // 2) for r, c in finer.tiles()}):
                y, x = row * TILE_PX, column * TILE_PX
                pixels = finer.read(2 * y, 2 * x, 2 * TILE_PX, 2 * TILE_PX)
                tile = halved_labels(pixels)
                coarser.put(row, column, tile[: height - y, : width - x])
            levels.append(coarser)
        yield levels


def halved_labels(labels: Ints) -> Ints:
    """What most of each 2 x 2 pixels are, and the largest number where all differ.

    Parameters
    ----------
    labels : integer array (height, width), both even
    """
    four = np.stack([labels[i::2, j::2] for i in (0, 1) for j in (0, 1)])
    four.sort(axis=0)
    low, high = four[0] == four[1], four[2] == four[3]
    most: Ints = np.where(four[1] == four[2], four[1], np.where(high | ~low, four[3], four[0]))
    return most


def write_label_tiff(
    path: Path, levels: Sequence[LabelSpool], mpp: Pair | None, classes: ClassList
) -> None:
    """Write levels as one tiled TIFF with SubIFDs; tiles are copied as they are.

    Parameters
    ----------
    path : Path
    levels : sequence of LabelSpool
        Finest first.
    mpp : (float, float) or None
        Micrometres per pixel of the finest level, (y, x).
    classes : ClassList
        What the values mean; kept as JSON in ImageDescription.

    Raises
    ------
    OSError
    """
    size = sum(level.stored_bytes + 1024 * level.grid[0] * level.grid[1] for level in levels)
    description = json.dumps({"classes": classes_to_json(classes)})
    with tifffile.TiffWriter(path, bigtiff=size > BIG_BYTES, byteorder="<") as tif:
        for index, level in enumerate(levels):
            scale = 2.0**index
            resolution = None
            if mpp is not None:
                resolution = UM_PER_CM / (mpp[1] * scale), UM_PER_CM / (mpp[0] * scale)
            tif.write(
                _encoded(level),
                shape=level.shape,
                dtype=level.dtype,
                tile=(TILE_PX, TILE_PX),
                photometric="minisblack",
                compression="zlib",
                predictor=False,
                subifds=len(levels) - 1 if index == 0 else None,
                subfiletype=1 if index else 0,
                description=description if index == 0 else None,
                metadata=None,
                software=False,
                resolution=resolution,
                resolutionunit="CENTIMETER" if resolution else None,
            )


def _encoded(level: LabelSpool) -> Iterator[bytes]:
    """All tiles in reading order; some readers know no tile that is left out."""
    empty = zlib.compress(bytes(TILE_PX * TILE_PX * level.dtype.itemsize), 9)
    rows, columns = level.grid
    for row in range(rows):
        for column in range(columns):
            yield level.encoded(row, column) or empty


def write_label_zarr(
    path: Path, levels: Sequence[LabelSpool], scale_um: Pair | None, classes: ClassList
) -> None:
    """Write levels as an OME-Zarr 0.5 label image; empty chunks are left out.

    Parameters
    ----------
    path : Path
        A folder that is not there yet.
    scale_um : (float, float) or None
        Micrometres per pixel of the finest level, (y, x).

    Raises
    ------
    OSError
    """
    root = zarr.open_group(path, mode="w", zarr_format=3)
    datasets: list[Any] = []
    for index, level in enumerate(levels):
        array = root.create_array(
            str(index),
            shape=level.shape,
            dtype=level.dtype.newbyteorder("="),
            chunks=(TILE_PX, TILE_PX),
            dimension_names=["y", "x"],
        )
        for row, column in level.tiles():
            tile = level.tile(row, column)
            y, x = row * TILE_PX, column * TILE_PX
            height, width = min(TILE_PX, level.shape[0] - y), min(TILE_PX, level.shape[1] - x)
            if tile is not None:
                array[y : y + height, x : x + width] = tile[:height, :width]
        um = scale_um or (1.0, 1.0)
        scale = [um[0] * 2.0**index, um[1] * 2.0**index]
        shift = [(2.0**index - 1) / 2 * um[0], (2.0**index - 1) / 2 * um[1]]
        transforms = [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": shift},
        ]
        datasets.append({"path": str(index), "coordinateTransformations": transforms})
    unit = {} if scale_um is None else {"unit": "micrometer"}
    facts: dict[str, Any] = {
        "version": "0.5",
        "multiscales": [
            {
                "name": path.name,
                "axes": [{"name": axis, "type": "space"} | unit for axis in "yx"],
                "datasets": datasets,
            }
        ],
        "image-label": {
            "colors": [{"label-value": c.value, "rgba": [*c.color, 255]} for c in classes],
            "properties": [
                {"label-value": c.value, "name": c.name, "term": str(c.term or "")} for c in classes
            ],
        },
    }
    root.attrs["ome"] = facts
