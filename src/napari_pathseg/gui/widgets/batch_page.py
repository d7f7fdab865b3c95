"""The tab Batch: the same words over whole slides, with an estimate before and a report after."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from platformdirs import user_documents_path
from qtpy.QtCore import QEvent, Qt, QUrl
from qtpy.QtGui import QDesktopServices, QShowEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.batch.settings import BatchSettings
from napari_pathseg.gui.batching import Batching, SlideRow
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import Runner
from napari_pathseg.gui.widgets.segment_page import heading
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.gui.worker import QtRunner

FOLDER = "pathseg results"
ABOUT = "Looks at whole slides with the words that worked on a field."


class BatchPage(QWidget):
    """Chooses, estimates, runs and tells what came of it.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner, optional
    out : Path, optional
        Where results go first; that of the last run by default, or one in the user's documents.
    parent : QWidget, optional
    """

    def __init__(
        self,
        controller: PathsegController,
        runner: Runner | None = None,
        out: Path | None = None,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self.controller = controller
        self.batching = Batching(controller, runner or QtRunner())
        usual = controller.remembered.results_folder or user_documents_path() / FOLDER
        self._make_choices(out or usual)
        self._make_buttons()
        self._make_report()
        self._lay_out()
        controller.changed.connect(self._slides_changed)
        self.batching.changed.connect(self.refresh)
        self.refresh()

    def _make_choices(self, out: Path) -> None:
        self.words = QLineEdit(self)
        self.words.setPlaceholderText("gland; nucleus")
        explain(self.words, "What to look for on the whole slide; several terms with ; between")
        self.words.textEdited.connect(lambda _text: self.refresh())
        self.tissue = QCheckBox("Tissue only", self)
        self.tissue.setChecked(True)
        explain(self.tissue, "Leave out glass: it costs no time and can give no false finds")
        self.apart = QCheckBox("Cut touching nuclei apart", self)
        explain(self.apart, "Each nucleus and cell is an object of its own, and numbered")
        self.folder = QLineEdit(str(out), self)
        explain(self.folder, "Labels, outlines, table and report are written here")
        self.folder.editingFinished.connect(self._folder_chosen)
        self.choose = QPushButton("…", self)
        self.choose.setFixedWidth(30)
        explain(self.choose, "Choose the folder")
        self.choose.clicked.connect(self._choose_folder)

    def _make_buttons(self) -> None:
        self.one = QPushButton("Segment whole slide", self)
        explain(self.one, "Estimate first: nothing starts before you say so")
        self.one.clicked.connect(lambda: self.estimate(every=False))
        self.all = QPushButton("Segment all open images", self)
        explain(self.all, "All slides and pictures in the viewer, one after the other")
        self.all.clicked.connect(lambda: self.estimate(every=True))
        self.outlook = QLabel(ABOUT, self)
        self.outlook.setWordWrap(True)
        self.start = QPushButton("Start", self)
        explain(self.start, "Begin; you can go on working on fields meanwhile")
        self.start.clicked.connect(self.batching.start)
        self.pause = QPushButton("Pause", self)
        explain(self.pause, "Hold after the piece that is at work, and go on again")
        self.pause.clicked.connect(self.batching.pause)
        self.stop = QPushButton("Cancel", self)
        explain(self.stop, "Stop; what is done is kept, and the same run goes on from there")
        self.stop.clicked.connect(self.batching.cancel)
        self.bar = QProgressBar(self)
        explain(self.bar, "Pieces of all slides that are done")

    def _make_report(self) -> None:
        self.table = QTableWidget(0, 3, self)
        self.table.setHorizontalHeaderLabels(["Slide", "State", "Found"])
        self.table.setEditTriggers(QTableWidget.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.setWordWrap(True)
        vertical = self.table.verticalHeader()
        if vertical is not None:
            vertical.hide()
            vertical.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header = self.table.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
            header.setSectionResizeMode(1, QHeaderView.ResizeMode.ResizeToContents)
        explain(self.table, "What came of each slide; click one to see it")
        self.table.cellClicked.connect(self._row_clicked)
        self.open = QPushButton("Open the report", self)
        explain(self.open, "All slides with pictures and counts, in the browser")
        self.open.clicked.connect(self._open_report)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.words)
        layout.addLayout(_row(self.tissue, self.apart))
        layout.addLayout(_row(self.folder, self.choose))
        layout.addWidget(self.one)
        layout.addWidget(self.all)
        layout.addWidget(self.outlook)
        layout.addLayout(_row(self.start, self.pause, self.stop))
        layout.addWidget(self.bar)
        layout.addWidget(heading("Slides", self))
        layout.addWidget(self.table, 1)
        layout.addWidget(self.open)

    # What the person does.

    def estimate(self, *, every: bool) -> None:
        """Ask how long it takes."""
        settings = BatchSettings(
            prompts=(self.words.text().strip(),),
            where="auto" if self.tissue.isChecked() else "all",
            instances=self.apart.isChecked(),
        )
        self.batching.estimate(settings, self.out, every=every)

    @property
    def out(self) -> Path:
        """The folder of the results."""
        return Path(self.folder.text()).expanduser()

    def _choose_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Folder for the results", str(self.out))
        if chosen:
            self.folder.setText(chosen)
            self._folder_chosen()

    def _folder_chosen(self) -> None:
        """Take over what a run was asked that was stopped there, where no words stand yet."""
        stopped = self.batching.unfinished(self.out)
        if not self.words.text() and stopped is not None:
            self.words.setText("; ".join(stopped.prompts))
            self.tissue.setChecked(stopped.where != "all")
            self.apart.setChecked(stopped.instances)
        self.refresh()

    def _row_clicked(self, row: int, _column: int) -> None:
        """Show the slide, where it is still open."""
        desk = self.batching.rows[row].desk
        if desk in self.controller.desks:
            self.controller.desks.go_to(desk)

    def _open_report(self) -> None:
        if self.batching.report is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self.batching.report)))

    # What is shown.

    def refresh(self) -> None:
        """Show how things stand."""
        state = self.batching.state
        busy = state in ("estimating", "running", "paused")
        desks = list(self.controller.desks)
        asked = bool(self.words.text().strip())
        for button in (self.one, self.all):
            button.setEnabled(not busy and bool(desks) and asked)
        self.all.setText(f"Segment all open images ({len(desks)})")
        for control in (self.words, self.tissue, self.apart, self.folder, self.choose):
            control.setEnabled(not busy)
        self.start.setVisible(state == "ready")
        ready = any(row.plan is not None for row in self.batching.rows)
        self.start.setEnabled(ready)
        self.pause.setVisible(state in ("running", "paused"))
        self.pause.setText("Go on" if state == "paused" else "Pause")
        self.stop.setVisible(state != "idle")
        self.bar.setVisible(busy)
        tiles = [(row.done, row.plan.tiles) for row in self.batching.rows if row.plan is not None]
        self.bar.setRange(0, 0 if state == "estimating" else max(sum(n for _, n in tiles), 1))
        self.bar.setValue(sum(done for done, _ in tiles))
        self.outlook.setText(self._outlook())
        self.open.setVisible(self.batching.report is not None)
        self._fill_table()

    def _outlook(self) -> str:
        state, rows = self.batching.state, self.batching.rows
        planned = [row for row in rows if row.plan is not None]
        if state == "estimating":
            return "Looking at the slides…"
        if state == "ready" and planned:
            done = sum(row.done for row in planned)
            before = f" {done:,} are done." if done else ""
            pieces = _pieces(self.batching.tiles_left)
            return f"{_duration(self.batching.seconds_left)} for {pieces}.{before} Start?"
        if state == "ready":
            return "There is nothing to do: see below."
        if state in ("running", "paused"):
            held = "Paused. " if state == "paused" else ""
            if not self.batching.tiles_left:
                return f"{held}Writing the files…"
            return f"{held}{_duration(self.batching.seconds_left)} left."
        stopped = self.batching.unfinished(self.out)
        if stopped is not None:
            words = "; ".join(stopped.prompts)
            return (
                f"A run for “{words}” in this folder was stopped: the same one goes on from there."
            )
        return ABOUT

    def _fill_table(self) -> None:
        rows = self.batching.rows
        self.table.setRowCount(len(rows))
        for i, (row, name) in enumerate(zip(rows, _names(rows), strict=True)):
            told = (name, str(row.job.path)), *((text, text) for text in _told(row))
            for column, (text, tip) in enumerate(told):
                item = self.table.item(i, column)
                if item is None:
                    item = QTableWidgetItem()
                    item.setTextAlignment(Qt.AlignmentFlag.AlignTop)
                    self.table.setItem(i, column, item)
                if (item.text(), item.toolTip()) != (text, tip):
                    item.setText(text)
                    item.setToolTip(tip)

    def _slides_changed(self) -> None:
        if self.isVisible():
            self.refresh()

    def showEvent(self, event: QShowEvent | None) -> None:  # noqa: N802 - Qt's name
        """Take over what a stopped run was asked, or the words of the field in work."""
        super().showEvent(event)
        self._folder_chosen()
        desk = self.controller.desk
        work = None if desk is None else desk.work
        if not self.words.text() and work is not None:
            self.words.setText("; ".join(work.record.texts))
            self.refresh()

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Stop with the panel; the same run goes on from there."""
        self.controller.changed.disconnect(self._slides_changed)
        self.batching.changed.disconnect(self.refresh)
        self.batching.close()


def _names(rows: Sequence[SlideRow]) -> list[str]:
    """What slides are called; those of one name with the folders they lie in."""
    names = [row.desk.name for row in rows]
    count = Counter(names)
    folders = [row.job.path.parent.name for row in rows]
    return [
        name if count[name] == 1 else f"{folder}/{name}"
        for name, folder in zip(names, folders, strict=True)
    ]


def _pieces(count: int) -> str:
    return f"{count:,} {'piece' if count == 1 else 'pieces'}"


def _told(row: SlideRow) -> tuple[str, str]:
    """State and finds of a slide."""
    facts = row.facts
    if facts is None:
        if row.plan is None:
            return "", ""
        area = _looked_at(row)
        if row.done and not row.left:
            return "writing", area
        if row.done:
            return f"{row.done:,} of {row.plan.tiles:,}", area
        return _pieces(row.plan.tiles), area
    if facts["status"] == "failed":
        return "failed", facts["error"].removeprefix(f"{row.job.path}: ")
    found = [f"{term['objects']:,} {term['name']}" for term in facts["terms"]]
    return ("done before" if facts.get("kept") else f"done, {facts['seconds']:.0f} s"), "\n".join(
        [*found, *facts["warnings"]]
    )


def _looked_at(row: SlideRow) -> str:
    if row.plan is None or row.desk.mpp is None:
        return ""
    mm2 = row.plan.scope.tissue_px * row.desk.mpp[0] * row.desk.mpp[1] / 1e6
    return f"{mm2:.1f} mm² {'tissue' if row.plan.tissue_only else 'in all'}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"About {max(round(seconds), 1)} s"
    if seconds < 5400:
        return f"About {round(seconds / 60)} min"
    return f"About {seconds / 3600:.1f} h"


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget)
    return row
