"""What every slide backend gives: levels, metadata and pixels of a field."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.closing import Closing
from napari_pathseg.errors import SlideError
from napari_pathseg.geometry import Field, Pair, Shape
from napari_pathseg.slide.channels import Channel

RGB = npt.NDArray[np.uint8]
Pixels = npt.NDArray[Any]


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


@dataclass(frozen=True, slots=True)
class Plane:
    """One picture of a stack.

    Attributes
    ----------
    z, t : int
        Focal plane and time point.
    channel : int or None
        None for a slide in colours, which has no channels.
    """

    z: int = 0
    t: int = 0
    channel: int | None = None


@dataclass(frozen=True, slots=True)
class Stack:
    """What a slide holds besides its height and width.

    Attributes
    ----------
    z, t : int
        Number of focal planes and of time points.
    z_um, t_s : float or None
        Distance of focal planes in micrometres, of time points in seconds, where it is known.
    channels : tuple of Channel
        Empty for a slide in colours.
    dtype : str
        Of what is stored in a channel.
    """

    z: int = 1
    t: int = 1
    z_um: float | None = None
    t_s: float | None = None
    channels: tuple[Channel, ...] = ()
    dtype: str = "uint8"

    @property
    def shown(self) -> Plane:
        """The plane that :meth:`Slide.read` shows: the middle one, as a viewer begins with."""
        return Plane((self.z - 1) // 2, (self.t - 1) // 2, 0 if self.channels else None)

    @property
    def is_flat(self) -> bool:
        """Whether there is one focal plane and one time point."""
        return self.z == self.t == 1


@dataclass(frozen=True, slots=True)
class Glimpse:
    """Roughly what a whole slide looks like that is decoded as a whole.

    Attributes
    ----------
    pixels : uint8 array (height, width, 3)
        A few of them, evenly spread; the same array as long as no more is known.
    final : bool
        Whether nobody who reads has to wait any more.
    """

    pixels: RGB
    final: bool


class Slide(Closing):
    """An opened slide. Safe to read from several threads; picklable by path; a context manager."""

    path: Path
    metadata: SlideMetadata
    levels: tuple[Level, ...]
    associated_names: tuple[str, ...] = ()
    """Names of the label, macro and thumbnail pictures; a label can carry a patient's name."""

    reads_in_threads: bool = False
    """Whether the chunks of one field are read side by side: cutting it would only cost."""

    stack: Stack = Stack()
    scenes: tuple[str, ...] = ("",)
    """Names of the pictures of one file that are slides of their own."""

    scene: int = 0
    """Which of `scenes` this is."""

    @property
    def shape(self) -> Shape:
        """(height, width) at level 0."""
        return self.levels[0].shape

    @property
    def name(self) -> str:
        """File name and, where the file has several scenes, which of them."""
        if len(self.scenes) == 1:
            return self.path.name
        return f"{self.path.name} {self.scenes[self.scene] or self.scene + 1}"

    @abstractmethod
    def read(self, field: Field) -> RGB:
        """Pixels of a field.

        Returns
        -------
        uint8 array (height, width, 3)
            sRGB, alpha composited on white, white outside the slide. Channels are mixed in
            their colours; of a stack the plane `stack.shown` is given.

        Raises
        ------
        DamagedSlideError
            When the stored pixels can not be decoded; names the path, level and region.
        """

    def settle(self) -> None:
        """Wait until a small picture, which is decoded from its opening on, is sound.

        Raises
        ------
        DamagedSlideError
            When it is not.
        """

    def glimpse(self, patience_s: float = 0.0) -> Glimpse | None:
        """Roughly what the whole slide looks like, at once; asking begins what reading waits for.

        None where it is read tile by tile.

        Parameters
        ----------
        patience_s : float
            How long to wait at most for what can be seen before the slide is decoded.
        """
        return None

    def read_plane(self, field: Field, plane: Plane) -> Pixels:
        """Pixels of a field in one plane of the stack.

        Returns
        -------
        array
            (height, width, 3) uint8 for a slide in colours, as :meth:`read` gives it;
            (height, width) of `stack.dtype`, 0 outside the slide, for one channel.

        Raises
        ------
        DamagedSlideError
            As :meth:`read`.
        SlideError
            When there is no such plane.
        """
        self.check_plane(plane)
        return self.read(field)

    def check_plane(self, plane: Plane) -> None:
        """Raise SlideError when the slide has no such plane."""
        stack = self.stack
        channel_fits = (
            plane.channel is None
            if not stack.channels
            else plane.channel is not None and 0 <= plane.channel < len(stack.channels)
        )
        if not (0 <= plane.z < stack.z and 0 <= plane.t < stack.t and channel_fits):
            raise SlideError(
                f"{self.path}: there is no plane z={plane.z}, t={plane.t}, "
                f"channel={plane.channel}; it has {stack.z} focal planes, {stack.t} time points "
                f"and {len(stack.channels)} channels."
            )

    def icc_profile(self) -> bytes | None:
        """The scanner's colour profile, None where the file has none."""
        return None

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
