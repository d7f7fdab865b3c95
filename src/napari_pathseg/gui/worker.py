"""Work off the GUI thread: one job at a time, answers delivered where Qt lives."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ClassVar

from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, Qt, QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QApplication

from napari_pathseg.gui import garbage
from napari_pathseg.gui.jobs import Job
from napari_pathseg.progress import CancelToken, Progress

DOCK_DELAY_MS = 600
REPORT_EVERY_S = 0.1
"""A bar that moves redraws the whole window."""
LINGER_MS = 200


def poll(tick: Callable[[], bool], every_ms: int) -> None:
    """Call `tick` in the GUI thread, now and then, until it returns False."""
    timer = QTimer(QApplication.instance())

    def call() -> None:
        timer.stop()  # the activity dock handles events inside
        if tick():
            timer.start(every_ms)
        else:
            timer.deleteLater()

    timer.timeout.connect(call)
    timer.start(every_ms)


class DockProgress(cancelable_progress):  # type: ignore[misc]
    """A bar in napari's activity dock whose Cancel button cancels the job."""

    def __init__(self, title: str, on_cancel: Callable[[], None]) -> None:
        self._on_cancel = on_cancel
        super().__init__(desc=title, total=0, gui=True)

    def cancel(self) -> None:
        """Called by the button in the dock."""
        super().cancel()
        self._on_cancel()


class QtRunner(QObject):
    """Runs jobs in one background thread and reports in the GUI thread.

    A thread of Python's own pool is joined when the interpreter ends, so a model that still
    computes when the window closes ends its tile in peace instead of crashing Qt. What such a
    job holds of the window is let go in the GUI thread, too.

    Parameters
    ----------
    keep : bool
        Live until :meth:`close`, though nobody holds it.
    """

    _reported = Signal(object, object)
    _kept: ClassVar[set[QtRunner]] = set()

    def __init__(self, *, keep: bool = False) -> None:
        super().__init__()
        if keep:
            self._kept.add(self)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pathseg")
        self._tokens: set[CancelToken] = set()
        self._idling: weakref.WeakSet[CancelToken] = weakref.WeakSet()
        self._bars: dict[CancelToken, DockProgress] = {}
        self._work: dict[Future[None], object] = {}
        self._closed = False
        self._closing = threading.Lock()
        self._reported.connect(self._deliver, Qt.ConnectionType.QueuedConnection)

    @property
    def busy(self) -> bool:
        """Whether a job runs or waits."""
        return bool(self._tokens)

    def submit(self, job: Job[Any]) -> CancelToken:
        """Start a job; its callbacks are called in the GUI thread.

        Returns
        -------
        CancelToken
            Cancelling it ends the job with CancelledError. Cancelled already where the runner
            is closed.
        """
        self._end_idling()
        token = CancelToken()
        if self._closed:
            token.cancel()
            return token
        self._tokens.add(token)
        QTimer.singleShot(DOCK_DELAY_MS, lambda: self._show_bar(job.title, token))
        self._hold(self._pool.submit(self._run, job, token), job)
        return token

    def idle(self, work: Callable[[CancelToken], None]) -> CancelToken:
        """Do something that nobody waits for, in the same thread, without a word."""
        token = CancelToken()
        self._idling.add(token)
        self._hold(self._pool.submit(work, token), work)
        return token

    def flush(self) -> None:
        """Wait until the work of every submitted job has ended; callbacks come later."""
        self._end_idling()
        if not self._closed:
            self._pool.submit(lambda: None).result()

    def close(self) -> None:
        """Cancel everything and deliver nothing more; does not wait."""
        with self._closing:
            self._closed = True
        self._end_idling()
        for token in self._tokens:
            token.cancel()
        self._pool.shutdown(wait=False, cancel_futures=True)
        for token in list(self._bars):
            self._close_bar(token)
        self._kept.discard(self)
        if self.computes:
            _Lingering.begin(self)

    @property
    def computes(self) -> bool:
        """Whether its thread is at work, if only to stop."""
        return not all(future.done() for future in self._work)

    def _hold(self, future: Future[None], what: object) -> None:
        """Keep what a job holds, so that its thread is never the last to let go of it."""
        ended = [each for each in self._work if each.done()]
        for each in ended:
            del self._work[each]
        self._work[future] = what

    def _end_idling(self) -> None:
        for token in tuple(self._idling):
            token.cancel()

    def _run(self, job: Job[Any], token: CancelToken) -> None:
        """In the background thread."""
        told, at = "", 0.0

        def report(progress: Progress) -> None:
            nonlocal told, at
            ends, now = progress.done >= progress.total, time.monotonic()
            if ends or progress.message != told or now - at > REPORT_EVERY_S:
                told, at = progress.message, now
                self._post(self._progressed, (job, token, progress))

        try:
            result = job.work(report, token)
        # Every error goes to the GUI thread, which shows it or raises it there.
        except BaseException as error:  # noqa: BLE001
            self._post(self._ended, (token, job.failed, error))
        else:
            if not self._post(self._delivered, (token, job, result)):
                job.dropped(result)

    def _post(self, callback: Callable[..., None], arguments: tuple[object, ...]) -> bool:
        with self._closing:
            if not self._closed:
                self._reported.emit(callback, arguments)
            return not self._closed

    def _deliver(self, callback: Callable[..., None], arguments: tuple[object, ...]) -> None:
        if not self._closed or callback == self._delivered:
            callback(*arguments)

    def _progressed(self, job: Job[Any], token: CancelToken, progress: Progress) -> None:
        if token not in self._tokens:
            return
        job.progressed(progress)
        bar = self._bars.get(token)
        if bar is not None:
            bar.total = progress.total
            bar.set_description(progress.message)
            # The dock handles events inside: the job may have ended meanwhile.
            if token in self._bars:
                bar.update(progress.done - bar.n)

    def _delivered(self, token: CancelToken, job: Job[Any], result: Any) -> None:
        if self._closed:
            job.dropped(result)
        else:
            self._ended(token, job.done, result)

    def _ended(self, token: CancelToken, callback: Callable[[Any], None], value: Any) -> None:
        self._tokens.discard(token)
        self._close_bar(token)
        callback(value)

    def _show_bar(self, title: str, token: CancelToken) -> None:
        if token in self._tokens and not self._closed:
            # The dock handles events inside: the job may have ended meanwhile.
            self._bars[token] = DockProgress(title, token.cancel)
            if token not in self._tokens:
                self._close_bar(token)

    def _close_bar(self, token: CancelToken) -> None:
        bar = self._bars.pop(token, None)
        if bar is not None:
            bar.close()


class _Lingering:
    """Runners that were closed while their thread computes on, such as the import of torch.

    Meanwhile no garbage is collected: what is left of a closed window are circles of Qt's objects,
    which the thread that computes would take apart, and a window dies in the GUI thread only.
    """

    _runners: ClassVar[set[QtRunner]] = set()

    @classmethod
    def begin(cls, runner: QtRunner) -> None:
        """Wait for a runner without holding up the window."""
        if not cls._runners:
            garbage.hold()
            poll(cls._look, LINGER_MS)
        cls._runners.add(runner)

    @classmethod
    def _look(cls) -> bool:
        """Let go of those that have ended; False when there are no more."""
        for runner in tuple(cls._runners):
            if not runner.computes:
                cls._runners.remove(runner)
        if not cls._runners:
            garbage.let_go()
        return bool(cls._runners)
