"""What every slide backend gives: levels, metadata and pixels of a field."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import SlideError
from napari_pathseg.geometry import Field, Pair, Shape

RGB = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Level:
    """One level of the pyramid."""

    shape: Shape
    downsample: Pair
    tile: Shape


@dataclass(frozen=True, slots=True)
class SlideMetadata:
    """What is known of a slide without reading its pixels.

    Attributes
    ----------
    backend : str
        Name of the library that reads it.
    vendor : str
        Scanner maker or format, "unknown" when nobody says.
    mpp : (float, float) or None
        Micrometres per level-0 pixel, (y, x); None when the file does not say.
    objective_power : float or None
        Nominal magnification.
    identity : str
        Hash of content that stays the same when the file is moved or renamed.
    properties : mapping of str to str
        Everything else the file says.
    """

    backend: str
    vendor: str
    mpp: Pair | None
    objective_power: float | None
    identity: str
    properties: Mapping[str, str] = field(default_factory=dict)


class Slide(ABC):
    """An opened slide. Safe to read from several threads; picklable by path; a context manager."""

    path: Path
    metadata: SlideMetadata
    levels: tuple[Level, ...]
    associated_names: tuple[str, ...] = ()
    """Names of the label, macro and thumbnail pictures; a label can carry a patient's name."""

    @property
    def shape(self) -> Shape:
        """(height, width) at level 0."""
        return self.levels[0].shape

    @abstractmethod
    def read(self, field: Field) -> RGB:
        """Pixels of a field.

        Returns
        -------
        uint8 array (height, width, 3)
            sRGB, alpha composited on white, white outside the slide.

        Raises
        ------
        DamagedSlideError
            When the stored pixels can not be decoded; names the path, level and region.
        """

    def associated(self, name: str) -> RGB:
        """One associated picture, (height, width, 3) uint8; read only when the user asks for it.

        Raises
        ------
        SlideError
            When the slide has no picture of that name.
        """
        raise SlideError(
            f"{self.path}: there is no associated picture named {name!r}.",
            f"It has: {', '.join(self.associated_names) or 'none'}.",
        )

    @abstractmethod
    def close(self) -> None:
        """Release the file."""

    def __enter__(self) -> Slide:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
