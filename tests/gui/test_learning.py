"""The tab Learn: what there is to learn from, learning, deciding, and the adapters that are on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog
from toy_segmenter import ToySegmenter

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.geometry import Field
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import ImmediateRunner, Job
from napari_pathseg.gui.learning import Learning, base_of
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.overview import PlacedMask
from napari_pathseg.gui.reader import read_slides
from napari_pathseg.gui.widgets.learn_page import LearnPage, card_text
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models.adapter import load_adapter
from napari_pathseg.models.adapter_card import SUFFIX
from napari_pathseg.progress import CancelToken
from napari_pathseg.training.lesson_trainer import LearningConfig

CONFIG = LearningConfig(steps=16, measured_every=8, batch=2, crop_px=24, rate=0.01, encodings=0)
GREEN = (40, 220, 60)
NAME = "pigment clump"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """Grey ground with six green squares in a row, 128 pixels apart."""
    pixels = np.full((128, 768, 3), 150, np.uint8)
    for i in range(6):
        pixels[40:88, 128 * i + 40 : 128 * i + 88] = GREEN
    path = tmp_path / "row.ome.tif"
    scale = {"PhysicalSizeX": 1.0, "PhysicalSizeY": 1.0}
    tifffile.imwrite(path, pixels, ome=True, photometric="rgb", metadata={"axes": "YXS", **scale})
    return path


def review(controller: PathsegController, count: int) -> None:
    """Store so many accepted fields with the squares labelled."""
    from napari.layers import Image

    desk = controller.desk
    assert desk is not None
    classes = ClassList((LabelClass(1, NAME, None, (0, 90, 0)),))
    for i in range(count):
        field = Field(0, 0, 128 * i, 128, 128, (1.0, 1.0))
        mask = np.zeros((128, 128), np.uint16)
        mask[40:88, 40:88] = 1
        record = FieldRecord.new(
            field, classes, slide_identity=desk.identity, slide_name=desk.name, mpp=(1.0, 1.0)
        )
        record = replace(record, id=f"f{i}").with_status("accepted")
        desk.add_record(record)
        desk.stored.put(record.id, PlacedMask.of(field, mask, np.zeros_like(mask, bool), classes))
    assert isinstance(desk.layer, Image)
    controller.changed.emit()


@pytest.fixture
def controller(make_controller: Callable[..., PathsegController], slide: Path) -> PathsegController:
    from napari.layers import Image

    made = make_controller(model=SharedModel(ToySegmenter))
    for data, options, _kind in read_slides(str(slide)):
        made.viewer.add_layer(Image(data, **options))
    return made


@pytest.fixture
def page(qtbot, controller: PathsegController) -> LearnPage:  # type: ignore[no-untyped-def]
    learning = Learning(controller, ImmediateRunner(), config=CONFIG)
    made = LearnPage(controller, learning=learning)
    qtbot.addWidget(made)
    made.show()
    return made


def test_it_says_how_much_more_is_needed(page: LearnPage, controller: PathsegController) -> None:
    assert not page.start.isEnabled()
    assert "nothing to learn from" in page.count.text()
    review(controller, 3)
    assert page.subject.currentText() == NAME
    assert "2 more needed" in page.count.text()
    assert not page.start.isEnabled()
    review(controller, 5)
    assert page.start.isEnabled()


def test_learn_look_and_accept(page: LearnPage, controller: PathsegController) -> None:
    review(controller, 6)
    page.start.click()
    lesson = page.learning.lesson
    assert lesson is not None
    assert lesson.better
    assert "not known →" in page.lesson.figures.text()
    assert page.lesson.accept.isVisibleTo(page)
    assert not page.lesson.picture.pixmap().isNull()
    first = page.lesson.caption.text()
    page.lesson.forth.click()
    assert page.lesson.caption.text() != first
    assert not controller.model.get().knows(lesson.taught.term), "nothing before it is accepted"
    page.lesson.accept.click()
    assert controller.model.get().knows(lesson.taught.term)
    resolved = controller.understand(NAME)
    assert resolved is not None
    assert not resolved.unknown
    assert page.learning.lesson is None
    assert not page.lesson.accept.isVisibleTo(page)
    [one] = page.learning.installed()
    assert one.on
    assert "6 fields of 1 slides" in card_text(one)


def test_an_adapter_is_switched_off_and_on_and_removed(  # type: ignore[no-untyped-def]
    qtbot, page: LearnPage, controller: PathsegController, tmp_path: Path, monkeypatch
) -> None:
    review(controller, 5)
    page.start.click()
    assert page.learning.lesson is not None
    assert "accept or discard" in controller.message.text
    term = page.learning.lesson.taught.term
    page.lesson.accept.click()
    for state, known in ((Qt.CheckState.Unchecked, False), (Qt.CheckState.Checked, True)):
        item = page.adapters.topLevelItem(0)
        assert item is not None
        item.setCheckState(0, state)
        qtbot.waitUntil(lambda known=known: controller.model.get().knows(term) is known)
    assert isinstance(base_of(controller.model.get()), ToySegmenter)
    page.adapters.topLevelItem(0).setSelected(True)  # type: ignore[union-attr]
    for name, kind in (("mine", "good"), ("no/mine", "error")):
        chosen = str(tmp_path / name), ""
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, chosen=chosen: chosen)
        page.share.click()
        assert controller.message.kind == kind
    copied = load_adapter(tmp_path / f"mine{SUFFIX}")
    assert copied.card == page.learning.installed()[0].card
    page.remove.click()
    assert page.adapters.topLevelItemCount() == 0
    assert not controller.model.get().knows(term)


def test_discard_changes_nothing(page: LearnPage, controller: PathsegController) -> None:
    review(controller, 5)
    page.start.click()
    page.lesson.discard.click()
    assert page.learning.lesson is None
    assert page.learning.installed() == ()
    assert isinstance(controller.model.get(), ToySegmenter)


def test_cancel_keeps_nothing(controller: PathsegController) -> None:
    """A runner that holds the job until it is cancelled, as a thread would be found."""

    class Held(ImmediateRunner):
        def submit(self, job: Job) -> CancelToken:  # type: ignore[type-arg]
            self.job, self.token = job, CancelToken()
            return self.token

    runner = Held()
    learning = Learning(controller, runner, config=CONFIG)
    review(controller, 5)
    learning.start(NAME)
    assert learning.busy
    learning.cancel()
    assert runner.token.cancelled
    with pytest.raises(Exception, match="Cancelled") as caught:
        runner.job.work(lambda _: None, runner.token)
    runner.job.failed(caught.value)
    assert not learning.busy
    assert learning.lesson is None
    assert "Nothing was learned" in controller.message.text


def test_every_control_says_what_it_does(page: LearnPage) -> None:
    from qtpy.QtWidgets import QAbstractButton, QComboBox

    for kind in (QAbstractButton, QComboBox):
        for control in page.findChildren(kind):
            assert control.toolTip() or control.objectName().startswith("qt_"), control
