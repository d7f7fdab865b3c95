"""The drill of a batch: bad slides, a worker that is killed, and going on; with the real model.

``python scripts/batch_drill.py [--slides 100] [--damaged 5] [--workers 2] [--folder DIR]``

Generates small slides, damages some, starts `pathseg batch`, kills one of its workers while it
has a slide in hand, and starts it again with --resume. Says what must be true, and ends with exit
code 1 where it is not: all others are done, the damaged ones are named, nothing is done twice.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from napari_pathseg.slide.synthetic import write_synthetic

SIDE_PX, MPP = 256, 1.0
KINDS = ("cut short", "empty", "no slide", "broken head", "zeros")


def make_slides(folder: Path, count: int, damaged: int) -> set[str]:
    """Write so many slides, of which some are damaged in different ways; the names of those."""
    folder.mkdir(parents=True, exist_ok=True)
    bad = set()
    for i in range(count):
        path = folder / f"slide-{i:03d}.tif"
        new = not path.exists()
        if new:
            write_synthetic(path, (SIDE_PX, SIDE_PX), mpp=MPP, seed=i, layout="ome")
        if i % max(count // max(damaged, 1), 1) == 3 and len(bad) < damaged:
            if new:
                damage(path, KINDS[len(bad) % len(KINDS)])
            bad.add(path.name)
    return bad


def damage(path: Path, kind: str) -> None:
    """Spoil a file in one of the ways that files are spoilt."""
    data = path.read_bytes()
    spoilt = {
        "cut short": data[: len(data) // 3],
        "empty": b"",
        "no slide": b"This is no slide." * 100,
        "broken head": data[:4] + b"\xff" * 12 + data[16:],
        "zeros": data[:8] + bytes(len(data) - 8),
    }
    path.write_bytes(spoilt[kind])


def start(slides: Path, out: Path, workers: int, *more: str) -> subprocess.Popen[str]:
    """Start the batch."""
    command = [sys.executable, "-m", "napari_pathseg.cli", "batch", str(slides)]
    command += ["--prompt", "gland", "--out", str(out), "--workers", str(workers), *more]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def kill_a_worker(batch: subprocess.Popen[str], out: Path, after: int) -> int | None:
    """Kill the process that is at work on a slide once so many are done; its number."""
    while batch.poll() is None:
        if len(list(out.glob("*.labels.tif"))) >= after:
            workers = [
                child
                for child in psutil.Process(batch.pid).children(recursive=True)
                if is_worker(child)
            ]
            if workers:
                busiest = max(workers, key=lambda child: sum(child.cpu_times()[:2]))
                busiest.kill()
                return busiest.pid
        time.sleep(0.05)
    return None


def is_worker(process: psutil.Process) -> bool:
    """Whether it does slides, and did not end this moment."""
    try:
        return "spawn_main" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def times(out: Path) -> dict[str, int]:
    """When each result was written."""
    return {path.name: path.stat().st_mtime_ns for path in sorted(out.glob("*.labels.tif"))}


def main() -> int:
    """Run the drill; 0 when all is as it must be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slides", type=int, default=100)
    parser.add_argument("--damaged", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="pathseg-drill-"))
    slides, out = folder / "slides", folder / "out"
    bad = make_slides(slides, asked.slides, asked.damaged)
    began = time.perf_counter()
    batch = start(slides, out, asked.workers)
    killed = kill_a_worker(batch, out, after=asked.slides // 10)
    batch.communicate()
    first_s = time.perf_counter() - began
    first = json.loads((out / "run.json").read_text(encoding="utf-8"))
    before = times(out)
    again = start(slides, out, asked.workers, "--resume")
    said = again.communicate()[1]
    second = json.loads((out / "run.json").read_text(encoding="utf-8"))
    return report(asked, bad, killed, first, second, before == times(out), first_s, said)


def report(
    asked: argparse.Namespace,
    bad: set[str],
    killed: int | None,
    first: dict[str, Any],
    second: dict[str, Any],
    untouched: bool,
    first_s: float,
    said: str,
) -> int:
    """Print each thing that must be true, and whether it is."""
    named = {Path(row["slide"]).name for row in first["failed"]}
    checks = {
        f"a worker was killed (process {killed})": killed is not None,
        f"{first['counts']['done']} of {asked.slides} slides done": first["counts"]["done"]
        == asked.slides - asked.damaged,
        f"{len(named)} damaged ones named, with a reason each": named == bad
        and all(row["error"] for row in first["failed"]),
        f"going on did {second['counts']['segmented']} slides again": second["counts"]["segmented"]
        == 0
        and second["counts"]["kept"] == asked.slides - asked.damaged,
        "no result was written again": untouched,
        "the damaged ones were named again": all(name in said for name in bad),
    }
    for text, true in checks.items():
        print("ok  " if true else "NOT ", text)
    print(f"     {first_s:.0f} s with {asked.workers} workers")
    return int(not all(checks.values()))


if __name__ == "__main__":
    sys.exit(main())
