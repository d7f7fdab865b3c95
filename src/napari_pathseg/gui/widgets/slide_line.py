"""The slide in work: its name, its resolution, and a way to set it."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.messages import scale_of

USUAL = ((0.25, "40x"), (0.5, "20x"), (1.0, "10x"))
AMBER = "#e3b617"


class SlideLine(QWidget):
    """Name and scale; amber with a way to set it where the scale is unknown.

    Attributes
    ----------
    was_set : Signal()
        A scale was given: the keys belong to the canvas again.
    """

    was_set = Signal()

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self._name = QLabel(self)
        self._name.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.choice = QComboBox(self)
        self.choice.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.choice.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.choice.setToolTip("The slide in work; another one comes to the front")
        self.choice.activated.connect(self._go_to)
        self.choice.hide()
        self._scale = QToolButton(self)
        self._scale.setToolTip("Micrometres per pixel of the slide. Click to set it.")
        self._scale.setCheckable(True)
        self._form = self._scale_form()
        self._scale.toggled.connect(self._form.setVisible)
        top = QHBoxLayout()
        top.setContentsMargins(0, 0, 0, 0)
        top.addWidget(self._name, 1)
        top.addWidget(self.choice, 1)
        top.addWidget(self._scale)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(3)
        layout.addLayout(top)
        layout.addWidget(self._form)
        self._form.hide()
        self.refresh()

    def _scale_form(self) -> QWidget:
        form = QWidget(self)
        row = QHBoxLayout(form)
        row.setContentsMargins(0, 0, 0, 0)
        for mpp, lens in USUAL:
            button = QPushButton(lens, form)
            button.setToolTip(f"Use {mpp} µm per pixel, as most scanners give at {lens}")
            button.clicked.connect(lambda _=False, mpp=mpp: self._set(mpp))
            row.addWidget(button)
        self.value = QDoubleSpinBox(form)
        self.value.setRange(0.01, 100.0)
        self.value.setDecimals(4)
        self.value.setSingleStep(0.01)
        self.value.setValue(0.25)
        self.value.setSuffix(" µm/px")
        self.value.setToolTip("Micrometres per pixel at full resolution [Enter]")
        line = self.value.lineEdit()
        assert line is not None
        line.returnPressed.connect(lambda: self._set(self.value.value()))
        row.addWidget(self.value, 1)
        self.use = QPushButton("Set", form)
        self.use.setToolTip("Use this scale; it is remembered for the slide")
        self.use.clicked.connect(lambda: self._set(self.value.value()))
        row.addWidget(self.use)
        return form

    def _go_to(self, index: int) -> None:
        desks = list(self._controller.desks)
        if index < len(desks):
            self._controller.desks.go_to(desks[index])

    def _show_choice(self, desk: Desk) -> None:
        """Offer the slides that are open, where there are several."""
        desks = list(self._controller.desks)
        names = [each.name for each in desks]
        if names != [self.choice.itemText(i) for i in range(self.choice.count())]:
            self.choice.clear()
            self.choice.addItems(names)
        if desk in desks:
            self.choice.setCurrentIndex(desks.index(desk))
        self.choice.setVisible(len(desks) > 1)
        self._name.setVisible(len(desks) < 2)

    def _set(self, mpp: float) -> None:
        self._scale.setChecked(False)
        self._controller.set_mpp((mpp, mpp))
        self.was_set.emit()

    def refresh(self) -> None:
        """Show the slide in work."""
        desk = self._controller.desk
        self._scale.setVisible(desk is not None)
        if desk is None:
            self.choice.hide()
            self._name.show()
            opening = self._controller.desks.opening
            self._name.setText("Opening…" if opening else "No slide")
            return
        self._show_choice(desk)
        metrics = self._name.fontMetrics()
        self._name.setText(metrics.elidedText(desk.name, Qt.TextElideMode.ElideMiddle, 150))
        meta = desk.slide.metadata
        self._name.setToolTip(
            f"{desk.slide.path}\n{meta.vendor}, read by {meta.backend}\n"
            f"{len(desk.slide.levels)} levels, {desk.slide.shape[1]} × {desk.slide.shape[0]} px"
        )
        known = desk.mpp is not None
        text = scale_of(desk.mpp, desk.slide.shape) if known else "Set scale…"
        self._scale.setText(text)
        self._scale.setStyleSheet("" if known else f"QToolButton {{ color: {AMBER}; }}")
