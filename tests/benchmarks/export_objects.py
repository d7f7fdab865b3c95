"""Peak memory and time of exporting one field with many objects.

    python tests/benchmarks/export_objects.py geojson 100000

Prints the objects, the field's megapixels, the memory that the export takes besides the field's
own masks, and processor seconds.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from napari_pathseg.classes import ClassList
from napari_pathseg.config import ExportConfig
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.run import export_labels
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import FieldRecord

SIDE = 4424
"""Of the field, pixels; 99,856 discs of 97 pixels at most."""
CLASSES = ClassList.from_names(["nucleus"], [(0, 114, 178)])


class Discs:
    """A slide with one field of discs."""

    name, identity, levels = "discs", "discs", (((SIDE, SIDE), (1.0, 1.0)),)

    def __init__(self, count: int) -> None:
        self.mask = np.zeros((SIDE, SIDE), np.uint16)
        y, x = np.mgrid[:14, :14].astype(np.int32) - 7
        disc = (y**2 + x**2 < 30).astype(np.uint16)
        across = SIDE // 14
        for number in np.linspace(0, across**2, count, endpoint=False).astype(int).tolist():
            top, left = number // across * 14, number % across * 14
            self.mask[top : top + 14, left : left + 14] = disc
        field = Field(0, 0, 0, SIDE, SIDE, (1.0, 1.0))
        self.record = FieldRecord.new(
            field, CLASSES, slide_identity="discs", slide_name="discs", mpp=(0.5, 0.5)
        )

    def records(self) -> tuple[FieldRecord, ...]:
        """The one record."""
        return (self.record,)

    def masks(self, _: str) -> tuple[np.ndarray, None]:
        """The class mask."""
        return self.mask, None

    def before(self, _: str) -> np.ndarray:
        """The class mask."""
        return self.mask

    def image(self, _: str, grid: Field) -> np.ndarray:
        """White."""
        return np.full((*grid.shape, 3), 255, np.uint8)


class Peak:
    """The largest memory of this process while it is looked at."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.01):
            self.bytes = max(self.bytes, self._process.memory_info().rss)


def main(form: str, count: int) -> None:
    """Export once and print."""
    source = Discs(count)
    ExportField(source.record, source.mask).classed_objects()  # imports what labels objects
    before = psutil.Process().memory_info().rss
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder, Peak() as peak:
        done = export_labels([source], Path(folder), ExportConfig(formats=(form,)))
        sizes = [f.stat().st_size for f in Path(folder).rglob("*") if f.is_file()]
    print(
        f"{form}: {done.objects:,} objects, {SIDE**2 / 1e6:.1f} megapixels,"
        f" {sum(sizes) / 1e6:.0f} MB written, {(peak.bytes - before) / 1e6:.0f} MB of memory,"
        f" {time.process_time() - started:.0f} s of processor time",
        flush=True,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
