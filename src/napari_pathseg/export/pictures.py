"""Pictures of a bundle: RGB and 16-bit PNG, and TIFF for more objects than 16 bits can number."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
from PIL import Image, UnidentifiedImageError

from napari_pathseg.errors import ExportError
from napari_pathseg.labels.raster import Instances, Ints

_MAX_16 = 65_535

# What Pillow, tifffile and the codecs (RuntimeError) let out on damaged files, besides OSError.
DAMAGED = (
    UnidentifiedImageError,
    tifffile.TiffFileError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    SyntaxError,
    RuntimeError,
)


def write_rgb(folder: Path, name: str, image: npt.NDArray[np.uint8]) -> str:
    """Write uint8 (height, width, 3) as PNG; the name in the folder."""
    _save(folder / name, Image.fromarray(image))
    return name


def write_labels(folder: Path, name: str, mask: npt.NDArray[np.uint16]) -> str:
    """Write a uint16 mask as 16-bit grey PNG; the name in the folder."""
    _save(folder / name, Image.fromarray(mask))
    return name


def write_instances(folder: Path, stem: str, instances: Instances) -> str:
    """Write an instance mask as 16-bit PNG, or as 32-bit TIFF where it needs it; its name."""
    if not instances.size or int(instances.max()) <= _MAX_16:
        return write_labels(folder, f"{stem}.png", instances.astype(np.uint16))
    path = folder / f"{stem}.tif"
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, instances, compression="zlib", metadata=None, software=False)
    return f"{stem}.tif"


def read_rgb(path: Path) -> npt.NDArray[np.uint8]:
    """The uint8 (height, width, 3) of a PNG; ExportError when it is none."""
    array = _open(path)
    if array.ndim != 3 or array.shape[2] != 3 or array.dtype != np.uint8:
        raise ExportError(f"{path} is no RGB picture of 8 bits.")
    return array.astype(np.uint8)


def read_labels(path: Path) -> Ints:
    """The integers (height, width) of a PNG or TIFF; ExportError when it is none."""
    array = _open(path)
    if array.ndim != 2 or array.dtype.kind not in "ui":
        raise ExportError(f"{path} is no label mask.")
    labels: Ints = array.astype(np.uint32 if array.dtype.itemsize > 2 else np.uint16)
    return labels


def _save(path: Path, image: Image.Image) -> None:
    path.parent.mkdir(exist_ok=True)
    image.save(path, format="PNG", compress_level=6)


def _open(path: Path) -> npt.NDArray[np.generic]:
    try:
        if path.suffix == ".tif":
            return np.asarray(tifffile.imread(path))
        with Image.open(path) as image:
            return np.asarray(image)
    except DAMAGED as error:
        raise ExportError(f"{path} is damaged: {error}.") from error
    except OSError as error:
        raise ExportError(f"{path} can not be read: {error.strerror or error}.") from error
