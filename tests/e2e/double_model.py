"""Loaded by workers before their first task: the model is one that is known exactly and quick."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shared"))
from marker_segmenter import MarkerSegmenter

from napari_pathseg.batch import cluster
from napari_pathseg.vocabulary.vocabulary import Vocabulary


class Slow(MarkerSegmenter):
    """Takes long enough that a worker can be killed at it."""

    def encode(self, image):  # type: ignore[no-untyped-def]
        time.sleep(0.4)
        return super().encode(image)


cluster._model = lambda _name, _adapters: (Slow(), Vocabulary.load())
