"""Sliders that change the mask while they move: threshold, smooth, holes, small objects."""

from __future__ import annotations

import math
from collections.abc import Callable

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QGridLayout, QLabel, QSlider, QWidget

from napari_pathseg.geometry import Pair
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.settling import settling_timer
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.labels.cleanup import Cleanup

LIVE_MS = 40
STEPS = 40
MOST_SMOOTH_PX, MOST_AREA_PX = 12.0, 40_000


class LiveSlider(QObject):
    """A row of a name, a slider and its value; told while it moves, and once at the end.

    Parameters
    ----------
    name, text : str
        What stands before it, and its tooltip.
    limits : (int, int)
    changed : callable
        Called with whether the slider was let go.
    shown : callable
        Gives the text of the slider's value.
    """

    def __init__(
        self,
        name: str,
        text: str,
        limits: tuple[int, int],
        changed: Callable[[bool], None],
        shown: Callable[[int], str],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._changed, self._shown = changed, shown
        self.name = QLabel(name, parent)
        self.slider = QSlider(Qt.Orientation.Horizontal, parent)
        self.slider.setRange(*limits)
        self.slider.setFocusPolicy(Qt.FocusPolicy.ClickFocus)
        explain(self.slider, text)
        self.value = QLabel(parent)
        self.value.setFixedWidth(64)
        self._live = settling_timer(self, LIVE_MS, lambda: self._tell(final=False))
        self.slider.valueChanged.connect(self._slid)
        self.slider.sliderReleased.connect(lambda: self._tell(final=True))

    def put_into(self, grid: QGridLayout, row: int) -> None:
        """Lay it out as a row."""
        grid.addWidget(self.name, row, 0)
        grid.addWidget(self.slider, row, 1)
        grid.addWidget(self.value, row, 2)

    def show(self, value: int, *, enabled: bool) -> None:
        """Show a value that came from elsewhere; nothing is told."""
        if not self.slider.isSliderDown():
            self.slider.blockSignals(True)
            self.slider.setValue(value)
            self.slider.blockSignals(False)
        self.value.setText(self._shown(self.slider.value()))
        self.slider.setEnabled(enabled)

    def _slid(self, value: int) -> None:
        self.value.setText(self._shown(value))
        if self.slider.isSliderDown():
            if not self._live.isActive():
                self._live.start()
        else:
            self._tell(final=True)

    def _tell(self, *, final: bool) -> None:
        self._live.stop()
        self._changed(final)


class Sliders(QWidget):
    """Threshold of the proposal, and the cleanup of it or of the selected class."""

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._controller = controller
        self.threshold = LiveSlider(
            "threshold",
            "Probability above which a pixel belongs to the class, live",
            (2, 98),
            self._cut,
            lambda value: f"{value / 100:.2f}",
            self,
        )
        self.smooth = self._cleaning("smooth", "Level bays and spikes of edges", self._length)
        self.holes = self._cleaning("fill holes", "Fill holes up to this size", self._area)
        self.small = self._cleaning("remove small", "Drop objects below this size", self._area)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setVerticalSpacing(1)
        for row, slider in enumerate((self.threshold, self.smooth, self.holes, self.small)):
            slider.put_into(grid, row)

    def _cleaning(self, name: str, text: str, shown: Callable[[int], str]) -> LiveSlider:
        text += ", live: of the proposal, or of the selected class where none is pending"
        return LiveSlider(name, text, (0, STEPS), self._clean, shown, self)

    def _cut(self, final: bool) -> None:
        self._controller.refining.set_threshold(self.threshold.slider.value() / 100, final)

    def _clean(self, final: bool) -> None:
        cleanup = Cleanup(
            smooth_of(self.smooth.slider.value()),
            area_of(self.holes.slider.value()),
            area_of(self.small.slider.value()),
        )
        self._controller.refining.set_cleanup(cleanup, final)

    def _mpp(self) -> Pair | None:
        desk = self._controller.desk
        return None if desk is None or desk.work is None else desk.work.record.mpp

    def _length(self, value: int) -> str:
        mpp, pixels = self._mpp(), smooth_of(value)
        if not value:
            return "off"
        return f"{pixels:.1f} px" if mpp is None else f"{pixels * mpp[0]:.1f} µm"

    def _area(self, value: int) -> str:
        mpp, pixels = self._mpp(), area_of(value)
        if not value:
            return "off"
        return f"{pixels:,} px" if mpp is None else f"{pixels * mpp[0] * mpp[1]:,.0f} µm²"

    def refresh(self) -> None:
        """Show the values of the field under work."""
        controller = self._controller
        work = controller.desk.work if controller.desk is not None else None
        cleanup = controller.refining.cleanup
        pending = work is not None and work.pending is not None
        self.threshold.show(round(controller.threshold * 100), enabled=pending)
        for slider, value in (
            (self.smooth, step_of_smooth(cleanup.smooth_px)),
            (self.holes, step_of_area(cleanup.holes_px)),
            (self.small, step_of_area(cleanup.small_px)),
        ):
            slider.show(value, enabled=work is not None)


def smooth_of(step: int) -> float:
    """Pixels of a step of the slider."""
    return MOST_SMOOTH_PX * (step / STEPS) ** 2


def step_of_smooth(pixels: float) -> int:
    """The nearest step of the slider."""
    return round(STEPS * math.sqrt(pixels / MOST_SMOOTH_PX))


def area_of(step: int) -> int:
    """Pixels of a step of the slider: fine where it is small."""
    return round(MOST_AREA_PX * (step / STEPS) ** 4) + 1 if step else 0


def step_of_area(pixels: int) -> int:
    """The nearest step of the slider."""
    return round(STEPS * math.pow(max(pixels - 1, 0) / MOST_AREA_PX, 0.25))
