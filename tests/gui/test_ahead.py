"""What lies beside a field is looked at while nobody does anything."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from desk_slides import look_at, open_in

from napari_pathseg.geometry import Region
from napari_pathseg.gui import ahead
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner
from napari_pathseg.progress import CancelToken

VIEW = Region(128, 192, 160, 256)


class Idler(ImmediateRunner):
    """Does at once what is asked, and what nobody waits for when it is told to."""

    def __init__(self) -> None:
        self.left: list[tuple[Callable[[CancelToken], None], CancelToken]] = []

    def idle(self, work: Callable[[CancelToken], None]) -> CancelToken:
        self.left.append((work, CancelToken()))
        return self.left[-1][1]

    def rest(self) -> None:
        work, token = self.left.pop()
        work(token)


@pytest.fixture
def idler(monkeypatch: pytest.MonkeyPatch) -> Idler:
    monkeypatch.setattr(ahead, "REST_S", 0.05)
    monkeypatch.setattr(ahead, "GLANCE_S", 0.01)
    return Idler()


@pytest.fixture
def asked(
    make_controller: Callable[..., PathsegController], marked_slide: Path, idler: Idler
) -> PathsegController:
    controller = make_controller(runner=idler)
    open_in(controller, marked_slide)
    look_at(controller, VIEW)
    controller.segment_field("nuclei")
    return controller


def passes(controller: PathsegController) -> int:
    return controller.model.get().encoder_passes


def test_words_beside_the_field_are_answered_without_the_encoder(
    asked: PathsegController, idler: Idler
) -> None:
    before = passes(asked)
    idler.rest()
    found = passes(asked)
    assert found > before
    asked.editing.accept()
    look_at(asked, Region(330, 420, 160, 256))
    asked.segment_field("nuclei")
    assert passes(asked) == found
    assert asked.desk.work.mask.any()


def test_it_waits_while_somebody_works_and_ends_when_the_model_is_asked(
    asked: PathsegController, idler: Idler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "REST_S", 60.0)
    asked.viewer.cursor.position = (3.0, 4.0)
    before = passes(asked)
    _, token = idler.left[-1]
    thread = threading.Thread(target=idler.rest)
    thread.start()
    time.sleep(0.1)
    assert thread.is_alive()
    token.cancel()
    thread.join(10)
    assert not thread.is_alive()
    assert passes(asked) == before


def test_a_new_question_ends_the_look_beside_the_old_field(
    asked: PathsegController, idler: Idler
) -> None:
    (_, first) = idler.left[-1]
    asked.segment_field("gland")
    assert first.cancelled
    assert not idler.left[-1][1].cancelled


def test_it_can_be_switched_off(asked: PathsegController, idler: Idler) -> None:
    idler.left.clear()
    asked.settings.put(ahead=False)
    asked.segment_field("gland")
    assert not idler.left
