"""Labels that came in: what its classes become, to look at and change before they are stored."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.export.incoming.mapping import ASK
from napari_pathseg.gui.importing import Importing
from napari_pathseg.gui.widgets.icons import swatch
from napari_pathseg.gui.widgets.tooltips import explain

COLUMNS = ("in the file", "pixels", "becomes")
WHICH = "which class?"
_NAME, _PIXELS, _TARGET = range(3)


class ImportBox(QWidget):
    """The lower part of the tab Export."""

    def __init__(self, importing: Importing, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._importing = importing
        self._filling = False
        self.open_file = QPushButton("File…", self)
        explain(self.open_file, "GeoJSON, COCO, label TIFF or PNG, DICOM SEG")
        self.open_file.clicked.connect(self._choose_file)
        self.open_folder = QPushButton("Folder…", self)
        explain(self.open_folder, "A training bundle, OME-Zarr labels or a COCO data set")
        self.open_folder.clicked.connect(self._choose_folder)
        self.hint = QLabel("or drop here", self)
        self.table = QTableWidget(0, len(COLUMNS), self)
        self.table.setHorizontalHeaderLabels(list(COLUMNS))
        vertical, horizontal = self.table.verticalHeader(), self.table.horizontalHeader()
        assert vertical is not None
        assert horizontal is not None
        vertical.hide()
        horizontal.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setFixedHeight(120)
        explain(self.table, "Double click what a class becomes to change it; empty leaves it out")
        self.table.itemChanged.connect(self._edited)
        self.numbers = QComboBox(self)
        for meaning, text in (
            ("classes", "numbers are classes"),
            ("objects", "numbers are objects"),
        ):
            self.numbers.addItem(text, meaning)
        explain(self.numbers, "Its file does not say whether a number is a class or an object")
        self.numbers.activated.connect(self._counted)
        self.reviewed = QCheckBox("a person vouches for them", self)
        explain(self.reviewed, "They count as reviewed, for training and export")
        self.take_in = QPushButton("Take in", self)
        explain(self.take_in, "Store them as editable labels of this slide, all or none")
        self.take_in.clicked.connect(lambda: importing.take_in(reviewed=self.reviewed.isChecked()))
        self.put_away = QPushButton("Not now", self)
        explain(self.put_away, "Forget the file; nothing is changed")
        self.put_away.clicked.connect(importing.refuse)
        self._lay_out()
        importing.changed.connect(self.refresh)
        self.refresh()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        top, bottom = QHBoxLayout(), QHBoxLayout()
        for widget in (self.open_file, self.open_folder, self.hint):
            top.addWidget(widget, 1)
        for widget in (self.take_in, self.put_away):
            bottom.addWidget(widget, 1)
        layout.addLayout(top)
        layout.addWidget(self.table)
        layout.addWidget(self.numbers)
        layout.addWidget(self.reviewed)
        layout.addLayout(bottom)

    def refresh(self) -> None:
        """Show what waits."""
        waits = self._importing.incoming is not None
        for widget in (self.table, self.reviewed, self.take_in, self.put_away):
            widget.setVisible(waits)
        incoming = self._importing.incoming
        self.numbers.setVisible(incoming is not None and bool(incoming.numbers))
        if incoming is not None:
            self.numbers.setCurrentIndex(self.numbers.findData(incoming.numbers))
        self._filling = True
        mapping = self._importing.mapping
        self.table.setRowCount(len(mapping))
        for row, mapped in enumerate(mapping):
            near = f"\nNear: {', '.join(mapped.near)}" if mapped.near else ""
            texts = mapped.source.name, f"{mapped.pixels:,}", mapped.target
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                item.setToolTip(mapped.why + near)
                if column == _TARGET and mapped.why == ASK:
                    item.setText(WHICH)
                if column != _TARGET:
                    item.setFlags(Qt.ItemFlag.ItemIsEnabled)
                elif mapped.target:
                    item.setIcon(swatch(mapped.color))
                self.table.setItem(row, column, item)
        self.take_in.setEnabled(any(mapped.target for mapped in mapping))
        self._filling = False

    def _counted(self, _: int) -> None:
        self._importing.count_as(self.numbers.currentData())

    def _edited(self, item: QTableWidgetItem | None) -> None:
        if self._filling or item is None or item.column() != _TARGET:
            return
        name = self.table.item(item.row(), _NAME)
        if name is not None and item.text() != WHICH:
            self._importing.rename(name.text(), item.text())

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Labels to take in")
        if path:
            self._importing.read(Path(path))

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Folder of labels to take in")
        if path:
            self._importing.read(Path(path))
