"""Python's search for garbage holds up every thread: over half a second once torch is loaded."""

from __future__ import annotations

import atexit
import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_held: list[bool] = []
"""For each who wants no search now: whether there was one before."""


def hold() -> None:
    """No search until :func:`let_go`, which whoever held it calls, from any thread."""
    with _lock:
        _held.append(gc.isenabled())
        gc.disable()


def let_go() -> None:
    """Search again once nobody holds it, if it was so before the first."""
    with _lock:
        first = _held[0]
        _held.pop()
        if first and not _held:
            gc.enable()


@contextmanager
def left_alone() -> Iterator[None]:
    """No search meanwhile, and none later in what there is at the end: it came to stay.

    For imports and models. :func:`search_again` ends it.
    """
    hold()
    try:
        yield
    finally:
        gc.freeze()
        let_go()


@atexit.register
def search_again() -> None:
    """Something large goes: the next search looks everywhere."""
    gc.unfreeze()
