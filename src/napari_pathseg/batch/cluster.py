"""Slides over processes and machines with dask.distributed; nothing large travels.

Workers open slides by their paths and write results by themselves: they need to see the same
files as who starts them. A worker that dies is replaced and its slide goes on at another.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from napari_pathseg.batch.one_slide import Facts, describe, failed, run_slide
from napari_pathseg.batch.settings import SlideJob
from napari_pathseg.errors import PathsegError
from napari_pathseg.models.base import Segmenter
from napari_pathseg.progress import Progress, ProgressCallback, no_progress
from napari_pathseg.vocabulary.vocabulary import Vocabulary

TOPIC = "pathseg-tiles"
TOLD_EVERY_S = 0.5
ANSWER_S = 20
DEATHS = 3
"""A slide at which so many workers died is given up: it takes more memory than they have."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def run_jobs(
    jobs: Sequence[SlideJob],
    *,
    workers: int,
    scheduler: str | None,
    progress: ProgressCallback = no_progress,
) -> Iterator[Facts]:
    """The facts of each slide, in the order they come to an end.

    Parameters
    ----------
    workers : int
        Processes that are started here; not used with `scheduler`.
    scheduler : str or None
        Address of a running one, such as tcp://10.0.0.5:8786.
    progress : callable
        Told of the tiles of the slides at work, from another thread.

    Raises
    ------
    PathsegError
        When the scheduler does not answer, or no longer.
    """
    from distributed import as_completed

    with _client(workers, scheduler) as client:

        def told(event: Any) -> None:
            done, total, name = event[1]
            progress(Progress(done, total, name))

        client.subscribe_topic(TOPIC, told)
        # Where the processes are ours each gets a slide when it is free; a scheduler of others
        # sees all slides, so that it can start as many workers as they need.
        waiting = deque(jobs)
        ahead = len(waiting) if scheduler is not None else workers
        of_job: dict[Any, SlideJob] = {}

        def submit() -> Any:
            job = waiting.popleft()
            future = client.submit(_task, job, key=f"slide-{job.name}", pure=False)
            of_job[future] = job
            return future

        gone = PathsegError(
            f"The scheduler at {scheduler} is gone." if scheduler else "Workers are gone.",
            "Start it and its workers again; --resume goes on where they were.",
        )
        first = [submit() for _ in range(min(ahead, len(waiting)))]
        ended = as_completed(first)  # type: ignore[no-untyped-call]
        for future in ended:
            try:
                error = future.exception()
                if isinstance(error, CancelledError):  # nobody here cancels
                    raise error
                facts = future.result() if error is None else None
            except (CancelledError, OSError) as lost:  # of the connection: a slide's own is told
                raise gone from lost
            if waiting:
                ended.add(submit())  # type: ignore[no-untyped-call]
            job = of_job.pop(future)
            yield failed(job, _said(error, job)) if facts is None else facts
            future.release()


def threads_each(workers: int) -> int:
    """Threads that each of so many workers may use: what the user set, or a share of the cores."""
    given = os.environ.get("OMP_NUM_THREADS", "")
    return (
        int(given) if given.isdigit() and int(given) else max((os.cpu_count() or 1) // workers, 1)
    )


@contextlib.contextmanager
def _client(workers: int, scheduler: str | None) -> Iterator[Any]:
    import dask
    from distributed import Client, LocalCluster

    if scheduler is not None:
        # What it says of a connection that is lost comes as an error of its own.
        logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
        try:
            client = Client(  # type: ignore[no-untyped-call]
                scheduler, timeout=ANSWER_S
            )
        except (OSError, TimeoutError, ValueError) as error:
            raise PathsegError(
                f"No scheduler answers at {scheduler}.", "Start one: dask scheduler."
            ) from error
        with client:
            yield client
        return
    threads = str(threads_each(workers))
    environment = dict.fromkeys(THREAD_VARIABLES, threads)
    settings = {
        "distributed.nanny.pre-spawn-environ": environment,
        "distributed.scheduler.allowed-failures": DEATHS,
        "distributed.worker.daemon": False,
    }
    with dask.config.set(settings), contextlib.ExitStack() as stack:
        with _ctrl_c_kept_from_processes():
            cluster = stack.enter_context(
                LocalCluster(  # type: ignore[no-untyped-call]
                    n_workers=workers,
                    threads_per_worker=1,
                    processes=True,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            )
        client = Client(cluster)  # type: ignore[no-untyped-call]
        yield stack.enter_context(client)


@contextlib.contextmanager
def _ctrl_c_kept_from_processes() -> Iterator[None]:
    """A terminal sends Ctrl-C to all processes at once: it is ours alone, who tell the workers.

    Threads that are started meanwhile do not take it, nor do the processes that those start, now
    or in place of one that died. Not on Windows, where a process has no such mask.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # else it begins in such a thread, and lets Ctrl-C in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _task(job: SlideJob) -> Facts:
    """On a worker: one slide, telling now and then how far it is."""
    from distributed import get_worker

    worker, last = get_worker(), 0.0

    def tell(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= TOLD_EVERY_S:
            last = now
            worker.log_event(TOPIC, (progress.done, progress.total, job.name))

    segmenter, vocabulary = _model(job.settings.model, job.settings.adapters)
    return run_slide(job, segmenter, vocabulary, progress=tell)


@functools.cache
def _model(name: str, adapters: tuple[str, ...]) -> tuple[Segmenter, Vocabulary]:
    from napari_pathseg.inference.adapting import load_adapted

    return load_adapted(name, [Path(file) for file in adapters], words_only=True)


def _said(error: BaseException, job: SlideJob) -> str:
    from distributed.scheduler import KilledWorker

    if isinstance(error, KilledWorker):
        return (
            f"{job.path}: the worker died at this slide {DEATHS + 1} times, for want of memory "
            "perhaps. Give fewer --workers."
        )
    return describe(error, job.path)
