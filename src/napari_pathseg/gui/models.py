"""The model, loaded once and shared by all slides."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.gui.garbage import left_alone
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress

if TYPE_CHECKING:
    from napari_pathseg.models.base import Segmenter

MODEL_FILE = ".safetensors"


class SharedModel:
    """Loads the model at the first use; safe under threads.

    Parameters
    ----------
    load : callable
        Returns the segmenter; called in the background, since it imports torch.
    fetch : callable, optional
        Called before it: has what does not ship.
    """

    def __init__(
        self,
        load: Callable[[], Segmenter],
        fetch: Callable[[ProgressCallback, CancelToken | None], None] | None = None,
    ) -> None:
        self._load, self._fetch = load, fetch
        self._lock = threading.Lock()
        self._segmenter: Segmenter | None = None
        self._wanted = 0

    @property
    def loaded(self) -> Segmenter | None:
        """The segmenter, None before the first :meth:`get` ended."""
        return self._segmenter

    def put(self, segmenter: Segmenter) -> None:
        """Use another segmenter from now on, such as this one with other adapters."""
        self._segmenter = segmenter

    def get(
        self, progress: ProgressCallback = no_progress, cancel: CancelToken | None = None
    ) -> Segmenter:
        """The segmenter; `progress` and `cancel` are those of what has to be fetched for it.

        Raises
        ------
        ModelError, FetchError
            When its weights can not be loaded.
        CancelledError
        """
        with self._lock:
            if self._segmenter is not None:
                return self._segmenter
            keep_triton_out()
            wanted = self._wanted
            if self._fetch is not None:
                self._fetch(progress, cancel)
            with left_alone():
                loaded = self._load()
            if wanted == self._wanted:
                self._segmenter = loaded
            return loaded

    def forget(self) -> None:
        """Load again at the next :meth:`get`, which may give another model; does not wait."""
        self._wanted += 1
        self._segmenter = None


def keep_triton_out() -> None:
    """Keep torch from loading triton where that would crash the process.

    On Linux Mesa's software renderer and triton each bring an LLVM; once the viewer has drawn
    with Mesa's, loading triton ends in a segmentation fault. torch does without triton, which
    it needs only to compile networks for a GPU.
    """
    maps = Path("/proc/self/maps")
    if sys.platform != "linux" or "triton" in sys.modules or not maps.exists():
        return
    if "libLLVM" in maps.read_text(encoding="utf-8", errors="replace"):
        sys.modules["triton"] = None  # type: ignore[assignment]


def fetch_chosen(name: str, progress: ProgressCallback, cancel: CancelToken | None) -> None:
    """Have what a model of the registry needs and does not ship.

    Raises
    ------
    FetchError, CancelledError
    """
    from napari_pathseg.models.registry import fetch_base

    fetch_base(name, progress, cancel)


def load_chosen(name: str) -> Segmenter:
    """Load a model by its name in the registry, or by the path of its file, with its adapters.

    Raises
    ------
    ModelError
        When there is no such model, or it is damaged.
    """
    from napari_pathseg.gui.learning import with_adapters
    from napari_pathseg.models.registry import load_segmenter, load_segmenter_file

    if name.endswith(MODEL_FILE):
        return with_adapters(load_segmenter_file(Path(name)))
    return with_adapters(load_segmenter(name))
