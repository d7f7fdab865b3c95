"""What of a slide can not be read while it is looked at: it is shown grey, and told."""

from __future__ import annotations

import threading
from collections.abc import Callable

from napari_pathseg.errors import DamagedSlideError


class Damage:
    """Places of one slide that a viewer shows grey; safe under threads.

    Only who draws is shown grey: whoever else reads gets the error.

    Attributes
    ----------
    on_found : callable
        Called with the first error, in the thread that draws.
    """

    def __init__(self) -> None:
        self._errors: dict[str, DamagedSlideError] = {}
        self._is_told = False
        self._lock = threading.Lock()
        self.on_found: Callable[[DamagedSlideError], None] = _nobody

    @property
    def is_found(self) -> bool:
        """Whether anything could not be read."""
        return bool(self._errors)

    def add(self, error: DamagedSlideError) -> None:
        """A place could not be read."""
        with self._lock:
            self._errors.setdefault(error.what, error)

    def tell(self) -> None:
        """Tell of the first place, once: who draws a slide with a broken half has seen enough."""
        if self._errors and not self._is_told:
            self._is_told = True
            self.on_found(next(iter(self._errors.values())))


def _nobody(_error: DamagedSlideError) -> None:
    """Nobody is told."""
