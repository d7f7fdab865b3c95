"""The tab Export: what goes out, in which formats; and labels of other software that come in."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QProgressBar,
    QPushButton,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.config import ExportConfig
from napari_pathseg.export.formats import FORMATS
from napari_pathseg.export.run import Outlook, megabytes
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.exporting import Exporting, Scope, count
from napari_pathseg.gui.importing import Importing
from napari_pathseg.gui.jobs import Runner
from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.widgets.import_box import ImportBox
from napari_pathseg.gui.widgets.segment_page import heading
from napari_pathseg.gui.widgets.summary_box import narrow_box
from napari_pathseg.gui.widgets.tooltips import explain
from napari_pathseg.gui.worker import QtRunner
from napari_pathseg.progress import Progress

SCOPES: dict[str, Scope] = {
    "This field": "field",
    "What I see": "view",
    "This slide": "slide",
    "All slides in the viewer": "all",
}
FORMS = {"objects": ("annotation", "detection", "cell", "class"), "outlining": ("rle", "polygon")}
ZARR = {"with images": "image", "beside the slide": "beside", "inside the slide": "inside"}
EXTENT = {"each field": "field", "whole slide": "slide"}
USUAL = ("bundle", "geojson")


class ExportPage(QWidget):
    """Chooses, counts, writes; and takes labels in.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner, optional
        Of its own, so that an export never waits for the model.
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
        own = runner or QtRunner()
        self.exporting = Exporting(controller, own)
        self.importing = Importing(controller, own)
        self.setAcceptDrops(True)
        self._make_choices()
        self._make_options()
        self._make_buttons()
        self.imports = ImportBox(self.importing, self)
        self._lay_out()
        controller.changed.connect(self._changed)
        self.exporting.progressed.connect(self._progressed)
        self.exporting.looked.connect(self._looked)
        self.exporting.ended.connect(self._ended)
        self._changed()

    def _make_choices(self) -> None:
        self.scope = narrow_box(self)
        self.scope.addItems(list(SCOPES))
        self.scope.setCurrentText("This slide")
        explain(self.scope, "Which labels go out")
        self.formats = QListWidget(self)
        for name, form in FORMATS.items():
            item = QListWidgetItem(form.title, self.formats)
            item.setData(Qt.ItemDataRole.UserRole, name)
            item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
            checked = Qt.CheckState.Checked if name in USUAL else Qt.CheckState.Unchecked
            item.setCheckState(checked)
            item.setToolTip(form.summary)
            if not form.available:
                item.setFlags(Qt.ItemFlag.NoItemFlags)
                item.setToolTip(f'pip install "napari-pathseg[{form.extra}]"')
        self.formats.setFixedHeight(132)
        explain(self.formats, "Formats to write, together or not at all")
        self.formats.itemChanged.connect(lambda _: self._refresh())

    def _make_options(self) -> None:
        self.scale = narrow_box(self)
        explain(self.scale, "Pictures and masks at the level they were made, another, or µm/px")
        self.mpp = QDoubleSpinBox(self)
        self.mpp.setRange(0.05, 100)
        self.mpp.setValue(1)
        self.mpp.setSuffix(" µm/px")
        explain(self.mpp, "Size of a pixel of what is written")
        self.scale.currentTextChanged.connect(lambda _: self._refresh())
        self.tile = _number(self, 0, 16_384, "uncut", " px")
        self.tile.setSingleStep(256)
        explain(self.tile, "Cut fields into squares of this side; outlines are never cut")
        self.overlap = _number(self, 0, 8_192, "apart", " px")
        explain(self.overlap, "Shared by neighbouring tiles")
        self.classes = narrow_box(self)
        explain(self.classes, "All classes, or one")
        self.reviewed = QCheckBox("only reviewed", self)
        explain(self.reviewed, "Leave out what nobody corrected or accepted")
        self.background = QDoubleSpinBox(self)
        self.background.setRange(-1, 100)
        self.background.setSingleStep(0.5)
        self.background.setValue(-1)
        self.background.setSpecialValueText("all empty pieces")
        explain(self.background, "Pieces without an object, for each piece with one")
        self.objects, self.outlining = narrow_box(self), narrow_box(self)
        self.objects.addItems(FORMS["objects"])
        explain(self.objects, "What objects become in QuPath; class: one for all of a class")
        self.outlining.addItems(FORMS["outlining"])
        explain(self.outlining, "COCO: run lengths are exact, polygons for tools without them")
        self.zarr, self.extent = narrow_box(self), narrow_box(self)
        self.zarr.addItems(list(ZARR))
        explain(self.zarr, "OME-Zarr of fields with images, or label pyramids of the slide")
        self.extent.addItems(list(EXTENT))
        explain(self.extent, "OME-TIFF of each field, or of the whole slide")
        self.number = _number(self, 1, 999, "", "")
        explain(self.number, "Number of the nnU-Net data set")
        self.names = QCheckBox("slide names", self)
        explain(self.names, "Keep them; off: hashes in their place, for they may name a patient")

    def _make_buttons(self) -> None:
        self.look = QPushButton("Count", self)
        explain(self.look, "How many slides, fields and megabytes it would be; writes nothing")
        self.look.clicked.connect(lambda: self._start(None))
        self.write = QPushButton("Export…", self)
        explain(self.write, "Choose a folder and write; files of others in it are left alone")
        self.write.clicked.connect(self._choose_folder)
        self.stop = QPushButton("Cancel", self)
        explain(self.stop, "Stop; the same export goes on from there later")
        self.stop.clicked.connect(self.exporting.cancel)
        self.bar = QProgressBar(self)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        explain(self.bar, "How far it is")
        self.told = QLabel(self)
        self.told.setWordWrap(True)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 6, 0, 0)
        layout.setSpacing(6)
        layout.addWidget(self.scope)
        layout.addWidget(self.formats)
        self._form = form = QFormLayout()
        form.setSpacing(4)
        form.addRow("scale", _row(self.scale, self.mpp))
        form.addRow("tiles", _row(self.tile, self.overlap))
        form.addRow("class", self.classes)
        form.addRow("background", self.background)
        form.addRow("QuPath", self.objects)
        form.addRow("COCO", self.outlining)
        form.addRow("OME-Zarr", self.zarr)
        form.addRow("OME-TIFF", self.extent)
        form.addRow("nnU-Net", self.number)
        layout.addLayout(form)
        layout.addLayout(_boxes(self.reviewed, self.names))
        layout.addLayout(_boxes(self.look, self.write, self.stop))
        layout.addWidget(self.bar)
        layout.addWidget(self.told)
        layout.addWidget(heading("Import", self))
        layout.addWidget(self.imports)
        layout.addStretch(1)

    # What is chosen.

    def chosen(self) -> tuple[str, ...]:
        """Names of the formats that are checked."""
        items = [self.formats.item(i) for i in range(self.formats.count())]
        return tuple(
            str(item.data(Qt.ItemDataRole.UserRole))
            for item in items
            if item is not None and item.checkState() == Qt.CheckState.Checked
        )

    def config(self) -> ExportConfig:
        """All choices; ValueError when they do not fit together."""
        scale, tile = self.scale.currentText(), self.tile.value()
        one = self.classes.currentIndex() > 0
        level = int(scale.split()[1]) if scale.startswith("level") else None
        return ExportConfig(
            formats=self.chosen(),
            reviewed_only=self.reviewed.isChecked(),
            classes=(self.classes.currentText(),) if one else (),
            level=level,
            mpp=self.mpp.value() if scale == "µm/px" else None,
            tile_px=tile or None,
            overlap_px=self.overlap.value() if tile else 0,
            background_ratio=None if self.background.value() < 0 else self.background.value(),
            hide_names=not self.names.isChecked(),
            objects=self.objects.currentText(),  # type: ignore[arg-type]
            outlining=self.outlining.currentText(),  # type: ignore[arg-type]
            zarr=ZARR[self.zarr.currentText()],  # type: ignore[arg-type]
            extent=EXTENT[self.extent.currentText()],  # type: ignore[arg-type]
            dataset_number=self.number.value(),
        )

    def _start(self, folder: Path | None) -> None:
        try:
            config = self.config()
        except ValueError as error:
            self.controller.say(Message(f"{str(error).capitalize()}.", "warning"))
            return
        scope = SCOPES[self.scope.currentText()]
        if folder is None:
            self.exporting.look(config, scope)
        else:
            self.exporting.write(folder, config, scope)
        self._refresh()

    def _choose_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export into a folder")
        if folder:
            self.write_into(Path(folder))

    def write_into(self, folder: Path) -> None:
        """Write what is chosen into a folder."""
        self._start(folder)

    # What is shown.

    def _changed(self) -> None:
        if not self.isVisible():
            return
        desk = self.controller.desk
        levels = range(len(desk.slide.levels)) if desk is not None else ()
        _refill(self.scale, ["as made", *(f"level {level}" for level in levels), "µm/px"])
        names = [c.name for c in desk.classes] if desk is not None else []
        _refill(self.classes, ["all", *names])
        self._refresh()

    def _refresh(self) -> None:
        chosen, busy = self.chosen(), self.exporting.busy
        some = self.controller.desk is not None and bool(chosen)
        self.look.setEnabled(some and not busy)
        self.write.setEnabled(some and not busy)
        self.stop.setEnabled(busy)
        self.bar.setVisible(busy)
        self.mpp.setVisible(self.scale.currentText() == "µm/px")
        for widget, form in (
            (self.objects, "geojson"),
            (self.outlining, "coco"),
            (self.zarr, "ome-zarr"),
            (self.extent, "ome-tiff"),
            (self.number, "nnunet"),
        ):
            self._form.setRowVisible(widget, form in chosen)

    def _ended(self, exported: object) -> None:
        if exported is not None:
            self.told.clear()
        self._refresh()

    def _progressed(self, progress: Progress) -> None:
        self.bar.setRange(0, max(progress.total, 1))
        self.bar.setValue(progress.done)
        self.told.setText(progress.message)

    def _looked(self, outlook: Outlook) -> None:
        parts = [f"{count(outlook.fields, 'field')} of {count(outlook.slides, 'slide')}"]
        if outlook.tiles != outlook.fields:
            parts.append(count(outlook.tiles, "tile"))
        parts.append(count(outlook.objects, "object"))
        parts.append(megabytes(outlook.total_bytes))
        left = [f"{n} {reason}" for reason, n in outlook.left_out.items()]
        rest = f"\nLeft out: {', '.join(left)}." if left else ""
        self.told.setText(", ".join(parts) + "." + rest)

    # Coming and going.

    def showEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The tab comes to the front."""
        super().showEvent(event)  # type: ignore[arg-type]
        self._changed()

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The panel goes."""
        self.exporting.close()
        super().closeEvent(event)  # type: ignore[arg-type]

    def dragEnterEvent(self, event: QDragEnterEvent | None) -> None:  # noqa: N802
        """A file hovers."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent | None) -> None:  # noqa: N802
        """A file was dropped: read it."""
        data = event.mimeData() if event is not None else None
        if event is not None and data is not None and data.urls():
            event.acceptProposedAction()
            self.importing.read(Path(data.urls()[0].toLocalFile()))


def _number(parent: QWidget, low: int, high: int, zero: str, suffix: str) -> QSpinBox:
    box = QSpinBox(parent)
    box.setRange(low, high)
    box.setSpecialValueText(zero)
    box.setSuffix(suffix)
    box.setMinimumWidth(60)
    return box


def _row(first: QWidget, second: QWidget) -> QWidget:
    box = QWidget()
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    row.addWidget(first, 1)
    row.addWidget(second, 1)
    return box


def _boxes(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget, 1)
    return row


def _refill(box: QComboBox, texts: list[str]) -> None:
    """Show other entries, the same one chosen where it is still there."""
    if [box.itemText(i) for i in range(box.count())] == texts:
        return
    chosen = box.currentText()
    box.blockSignals(True)
    box.clear()
    box.addItems(texts)
    if chosen in texts:
        box.setCurrentText(chosen)
    box.blockSignals(False)
