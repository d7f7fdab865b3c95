"""How long a viewer stands still: the time between two beats of a timer in the GUI thread."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from qtpy.QtCore import QTimer

BEAT_MS = 5
MAX_GAP_S = 0.4 if sys.platform == "linux" else 2.0
"""Without a graphics card, on one core. Other systems do not say how long a thread waited."""


class _Clock:
    """Seconds that this thread ran or slept; what the machine gave to others does not count.

    Linux says for every thread how long it was ready and had to wait for a core.
    """

    def __init__(self) -> None:
        self._waits = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._counted = sys.platform == "linux" and self._waits.exists()

    def __call__(self) -> float:
        waited = int(self._waits.read_text().split()[1]) / 1e9 if self._counted else 0.0
        return time.perf_counter() - waited


def longest_gap(meanwhile: Callable[[], None]) -> float:
    """Longest time in seconds that the GUI thread did not come to its timer."""
    clock = _Clock()
    beats = [clock()]
    timer = QTimer()
    timer.timeout.connect(lambda: beats.append(clock()))
    timer.start(BEAT_MS)
    meanwhile()
    timer.stop()
    beats.append(clock())
    return max(after - before for before, after in pairwise(beats))
