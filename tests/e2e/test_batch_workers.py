"""A batch over processes: a bad slide and a killed worker stop nothing, and nothing is redone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from marker_segmenter import MarkerSegmenter
from PIL import Image

from napari_pathseg.batch.one_run import only_run_in
from napari_pathseg.batch.run import Batch, prepare, run_batch
from napari_pathseg.batch.settings import BatchSettings
from napari_pathseg.errors import PathsegError
from napari_pathseg.vocabulary.vocabulary import Vocabulary

SLIDES, BAD = 8, 2
SETTINGS = BatchSettings(("gland",))


def make_slides(folder: Path) -> list[str]:
    folder.mkdir()
    for i in range(SLIDES):
        pixels = np.full((128, 128, 3), (230, 170, 200), np.uint8)
        pixels[20:60, 20 + i : 60] = (255, 0, 0)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    for i in range(BAD):
        path = folder / f"{i}.png"
        path.write_bytes(path.read_bytes()[: 60 + i])
    return [str(folder)]


def test_all_but_the_bad_are_done_though_a_worker_is_killed(tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    inputs, out = make_slides(tmp_path / "in"), tmp_path / "out"
    vocabulary = Vocabulary.load()
    killed: list[int] = []

    def kill_one(client: Client) -> None:
        while len(list(out.glob("*.labels.tif"))) < 2:
            time.sleep(0.02)
        at_work = {key for tasks in client.processing().values() for key in tasks}
        assert at_work
        worker = next(iter(client.processing()))
        killed.append(1)
        client.run(lambda: __import__("os")._exit(9), workers=[worker], on_error="ignore")

    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=50,
            preload=str(Path(__file__).with_name("double_model.py")),
        ) as cluster,
        Client(cluster) as client,
    ):

        def go(*, resume: bool) -> dict[str, object]:
            batch = prepare(inputs, out, SETTINGS, MarkerSegmenter(), vocabulary, resume=resume)
            facts: dict[str, object] = run_batch(batch, scheduler=cluster.scheduler_address)
            return facts

        killer = threading.Thread(target=kill_one, args=(client,))
        killer.start()
        facts = go(resume=False)
        killer.join()
        assert killed
        wanted = {"slides": SLIDES, "done": SLIDES - BAD, "failed": BAD, "kept": 0}
        assert facts["counts"] | wanted == facts["counts"]  # type: ignore[operator]
        assert [Path(row["slide"]).name for row in facts["failed"]] == ["0.png", "1.png"]  # type: ignore[attr-defined]
        before = {path: path.stat().st_mtime_ns for path in out.glob("*.labels.tif")}
        facts = go(resume=True)
        wanted = {"done": SLIDES - BAD, "kept": SLIDES - BAD, "segmented": 0}
        assert facts["counts"] | wanted == facts["counts"]  # type: ignore[operator]
        assert before == {path: path.stat().st_mtime_ns for path in out.glob("*.labels.tif")}


RUN = """
import sys
from pathlib import Path
from marker_segmenter import MarkerSegmenter
from napari_pathseg.batch.run import prepare, run_batch
from napari_pathseg.batch.settings import BatchSettings
from napari_pathseg.vocabulary.vocabulary import Vocabulary

if __name__ == "__main__":
    settings, model = BatchSettings(("gland",)), MarkerSegmenter()
    out, vocabulary = Path(sys.argv[2]), Vocabulary.load()
    batch = prepare([sys.argv[1]], out, settings, model, vocabulary, resume=False)
    run_batch(batch, workers=1)
"""


def test_after_a_power_cut_it_goes_on_and_no_process_is_left(tmp_path: Path) -> None:
    inputs, out, program = make_slides(tmp_path / "in"), tmp_path / "out", tmp_path / "run.py"
    program.write_text(RUN, encoding="utf-8")
    shared = str(Path(__file__).parents[1] / "shared")
    double = str(Path(__file__).with_name("double_model.py"))
    known = os.environ | {"PYTHONPATH": shared, "DASK_DISTRIBUTED__WORKER__PRELOAD": double}
    command = [sys.executable, str(program), *inputs, str(out)]
    run = subprocess.Popen(command, env=known)
    try:
        wait_until(lambda: len(list(out.glob("[0-9].json"))) >= 2)
        children = psutil.Process(run.pid).children(recursive=True)
    finally:
        run.kill()
        run.wait()
    assert children
    assert not psutil.wait_procs(children, timeout=60)[1]
    finished = {path.stem for path in out.glob("*.json")} - {"run"}
    again = prepare(inputs, out, SETTINGS, MarkerSegmenter(), Vocabulary.load(), resume=True)
    assert set(again.rows) == finished
    assert len(finished) >= 2
    assert {job.name for job in again.waiting} == {str(i) for i in range(SLIDES)} - finished
    with only_run_in(out):  # nobody holds it any more
        again.report()
    facts = json.loads((out / "run.json").read_text(encoding="utf-8"))
    assert facts["counts"] | {"kept": len(finished), "segmented": 0} == facts["counts"]


MASKS = """
import signal
from napari_pathseg.batch.cluster import _client


def blocked() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, [])


if __name__ == "__main__":
    with _client(1, None) as client:
        print(list(client.run(blocked).values()), blocked())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no process has a mask of signals there")
def test_ctrl_c_in_a_terminal_does_not_reach_the_workers(tmp_path: Path) -> None:
    program = tmp_path / "masks.py"
    program.write_text(MASKS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.stdout == "[True] False\n", done.stderr


def wait_until(happened: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_scheduler_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_pathseg.batch import cluster

    monkeypatch.setattr(cluster, "ANSWER_S", 0.5)
    inputs = make_slides(tmp_path / "in")
    batch = prepare(
        inputs,
        tmp_path / "out",
        SETTINGS,
        MarkerSegmenter(),
        Vocabulary.load(),
        resume=False,
    )
    with pytest.raises(PathsegError, match=r"127\.0\.0\.1:9"):
        run_batch(batch, scheduler="tcp://127.0.0.1:9")


def test_a_scheduler_that_is_stopped_is_named_and_nothing_is_lost(tmp_path: Path) -> None:
    inputs, out, address = make_slides(tmp_path / "in"), tmp_path / "out", tmp_path / "address"
    double = str(Path(__file__).with_name("double_model.py"))

    def start(part: str, *more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{part}", *more]
        return subprocess.Popen(
            [*command, "--scheduler-file", str(address), "--no-dashboard"],
            stderr=subprocess.DEVNULL,
        )

    def batch(*, resume: bool) -> Batch:
        return prepare(inputs, out, SETTINGS, MarkerSegmenter(), Vocabulary.load(), resume=resume)

    def stop() -> None:
        wait_until(lambda: len(list(out.glob("*.labels.tif"))) >= 2)
        scheduler.terminate()

    scheduler = start("scheduler", "--port", "0", "--host", "127.0.0.1")
    worker = start("worker", "--nthreads", "1", "--preload", double, "--no-nanny")
    try:
        wait_until(address.exists)
        stopper = threading.Thread(target=stop, daemon=True)
        stopper.start()
        with pytest.raises(PathsegError, match=r"is gone.*--resume"):
            run_batch(batch(resume=False), scheduler=json.loads(address.read_text())["address"])
    finally:
        for process in (scheduler, worker):
            process.kill()
            process.wait()
    assert 2 <= len(batch(resume=True).rows) < SLIDES - BAD
