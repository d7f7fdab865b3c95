"""The tab Review: what to look at next on all open slides, and how far it is."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import tell_failure
from napari_pathseg.gui.review import (
    Agreements,
    Progressed,
    QueuedField,
    progressed,
)
from napari_pathseg.gui.reviewing import NOTHING
from napari_pathseg.gui.widgets.settling import settling_timer
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.progress import CancelToken, ProgressCallback

WHAT, SLIDE, SURE, STATUS, AGREES = range(5)
SETTLE_MS = 300
MAX_ROWS = 500
"""More are queued, but not listed."""


class ReviewPage(QWidget):
    """The queue as a list, two buttons through it, and the progress.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner, optional
        Of its own, for comparing with what was proposed.
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
        self._runner = runner or QtRunner()
        self._token: CancelToken | None = None
        self._agreements = Agreements()
        self._listed: tuple[QueuedField, ...] | None = None
        self._timer = settling_timer(self, SETTLE_MS, self.compare)
        self._make_controls()
        self._lay_out()
        controller.changed.connect(self._changed)

    def _make_controls(self) -> None:
        reviewing = self.controller.reviewing
        self.next = QPushButton("Next field", self)
        explain(self.next, "Show the field that the model is least sure of", "next_in_review")
        self.next.clicked.connect(lambda: reviewing.step())
        self.back = QPushButton("Back", self)
        explain(self.back, "Show the field before", "back_in_review")
        self.back.clicked.connect(lambda: reviewing.step(-1))
        self.reviewed_too = QCheckBox("also what is reviewed", self)
        explain(self.reviewed_too, "List accepted and corrected fields behind the others")
        self.reviewed_too.toggled.connect(self._set_reviewed_too)
        self.go_on = QCheckBox("go on after accept", self)
        explain(self.go_on, "Accepting shows the next field; remembered", "accept")
        self.go_on.setChecked(self.controller.settings.value.go_on)
        self.go_on.toggled.connect(lambda on: self.controller.settings.put(go_on=on))
        self.bar = QProgressBar(self)
        explain(self.bar, "Fields that were accepted or corrected, of all on the open slides")
        self.figures = QLabel(self)
        self.figures.setWordWrap(True)
        self.list = self._make_list()

    def _make_list(self) -> QTreeWidget:
        found = QTreeWidget(self)
        found.setHeaderLabels(["asked for", "slide", "sure", "status", "agrees"])
        found.setRootIsDecorated(False)
        found.setUniformRowHeights(True)
        found.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        found.setToolTip("Click a field to go there; the model is least sure of the first")
        found.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header = found.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(WHAT, QHeaderView.ResizeMode.Stretch)
        for column in (SLIDE, SURE, STATUS, AGREES):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        found.itemClicked.connect(self._clicked)
        return found

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.bar)
        layout.addWidget(self.figures)
        buttons = QHBoxLayout()
        buttons.addWidget(self.next, 1)
        buttons.addWidget(self.back)
        layout.addLayout(buttons)
        switches = QHBoxLayout()
        switches.addWidget(self.go_on)
        switches.addWidget(self.reviewed_too)
        layout.addLayout(switches)
        self.empty = QLabel(NOTHING, self)
        self.empty.setWordWrap(True)
        self.empty.setAlignment(Qt.AlignmentFlag.AlignCenter)
        layout.addWidget(self.empty)
        layout.addWidget(self.list, 1)

    # Showing.

    def refresh(self) -> None:
        """Show queue and progress."""
        queued = self.controller.reviewing.queue()
        self._list(queued)
        for button in (self.next, self.back):
            button.setEnabled(bool(queued))
        self.empty.setVisible(not queued)
        self._show_progress()

    def _list(self, queued: tuple[QueuedField, ...]) -> None:
        shown = queued[:MAX_ROWS]
        if shown != self._listed:
            self._listed = shown
            self.list.clear()
            self.list.addTopLevelItems([self._item(field) for field in shown])
        several = len({field.identity for field in shown}) > 1
        self.list.setColumnHidden(SLIDE, not several)
        present = self.controller.reviewing.present
        for row, field in enumerate(shown):
            item = self.list.topLevelItem(row)
            assert item is not None
            known = self._agreements.known(field.record)
            item.setText(AGREES, f"{known.dice:.2f}" if known is not None else "")
            item.setSelected(field.record.id == present)

    def _item(self, field: QueuedField) -> QTreeWidgetItem:
        sure = f"{field.sureness:.2f}" if field.record.scores else ""
        slide = field.slide_name
        short = slide if len(slide) <= 12 else slide[:11] + "…"
        item = QTreeWidgetItem([field.what, short, sure, field.record.status, ""])
        item.setToolTip(WHAT, f"{field.what}\n{field.record.model}\n{field.record.author}")
        item.setToolTip(SLIDE, slide)
        for column in (SURE, AGREES):
            item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        return item

    def _show_progress(self) -> None:
        reviewing, desks = self.controller.reviewing, list(self.controller.desks)
        fields = [(reviewing.fields(desk), desk.mpp) for desk in desks]
        objects = sum(
            desk.objects_in(field.record.id)
            for desk, (of_slide, _) in zip(desks, fields, strict=True)
            for field in of_slide
            if field.reviewed
        )
        found = progressed(fields, objects)
        self.bar.setRange(0, max(found.fields, 1))
        self.bar.setValue(found.reviewed)
        self.bar.setFormat(f"{found.reviewed} of {found.fields} fields")
        compared = [
            known.dice
            for of_slide, _ in fields
            for field in of_slide
            if field.reviewed and (known := self._agreements.known(field.record)) is not None
        ]
        self.figures.setText(_figures(found, compared))

    # Doing.

    def _clicked(self, item: QTreeWidgetItem, _column: int) -> None:
        row = self.list.indexOfTopLevelItem(item)
        if self._listed is not None and row >= 0:
            self.controller.reviewing.show(self._listed[row])

    def _set_reviewed_too(self, on: bool) -> None:
        self.controller.reviewing.reviewed_too = on
        self.refresh()

    def compare(self) -> None:
        """Compare every reviewed field with what was proposed, in the background."""
        if self._token is not None:
            self._token.cancel()
        reviewing, fields = self.controller.reviewing, []
        for desk in self.controller.desks:
            for field in reviewing.fields(desk):
                if not field.reviewed or desk.store is None:
                    continue
                if self._agreements.known(field.record) is None:
                    present = desk.present(field.record.id)
                    fields += [(desk.store, *present)] if present is not None else []
        if not fields:
            self.refresh()
            return

        def compare(report: ProgressCallback, cancel: CancelToken) -> None:
            self.controller.saving.flush()
            self._agreements.compare(fields, report, cancel)

        self._token = self._runner.submit(
            Job(
                "Comparing with what was proposed",
                compare,
                lambda _none: self.refresh(),
                self._failed,
            )
        )

    def _failed(self, error: BaseException) -> None:
        tell_failure(error, self.controller.say)

    def _changed(self) -> None:
        if self.isVisible():
            self._timer.start()

    def showEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The tab comes to the front: accepting goes on from now."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.controller.reviewing.goes_on = True
        self.refresh()
        self._timer.start()

    def hideEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """Another tab: accepting stays where it is."""
        super().hideEvent(event)  # type: ignore[arg-type]
        self.controller.reviewing.goes_on = False

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The panel goes."""
        self._timer.stop()
        self._runner.close()
        super().closeEvent(event)  # type: ignore[arg-type]


def _figures(found: Progressed, agreed: list[float]) -> str:
    parts = [f"{found.objects:,} objects reviewed"]
    if found.reviewed_mm2 is not None and found.segmented_mm2 is not None:
        parts.insert(0, f"{found.reviewed_mm2:.3g} of {found.segmented_mm2:.3g} mm²")
    if agreed:
        parts.append(f"agreement before and after correction {sum(agreed) / len(agreed):.2f}")
    return " · ".join(parts)
