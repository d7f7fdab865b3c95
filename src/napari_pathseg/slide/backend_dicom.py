"""wsidicom, an optional extra: DICOM whole-slide images that OpenSlide reads not or not exactly."""

from __future__ import annotations

import threading
import weakref
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.errors import DamagedSlideError, SlideError
from napari_pathseg.geometry import Pair, exact_downsample
from napari_pathseg.slide.base import RGB, Level, Pixels, Plane, SlideMetadata, Stack
from napari_pathseg.slide.identity import identity_of
from napari_pathseg.slide.planes import LibrarySlide
from napari_pathseg.slide.scale import is_smaller_copy, plausible_mpp
from napari_pathseg.slide.scenes import require_one_scene

# An optional extra: by name, so that neither checkers nor installers take it for a requirement.
wsidicom = import_module("wsidicom")

_NAMED: list[Any] = [each for each in vars(wsidicom.errors).values() if isinstance(each, type)]
DICOM_ERRORS: tuple[type[Exception], ...] = (
    # Its own have no common root.
    *(each for each in _NAMED if issubclass(each, Exception)),
    RuntimeError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OSError,
    EOFError,
    OverflowError,
    MemoryError,
    NotImplementedError,
    AssertionError,
)
MAX_SIDE_PX = 4_000_000


class DicomSlide(LibrarySlide):
    """A DICOM series in a folder, or the series that a file belongs to.

    Parameters
    ----------
    path : Path
        The folder, or any one file of the series.
    scene : int, optional
        Only 0.

    Raises
    ------
    DamagedSlideError
        When the series can not be opened or read.
    """

    remedy = "Copy the slide again, with all files of the series."

    def __init__(self, path: Path, scene: int | None = None) -> None:
        super().__init__()
        require_one_scene(path, scene)
        self.path = path
        self._lock = threading.Lock()
        try:
            self._slide: Any = wsidicom.WsiDicom.open(str(path if path.is_dir() else path.parent))
            self._release = weakref.finalize(self, self._slide.close)
            self._prepare()
        except DICOM_ERRORS as error:
            raise self._damaged("the series can not be opened", error) from error

    def _prepare(self) -> None:
        slide = self._slide
        stored = sorted(slide.pyramid, key=lambda level: level.level)
        self._levels = [stored[0]]
        for level in stored[1:]:
            if is_smaller_copy(_shape(stored[0]), _shape(self._levels[-1]), _shape(level)):
                self._levels.append(level)
        shapes = [_shape(level) for level in self._levels]
        if not all(0 < side <= MAX_SIDE_PX for shape in shapes for side in shape):
            raise DamagedSlideError(
                f"{self.path}: its header claims levels of {shapes[:3]} pixels."
            )
        self.levels = tuple(
            Level(
                shape,
                exact_downsample(shapes[0], shape),
                (int(level.tile_size.height), int(level.tile_size.width)),
            )
            for shape, level in zip(shapes, self._levels, strict=True)
        )
        self._focus = sorted(stored[0].focal_planes)
        steps = np.diff(self._focus)
        self.stack = Stack(len(self._focus), 1, float(steps[0]) if steps.size else None)
        named = (("label", slide.labels), ("macro", slide.overviews))
        self.associated_names = tuple(name for name, pictures in named if pictures)
        self.metadata = self._metadata()

    def __reduce__(self) -> tuple[type[DicomSlide], tuple[Path]]:
        return type(self), (self.path,)

    def associated(self, name: str) -> RGB:  # noqa: D102 - as in Slide
        if name not in self.associated_names:
            return super().associated(name)
        with self._lock:
            slide = self._opened()
            try:
                picture = slide.read_label() if name == "label" else slide.read_overview()
                return np.array(picture.convert("RGB"))
            except DICOM_ERRORS as error:
                raise self._damaged(f"the {name} picture is broken", error) from error

    def icc_profile(self) -> bytes | None:  # noqa: D102 - as in Slide
        paths = self._opened().metadata.pyramid.optical_paths
        profile = paths[0].icc_profile if paths else None
        return bytes(profile) if profile else None

    def close(self) -> None:
        """Release the files when the read that is running has ended."""
        with self._lock:
            self._release()
            self._slide = None

    def _plane(self, level: int, place: tuple[int, int, int, int], plane: Plane) -> Pixels:
        y, x, height, width = place
        number, focus = self._levels[level].level, self._focus[plane.z]
        with self._lock:
            slide = self._opened()
            try:
                picture = slide.read_region((x, y), number, (width, height), focus)
                return np.array(picture.convert("RGB"))
            except DICOM_ERRORS as error:
                raise self._damaged(
                    f"level {level}, pixels {list(place)} can not be read", error
                ) from error

    def _opened(self) -> Any:
        if self._slide is None:
            raise SlideError(f"{self.path}: the slide was closed.", "Open it again.")
        return self._slide

    def _metadata(self) -> SlideMetadata:
        slide = self._slide
        equipment = slide.metadata.equipment
        maker = str(getattr(equipment, "manufacturer", "") or "dicom")
        paths = slide.metadata.pyramid.optical_paths
        objective = getattr(paths[0], "objective", None) if paths else None
        power = getattr(objective, "objective_power", None)
        properties = {
            "dicom.manufacturer": maker,
            "dicom.model": str(getattr(equipment, "model_name", "") or ""),
        }
        files = [Path(file) for file in slide.files]
        return SlideMetadata(
            backend="wsidicom",
            vendor="dicom",
            mpp=_mpp(slide),
            objective_power=float(power) if power else None,
            identity=identity_of(files, files[0].parent) if len(files) > 1 else identity_of(files),
            properties={name: value for name, value in properties.items() if value},
        )


def _shape(level: Any) -> tuple[int, int]:
    return int(level.size.height), int(level.size.width)


def _mpp(slide: Any) -> Pair | None:
    """Micrometres a pixel; wsidicom says them as width and height."""
    mpp = slide.mpp
    return plausible_mpp(float(mpp.height), float(mpp.width)) if mpp is not None else None
