"""Slides of channels, focal planes and time points: how their planes become one picture."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_pathseg.errors import DamagedSlideError, one_line
from napari_pathseg.geometry import Field
from napari_pathseg.slide.base import RGB, Pixels, Plane, Slide
from napari_pathseg.slide.channels import Channel
from napari_pathseg.slide.mixing import Window, display_windows, middle_window, mixed
from napari_pathseg.slide.pixels import inside_of, read_on_white


class PlaneSlide(Slide):
    """A slide whose file stores planes; a backend says how to get a window of some of them."""

    def __init__(self) -> None:
        self._windows: tuple[Window, ...] | None = None
        self._window_lock = threading.Lock()

    @abstractmethod
    def _planes(
        self, level: int, y: int, x: int, height: int, width: int, planes: Sequence[Plane]
    ) -> list[Pixels]:
        """Windows that lie wholly inside a level, one a plane, as `read_plane` gives them."""

    def read(self, field: Field) -> RGB:  # noqa: D102 - as in Slide
        shown, channels = self.stack.shown, self.stack.channels

        def inside(y: int, x: int, height: int, width: int) -> RGB:
            place = (y, x, height, width)
            if not channels:
                return self._planes(field.level, *place, [shown])[0]
            wanted = [replace(shown, channel=i) for i in range(len(channels))]
            planes = self._planes(field.level, *place, wanted)
            return mixed(planes, self.display_windows(), channels)

        return read_on_white(field, self.levels[field.level].shape, inside)

    def read_plane(self, field: Field, plane: Plane) -> Pixels:  # noqa: D102 - as in Slide
        self.check_plane(plane)

        def inside(y: int, x: int, height: int, width: int) -> Pixels:
            return self._planes(field.level, y, x, height, width, [plane])[0]

        level_shape = self.levels[field.level].shape
        if not self.stack.channels:
            return read_on_white(field, level_shape, inside)
        empty = np.zeros(field.shape, dtype=self.stack.dtype)
        return inside_of(field, level_shape, inside, empty)

    def display_windows(self) -> tuple[Window, ...]:
        """Values of each channel shown as nothing and as full colour.

        The file's own, or else measured, once.
        """
        with self._window_lock:
            if self._windows is None:
                said = [self._said(channel) for channel in self.stack.channels]
                found = self._measured() if None in said else said
                self._windows = tuple(own or other for own, other in zip(said, found, strict=True))
            return self._windows

    def _said(self, channel: Channel) -> Window:
        """The file's own window, None where it is all that the type holds: that says nothing."""
        dtype, window = np.dtype(self.stack.dtype), channel.window
        if window is None or dtype.kind not in "iu":
            return window
        return window if window != (np.iinfo(dtype).min, np.iinfo(dtype).max) else None

    def _measured(self) -> list[Window]:
        last = len(self.levels) - 1
        place = middle_window(*self.levels[last].shape)
        shown = self.stack.shown
        wanted = [replace(shown, channel=i) for i in range(len(self.stack.channels))]
        return list(display_windows(self._planes(last, *place, wanted)))


class LibrarySlide(PlaneSlide):
    """A slide that an outside library reads one plane at a time."""

    remedy: str
    """What to do about a damaged one."""

    @abstractmethod
    def _plane(self, level: int, place: tuple[int, int, int, int], plane: Plane) -> Pixels:
        """The window (y, x, height, width) of one plane."""

    def _planes(
        self, level: int, y: int, x: int, height: int, width: int, planes: Sequence[Plane]
    ) -> list[Pixels]:
        return [self._plane(level, (y, x, height, width), plane) for plane in planes]

    def _damaged(self, what: str, error: BaseException) -> DamagedSlideError:
        return DamagedSlideError(f"{self.path}: {what}: {one_line(error)}.", self.remedy)
