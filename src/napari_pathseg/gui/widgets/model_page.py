"""The tab Model: what it was taught, how good it is, what it fails at, and another one."""

from __future__ import annotations

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.model_choice import (
    POOR_DICE,
    choices,
    datasets,
    failures,
    pictured_failures,
    use_model,
)
from napari_pathseg.gui.models import MODEL_FILE
from napari_pathseg.gui.widgets.failures_window import FailuresWindow
from napari_pathseg.gui.widgets.message_line import COLORS
from napari_pathseg.gui.widgets.summary_box import narrow_box
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.models.base import Figure, ModelCard

TERM, PROMPT, DICE, IMAGES, DATA = range(5)
GOOD_DICE = 0.75
LOADING = "The model is being loaded…"


class ModelPage(QWidget):
    """The card of the model in use.

    Parameters
    ----------
    controller : PathsegController
    parent : QWidget, optional
    """

    def __init__(self, controller: PathsegController, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.controller = controller
        self._card: ModelCard | None = None
        self.models = narrow_box(self)
        explain(self.models, "The model that is asked; remembered")
        self.models.activated.connect(self._chosen)
        self.file = QPushButton("File…", self)
        explain(self.file, f"A model file ({MODEL_FILE}) that you trained or were given")
        self.file.clicked.connect(self._choose_file)
        self.text = self._label()
        self.failures = self._label()
        self.pictures = QPushButton("Pictures of failures…", self)
        explain(self.pictures, "What this model is known to do wrong, on slides that you can fetch")
        self.pictures.clicked.connect(self._show_pictures)
        self.search = QLineEdit(self)
        self.search.setPlaceholderText("find a term, a data set…")
        explain(self.search, "Show only the figures that have this text")
        self.search.textChanged.connect(self._filter)
        self.figures = self._table()
        self._lay_out()
        controller.changed.connect(self._changed)

    def _label(self) -> QLabel:
        label = QLabel(self)
        label.setWordWrap(True)
        label.setTextFormat(Qt.TextFormat.PlainText)
        label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        return label

    def _table(self) -> QTreeWidget:
        table = QTreeWidget(self)
        table.setHeaderLabels(["term", "asked by", "Dice", "images", "data"])
        table.setToolTip("Mean Dice on validation images that hold the term. Click a title to sort")
        table.setRootIsDecorated(False)
        table.setUniformRowHeights(True)
        table.setSortingEnabled(True)
        header = table.header()
        assert header is not None
        header.setStretchLastSection(False)
        header.setSectionResizeMode(TERM, QHeaderView.ResizeMode.Stretch)
        for column in (PROMPT, DICE, IMAGES, DATA):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        table.sortByColumn(TERM, Qt.SortOrder.AscendingOrder)
        return table

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        row = QHBoxLayout()
        row.addWidget(self.models, 1)
        row.addWidget(self.file)
        layout.addLayout(row)
        layout.addWidget(self.text)
        layout.addWidget(self.failures)
        layout.addWidget(self.pictures)
        layout.addWidget(self.search)
        layout.addWidget(self.figures, 1)

    def refresh(self) -> None:
        """Show the card of the model that is loaded."""
        segmenter = self.controller.model.loaded
        card = segmenter.card if segmenter is not None else None
        for widget in (self.models, self.file):
            widget.setEnabled(card is not None)
        if card is None:
            self._card = None
            self.text.setText(LOADING)
            self.failures.clear()
            self.pictures.hide()
            self.figures.clear()
        elif card != self._card:
            self._card = card
            self._show(card)

    def _show(self, card: ModelCard) -> None:
        chosen = self.controller.settings.value.model
        self.models.clear()
        for name, listed in choices(chosen):
            self.models.addItem(listed, name)
        self.models.setCurrentIndex(max(self.models.findData(chosen), 0))
        self.text.setText(told_of(card))
        known = failures(card)
        few = known[:3] + ((f"and {len(known) - 3} more below",) if len(known) > 3 else ())
        self.failures.setText("Fails at\n" + "\n".join(f"· {line}" for line in few) if few else "")
        self.failures.setToolTip("\n".join(known))
        self.pictures.setVisible(pictured_failures(chosen) is not None)
        self.figures.clear()
        self.figures.addTopLevelItems([_Row(figure) for figure in card.figures])
        self._filter(self.search.text())

    def _show_pictures(self) -> None:
        picture = pictured_failures(self.controller.settings.value.model)
        if picture is not None and self._card is not None:
            FailuresWindow(picture, f"{self._card.name} {self._card.version}", self).show()

    def _filter(self, text: str) -> None:
        for i in range(self.figures.topLevelItemCount()):
            item = self.figures.topLevelItem(i)
            assert item is not None
            told = " ".join(item.text(column) for column in (TERM, PROMPT, DATA))
            item.setHidden(text.strip().lower() not in told.lower())

    def _chosen(self, index: int) -> None:
        name = self.models.itemData(index)
        if name != self.controller.settings.value.model:
            use_model(self.controller, name)

    def _choose_file(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "A model file", "", f"Models (*{MODEL_FILE})")
        if path:
            use_model(self.controller, path)

    def _changed(self) -> None:
        if self.isVisible():
            self.refresh()

    def showEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The tab comes to the front."""
        super().showEvent(event)  # type: ignore[arg-type]
        self.refresh()


class _Row(QTreeWidgetItem):
    """A figure; numbers sort as numbers."""

    def __init__(self, figure: Figure) -> None:
        texts = [figure.term, figure.prompt, f"{figure.dice:.2f}", str(figure.n), figure.dataset]
        super().__init__(texts)
        for column in (DICE, IMAGES):
            self.setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        kind = "error" if figure.dice < POOR_DICE else "good" if figure.dice >= GOOD_DICE else ""
        if kind:
            self.setForeground(DICE, QColor(COLORS[kind]))

    def __lt__(self, other: QTreeWidgetItem) -> bool:
        tree = self.treeWidget()
        column = tree.sortColumn() if tree is not None else TERM
        if column in (DICE, IMAGES):
            return float(self.text(column)) < float(other.text(column))
        return self.text(column) < other.text(column)


def told_of(card: ModelCard) -> str:
    """What a card says, in a few lines."""
    organs = ", ".join(region for region in card.regions if region != "unspecified")
    lines = [
        f"{card.name} {card.version} ({card.sha256[:12]})",
        card.summary,
        f"Use: {card.license}",
        f"Finds {len(card.taught)} terms" + (f" in {organs}" if organs else ""),
        f"Measured on {', '.join(datasets(card))}" if card.figures else "No figures are known.",
    ]
    return "\n".join(line for line in lines if line)
