"""A slide whose finest level is read only when a test lets it."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.geometry import Field, Shape, exact_downsample
from napari_pathseg.slide.base import Level, Slide, SlideMetadata


class SlowSlide(Slide):
    """Levels of these shapes; who reads level 0 waits for `may_read`."""

    def __init__(self, shapes: Sequence[Shape]) -> None:
        self.path = Path("slow")
        self.metadata = SlideMetadata("test", "test", None, None, "slow")
        self.levels = tuple(Level(s, exact_downsample(shapes[0], s), (256, 256)) for s in shapes)
        self.may_read = threading.Event()

    @abstractmethod
    def pixels(self, field: Field) -> npt.NDArray[np.uint8]:
        """What is there, (height, width, 3)."""

    def read(self, field: Field) -> npt.NDArray[np.uint8]:
        if field.level == 0:
            assert self.may_read.wait(30)
        return self.pixels(field)

    def close(self) -> None:
        self.may_read.set()
