"""The tab Measure: classes, histogram and objects of the slide in work; CSV, PNG, layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import QEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import PathsegError
from napari_pathseg.export.sheet import write_sheet
from napari_pathseg.gui.before_after import BeforeAfter, before_after, rings_of
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.measuring import MeasuredObject, Measuring, SlideMeasures
from napari_pathseg.gui.messages import OPEN_FIRST, Message, of_error, tell_failure
from napari_pathseg.gui.object_columns import (
    ORIGINS,
    SIZES,
    Column,
    columns,
    rows,
    summary_columns,
    summary_row,
)
from napari_pathseg.gui.object_layer import show_objects
from napari_pathseg.gui.pointing import Pointing
from napari_pathseg.gui.prompt_layers import Ring
from napari_pathseg.gui.settings import Settings
from napari_pathseg.gui.widgets.object_card import ObjectCard
from napari_pathseg.gui.widgets.object_table import ObjectTable
from napari_pathseg.gui.widgets.plots import NO_CLASSES, NO_OBJECTS, Histogram, Series
from napari_pathseg.gui.widgets.settling import settling_timer
from napari_pathseg.gui.widgets.summary_box import SummaryBox, narrow_box
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.measure import MIN_INSTANCE_PX
from napari_pathseg.labels.stains import STAINS
from napari_pathseg.progress import CancelToken, ProgressCallback

SETTLE_MS = 400
"""Measured when nothing has changed for this long."""

MEASURING = "Measuring…"
ALL = "all classes"


@dataclass(slots=True, eq=False)
class _Shown:
    """What the page shows, and of which slide."""

    desk: Desk
    measures: SlideMeasures
    columns: tuple[Column, ...]


class MeasurePage(QWidget):
    """Measures the slide in work while it is in view.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner, optional
        Of its own, so that measuring never waits for the model.
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
        self.pointing = Pointing(controller.viewer, controller.desks)
        self._runner = runner or QtRunner()
        self._token: CancelToken | None = None
        self._measuring: dict[Desk, Measuring] = {}
        self._shown: _Shown | None = None
        self._pointed: MeasuredObject | None = None
        self._timer = settling_timer(self, SETTLE_MS, self.measure)
        self._make_controls()
        self._lay_out()
        controller.changed.connect(self._changed)
        controller.settings.changed.connect(self._set)
        self._show(None)

    def _make_controls(self) -> None:
        self.stains = narrow_box(self)
        self.stains.addItems(list(STAINS))
        self.stains.setCurrentText(self.controller.settings.value.stains)
        explain(self.stains, "What the slide is stained with: intensities are of these dyes")
        self.stains.currentTextChanged.connect(self._restain)
        self.save = QPushButton("Save…", self)
        explain(self.save, "Objects and classes as CSV, both plots as PNG, into a folder")
        self.save.clicked.connect(self._choose_folder)
        self.as_layer = QPushButton("As layer", self)
        explain(self.as_layer, "A Points layer of all objects, with every column as a feature")
        self.as_layer.clicked.connect(self._add_layer)
        self.summary = SummaryBox(self)
        self.measure_box, self.class_box = narrow_box(self), narrow_box(self)
        explain(self.measure_box, "What the histogram shows")
        explain(self.class_box, "Which class histogram and table show")
        self.measure_box.currentTextChanged.connect(lambda _text: self._show_histogram())
        self.class_box.currentTextChanged.connect(lambda _text: self._show_objects())
        self.histogram = Histogram(self)
        explain(self.histogram, "Objects by size or stain; the largest hundredth shares a bin")
        self.group = narrow_box(self)
        self.group.addItems([SIZES, ORIGINS])
        explain(self.group, "What the table tells of each object")
        self.group.currentTextChanged.connect(lambda _text: self._show_objects())
        self.count = QLabel(self)
        self.table = ObjectTable(self)
        self.table.chosen.connect(self.choose)
        self.card = ObjectCard(self)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addLayout(_row((self.stains, 1), (self.as_layer, 0), (self.save, 0)))
        layout.addWidget(self.summary)
        layout.addLayout(_row((self.measure_box, 1), (self.class_box, 1)))
        layout.addWidget(self.histogram)
        layout.addLayout(_row((self.group, 1), (self.count, 1)))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.card)

    # Measuring.

    def measure(self) -> None:
        """Measure what has changed, in the background."""
        desk = self.controller.desk
        if desk is None:
            self._show(None)
            return
        if self._token is not None:
            self._token.cancel()
        self._measuring = {d: m for d, m in self._measuring.items() if d in set(self._desks())}
        measuring = self._measuring.setdefault(desk, Measuring(desk.slide))
        if self._shown is None:
            self.summary.bars.say(MEASURING)
            self.histogram.say("")
        fields, classes, mpp = desk.fields(), ClassList(desk.listed()), desk.mpp
        store = desk.store
        stains = STAINS[self.stains.currentText()]
        self._token = self._runner.submit(
            Job(
                f"Measuring {desk.name}",
                lambda report, cancel: measuring.measure(
                    fields, classes, mpp, stains, report, cancel, store
                ),
                lambda found: self._measured(desk, found),
                self._failed,
            )
        )

    def _desks(self) -> list[Desk]:
        return list(self.controller.desks)

    def _measured(self, desk: Desk, measures: SlideMeasures) -> None:
        if desk is self.controller.desk:
            self._show(_Shown(desk, measures, columns(measures.stains, desk.mpp is not None)))

    def _failed(self, error: BaseException) -> None:
        tell_failure(error, self.controller.say)

    def _changed(self) -> None:
        if self.isVisible():
            self._timer.start()

    def _restain(self, name: str) -> None:
        self.controller.settings.put(stains=name)
        self._changed()

    def _set(self, settings: Settings) -> None:
        """Settings were changed elsewhere, such as in napari's Preferences."""
        self.stains.setCurrentText(settings.stains)

    def showEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The tab comes to the front."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.measure()

    def hideEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Another tab: the outline of the chosen object goes."""
        super().hideEvent(event)  # type: ignore[arg-type]
        self._pointed = None
        self.pointing.clear()

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The panel goes."""
        self._timer.stop()
        self._runner.close()
        super().closeEvent(event)  # type: ignore[arg-type]

    # Showing.

    def _show(self, shown: _Shown | None) -> None:
        self._shown = shown
        self.summary.bars.say(NO_CLASSES)
        self.histogram.say(NO_OBJECTS)
        measures = shown.measures if shown is not None else None
        some = measures is not None and bool(measures.objects)
        self.save.setEnabled(some)
        self.as_layer.setEnabled(some)
        self.summary.show_measures(measures)
        names = [c.label_class.name for c in measures.classes] if measures is not None else []
        _refill(self.class_box, [ALL, *names])
        told = [c.title for c in shown.columns if c.number] if shown is not None else []
        _refill(self.measure_box, told)
        self._show_objects()

    def _objects(self) -> list[MeasuredObject]:
        if self._shown is None:
            return []
        chosen = self.class_box.currentText()
        found = self._shown.measures.objects
        return [o for o in found if chosen in (ALL, o.label_class.name)]

    def _show_objects(self) -> None:
        objects = self._objects()
        many = f"{len(objects):,} objects" if len(objects) != 1 else "1 object"
        small = sum(o.measure.area_px < MIN_INSTANCE_PX for o in objects)
        specks = f", {small:,} under {MIN_INSTANCE_PX} px" if small else ""
        self.count.setText(many + specks)
        if self._shown is not None:
            group = self.group.currentText()
            told = [c for c in self._shown.columns if c.group == group or c.name == "class"]
            self.table.show_objects(objects, told)
        else:
            self.table.show_objects([], [])
        if not objects:
            self.card.hide()
        self._show_histogram()

    def _show_histogram(self) -> None:
        title = self.measure_box.currentText()
        told = self._shown.columns if self._shown is not None else ()
        column = next((c for c in told if c.title == title), None)
        if column is None or self._shown is None:
            self.histogram.show_series("", [])
            return
        chosen = self.class_box.currentText()
        series = []
        for summed in self._shown.measures.classes:
            one = summed.label_class
            if chosen in (ALL, one.name):
                cells = (column.value(o) for o in self._objects() if o.label_class == one)
                values = tuple(float(v) for v in cells if v != "")
                series.append(Series(one.name, one.color, values))
        self.histogram.show_series(column.title, series)

    # What can be done with an object.

    def choose(self, one: MeasuredObject) -> None:
        """Bring an object into the middle and tell where it comes from."""
        shown = self._shown
        if shown is None or shown.desk not in self._desks():
            return
        desk, value = shown.desk, one.label_class.value
        present = desk.present(one.record.id)
        if present is None:
            self.controller.say(Message("This object is no longer there.", "warning"))
            return
        record, found = present
        self.pointing.at_object(desk, one.region)
        self._outline(desk, one, found)
        self.card.show_object(one)
        slide, store = desk.slide, desk.store
        self._runner.submit(
            Job(
                "Reading the object",
                lambda _report, _cancel: before_after(
                    slide, store, record, found, one.region, value
                ),
                self._pictures(one),
                self._failed,
            )
        )

    def _outline(self, desk: Desk, one: MeasuredObject, mask: Mask) -> None:
        """Outline an object; in the background, as the store may be writing."""
        store, self._pointed = desk.store, one

        def trace(_report: ProgressCallback, _cancel: CancelToken) -> list[Ring]:
            numbers = None if store is None else store.numbers(one.record.id)
            value, area_px = one.label_class.value, one.measure.area_px
            return rings_of(one.record.field, mask, one.region, value, area_px, numbers)

        def traced(rings: list[Ring]) -> None:
            if self._pointed is one and desk in self._desks():
                self.pointing.outline(desk, rings)

        self.controller.mender.submit(Job("Outlining", trace, traced, self._failed))

    def _pictures(self, one: MeasuredObject) -> Callable[[BeforeAfter], None]:
        return lambda found: self.card.show_pictures(found, one.label_class.color)

    def _add_layer(self) -> None:
        if self._shown is not None:
            show_objects(self.controller.viewer, self._shown.measures, self._shown.desk.mpp)

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Save measures into a folder")
        if folder:
            self.save_into(Path(folder))

    def save_into(self, folder: Path) -> None:
        """Write both tables and both plots."""
        shown = self._shown
        if shown is None:
            self.controller.say(Message(OPEN_FIRST, "warning"))
            return
        measures = shown.measures
        stem = Path(measures.slide_name).stem.removesuffix(".ome")
        try:
            names = [column.name for column in shown.columns]
            count = write_sheet(
                folder / f"{stem}.objects.csv", names, rows(measures, shown.columns)
            )
            summaries = [summary_row(measures.slide_name, c) for c in measures.classes]
            write_sheet(folder / f"{stem}.classes.csv", summary_columns(measures.stains), summaries)
            self.summary.bars.save(folder / f"{stem}.classes.png")
            self.histogram.save(folder / f"{stem}.histogram.png")
        except PathsegError as error:
            self.controller.say(of_error(error))
            return
        self.controller.say(Message(f"{count} objects and 2 plots written to {folder}.", "good"))


def _row(*widgets: tuple[QWidget, int]) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget, stretch in widgets:
        row.addWidget(widget, stretch)
    return row


def _refill(box: QComboBox, texts: list[str]) -> None:
    """Other choices; the chosen one stays while it is among them."""
    if texts == [box.itemText(i) for i in range(box.count())]:
        return
    chosen = box.currentText()
    box.blockSignals(True)
    box.clear()
    box.addItems(texts)
    box.setCurrentIndex(max(box.findText(chosen), 0 if texts else -1))
    box.blockSignals(False)
