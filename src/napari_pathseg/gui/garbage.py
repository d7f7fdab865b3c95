"""Python's search for garbage holds up every thread: over half a second once torch is loaded."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def left_alone() -> Iterator[None]:
    """No search meanwhile, and none later in what there is at the end: it came to stay.

    For imports and models. :func:`search_again` ends it.
    """
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if searched:
            gc.enable()


@atexit.register
def search_again() -> None:
    """Something large goes: the next search looks everywhere."""
    gc.unfreeze()
