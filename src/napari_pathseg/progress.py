"""How long work reports its progress and is told to stop, without knowing of any GUI."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from napari_pathseg.errors import CancelledError


@dataclass(frozen=True, slots=True)
class Progress:
    """One report: `done` of `total` steps, and what is being done now."""

    done: int
    total: int
    message: str


ProgressCallback = Callable[[Progress], None]


def no_progress(_: Progress) -> None:
    """Discard a report."""


class CancelToken:
    """Thread-safe request to stop; long work calls :meth:`raise_if_cancelled` often."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def cancel(self) -> None:
        """Ask the work that holds this token to stop."""
        self._event.set()

    @property
    def cancelled(self) -> bool:
        """Whether :meth:`cancel` was called."""
        return self._event.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise :class:`CancelledError` once :meth:`cancel` was called."""
        if self._event.is_set():
            raise CancelledError
