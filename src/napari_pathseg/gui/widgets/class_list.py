"""The classes of the slide: eye, lock, colour, name, objects, area."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QPoint, Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QColorDialog,
    QHBoxLayout,
    QHeaderView,
    QLineEdit,
    QMenu,
    QSizePolicy,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.classes import LabelClass
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.messages import area
from napari_pathseg.gui.widgets.icons import icon, swatch

EYE, LOCK, NAME, OBJECTS, AREA = range(5)
LEAST_PX = 72
"""Height of the list: room for its header and two classes."""


class ClassListBox(QWidget):
    """Click selects the class to draw; eye and lock; double click renames; right click for more.

    Attributes
    ----------
    typed : Signal()
        A name was typed: the keys belong to the canvas again.
    """

    typed = Signal()

    def __init__(
        self, controller: PathsegController, theme: str, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._controller = controller
        self._rows: Any = None
        self._draw_icons(theme)
        self._filling = False
        self.tree = QTreeWidget(self)
        self.tree.setHeaderLabels(["", "", "class", "objects", "area"])
        self.tree.setRootIsDecorated(False)
        self.tree.setUniformRowHeights(True)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.tree.setToolTip(
            "Click a class to draw in it [1 to 9], its eye to show or hide it, its lock to protect "
            "it. Double click renames, right click for colour and removing."
        )
        self.tree.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.tree.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
        self.tree.customContextMenuRequested.connect(self._menu)
        self.tree.itemDoubleClicked.connect(self._edit)
        self.tree.itemChanged.connect(self._edited)
        self.tree.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        # What a list would like is taken for what it needs where a page may scroll.
        self.tree.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Ignored)
        self.tree.setMinimumHeight(LEAST_PX)
        header = self.tree.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(EYE, QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(LOCK, QHeaderView.ResizeMode.ResizeToContents)
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

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        self._draw_icons(theme)
        self._rows = None
        self.refresh()

    def _draw_icons(self, theme: str) -> None:
        self._eyes = (icon("visibility_off", theme), icon("visibility", theme))
        self._locks = (icon("lock_open", theme), icon("lock", theme))

    def _add(self) -> None:
        self._controller.classing.add(self.add.text())
        self.add.clear()
        self.typed.emit()

    def _class_of(self, item: QTreeWidgetItem | None) -> LabelClass | None:
        desk = self._controller.desk
        if desk is None or item is None:
            return None
        value = item.data(NAME, Qt.ItemDataRole.UserRole)
        return next((c for c in desk.listed() if c.value == value), None)

    def _clicked(self, item: QTreeWidgetItem, column: int) -> None:
        desk, found = self._controller.desk, self._class_of(item)
        if desk is None or found is None:
            return
        if column == EYE:
            self._controller.classing.show(found, found.value in desk.hidden)
        elif column == LOCK:
            self._controller.classing.lock(found, found.value not in desk.locked)
        else:
            self._controller.classing.select(found.name)

    def _edit(self, item: QTreeWidgetItem, column: int) -> None:
        if column == NAME:
            self.tree.editItem(item, NAME)

    def _edited(self, item: QTreeWidgetItem, column: int) -> None:
        found = self._class_of(item)
        if not self._filling and column == NAME and found is not None:
            self._rows = None
            self._controller.classing.rename(found, item.text(NAME))
            self.refresh()
            self.typed.emit()

    def _menu(self, place: QPoint) -> None:
        item = self.tree.itemAt(place)
        found = self._class_of(item)
        viewport = self.tree.viewport()
        if item is None or found is None or viewport is None:
            return
        menu = QMenu(self)
        menu.addAction("Rename", lambda: self.tree.editItem(item, NAME))
        menu.addAction("Colour…", lambda: self._recolor(found))
        menu.addAction("Remove with its objects", lambda: self._controller.classing.remove(found))
        menu.exec(viewport.mapToGlobal(place))

    def _recolor(self, label_class: LabelClass) -> None:
        chosen = QColorDialog.getColor(QColor(*label_class.color), self, label_class.name)
        if chosen.isValid():
            color = chosen.red(), chosen.green(), chosen.blue()
            self._controller.classing.recolor(label_class, color)

    def refresh(self) -> None:
        """Show the classes of the slide in work."""
        desk = self._controller.desk
        counts = desk.counts() if desk is not None else {}
        classes = desk.listed() if desk is not None else ()
        hidden = frozenset(desk.hidden) if desk is not None else frozenset()
        locked = frozenset(desk.locked) if desk is not None else frozenset()
        rows = (classes, tuple(sorted(counts.items())), hidden, locked, self._controller.selected)
        if rows == self._rows or self.tree.state() == QAbstractItemView.State.EditingState:
            return
        self._rows, self._filling = rows, True
        self.tree.clear()
        for label_class in classes:
            count = counts.get(label_class.value)
            item = QTreeWidgetItem(
                [
                    "",
                    "",
                    label_class.name,
                    f"{count.objects:,}" if count else "0",
                    area(count.area_um2, count.area_px) if count else "",
                ]
            )
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsEditable)
            item.setData(NAME, Qt.ItemDataRole.UserRole, label_class.value)
            item.setIcon(EYE, self._eyes[label_class.value not in hidden])
            item.setIcon(LOCK, self._locks[label_class.value in locked])
            item.setIcon(NAME, swatch(label_class.color))
            item.setToolTip(NAME, str(label_class.term or "a class of your own"))
            right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
            item.setTextAlignment(OBJECTS, right)
            item.setTextAlignment(AREA, right)
            self.tree.addTopLevelItem(item)
            item.setSelected(label_class.name == self._controller.selected)
        self._filling = False
