"""OpenSlide: SVS, NDPI, MRXS, SCN, BIF, Philips TIFF, VMS and DICOM whole-slide images."""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import openslide
from openslide.lowlevel import OpenSlideError, OpenSlideUnsupportedFormatError

from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field, Pair, exact_downsample
from napari_pathseg.slide.aperio import AperioTiles
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.slide.dicom_check import check_frames
from napari_pathseg.slide.dicom_levels import levels_alone
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.pixels import alpha_on_white, read_on_white
from napari_pathseg.slide.scale import plausible_mpp
from napari_pathseg.slide.scenes import require_one_scene

MAX_READ_PX = 4096
"""Cairo can not hold a picture of more than 32,767 pixels a side."""

MAX_SIDE_PX = 4_000_000
SUB_PIXEL = 1 / 512
"""Cairo, which OpenSlide draws with, takes a smaller shift for none."""

WHOLE_PIXELS = ("leica",)
"""Formats of which OpenSlide gives the level pixel that a place lies in, unshifted."""

LEAST_PX = 16
"""Levels that are thinner show nothing, and are not shown."""

ROUNDING = 1e-6
ANCHORS = 128
"""Pixels that are read in addition, at most, to begin on a whole level-0 pixel."""

CACHE_BYTES = 32 << 20

METADATA_ERRORS = (OpenSlideError, KeyError, ValueError, ZeroDivisionError)
"""What openslide-python raises when the library stumbles after it has opened a file."""


class OpenSlideSlide(Slide):
    """A slide that the OpenSlide library reads.

    Parameters
    ----------
    path : Path
        A slide file, any one file of a DICOM series, or the folder that holds one.
    scene : int, optional
        Only 0: OpenSlide lays several scenes on one plane.

    Raises
    ------
    UnsupportedSlideError
        When OpenSlide does not know the file.
    DamagedSlideError
        When it knows the file and can not open it.
    """

    def __init__(self, path: Path, scene: int | None = None) -> None:
        require_one_scene(path, scene)
        self.path = path
        self._lock = threading.Lock()
        self._tiles: AperioTiles | None = None
        self._alone: dict[int, openslide.OpenSlide] = {}
        self._entry, handle = _open_entry(path)
        self._handle: openslide.OpenSlide | None = handle
        try:
            self.levels = _levels(handle, path)
            # OpenSlide maps level-0 places to a level with ONE mean downsample for both axes.
            self._mean_downsamples = tuple(handle.level_downsamples)
            self.associated_names = tuple(sorted(handle.associated_images))
            self.metadata = _metadata(handle, self._entry)
            if self.metadata.vendor == "aperio":
                self._tiles = AperioTiles.open(self._entry, self.levels)
            if self.metadata.vendor == "dicom":
                self._open_alone(handle)
        except METADATA_ERRORS as error:
            handle.close()
            raise DamagedSlideError(
                f"{path}: its metadata can not be read: {str(error) or type(error).__name__}.",
                "Copy the slide again from its source.",
            ) from error

    def __reduce__(self) -> tuple[type[OpenSlideSlide], tuple[Path]]:
        return type(self), (self.path,)

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        def inside(y: int, x: int, height: int, width: int) -> RGB:
            self._open_handle()
            if self._tiles is not None and self._tiles.holds(field.level):
                return self._tiles.read(field.level, y, x, height, width)
            return self._read_blocks(field.level, y, x, height, width)

        return read_on_white(field, self.levels[field.level].shape, inside)

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        if name not in self.associated_names:
            return super().associated(name)
        handle = self._open_handle()
        try:
            return alpha_on_white(np.asarray(handle.associated_images[name]))
        except OpenSlideError as error:
            self._replace(handle)
            raise DamagedSlideError(
                f"{self.path}: the {name} picture is broken: {error}."
            ) from error

    def icc_profile(self) -> bytes | None:  # noqa: D102 - as in Slide
        profile = self._open_handle().color_profile
        return None if profile is None else bytes(profile.tobytes())

    def largest_shift(self) -> float:
        """By how much of a level pixel pixels can be shifted, at worst."""
        return max(self._shift(level) for level in range(len(self.levels)))

    def _shift(self, level: int) -> float:
        """By how much of its pixels a level can be shifted, at worst."""
        if level in self._alone:
            return 0.0
        mean = self._mean_downsamples[level]
        places = np.linspace(0, max(self.levels[level].shape) - 1, 64).astype(int)
        anchors = np.array([_anchor(int(place), mean) for place in places])
        return float(np.abs(np.rint(anchors * mean) / mean - anchors).max())

    def _open_alone(self, handle: openslide.OpenSlide) -> None:
        """Levels that would be shifted, each by itself."""
        shifted = {
            number: level.shape
            for number, level in enumerate(self.levels)
            if min(level.shape) >= LEAST_PX and self._shift(number) > SUB_PIXEL
        }
        if shifted:
            self._alone = levels_alone(_entries(self._entry.parent), handle, shifted)

    def close(self) -> None:
        """Release the file, as soon as the reads that are running have ended."""
        with self._lock:
            self._handle, self._alone = None, {}
        if self._tiles is not None:
            self._tiles.close()

    def _read_blocks(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        if height <= MAX_READ_PX and width <= MAX_READ_PX:
            return self._read_block(level, y, x, height, width)
        out = np.empty((height, width, 3), dtype=np.uint8)
        for top in range(0, height, MAX_READ_PX):
            for left in range(0, width, MAX_READ_PX):
                part = out[top : top + MAX_READ_PX, left : left + MAX_READ_PX]
                part[:] = self._read_block(level, y + top, x + left, *part.shape[:2])
        return out

    def _read_block(self, level: int, y: int, x: int, height: int, width: int) -> RGB:
        mean = self._mean_downsamples[level]
        if self.metadata.vendor in WHOLE_PIXELS:
            top, left = y, x
            location_xy = (math.ceil(x * mean - ROUNDING), math.ceil(y * mean - ROUNDING))
        else:
            top, left = _anchor(y, mean), _anchor(x, mean)
            location_xy = (round(left * mean), round(top * mean))
        size_xy = (x - left + width, y - top + height)
        handle = self._open_handle()
        alone = self._alone.get(level)
        try:
            if alone is not None:
                top, left = y, x
                picture = alone.read_region((x, y), 0, (width, height))
            else:
                picture = handle.read_region(location_xy, level, size_xy)
        except OpenSlideError as error:
            self._replace(handle)
            raise DamagedSlideError(
                f"{self.path}: level {level}, pixels [{y}, {x}, {height}, {width}] "
                f"can not be read: {error}.",
                "Copy the slide again from its source.",
            ) from error
        return alpha_on_white(np.asarray(picture)[y - top :, x - left :])

    def _open_handle(self) -> openslide.OpenSlide:
        handle = self._handle
        if handle is None:
            raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
        return handle

    def _replace(self, spoiled: openslide.OpenSlide) -> None:
        """Open the file anew: after its first error a handle refuses everything."""
        with self._lock:
            if self._handle is not spoiled:
                return
            # A file that is gone meanwhile keeps the spoiled handle, which says why it fails.
            with contextlib.suppress(OpenSlideError):
                self._handle = _opened(self._entry)
                if self._alone:
                    self._open_alone(self._handle)


def _anchor(place: int, downsample: float) -> int:
    """The nearest level pixel up to `place` that lies on a whole level-0 pixel.

    OpenSlide takes places in whole level-0 pixels. Read from any other pixel of a level whose
    downsample is not a whole number, all pixels would be shifted by a part of one.
    """
    candidates = np.arange(place, max(place - ANCHORS, -1), -1)
    exact = candidates * downsample
    fits = np.flatnonzero(np.abs(np.rint(exact) - exact) < SUB_PIXEL * downsample)
    return int(candidates[fits[0]]) if fits.size else place


def _opened(entry: Path) -> openslide.OpenSlide:
    handle = openslide.OpenSlide(entry)
    handle.set_cache(openslide.OpenSlideCache(CACHE_BYTES))
    return handle


def _open_entry(path: Path) -> tuple[Path, openslide.OpenSlide]:
    """Open a file, or the DICOM series of a folder; also says through which file."""
    reason = ""
    folder = path if path.is_dir() else path.parent
    if path.is_dir() or is_dicom(path):
        check_frames(file for file in sorted(folder.iterdir()) if is_dicom(file))
    for entry in _entries(path):
        try:
            return entry, _opened(entry)
        except OpenSlideUnsupportedFormatError:
            continue
        except OpenSlideError as error:
            reason = str(error)
    if reason:
        raise DamagedSlideError(
            f"{path}: OpenSlide can not open it: {reason.rstrip('.')}.",
            "Copy the slide again from its source, with all files that belong to it.",
        )
    raise UnsupportedSlideError(f"{path}: OpenSlide does not know this kind of file.")


def _entries(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from (file for file in sorted(path.iterdir()) if is_dicom(file))


def is_dicom(path: Path) -> bool:
    """Whether a file starts as DICOM part 10 demands: 128 bytes, then DICM."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(132)[128:] == b"DICM"


def _levels(handle: openslide.OpenSlide, path: Path) -> tuple[Level, ...]:
    shapes = [(height, width) for width, height in handle.level_dimensions]
    for height, width in shapes:
        if not (0 < height <= MAX_SIDE_PX and 0 < width <= MAX_SIDE_PX):
            raise DamagedSlideError(f"{path}: its header claims {height} x {width} pixels.")
    properties = handle.properties
    levels = []
    for index, shape in enumerate(shapes):
        prefix = f"openslide.level[{index}].tile-"
        height = int(properties.get(prefix + "height", 256))
        width = int(properties.get(prefix + "width", 256))
        levels.append(Level(shape, exact_downsample(shapes[0], shape), (height, width)))
    return tuple(levels)


def _metadata(handle: openslide.OpenSlide, entry: Path) -> SlideMetadata:
    properties = dict(handle.properties)
    return SlideMetadata(
        backend="openslide",
        vendor=properties.get(openslide.PROPERTY_NAME_VENDOR, "unknown"),
        mpp=_mpp(properties),
        objective_power=_number(properties, openslide.PROPERTY_NAME_OBJECTIVE_POWER),
        identity=_identity(properties, entry),
        properties=properties,
    )


def _mpp(properties: Mapping[str, str]) -> Pair | None:
    return plausible_mpp(
        _number(properties, openslide.PROPERTY_NAME_MPP_Y),
        _number(properties, openslide.PROPERTY_NAME_MPP_X),
    )


def _number(properties: Mapping[str, str], name: str) -> float | None:
    try:
        value = float(properties[name])
    except (KeyError, ValueError):
        return None
    return value if value > 0 else None


def _identity(properties: Mapping[str, str], entry: Path) -> str:
    """A series is one slide through whichever of its files it was opened."""
    if properties.get(openslide.PROPERTY_NAME_VENDOR) == "dicom":
        quick = properties.get(openslide.PROPERTY_NAME_QUICKHASH1)
        if quick:
            return quick
    companions = entry.with_suffix("")
    if entry.suffix.lower() == ".mrxs" and companions.is_dir():
        return identity_of([file for file in companions.iterdir() if file.is_file()], companions)
    return identity_of([entry])
