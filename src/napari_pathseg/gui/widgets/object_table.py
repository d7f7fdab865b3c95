"""A table of all objects: sorted by any column, a row chosen by a click."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView, QWidget

from napari_pathseg.gui.measuring import MeasuredObject
from napari_pathseg.gui.object_columns import Cell, Column
from napari_pathseg.gui.widgets.icons import swatch
from napari_pathseg.gui.widgets.plots import short

NO_INDEX = QModelIndex()
ROW_PX = 22
MEASURED_ROWS = 40
"""Whose cells tell how wide a column is: Qt would ask a thousand rows."""


class ObjectModel(QAbstractTableModel):
    """The cells; computed when they are seen, so that ten thousand objects come at once."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._objects: list[MeasuredObject] = []
        self._columns: tuple[Column, ...] = ()

    def show_objects(self, objects: Sequence[MeasuredObject], columns: Sequence[Column]) -> None:
        """Show other objects or columns."""
        self.beginResetModel()
        self._objects, self._columns = list(objects), tuple(columns)
        self.endResetModel()

    def rowCount(self, parent: QModelIndex = NO_INDEX) -> int:  # noqa: N802 - Qt's name
        """Objects."""
        return 0 if parent.isValid() else len(self._objects)

    def columnCount(self, parent: QModelIndex = NO_INDEX) -> int:  # noqa: N802 - Qt's name
        """Columns."""
        return 0 if parent.isValid() else len(self._columns)

    def at(self, row: int) -> MeasuredObject:
        """The object of a row."""
        return self._objects[row]

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """What a cell shows."""
        if not index.isValid():
            return None
        one, column = self._objects[index.row()], self._columns[index.column()]
        if role == Qt.ItemDataRole.DisplayRole:
            value = column.value(one)
            return value if isinstance(value, str) else short(value)
        if role == Qt.ItemDataRole.ToolTipRole:
            return f"{column.hint}: {column.value(one)}"
        if role == Qt.ItemDataRole.DecorationRole and column.name == "class":
            return swatch(one.label_class.color)
        if role == Qt.ItemDataRole.TextAlignmentRole and isinstance(column.value(one), float | int):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Titles, and what they mean."""
        if orientation == Qt.Orientation.Horizontal and section < len(self._columns):
            if role == Qt.ItemDataRole.DisplayRole:
                return self._columns[section].title
            if role == Qt.ItemDataRole.ToolTipRole:
                return f"{self._columns[section].hint}. Click to sort."
        return None

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column, texts after numbers."""
        if not 0 <= column < len(self._columns):
            return
        value = self._columns[column].value
        self.layoutAboutToBeChanged.emit()
        self._objects.sort(
            key=lambda one: _sortable(value(one)), reverse=order == Qt.SortOrder.DescendingOrder
        )
        self.layoutChanged.emit()


class ObjectTable(QTableView):
    """The table.

    Attributes
    ----------
    chosen : Signal(MeasuredObject)
        A row was clicked, or reached with the arrow keys.
    """

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.objects = ObjectModel(self)
        self.setModel(self.objects)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSortingEnabled(True)
        self.setWordWrap(False)
        self.setMinimumHeight(5 * ROW_PX)
        self.setToolTip("Click a row: the object comes into the middle [Up, Down]")
        rows, titles = self.verticalHeader(), self.horizontalHeader()
        assert rows is not None
        assert titles is not None
        rows.hide()
        rows.setDefaultSectionSize(ROW_PX)
        titles.setSectionResizeMode(QHeaderView.ResizeMode.Interactive)
        titles.setResizeContentsPrecision(MEASURED_ROWS)
        titles.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)

    def show_objects(self, objects: Sequence[MeasuredObject], columns: Sequence[Column]) -> None:
        """Show other objects or columns, in the order that was chosen."""
        titles = self.horizontalHeader()
        assert titles is not None
        other = self.objects.columnCount() != len(columns)
        if other:
            titles.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.objects.show_objects(objects, columns)
        self.objects.sort(titles.sortIndicatorSection(), titles.sortIndicatorOrder())
        if other:
            self.resizeColumnsToContents()

    def sort_by(self, title: str, *, descending: bool = False) -> None:
        """Sort by the first column whose title begins with a text."""
        order = Qt.SortOrder.DescendingOrder if descending else Qt.SortOrder.AscendingOrder
        titles = [
            self.objects.headerData(i, Qt.Orientation.Horizontal)
            for i in range(self.objects.columnCount())
        ]
        found = next((i for i, text in enumerate(titles) if text.startswith(title)), -1)
        self.sortByColumn(found, order)

    def currentChanged(self, current: QModelIndex, previous: QModelIndex) -> None:  # noqa: N802
        """Another row: tell which object it is."""
        super().currentChanged(current, previous)
        if current.isValid():
            self.chosen.emit(self.objects.at(current.row()))


def _sortable(cell: Cell) -> tuple[bool, float, str]:
    text = isinstance(cell, str)
    return text, 0.0 if text else float(cell), str(cell) if text else ""
