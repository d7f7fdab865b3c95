"""Work that waits until what it is about has stopped changing."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import QObject, QTimer


def settling_timer(parent: QObject, wait_ms: int, work: Callable[[], None]) -> QTimer:
    """A timer that does the work so long after its last start."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(wait_ms)
    timer.timeout.connect(work)
    return timer
