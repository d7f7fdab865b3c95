"""Why the proposal is as it is: the map to show, and a small table of the objects that matter."""

from __future__ import annotations

from functools import partial

from qtpy.QtCore import QModelIndex, QRect, Qt
from qtpy.QtGui import QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QButtonGroup,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QProgressBar,
    QPushButton,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.explaining import Shown
from napari_pathseg.gui.messages import area
from napari_pathseg.gui.widgets.icons import swatch
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.inference.heat import RAMP
from napari_pathseg.progress import Progress

NUMBER, CLASS, AREA, IMPORTANCE = range(4)
ROW_PX, SEEN_ROWS = 20, 6
SHARE = int(Qt.ItemDataRole.UserRole)
HINTS = {
    Shown.MASK: "The mask that the threshold cuts out",
    Shown.PROBABILITY: "How probable the selected class is, 0 to 1; the bar lies in the view",
    Shown.UNCERTAINTY: "Where the model is unsure: entropy of the probability, 0 to 1 bit",
}
WEIGH = "Which objects matter…"


class ExplainBox(QWidget):
    """Mask, probability or uncertainty; and which objects speak for the term.

    Parameters
    ----------
    controller : PathsegController
    parent : QWidget, optional
    """

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._explaining = controller.explaining
        self._listed: object = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(5)
        layout.addLayout(self._show_row())
        layout.addLayout(self._weigh_row())
        self.table = self._make_table()
        layout.addWidget(self.table)
        self._explaining.changed.connect(self.refresh)
        self._explaining.progressed.connect(self._progressed)
        self.refresh()

    def _show_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        row.addWidget(QLabel("Show", self))
        self._group = QButtonGroup(self)
        self.shown: dict[Shown, QPushButton] = {}
        for shown in Shown:
            button = QPushButton(shown.value.capitalize(), self)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            explain(button, HINTS[shown], "next_map")
            button.clicked.connect(partial(self._show, shown))
            self._group.addButton(button)
            self.shown[shown] = button
            row.addWidget(button, 1)
        return row

    def _weigh_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(3)
        self.weigh = QPushButton(WEIGH, self)
        self.weigh.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        explain(
            self.weigh,
            "Blur one object after the other and see how much less sure the model is of the term",
        )
        self.weigh.clicked.connect(self._explaining.weigh)
        self.bar = QProgressBar(self)
        self.bar.setToolTip("Objects weighed")
        self.stop = QPushButton("Stop", self)
        self.stop.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        explain(self.stop, "Stop weighing objects; nothing is changed")
        self.stop.clicked.connect(self._explaining.cancel)
        row.addWidget(self.weigh, 1)
        row.addWidget(self.bar, 1)
        row.addWidget(self.stop)
        return row

    def _make_table(self) -> QTreeWidget:
        found = QTreeWidget(self)
        found.setHeaderLabels(["", "class", "area", "importance"])
        found.setRootIsDecorated(False)
        found.setUniformRowHeights(True)
        found.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        found.setToolTip(
            "Importance: the loss without the object over the loss with it. 1 = it does not\n"
            "matter; the more, the more it speaks for the term. Click a row to see the object."
        )
        found.setItemDelegateForColumn(IMPORTANCE, _Bars(found))
        found.setFixedHeight((SEEN_ROWS + 1) * ROW_PX + 6)
        header = found.header()
        assert header is not None
        header.setStretchLastSection(True)
        for column in (NUMBER, CLASS, AREA):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        found.currentItemChanged.connect(self._chosen)
        return found

    def refresh(self) -> None:
        """Show what is shown, and the objects."""
        explaining = self._explaining
        self.shown[explaining.shown].setChecked(True)
        self.weigh.setVisible(not explaining.weighing)
        self.weigh.setEnabled(explaining.can_weigh)
        for widget in (self.bar, self.stop):
            widget.setVisible(explaining.weighing)
        objects = explaining.objects
        self.table.setVisible(bool(objects))
        if objects == self._listed:
            return
        self._listed = objects
        self.table.blockSignals(True)
        self.table.clear()
        low = min((one.importance for one in objects), default=1.0)
        high = max((one.importance for one in objects), default=1.0)
        for number, one in enumerate(objects, start=1):
            size = area(one.area_um2, one.area_px)
            texts = [str(number), one.label_class.name, size, f"{one.importance:.2f}"]
            item = QTreeWidgetItem(texts)
            item.setIcon(CLASS, swatch(one.label_class.color))
            item.setTextAlignment(AREA, Qt.AlignmentFlag.AlignRight)
            share = (one.importance - min(low, 1.0)) / max(high - min(low, 1.0), 1e-9)
            item.setData(IMPORTANCE, SHARE, share)
            self.table.addTopLevelItem(item)
        self.table.blockSignals(False)

    def _show(self, shown: Shown) -> None:
        self._explaining.show(shown)

    def _progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.done)
        self.bar.setFormat(f"{progress.done} of {progress.total}")

    def _chosen(self, item: QTreeWidgetItem | None) -> None:
        if item is not None:
            row = self.table.indexOfTopLevelItem(item)
            self._explaining.point_at(self._explaining.objects[row])


class _Bars(QStyledItemDelegate):
    """A number under a bar, on chosen rows too."""

    def paint(
        self, painter: QPainter | None, option: QStyleOptionViewItem, index: QModelIndex
    ) -> None:
        """Draw what the cell says, then the bar."""
        super().paint(painter, option, index)
        share = index.data(SHARE)
        if painter is not None and share is not None:
            whole = option.rect.adjusted(2, 3, -2, -3)
            red, green, blue = (int(c) for c in RAMP[2][:3])
            bar = QRect(whole.left(), whole.top(), round(whole.width() * share), whole.height())
            painter.fillRect(bar, QColor(red, green, blue, 80))
