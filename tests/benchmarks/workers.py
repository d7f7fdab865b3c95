"""From one worker to two: how much faster a batch becomes when each has one thread.

``python tests/benchmarks/workers.py [SLIDES] [SIDE]`` writes SLIDES generated slides of SIDE
pixels a side at 1 micrometre, lets `pathseg batch` do them with one worker and with two, and
prints one line of JSON. A slide counts from the end of the first one to the end of the last, so
that starting processes and loading the model, which a long batch does once, are left out; how
long they take is told apart. It wants two cores that nothing else uses.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from napari_pathseg.slide.synthetic import write_synthetic

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def batch(slides: Path, out: Path, workers: int) -> dict[str, float]:
    """One batch; seconds by the clock."""
    command = [sys.executable, "-m", "napari_pathseg.cli", "batch", str(slides)]
    command += ["--prompt", "gland", "--out", str(out), "--workers", str(workers), "--all"]
    begun = time.time()
    subprocess.run(
        command, check=True, capture_output=True, env=os.environ | dict.fromkeys(THREADS, "1")
    )
    ends = sorted(path.stat().st_mtime for path in out.glob("slide-*.json"))
    return {
        "whole_s": round(time.time() - begun, 1),
        "until_first_s": round(ends[0] - begun, 1),
        "slides_a_minute": round(60 * (len(ends) - 1) / (ends[-1] - ends[0]), 2),
    }


def main(count: int, side: int) -> None:
    """Write the slides, run both and print."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        slides = folder / "slides"
        slides.mkdir()
        for i in range(count):
            write_synthetic(slides / f"slide-{i:03d}.svs", (side, side), mpp=1.0, seed=i)
        one, two = (batch(slides, folder / f"out-{n}", n) for n in (1, 2))
    gain = two["slides_a_minute"] / one["slides_a_minute"]
    print(json.dumps({"one": one, "two": two, "gain": round(gain, 2)}))


if __name__ == "__main__":
    main(*(int(number) for number in (sys.argv[1:] + ["17", "800"][len(sys.argv) - 1 :])))
