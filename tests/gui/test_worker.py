"""Jobs in the background outlive the window that began them without harm."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from desk_slides import open_in
from marker_segmenter import MarkerSegmenter
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import Job
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.labels.journal import LabelStore


def live(until: Callable[[], object], seconds: float = 20) -> None:
    """Let Qt handle its events until something is true."""
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        QApplication.processEvents()
        time.sleep(0.005)


def unexpected(_what: object) -> None:
    pytest.fail("nothing is told of a runner that is closed")


@pytest.mark.usefixtures("qapp")
def test_what_a_job_holds_of_the_window_dies_in_the_gui_thread() -> None:
    where: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    class Window(QObject):
        def __del__(self) -> None:
            where.append(threading.current_thread().name)

        def told(self, _what: object) -> None:
            unexpected(_what)

    def work(*_: object) -> None:
        begun.set()
        go_on.wait(20)
        for _ in range(5000):  # enough for Python to look for garbage, in this thread
            circle: list[object] = []
            circle.append(circle)

    window, runner = Window(), QtRunner()
    window.me = window  # type: ignore[attr-defined] # a circle, as napari's windows are
    runner.submit(Job("Working", work, window.told, window.told))
    assert begun.wait(20)
    runner.close()
    assert not gc.isenabled()
    del window
    go_on.set()
    live(gc.isenabled)
    assert not runner.computes
    assert where == []
    del runner
    live(lambda: (gc.collect(), where)[1])  # a timer for the job's bar holds it a while
    assert where == ["MainThread"]


@pytest.mark.usefixtures("qapp")
def test_a_result_that_nobody_takes_is_released() -> None:
    begun, go_on = threading.Event(), threading.Event()
    dropped: list[object] = []

    def work(*_: object) -> str:
        begun.set()
        go_on.wait(20)
        return "made"

    early, late = QtRunner(), QtRunner()
    early.submit(Job("Working", work, unexpected, unexpected, dropped=dropped.append))
    assert begun.wait(20)
    early.close()  # while it works
    go_on.set()
    late.submit(Job("Working", work, unexpected, unexpected, dropped=dropped.append))
    live(lambda: not early.computes)
    late.flush()
    late.close()  # when it has worked, before anybody was told
    live(lambda: len(dropped) == 2)
    assert dropped == ["made", "made"]


@pytest.mark.usefixtures("qapp")
def test_a_slide_that_was_opening_when_its_panel_closed_can_be_worked_on_in_the_next(
    make_controller: Callable[..., PathsegController], marked_slide: Path, tmp_path: Path
) -> None:
    opener = QtRunner()
    first = make_controller(opener=opener)
    open_in(first, marked_slide)
    opener.flush()  # opened, and nobody was told
    first.desks.close()
    opener.close()
    live(lambda: not opener.computes)
    QApplication.processEvents()
    second = make_controller()
    open_in(second, marked_slide)
    assert isinstance(second.desk.store, LabelStore)
    assert second.desk.read_only == ""


@pytest.mark.usefixtures("qapp")
def test_a_slide_opens_while_the_model_loads(
    make_controller: Callable[..., PathsegController], marked_slide: Path
) -> None:
    go_on = threading.Event()
    runner, opener = QtRunner(), QtRunner()
    controller = make_controller(runner=runner, opener=opener)
    runner.submit(Job("Loading", lambda *_: go_on.wait(20), lambda _: None, unexpected))
    open_in(controller, marked_slide)
    live(lambda: controller.desk is not None)
    assert not go_on.is_set()
    go_on.set()


def test_no_search_for_garbage_holds_up_a_model_that_came_to_stay(
    make_controller: Callable[..., PathsegController], marked_slide: Path
) -> None:
    searched: list[bool] = []

    def load() -> MarkerSegmenter:
        searched.append(gc.isenabled())
        return MarkerSegmenter()

    controller = make_controller(model=SharedModel(load))
    open_in(controller, marked_slide)
    gc.unfreeze()
    controller.model.get()
    assert searched == [False]
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000
    controller.viewer.layers.clear()
    assert gc.get_freeze_count() == 0, "what a slide leaves is found"
