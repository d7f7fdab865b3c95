"""tifffile: OME-TIFF, QPTIFF, generic pyramids, stacks and plain TIFF."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Field, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.mixing import Window, display_windows, middle_window, mixed
from napari_pathseg.slide.ome import Channel, refuse_hostile_xml
from napari_pathseg.slide.pixels import alpha_on_white, read_on_white, to_uint8
from napari_pathseg.slide.tiff_layout import (
    ASSOCIATED,
    Plane,
    TiffLayout,
    TiffLevel,
    layout_of,
    main_series,
)
from napari_pathseg.slide.tiff_segments import (
    TIFF_ERRORS,
    Samples,
    SegmentReader,
    keyframe,
    one_line,
    segment_shape,
)


class TiffSlide(Slide):
    """A TIFF that tifffile reads tile by tile.

    Several channels are mixed to one picture by adding their colours, as light adds. A stack
    shows its middle focal plane and first time point unless `plane` says otherwise.

    Parameters
    ----------
    path : Path
    series : int, optional
        Which of the file's pictures; the largest that is no label or macro by default.
    plane : Plane
        Which plane and channels.

    Raises
    ------
    UnsupportedSlideError
        When its layout is not read.
    DamagedSlideError
        When it is broken or cut short; names what is missing.
    """

    def __init__(
        self, path: Path, *, series: int | None = None, plane: Plane | None = None
    ) -> None:
        self.path = path
        self._asked = (series, plane)
        with _wrapped(path, "can not be opened"):
            self._tif = tifffile.TiffFile(path)
        try:
            with _wrapped(path, "can not be opened"):
                self._prepare(series, plane or Plane())
        except SlideError:
            self._tif.close()
            raise

    def _prepare(self, series: int | None, plane: Plane) -> None:
        tif, path = self._tif, self.path
        first = tif.pages.first
        refuse_hostile_xml(first.description, str(path))
        self._series = main_series(tif, path, series)
        self.layout: TiffLayout = layout_of(tif, path, self._series, plane)
        self._segments = SegmentReader(path)
        self._windows: tuple[Window, ...] | None = None
        self._window_lock = threading.Lock()
        self.levels = _levels(self.layout)
        self.channels: tuple[Channel, ...] = self.layout.channels
        others = [s for i, s in enumerate(tif.series) if i != self._series]
        self.associated_names = tuple(s.name for s in others if _is_associated(s))
        self.metadata = self._metadata(others)
        self._check_last_tile()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.path, *self._asked)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        level = self.layout.levels[field.level]

        def inside(y: int, x: int, height: int, width: int) -> RGB:
            return self._rgb(level, y, x, height, width)

        return read_on_white(field, level.shape, inside)

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        for index, series in enumerate(self._tif.series):
            if series.name == name and name in self.associated_names:
                with TiffSlide(self.path, series=index) as picture:
                    height, width = picture.shape
                    return picture.read(Field(0, 0, 0, height, width, (1.0, 1.0)))
        return super().associated(name)

    def close(self) -> None:
        """Release the file."""
        self._segments.close()
        self._tif.close()

    def _rgb(self, level: TiffLevel, y: int, x: int, height: int, width: int) -> RGB:
        fill = 255 if self.layout.is_rgb else 0
        pages = [self._segments.window(page, y, x, height, width, fill) for page in level.pages]
        if self.layout.is_rgb:
            pixels = to_uint8(pages[0])
            if self.layout.alpha:
                return alpha_on_white(pixels)
            return np.ascontiguousarray(pixels[..., :3])
        return mixed(self._planes(pages), self._display_windows(), self.channels)

    def _planes(self, pages: list[Samples]) -> list[Samples]:
        key = keyframe(self.layout.levels[0].pages[0])
        if key.photometric == 3 and key.colormap is not None:
            colors = to_uint8(np.asarray(key.colormap, dtype=np.uint16))
            return [colors[i][pages[0][..., 0]] for i in range(3)]
        if self.layout.samples is not None:
            planes = [pages[0][..., sample] for sample in self.layout.samples]
        else:
            planes = [page[..., 0] for page in pages]
        if key.photometric == 0:
            return [255 - to_uint8(plane) for plane in planes]
        return planes

    def _display_windows(self) -> tuple[Window, ...]:
        """Measured once, when the first field is mixed."""
        with self._window_lock:
            if self._windows is None:
                level = self.layout.levels[-1]
                place = middle_window(*level.shape)
                pages = [self._segments.window(page, *place, 0) for page in level.pages]
                self._windows = tuple(display_windows(self._planes(pages)))
            return self._windows

    def _check_last_tile(self) -> None:
        """A damaged end shows at once, not when the user pans there."""
        level = self.layout.levels[0]
        if min(segment_shape(keyframe(level.pages[0]))) > 4096:
            return
        for page in level.pages:
            self._segments.window(page, level.shape[0] - 1, level.shape[1] - 1, 1, 1, 0)

    def _metadata(self, others: list[tifffile.TiffPageSeries]) -> SlideMetadata:
        tif = self._tif
        first = tif.pages.first
        properties = {
            "tiff.kind": ",".join(sorted(tif.flags)) or "generic",
            "tiff.compression": str(getattr(first.compression, "name", first.compression)),
            "tiff.stack": ", ".join(f"{axis}={n}" for axis, n in self.layout.stack),
            "tiff.channels": ", ".join(channel.name for channel in self.channels),
            "tiff.scenes": ", ".join(s.name for s in others if not _is_associated(s)),
            "tiff.description": first.description[:4096],
            "tiff.software": str(first.software)[:256],
        }
        return SlideMetadata(
            backend="tifffile",
            vendor=_vendor(tif),
            mpp=self.layout.mpp,
            objective_power=self.layout.objective_power,
            identity=identity_of([self.path]),
            properties={name: value for name, value in properties.items() if value},
        )


def _reopen(path: Path, series: int | None, plane: Plane | None) -> TiffSlide:
    return TiffSlide(path, series=series, plane=plane)


def _levels(layout: TiffLayout) -> tuple[Level, ...]:
    full = layout.levels[0].shape
    return tuple(
        Level(
            level.shape,
            exact_downsample(full, level.shape),
            segment_shape(keyframe(level.pages[0])),
        )
        for level in layout.levels
    )


def _is_associated(series: tifffile.TiffPageSeries) -> bool:
    return series.name.lower().startswith(ASSOCIATED)


def _vendor(tif: tifffile.TiffFile) -> str:
    known = {"qpi": "akoya", "ome": "ome-tiff", "svs": "aperio", "imagej": "imagej", "ndpi": "ndpi"}
    return next((name for flag, name in known.items() if flag in tif.flags), "generic-tiff")


@contextlib.contextmanager
def _wrapped(path: Path, what: str) -> Iterator[None]:
    """Turn what tifffile leaks on damaged files into one line with the path."""
    try:
        yield
    except TIFF_ERRORS as error:
        raise DamagedSlideError(
            f"{path}: the TIFF {what}: {one_line(error)}.", "Copy it again from its source."
        ) from error
