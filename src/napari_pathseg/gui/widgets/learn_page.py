"""The tab Learn: from corrected fields to an adapter, and the adapters on this computer."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, Qt, QTimer
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import Runner
from napari_pathseg.gui.learning import NEEDED, Learning, Subject
from napari_pathseg.gui.widgets.lesson_box import LessonBox
from napari_pathseg.gui.widgets.segment_page import heading
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.models.adapter_card import SUFFIX
from napari_pathseg.models.adapter_folder import Installed

FILE = Qt.ItemDataRole.UserRole


class LearnPage(QWidget):
    """Choose a class, learn it, look at before and after, and keep it or not.

    Parameters
    ----------
    controller : PathsegController
    parent : QWidget, optional
    runner : Runner, optional
        A thread of its own by default.
    learning : Learning, optional
    """

    def __init__(
        self,
        controller: PathsegController,
        parent: QWidget | None = None,
        *,
        runner: Runner | None = None,
        learning: Learning | None = None,
    ) -> None:
        super().__init__(parent)
        self.controller = controller
        self.learning = learning or Learning(controller, runner or QtRunner())
        self._subjects: tuple[Subject, ...] = ()
        self._listed: tuple[Installed, ...] = ()
        self._make_controls()
        self._lay_out()
        controller.changed.connect(self._changed)
        self.learning.changed.connect(self._changed)
        self.refresh()

    def _make_controls(self) -> None:
        self.subject = QComboBox(self)
        self.subject.setToolTip("The class to learn, from all open slides")
        self.subject.setSizeAdjustPolicy(
            QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        )
        self.subject.setMinimumContentsLength(12)
        self.subject.currentIndexChanged.connect(lambda _index: self._show_subject())
        self.count = QLabel(self)
        self.count.setWordWrap(True)
        self.start = _button("Learn from my corrections", "Takes minutes; you can go on working")
        self.start.clicked.connect(lambda: self.learning.start(self.subject.currentText()))
        self.stop = _button("Cancel", "Stop learning; nothing is kept")
        self.stop.clicked.connect(self.learning.cancel)
        self.bar = QProgressBar(self)
        self.bar.setToolTip("How far the learning is")
        self.lesson = LessonBox(self)
        self.lesson.accept.clicked.connect(self.learning.accept)
        self.lesson.discard.clicked.connect(self.learning.discard)
        self.adapters = QTreeWidget(self)
        self.adapters.setHeaderHidden(True)
        self.adapters.setRootIsDecorated(False)
        self.adapters.setFixedHeight(120)
        self.adapters.setToolTip("Ticked adapters are used; of two for one word the last one")
        self.adapters.itemChanged.connect(self._switched)
        self.adapters.itemSelectionChanged.connect(self._chosen)
        self.card = _button("Card", "What the chosen adapter teaches, from what and how well")
        self.card.clicked.connect(self._show_card)
        self.share = _button("Share…", "Copy the chosen adapter's file to give it to others")
        self.share.clicked.connect(self._share)
        self.add = _button("Add…", f"An adapter that you were given (*{SUFFIX})")
        self.add.clicked.connect(self._choose_file)
        self.remove = _button("Remove", "Delete the chosen adapter from this computer")
        self.remove.clicked.connect(self._remove)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(7)
        layout.addWidget(self.subject)
        layout.addWidget(self.count)
        row = QHBoxLayout()
        row.addWidget(self.start, 1)
        row.addWidget(self.stop)
        layout.addLayout(row)
        layout.addWidget(self.bar)
        layout.addWidget(self.lesson)
        layout.addWidget(heading("Adapters", self))
        layout.addWidget(self.adapters)
        row = QHBoxLayout()
        for button in (self.card, self.share, self.add, self.remove):
            row.addWidget(button, 1)
        layout.addLayout(row)
        layout.addStretch(1)

    def refresh(self) -> None:
        """Show what there is to learn from, how it goes, and what was learned."""
        busy = self.learning.busy
        self._show_subjects()
        self.stop.setEnabled(busy)
        self.subject.setEnabled(not busy)
        self.bar.setVisible(busy)
        if self.learning.progress is not None:
            self.bar.setMaximum(max(self.learning.progress.total, 1))
            self.bar.setValue(self.learning.progress.done)
            self.bar.setFormat(self.learning.progress.message)
        self.lesson.show_state(self.learning.progress, self.learning.lesson)
        self._show_adapters()

    def _show_subjects(self) -> None:
        subjects = self.learning.subjects()
        if subjects != self._subjects:
            self._subjects = subjects
            chosen = self.subject.currentText() or self.controller.selected or ""
            self.subject.blockSignals(True)
            self.subject.clear()
            self.subject.addItems([s.name for s in subjects])
            self.subject.setCurrentIndex(max(self.subject.findText(chosen), 0 if subjects else -1))
            self.subject.blockSignals(False)
        self._show_subject()

    def _show_subject(self) -> None:
        index = self.subject.currentIndex()
        subject = self._subjects[index] if 0 <= index < len(self._subjects) else None
        ready = subject is not None and not subject.missing and not self.learning.busy
        self.start.setEnabled(ready)
        self.count.setText(_told(subject))

    def _show_adapters(self) -> None:
        installed = self.learning.installed()
        if installed == self._listed and self.adapters.topLevelItemCount() == len(installed):
            return
        self._listed = installed
        self.adapters.blockSignals(True)
        self.adapters.clear()
        for one in installed:
            item = QTreeWidgetItem([_line(one)])
            item.setData(0, FILE, one.path)
            item.setToolTip(0, one.trouble or str(one.path))
            if one.card is None or one.trouble:
                item.setDisabled(True)
            state = Qt.CheckState.Checked if one.on else Qt.CheckState.Unchecked
            item.setCheckState(0, state)
            self.adapters.addTopLevelItem(item)
        self.adapters.blockSignals(False)
        self._chosen()

    def _switched(self, item: QTreeWidgetItem, _column: int) -> None:
        path, on = item.data(0, FILE), item.checkState(0) == Qt.CheckState.Checked
        # Later: the list is made anew then, and this item must outlive the call.
        QTimer.singleShot(0, lambda: self.learning.switch(path, on=on))

    def _selected(self) -> Installed | None:
        items = self.adapters.selectedItems()
        path = items[0].data(0, FILE) if items else None
        return next((one for one in self._listed if one.path == path), None)

    def _chosen(self) -> None:
        one = self._selected()
        self.card.setEnabled(one is not None and one.card is not None)
        self.share.setEnabled(one is not None and one.card is not None)
        self.remove.setEnabled(one is not None)

    def _show_card(self) -> None:
        one = self._selected()
        if one is not None:
            box = QMessageBox(QMessageBox.Icon.NoIcon, one.name, card_text(one), parent=self)
            box.setTextFormat(Qt.TextFormat.PlainText)
            box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
            box.open()

    def _share(self) -> None:
        one = self._selected()
        if one is None:
            return
        path, _ = QFileDialog.getSaveFileName(self, "A copy of the adapter", one.path.name)
        if path:
            self.learning.share(one.path, Path(path))

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "An adapter", "", f"Adapters (*{SUFFIX})")
        if path:
            self.learning.install(Path(path))

    def _remove(self) -> None:
        one = self._selected()
        if one is not None:
            self.learning.remove(one.path)

    def _changed(self) -> None:
        if self.isVisible():
            self.refresh()

    def showEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The tab comes to the front."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The panel goes."""
        self.learning.close()
        super().closeEvent(event)  # type: ignore[arg-type]


def card_text(one: Installed) -> str:
    """What an adapter's card says, in lines."""
    card = one.card
    if card is None:
        return one.trouble
    lines = [f"{card.name} {card.version}, for {card.base_name} ({card.base_sha256[:12]})"]
    for taught in card.terms:
        kind = "known word, corrected" if taught.added else "new word"
        before = "–" if taught.before is None else f"{taught.before:.2f}"
        after = "–" if taught.after is None else f"{taught.after:.2f}"
        lines += [
            "",
            f"{taught.term.object} ({taught.term.structure}): {kind}",
            f"{taught.fields} fields of {taught.slides} slides, {taught.present} with it",
            f"Dice on held-out fields: {before} before, {after} after",
            f"looked at with {taught.working_mpp:.2g} µm/px",
        ]
    lines += [
        "",
        f"Made {card.made:%Y-%m-%d} by {card.author or 'unknown'}",
        f"Use: {card.license}",
    ]
    return "\n".join([*lines, *([one.trouble] if one.trouble else [])])


def _line(one: Installed) -> str:
    if one.card is None:
        return f"{one.name}: damaged"
    if one.trouble:
        return f"{one.name}: of another model"
    figures = [t.after for t in one.card.terms if t.after is not None]
    after = f", Dice {sum(figures) / len(figures):.2f}" if figures else ""
    return f"{one.name}{after}"


def _told(subject: Subject | None) -> str:
    """How much there is to learn from."""
    if subject is None:
        return (
            "There is nothing to learn from yet: segment fields, correct and accept them. It takes "
            f"{NEEDED} fields of a class; the more slides they come from, the better."
        )
    many = "field" if subject.fields == 1 else "fields"
    slides = "slide" if subject.slides == 1 else "slides"
    text = f"{subject.fields} corrected or accepted {many} of {subject.slides} {slides}"
    if subject.missing:
        return f"{text}; {subject.missing} more needed."
    return f"{text}. A field in which you looked for it and it is not there helps too."


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
