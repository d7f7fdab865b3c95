"""The scanner's colours as sRGB, by the ICC profile in the file."""

from __future__ import annotations

import io
import threading

import numpy as np
from PIL import Image, ImageCms

from napari_pathseg.geometry import Field
from napari_pathseg.slide.base import RGB, Glimpse, Pixels, Plane, Slide
from napari_pathseg.slide.pixels import read_on_white


class SrgbSlide(Slide):
    """A slide whose colours are turned to sRGB by its profile; all else is the slide's own.

    Parameters
    ----------
    slide : Slide
        In colours, with a profile; it is closed with this one.
    """

    def __init__(self, slide: Slide) -> None:
        self._slide = slide
        self.path, self.metadata, self.levels = slide.path, slide.metadata, slide.levels
        self.associated_names, self.stack = slide.associated_names, slide.stack
        self.reads_in_threads = slide.reads_in_threads
        self.scenes, self.scene = slide.scenes, slide.scene
        self._transform = _transform(slide.icc_profile())
        # LittleCMS keeps the last pixel in the transform: one thread at a time.
        self._lock = threading.Lock()
        self._seen: tuple[RGB, RGB] | None = None

    def __reduce__(self) -> tuple[type[SrgbSlide], tuple[Slide]]:
        return type(self), (self._slide,)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        return self.read_plane(field, self.stack.shown)

    def read_plane(self, field: Field, plane: Plane) -> Pixels:  # noqa: D102 - as in Slide
        self.check_plane(plane)

        def inside(y: int, x: int, height: int, width: int) -> RGB:
            part = Field(field.level, y, x, height, width, field.downsample)
            return self._to_srgb(self._slide.read_plane(part, plane))

        return read_on_white(field, self.levels[field.level].shape, inside)

    def settle(self) -> None:  # noqa: D102 - as in Slide
        self._slide.settle()

    def glimpse(self, patience_s: float = 0.0) -> Glimpse | None:  # noqa: D102 - as in Slide
        glimpse = self._slide.glimpse(patience_s)
        if glimpse is None:
            return None
        if self._seen is None or self._seen[0] is not glimpse.pixels:
            self._seen = glimpse.pixels, self._to_srgb(glimpse.pixels)
        return Glimpse(self._seen[1], glimpse.final)

    def icc_profile(self) -> bytes | None:  # noqa: D102 - as in Slide
        return self._slide.icc_profile()

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        return self._slide.associated(name)

    def close(self) -> None:
        """Release the file."""
        self._slide.close()

    def _to_srgb(self, pixels: RGB) -> RGB:
        if self._transform is None:
            return pixels
        picture = Image.fromarray(pixels)
        with self._lock:
            ImageCms.applyTransform(picture, self._transform, inPlace=True)
        return np.array(picture)


def color_managed(slide: Slide) -> Slide:
    """The slide with sRGB colours, or itself where it has no usable profile."""
    if slide.stack.channels or _transform(slide.icc_profile()) is None:
        return slide
    return SrgbSlide(slide)


def profile_name(slide: Slide) -> str | None:
    """What the slide's colour profile calls itself, None without one."""
    data = slide.icc_profile()
    if not data:
        return None
    try:
        return ImageCms.getProfileDescription(io.BytesIO(data)).strip() or "without a name"
    except (ImageCms.PyCMSError, OSError, ValueError):
        return "damaged"


def _transform(profile: bytes | None) -> ImageCms.ImageCmsTransform | None:
    """From a profile to sRGB, relative colorimetric; None where the profile is not for RGB."""
    if not profile:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            "RGB",
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        return None
