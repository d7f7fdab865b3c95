"""The classes of the slide: eye, colour, name, objects, area."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.messages import area
from napari_pathseg.gui.widgets.icons import icon, swatch

EYE, NAME, OBJECTS, AREA = range(4)


class ClassListBox(QWidget):
    """Click selects the class to draw; the eye shows and hides."""

    def __init__(
        self, controller: PathsegController, theme: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self._eyes = (icon("visibility_off", theme), icon("visibility", theme))
        self.tree = QTreeWidget(self)
        self.tree.setHeaderLabels(["", "class", "objects", "area"])
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.tree.setToolTip("Click a class to draw in it, its eye to show or hide it")
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        header = self.tree.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(EYE, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        header.setSectionResizeMode(OBJECTS, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(AREA, QHeaderView.ResizeMode.ResizeToContents)
        self.tree.itemClicked.connect(self._clicked)
        self.add = QLineEdit(self)
        self.add.setPlaceholderText("add a class to draw…")
        self.add.setToolTip("Type a name and press Enter: a class of your own to draw in")
        self.add.returnPressed.connect(self._add)
        row = QHBoxLayout()
        row.addWidget(self.add)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(row)
        layout.addWidget(self.tree, 1)
        self._rows: Any = None

    def _add(self) -> None:
        self._controller.classing.add(self.add.text())
        self.add.clear()

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        desk = self._controller.desk
        found = desk.classes.named(item.text(NAME)) if desk is not None else None
        if desk is None or found is None:
            return
        if column == EYE:
            self._controller.classing.show(found, found.value in desk.hidden)
        else:
            self._controller.classing.select(found.name)

    def refresh(self) -> None:
        """Show the classes of the slide in work."""
        desk = self._controller.desk
        counts = desk.counts() if desk is not None else {}
        classes = tuple(desk.classes) if desk is not None else ()
        hidden = frozenset(desk.hidden) if desk is not None else frozenset()
        rows = (classes, tuple(sorted(counts.items())), hidden, self._controller.selected)
        if rows == self._rows:
            return
        self._rows = rows
        self.tree.clear()
        for label_class in classes:
            count = counts.get(label_class.value)
            item = QTreeWidgetItem(
                [
                    "",
                    label_class.name,
                    f"{count.objects:,}" if count else "0",
                    area(count.area_um2, count.area_px) if count else "",
                ]
            )
            item.setIcon(EYE, self._eyes[label_class.value not in hidden])
            item.setIcon(NAME, swatch(label_class.color))
            item.setToolTip(NAME, str(label_class.term or "a class of your own"))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            item.setTextAlignment(OBJECTS, right)
            item.setTextAlignment(AREA, right)
            self.tree.addTopLevelItem(item)
            item.setSelected(label_class.name == self._controller.selected)
