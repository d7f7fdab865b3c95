"""A plane of any picture in the viewer as a slide: arrays, stacks, channels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field, Pair, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.pixels import alpha_on_white, to_uint8

if TYPE_CHECKING:
    from napari.layers import Image

BACKEND = "pillow"
SAMPLED_ROWS, SAMPLED_PX = 64, 4096
TILE_PX = 1024
UM_PER = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3, "meter": 1e6}


def plane_of(layer: Image, step: tuple[int, ...]) -> tuple[int, ...]:
    """The plane of a picture that the viewer shows at this step of its sliders.

    Parameters
    ----------
    step : tuple of int
        `viewer.dims.current_step`; a picture of fewer dimensions has the last of them.
    """
    extra = layer.ndim - 2
    if extra <= 0:
        return ()
    finest = layer.data[0] if layer.multiscale else layer.data
    mine = step[len(step) - layer.ndim :][:extra]
    return tuple(
        min(max(int(at), 0), int(size) - 1) for at, size in zip(mine, finest.shape, strict=False)
    )


def plane_name(layer: Image, plane: tuple[int, ...]) -> str:
    """A plane in words: "t 3, z 2", or "plane 3 2" where napari numbers the axes itself."""
    names = layer.axis_labels[: len(plane)]
    if any(name.startswith("-") for name in names):
        return " ".join(["plane", *map(str, plane)])
    return ", ".join(f"{name} {at}" for name, at in zip(names, plane, strict=True))


def is_plain(layer: Image) -> bool:
    """Whether a picture lies at the origin of the world, unturned, so that places agree."""
    moved = np.any(layer.translate[-2:] != 0) or not np.allclose(
        layer.affine.affine_matrix, np.eye(layer.ndim + 1)
    )
    return not moved and np.allclose(layer.rotate, np.eye(layer.ndim)) and not np.any(layer.shear)


class LayerSlide(Slide):
    """One plane of an Image layer, in the colours in which the viewer shows it.

    Parameters
    ----------
    layer : napari.layers.Image
        Any number of dimensions; the last two are height and width.
    plane : tuple of int
        Index of the plane along the others.

    Raises
    ------
    UnsupportedSlideError
        When it is moved or turned in the viewer.
    """

    def __init__(self, layer: Image, plane: tuple[int, ...]) -> None:
        if not is_plain(layer):
            raise UnsupportedSlideError(
                f"{layer.name} is moved or turned in the viewer.",
                "Reset its transform to segment it.",
            )
        arrays = list(layer.data) if layer.multiscale else [layer.data]
        self._rgb = bool(layer.rgb)
        self._planes = [array[plane] if plane else array for array in arrays]
        low, high = (float(v) for v in layer.contrast_limits)
        self._low, self._range = low, max(high - low, 1e-12)
        self._gamma = float(layer.gamma)
        self._colormap = None if self._rgb else layer.colormap
        shapes = [(int(p.shape[0]), int(p.shape[1])) for p in self._planes]
        self.path = Path(layer.source.path or layer.name)
        self.levels = tuple(
            Level(shape, exact_downsample(shapes[0], shape), (TILE_PX, TILE_PX)) for shape in shapes
        )
        self.metadata = SlideMetadata(
            backend=BACKEND,
            vendor="unknown",
            mpp=_mpp(layer),
            objective_power=None,
            identity=self._identity(plane),
        )

    def read(self, field: Field) -> RGB:
        """Pixels of a field, (height, width, 3) uint8.

        Raises
        ------
        DamagedSlideError
            When they can not be computed, such as from a file that is gone.
        """
        rows, columns = (
            slice(field.y, field.y + field.height),
            slice(field.x, field.x + field.width),
        )
        try:
            pixels = np.asarray(self._planes[field.level][rows, columns])
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise DamagedSlideError(
                f"{self.path}: level {field.level}, region {field.region.as_list()} can not be "
                f"read: {error}.",
                "Check that its file is still there.",
            ) from error
        return self._colored(pixels)

    def close(self) -> None:
        """The layer keeps its data."""

    def _colored(self, pixels: npt.NDArray[Any]) -> RGB:
        if self._rgb:
            window = (0.0, 1.0) if np.issubdtype(pixels.dtype, np.floating) else None
            picture = pixels if pixels.dtype == np.uint8 else to_uint8(pixels, window)
            return alpha_on_white(picture) if picture.shape[-1] == 4 else picture.copy()
        shown = np.clip((pixels.astype(np.float32) - self._low) / self._range, 0, 1)
        if self._gamma != 1:
            shown = shown**self._gamma
        assert self._colormap is not None
        colors = self._colormap.map(shown.ravel()).reshape(*shown.shape, 4)[..., :3]
        found: RGB = (colors * 255 + 0.5).astype(np.uint8)
        return found

    def _identity(self, plane: tuple[int, ...]) -> str:
        """Hash of shape, type, plane and rows in the middle of the finest and coarsest level."""
        digest = hashlib.sha256(f"napari-pathseg plane 1 {plane}".encode())
        for array in (self._planes[0], self._planes[-1]):
            digest.update(f"{tuple(array.shape)} {array.dtype}".encode())
            middle = tuple(_middle(int(length)) for length in array.shape[:2])
            part = np.asarray(array[middle])
            digest.update(
                np.ascontiguousarray(part[:: max(len(part) // SAMPLED_ROWS, 1)]).tobytes()
            )
        return digest.hexdigest()


def _middle(length: int) -> slice:
    """The middle of an axis, so that little is read of a large picture."""
    count = min(length, SAMPLED_PX)
    return slice((length - count) // 2, (length + count) // 2)


def _mpp(layer: Image) -> Pair | None:
    """Micrometres per pixel, None where the layer's unit is no length."""
    per = [UM_PER.get(str(unit)) for unit in layer.units[-2:]]
    if per[0] is None or per[1] is None:
        return None
    return float(layer.scale[-2]) * per[0], float(layer.scale[-1]) * per[1]
