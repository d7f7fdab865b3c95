"""The tissue preview's controls: on or off, its threshold, and how much there is."""

from __future__ import annotations

from math import log

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)

STEPS = 1000
LOWEST, HIGHEST = 0.005, 0.5


class TissueBox(QWidget):
    """Asks for a tissue preview at a threshold.

    Attributes
    ----------
    changed : Signal()
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._automatic = LOWEST
        self.show_it = QCheckBox("Show", self)
        self.show_it.setToolTip("A layer over the slide that marks what is taken for tissue")
        self.slider = QSlider(Qt.Orientation.Horizontal, self)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(STEPS // 20)  # a click beside the handle is seen
        self.slider.setToolTip("How dark a place must be to count as tissue: left takes in more")
        self.automatic = QPushButton("Auto", self)
        self.automatic.setToolTip("Back to the threshold that was found for this slide")
        self.found = QLabel(self)
        self.found.setEnabled(False)
        row = QHBoxLayout()
        row.addWidget(self.show_it)
        row.addWidget(self.slider, 1)
        row.addWidget(self.automatic)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(row)
        layout.addWidget(self.found)
        self.show_it.toggled.connect(lambda _on: self.changed.emit())
        self.slider.valueChanged.connect(lambda _value: self.changed.emit())
        self.automatic.clicked.connect(lambda: self._move_to(self._automatic))
        self.reset()

    @property
    def wanted(self) -> bool:
        """Whether the preview is to be shown."""
        return self.show_it.isChecked()

    @property
    def threshold(self) -> float:
        """Signal above which a place is tissue."""
        part = self.slider.value() / STEPS
        return float(LOWEST * (HIGHEST / LOWEST) ** part)

    def offer(self, threshold: float) -> None:
        """The overview is there: this is its own threshold."""
        self._automatic = threshold
        self._move_to(threshold)
        self.setEnabled(True)

    def reset(self) -> None:
        """No overview yet."""
        self.show_it.setChecked(False)
        self.setEnabled(False)
        self.tell("")

    def tell(self, text: str) -> None:
        """Say how much tissue there is."""
        self.found.setText(text)

    def _move_to(self, threshold: float) -> None:
        """Put the slider on a threshold; steps are even in ratio, as eyes see density."""
        inside = min(max(threshold, LOWEST), HIGHEST)
        self.slider.setValue(round(STEPS * log(inside / LOWEST) / log(HIGHEST / LOWEST)))
