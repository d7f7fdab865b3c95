"""The tab Slide: what the slide is, its scale, its tissue, and its label only on request."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtGui import QImage, QPixmap, QShowEvent
from qtpy.QtWidgets import (
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.errors import CancelledError, PathsegError
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.layers import KEY
from napari_pathseg.gui.messages import OPEN_FIRST, of_error
from napari_pathseg.gui.slide_facts import Overview, overview_of, rows_of
from napari_pathseg.gui.sources import file_of
from napari_pathseg.gui.tissue_layer import TissueLayer
from napari_pathseg.gui.widgets.segment_page import heading
from napari_pathseg.gui.widgets.tissue_box import TissueBox
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.slide.base import RGB, Slide

THUMBNAIL_PX = (300, 170)
USUAL_MPP = 0.25
OPENING = "The slide is being opened…"
PRIVATE = "may show the patient's name; it is in no export and no picture of the viewer"


class SlidePage(QWidget):
    """What is known of the slide in work, while the tab is in view.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner, optional
        Of its own, so that a thumbnail never waits for the model.
    parent : QWidget, optional
    """

    def __init__(
        self,
        controller: PathsegController,
        runner: Runner | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.controller = controller
        self.tissue_layer = TissueLayer(controller.viewer)
        self._runner = runner or QtRunner()
        self._token: CancelToken | None = None
        self._desk: Desk | None = None
        self._shown: tuple[object, ...] = ()
        self._overview: Overview | None = None
        self._file: Slide | None = None
        self._pictures: list[QLabel] = []
        self._make_controls()
        self._lay_out()
        controller.changed.connect(self._changed)
        self.refresh()

    def _make_controls(self) -> None:
        self.thumbnail = QLabel(self)
        self.thumbnail.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.thumbnail.setMinimumHeight(THUMBNAIL_PX[1])
        self.thumbnail.setToolTip("The whole slide, made from its coarsest level")
        self.facts = QWidget(self)
        self._grid = QGridLayout(self.facts)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setVerticalSpacing(2)
        self._grid.setColumnStretch(1, 1)
        self.mpp = QDoubleSpinBox(self)
        self.mpp.setRange(0.01, 100.0)
        self.mpp.setDecimals(4)
        self.mpp.setSingleStep(0.01)
        self.mpp.setSuffix(" µm/px")
        self.mpp.setToolTip("Micrometres per pixel at full resolution")
        self.set_mpp = QPushButton("Set scale", self)
        self.set_mpp.setToolTip("Use this scale; it is remembered for the slide")
        self.set_mpp.clicked.connect(self._set_scale)
        self.tissue = TissueBox(self)
        self.tissue.changed.connect(self._show_tissue)
        self.associated = QWidget(self)
        QHBoxLayout(self.associated).setContentsMargins(0, 0, 0, 0)
        self.note = QLabel(self)
        self.note.setWordWrap(True)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(7)
        layout.addWidget(self.thumbnail)
        layout.addWidget(self.facts)
        row = QHBoxLayout()
        row.addWidget(self.mpp, 1)
        row.addWidget(self.set_mpp)
        layout.addLayout(row)
        layout.addWidget(self.note)
        layout.addWidget(heading("Tissue", self))
        layout.addWidget(self.tissue)
        layout.addWidget(heading("Other pictures in the file", self))
        layout.addWidget(self.associated)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show the slide in work, where it is another one or has another scale."""
        desk = self.controller.desk
        shown = (desk, None if desk is None else desk.mpp, self.controller.desks.opening)
        if shown == self._shown:
            return
        self._shown = shown
        if desk is not self._desk:
            self._leave()
            self._desk = desk
            self._load()
        self._show_facts(desk)
        self._show_associated(desk)
        self._show_tissue()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """The tab comes into view."""
        super().showEvent(event)
        self.refresh()
        self._load()

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The panel goes."""
        self.controller.changed.disconnect(self._changed)
        self._leave()
        self._runner.close()

    def _changed(self) -> None:
        # A page out of view still lets go of a slide that is gone.
        if self.isVisible() or self.controller.desk is not self._desk:
            self.refresh()

    def _leave(self) -> None:
        if self._token is not None:
            self._token.cancel()
            self._token = None
        self._overview = None
        if self._file is not None:
            self._file.close()
        self._file = None
        self.tissue.reset()
        self.tissue_layer.hide()
        self.thumbnail.clear()
        for picture in self._pictures:
            picture.close()
        self._pictures.clear()

    def _load(self) -> None:
        """Read the overview in the background, once for a slide, while the tab is in view."""
        desk = self._desk
        if desk is None or self._overview is not None or self._token or not self.isVisible():
            return
        self.thumbnail.setText("Reading the overview…")
        slide, origin = desk.slide, desk.layer.metadata.get(KEY)

        def work(_report: ProgressCallback, cancel: CancelToken) -> tuple[Slide, Overview]:
            # A plane of a stack knows nothing of its file.
            file = file_of(origin) if desk.plane else None
            return file or slide, overview_of(slide, cancel)

        self._token = self._runner.submit(
            Job(
                f"Reading the overview of {desk.name}",
                work,
                lambda found: self._loaded(desk, *found),
                lambda error: self._failed(desk, error),
            )
        )

    def _loaded(self, desk: Desk, file: Slide, overview: Overview) -> None:
        if desk is not self._desk:
            if file is not desk.slide:
                file.close()
            return
        self._token, self._overview = None, overview
        if file is not desk.slide:
            self._file = file
            self._show_facts(desk)
            self._show_associated(desk)
        width, height = THUMBNAIL_PX
        self.thumbnail.setPixmap(pixmap(overview.pixels, QSize(width, height)))
        self.tissue.offer(overview.threshold)
        self._show_tissue()

    def _failed(self, desk: Desk, error: BaseException) -> None:
        if desk is not self._desk or isinstance(error, CancelledError):
            return
        self._token = None
        self._tell(error)
        self.thumbnail.setText("The overview can not be read.")

    def _tell(self, error: BaseException) -> None:
        if not isinstance(error, PathsegError):
            raise error
        self.controller.say(of_error(error))

    def _show_facts(self, desk: Desk | None) -> None:
        while self._grid.count():
            item = self._grid.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()  # it goes when Qt has time
                widget.deleteLater()
        if desk is not None:
            rows = rows_of(self._file or desk.slide, desk.mpp)
        else:
            rows = [("", OPENING if self.controller.desks.opening else OPEN_FIRST)]
        for row, (name, value) in enumerate(rows):
            title, text = QLabel(name, self.facts), QLabel(value, self.facts)
            title.setEnabled(False)
            title.setAlignment(Qt.AlignmentFlag.AlignTop)
            text.setWordWrap(True)
            text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            text.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
            text.setToolTip(value)
            self._grid.addWidget(title, row, 0)
            self._grid.addWidget(text, row, 1)
        known = desk is not None and desk.mpp is not None
        for control in (self.mpp, self.set_mpp):
            control.setEnabled(desk is not None)
        self.mpp.setValue(desk.mpp[0] if desk is not None and desk.mpp else USUAL_MPP)
        ask = "" if desk is None or known else "The file does not say its scale: set it here."
        self.note.setText(ask)
        self.note.setVisible(bool(ask))

    def _set_scale(self) -> None:
        value = self.mpp.value()
        self.controller.set_mpp((value, value))

    def _show_associated(self, desk: Desk | None) -> None:
        layout = self.associated.layout()
        assert layout is not None
        while layout.count():
            item = layout.takeAt(0)
            widget = item.widget() if item is not None else None
            if widget is not None:
                widget.hide()  # it goes when Qt has time
                widget.deleteLater()
        names = (self._file or desk.slide).associated_names if desk is not None else ()
        for name in names:
            button = QPushButton(f"{name}…", self.associated)
            button.setToolTip(f"Show the {name}: it {PRIVATE}")
            button.clicked.connect(lambda _=False, name=name: self.show_associated(name))
            layout.addWidget(button)
        if not names:
            none = QLabel("none", self.associated)
            none.setEnabled(False)
            layout.addWidget(none)

    def show_associated(self, name: str) -> None:
        """Read one of the other pictures and show it in a window of its own."""
        desk = self._desk
        if desk is None:
            return
        slide = self._file or desk.slide
        self._runner.submit(
            Job(
                f"Reading the {name}",
                lambda _report, _cancel: slide.associated(name),
                lambda pixels: self._show_picture(desk, name, pixels),
                self._tell,
            )
        )

    def _show_picture(self, desk: Desk, name: str, pixels: RGB) -> None:
        if desk is not self._desk:
            return
        window = QLabel(self)
        window.setWindowFlag(Qt.WindowType.Tool)
        window.setWindowTitle(f"{desk.name}: {name}")
        window.setToolTip(f"It {PRIVATE}")
        window.setPixmap(pixmap(pixels, QSize(700, 500)))
        self._pictures.append(window)
        window.show()

    def _show_tissue(self) -> None:
        desk, overview = self._desk, self._overview
        if desk is None or overview is None:
            self.tissue.tell("")
            return
        if not self.tissue.wanted:
            self.tissue_layer.hide()
            self.tissue.tell("")
            return
        mask = overview.tissue(self.tissue.threshold, desk.mpp)
        self.tissue_layer.show(desk.name, mask, overview.field, desk.mpp)
        area = overview.tissue_mm2(mask, desk.mpp)
        share = f"{100 * mask.mean():.0f} % of the slide"
        self.tissue.tell(share if area is None else f"{share}, {area:.3g} mm²")


def pixmap(pixels: RGB, largest: QSize) -> QPixmap:
    """A picture for the screen, made smaller to fit; pixels are (height, width, 3) uint8."""
    data = np.ascontiguousarray(pixels)
    height, width = data.shape[:2]
    image = QImage(data.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
    picture = QPixmap.fromImage(image)
    if width <= largest.width() and height <= largest.height():
        return picture
    return picture.scaled(
        largest,
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )
