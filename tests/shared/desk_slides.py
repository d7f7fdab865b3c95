"""A slide with planted markers, and how a desk without a window opens and looks at it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from marker_segmenter import MARKERS

from napari_pathseg.geometry import Region, level0_to_world
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.reader import read_slides

SHAPE = (1024, 1536)
GLANDS = (Region(160, 240, 96, 160), Region(600, 1000, 64, 64))
NUCLEI = (Region(400, 500, 32, 32), Region(420, 700, 32, 48))


def picture() -> npt.NDArray[np.uint8]:
    """Grey ground with red glands and blue nuclei at known places."""
    pixels = np.full((*SHAPE, 3), 150, np.uint8)
    for regions, color in ((GLANDS, MARKERS["gland"]), (NUCLEI, MARKERS["nucleus"])):
        for r in regions:
            pixels[r.y : r.stop_y, r.x : r.stop_x] = color
    return pixels


def write_slide(path: Path, mpp: float | None) -> Path:
    """A pyramid of three levels."""
    pixels = picture()
    scale = {} if mpp is None else {"PhysicalSizeX": mpp, "PhysicalSizeY": mpp}
    options = {"tile": (256, 256), "photometric": "rgb", "compression": "deflate"}
    with tifffile.TiffWriter(path, ome=True) as writer:
        writer.write(pixels, subifds=2, metadata={"axes": "YXS", **scale}, **options)
        for _ in range(2):
            height, width = pixels.shape[:2]
            blocks = pixels.reshape(height // 2, 2, width // 2, 2, 3)
            pixels = blocks.mean(axis=(1, 3)).round().astype(np.uint8)
            writer.write(pixels, subfiletype=1, **options)
    return path


def open_in(controller: PathsegController, path: Path) -> None:
    """Open a slide as napari does with the reader."""
    from napari.layers import Image

    for data, options, _kind in read_slides(str(path)):
        controller.viewer.add_layer(Image(data, **options))


def look_at(controller: PathsegController, region: Region) -> None:
    """Camera and canvas so that a region is in view, exactly."""
    mpp = controller.slide_mpp()
    camera = controller.viewer.scene.camera
    controller.viewer.canvas.size = (600, round(600 * region.width / region.height))
    camera.center = (0.0, *level0_to_world(*region.center, mpp))
    camera.zoom = 600 / (region.height * (mpp or (1.0, 1.0))[0])
