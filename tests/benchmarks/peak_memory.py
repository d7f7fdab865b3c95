"""The memory that a benchmark's own process took at most."""

from __future__ import annotations

import sys
from pathlib import Path


def peak_mb() -> float:
    """Largest memory of this process so far, MB."""
    if sys.platform == "win32":
        import psutil

        return float(psutil.Process().memory_info().peak_wset / 1e6)
    status = Path("/proc/self/status")
    if status.exists():  # what getrusage tells there counts who started this process, too
        lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(lines["VmHWM"].split()[0]) / 1e3
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3
