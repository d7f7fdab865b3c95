"""tifffile: OME-TIFF, QPTIFF, generic pyramids, stacks and plain TIFF."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import tifffile

from napari_pathseg.errors import DamagedSlideError, SlideError, one_line
from napari_pathseg.geometry import Field, Shape, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Pixels, Plane, SlideMetadata
from napari_pathseg.slide.identity import identity_of, identity_of_scene
from napari_pathseg.slide.ome import names_other_files, refuse_hostile_xml
from napari_pathseg.slide.pixels import alpha_on_white, to_uint8
from napari_pathseg.slide.planes import PlaneSlide
from napari_pathseg.slide.scenes import Picture, Scenes, is_associated, scenes_of
from napari_pathseg.slide.sources import is_wide
from napari_pathseg.slide.tiff_end import check_end
from napari_pathseg.slide.tiff_layout import (
    PALETTE,
    WHITE_IS_ZERO,
    TiffLayout,
    layout_of,
    levels_after,
)
from napari_pathseg.slide.tiff_segments import (
    CACHE_BYTES,
    TIFF_ERRORS,
    Page,
    Samples,
    SegmentReader,
    is_raw,
    segment_shape,
)

ICC_TAG = 34675
RAW_PX = 512
STRIP_ROWS = 1536
"""Rows of strips that are held, as many as a field is high with what is around it."""

MOST_STRIP_BYTES = 256 << 20


class TiffSlide(PlaneSlide):
    """A TIFF that tifffile reads tile by tile.

    Parameters
    ----------
    path : Path
    scene : int, optional
        Which of the file's pictures that are slides; the largest by default.

    Raises
    ------
    UnsupportedSlideError
        When its layout is not read.
    DamagedSlideError
        When it is broken or cut short; names what is missing.
    """

    def __init__(self, path: Path, scene: int | None = None) -> None:
        super().__init__()
        self.path = path
        self._pages: dict[tuple[int, Plane], Page] = {}
        with _wrapped(path, "can not be opened"):
            self._tif = _open(path)
            weakref.finalize(self, self._tif.close)
        try:
            with _wrapped(path, "can not be opened"):
                self._prepare(scene)
        except SlideError:
            self._tif.close()
            raise

    def _prepare(self, scene: int | None) -> None:
        tif, path = self._tif, self.path
        check_end(tif, path)
        self._pictures = _pictures(tif, path)
        self.scenes = self._pictures.names
        self.scene = self._pictures.chosen(path, scene)
        series = self._pictures.pictures[self.scene].index
        self.layout: TiffLayout = layout_of(tif, path, series)
        self._segments = SegmentReader(path, _cache_bytes(self.layout.levels[0].key))
        self.stack = self.layout.stack
        self.levels = _levels(self.layout)
        self.associated_names = tuple(picture.name for picture in self._pictures.associated)
        self.metadata = self._metadata()
        self._check_last_tile()

    def __reduce__(self) -> tuple[type[TiffSlide], tuple[Path, int]]:
        return type(self), (self.path, self.scene)

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        for picture in self._pictures.associated:
            if picture.name == name:
                with _wrapped(self.path, f"has a broken {name} picture"):
                    return self._whole(picture)
        return super().associated(name)

    def icc_profile(self) -> bytes | None:  # noqa: D102 - as in Slide
        tag = self.layout.levels[0].key.tags.get(ICC_TAG)
        return bytes(tag.value) if tag is not None and self.layout.is_rgb else None

    def close(self) -> None:
        """Release the file."""
        self._segments.close()
        self._tif.close()

    def _planes(
        self, level: int, y: int, x: int, height: int, width: int, planes: Sequence[Plane]
    ) -> list[Pixels]:
        place = (y, x, height, width)
        return [self._plane(level, plane, place) for plane in planes]

    def _plane(self, level: int, plane: Plane, place: tuple[int, int, int, int]) -> Pixels:
        layout, page = self.layout, self._page(level, plane)
        if layout.is_rgb:
            return self._rgb(layout, page, place)
        sample = 0 if layout.channels_in_pages else plane.channel or 0
        values = self._segments.window(page, *place, fill=0, sample=sample)[..., 0]
        white_is_zero = layout.levels[level].key.photometric == WHITE_IS_ZERO
        return _inverted(values) if white_is_zero else values

    def _page(self, level: int, plane: Plane) -> Page:
        page = self._pages.get((level, plane))
        if page is None:
            with self._segments.lock, _wrapped(self.path, f"has a broken page in level {level}"):
                page = self._pages[level, plane] = self.layout.page(self.path, level, plane)
        return page

    def _rgb(self, layout: TiffLayout, page: Page, place: tuple[int, int, int, int]) -> RGB:
        key = layout.levels[0].key
        if key.photometric == PALETTE and key.colormap is not None:
            colors = to_uint8(np.asarray(key.colormap, dtype=np.uint16)).T
            indices = self._segments.window(page, *place, fill=0)[..., 0]
            return np.ascontiguousarray(colors[indices])
        pixels = to_uint8(self._segments.window(page, *place, fill=255))
        return alpha_on_white(pixels) if layout.alpha else np.ascontiguousarray(pixels[..., :3])

    def _whole(self, picture: Picture) -> RGB:
        """An associated picture, as if it were a slide."""
        layout = layout_of(self._tif, self.path, picture.index)
        inner = _Picture(self.path, layout, self._segments)
        height, width = inner.levels[0].shape
        return inner.read(Field(0, 0, 0, height, width, (1.0, 1.0)))

    def _check_last_tile(self) -> None:
        """A damaged end shows at once, not when the user pans there."""
        level = self.layout.levels[0]
        if min(segment_shape(level.key)) > 4096:
            return
        height, width = level.shape
        shown = self.stack.shown
        channels = range(len(self.stack.channels)) if self.stack.channels else (None,)
        planes = [Plane(shown.z, shown.t, channel) for channel in channels]
        self._planes(0, height - 1, width - 1, 1, 1, planes)

    def _metadata(self) -> SlideMetadata:
        tif, layout = self._tif, self.layout
        first = tif.pages.first
        properties = {
            "tiff.kind": ",".join(sorted(tif.flags)) or "generic",
            "tiff.compression": str(getattr(first.compression, "name", first.compression)),
            "tiff.stack": ", ".join(f"{axis}={n}" for axis, n in layout.lead),
            "tiff.channels": ", ".join(channel.name for channel in layout.stack.channels),
            "tiff.scenes": ", ".join(name for name in self.scenes if name),
            "tiff.description": first.description[:4096],
            "tiff.software": str(first.software)[:256],
        }
        return SlideMetadata(
            backend="tifffile",
            vendor=_vendor(tif),
            mpp=layout.mpp,
            objective_power=layout.objective_power,
            identity=identity_of_scene(identity_of([self.path]), self.scene, self._pictures.main),
            properties={name: value for name, value in properties.items() if value},
        )


class _Picture(TiffSlide):
    """An associated picture of a file that is open; closes nothing."""

    def __init__(self, path: Path, layout: TiffLayout, segments: SegmentReader) -> None:
        PlaneSlide.__init__(self)
        self._pages = {}
        self.path, self.layout, self._segments = path, layout, segments
        self.stack, self.levels = layout.stack, _levels(layout)


def _open(path: Path) -> tifffile.TiffFile:
    """Open a TIFF; parts in other folders, which an OME-TIFF may name, are left alone."""
    tif = tifffile.TiffFile(path)
    try:
        text = tif.pages.first.description
        refuse_hostile_xml(text, str(path))
    except BaseException:
        tif.close()
        raise
    if not (tif.is_ome and names_other_files(text)):
        return tif
    tif.close()
    return tifffile.TiffFile(path, _multifile=False)


def _pictures(tif: tifffile.TiffFile, path: Path) -> Scenes:
    """The file's pictures without those that are levels of another one."""
    pictures: list[Picture] = []
    skip = 0
    for index, series in enumerate(tif.series):
        if skip:
            skip -= 1
            continue
        extent = dict(zip(series.axes, series.shape, strict=True))
        area = int(extent.get("Y", 0)) * int(extent.get("X", 0))
        # Only OME-TIFF names its pictures; of other names only a label's or macro's means anything.
        name = series.name if tif.is_ome or is_associated(series.name) else ""
        pictures.append(Picture(index, name, area))
        skip = levels_after(tif, index)
    return scenes_of(pictures, path)


def _levels(layout: TiffLayout) -> tuple[Level, ...]:
    full = layout.levels[0].shape
    return tuple(
        Level(level.shape, exact_downsample(full, level.shape), _read_together(level.key))
        for level in layout.levels
    )


def _read_together(key: tifffile.TiffPage) -> Shape:
    """What of a page is decoded at once; of rows that lie open in the file any part can be read."""
    height, width = segment_shape(key)
    return (min(height, RAW_PX), min(width, RAW_PX)) if is_raw(key) else (height, width)


def _cache_bytes(key: tifffile.TiffPage) -> int:
    """Of strips so many are held that neighbouring fields need not decode them again."""
    if is_raw(key) or not is_wide(segment_shape(key)):
        return CACHE_BYTES
    samples = 1 if key.planarconfig == 2 else int(key.samplesperpixel)
    row_bytes = int(key.imagewidth) * samples * (key.dtype.itemsize if key.dtype else 1)
    return min(max(row_bytes * STRIP_ROWS, CACHE_BYTES), MOST_STRIP_BYTES)


def _inverted(values: Samples) -> Samples:
    """Values of a picture in which 0 is white, turned round."""
    if values.dtype == np.bool_:
        return ~values
    return np.iinfo(values.dtype).max - values if values.dtype.kind == "u" else values


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
