"""What the controller hands to whoever runs its long work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

T = TypeVar("T")


def _nothing(_result: object) -> None:
    """There is nothing to release."""


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """Work for the background and what to do with its outcome.

    Attributes
    ----------
    title : str
        Shown while it runs.
    work : callable
        Called with a progress callback and a cancel token, away from the GUI thread.
    done, failed, progressed : callable
        Called in the GUI thread with the result, the exception, each report.
    dropped : callable
        Called in any thread with a result that nobody is told of any more, to release it.
    """

    title: str
    work: Callable[[ProgressCallback, CancelToken], T]
    done: Callable[[T], None]
    failed: Callable[[BaseException], None]
    progressed: Callable[[Progress], None] = no_progress
    dropped: Callable[[T], None] = _nothing


class Runner(Protocol):
    """Runs one job after the other."""

    def submit(self, job: Job[T]) -> CancelToken:
        """Start a job, or queue it behind the one that runs."""

    def idle(self, work: Callable[[CancelToken], None]) -> CancelToken:
        """Do something that nobody waits for and that tells nobody, until it is cancelled or
        another job is submitted. Where there is no background it is left undone.
        """

    def flush(self) -> None:
        """Wait until the work of every submitted job has ended; callbacks may come later."""

    def close(self) -> None:
        """Cancel what runs and deliver nothing more."""


class ImmediateRunner:
    """Runs each job at once in the calling thread: for scripts without an event loop."""

    def submit(self, job: Job[T]) -> CancelToken:
        """Run `job` to its end."""
        token = CancelToken()
        try:
            result = job.work(job.progressed, token)
        except BaseException as error:  # noqa: BLE001 - handed on, as in the background
            job.failed(error)
        else:
            job.done(result)
        return token

    def idle(self, _work: Callable[[CancelToken], None]) -> CancelToken:
        """Whoever has no background never rests."""
        return CancelToken()

    def flush(self) -> None:
        """Nothing is ever left running."""

    def close(self) -> None:
        """Nothing is ever left running."""
