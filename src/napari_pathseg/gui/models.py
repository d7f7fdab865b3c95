"""The model, loaded once and shared by all slides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_pathseg.models.base import Segmenter


class SharedModel:
    """Loads the model at the first use; safe under threads.

    Parameters
    ----------
    load : callable
        Returns the segmenter; called in the background, since it imports torch.
    """

    def __init__(self, load: Callable[[], Segmenter]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._segmenter: Segmenter | None = None

    @property
    def loaded(self) -> Segmenter | None:
        """The segmenter, None before the first :meth:`get` ended."""
        return self._segmenter

    def get(self) -> Segmenter:
        """The segmenter; ModelError when its weights can not be loaded."""
        with self._lock:
            if self._segmenter is None:
                self._segmenter = self._load()
            return self._segmenter


def default_model() -> Segmenter:
    """Load the model that ships with the package, and what asks it, which imports torch too."""
    from napari_pathseg.models.registry import load_segmenter

    return load_segmenter()
