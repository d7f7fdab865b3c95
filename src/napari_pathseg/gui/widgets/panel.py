"""The panel: everything on one screen, every control with its key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.bindings import KEYS, Bindings
from napari_pathseg.gui.controller import PathsegController, default_controller
from napari_pathseg.gui.tools import Pointer
from napari_pathseg.gui.widgets.class_list import ClassListBox
from napari_pathseg.gui.widgets.correct_box import CorrectBox
from napari_pathseg.gui.widgets.message_line import MessageLine
from napari_pathseg.gui.widgets.prompt_line import PromptLine
from napari_pathseg.gui.widgets.slide_line import SlideLine
from napari_pathseg.gui.worker import QtRunner

if TYPE_CHECKING:
    from napari.viewer import Viewer

WIDTH_PX = 340


class PathsegPanel(QWidget):
    """The docked panel.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
        napari gives it by this name.
    controller : PathsegController, optional
        Of that viewer; one with the model that ships by default.
    """

    def __init__(self, napari_viewer: Viewer, controller: PathsegController | None = None) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.controller = controller or default_controller(napari_viewer, QtRunner(), QtRunner())
        self.setMinimumWidth(WIDTH_PX)
        theme = str(napari_viewer.theme)
        self.slide_line = SlideLine(self.controller, self)
        self.prompt = PromptLine(self.controller, self)
        self.message = MessageLine(theme, self)
        self.correct = CorrectBox(self.controller, theme, self)
        self.classes = ClassListBox(self.controller, theme, self)
        self._lay_out()
        self._connect()
        self._closed = False
        self.pointer = Pointer(self.controller)
        self.bindings = Bindings(self.controller, self.focus_prompt, self.show_keys)
        self.message.show_message(self.controller.message)
        self.refresh()
        self.controller.warm_up()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(7)
        layout.addWidget(self.slide_line)
        layout.addWidget(self.prompt)
        layout.addLayout(self._ask_row())
        layout.addWidget(self.message)
        layout.addWidget(_heading("Correct", self))
        layout.addWidget(self.correct)
        layout.addWidget(_heading("Classes", self))
        layout.addWidget(self.classes, 1)
        layout.addWidget(_heading("Export", self))
        layout.addLayout(self._export_row())
        self.model_line = QLabel(self)
        self.model_line.setWordWrap(True)
        self.model_line.setEnabled(False)
        layout.addWidget(self.model_line)

    def _ask_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.segment = QPushButton("Segment field  ⏎", self)
        self.segment.setToolTip("Find it in what you see now [Enter in the line]")
        self.segment.clicked.connect(self._segment)
        self.stop = QPushButton("Cancel", self)
        self.stop.setToolTip("Stop the model; nothing is changed [Esc]")
        self.stop.clicked.connect(self.controller.cancel)
        row.addWidget(self.segment, 1)
        row.addWidget(self.stop)
        return row

    def _export_row(self) -> QHBoxLayout:
        row = QHBoxLayout()
        self.export = QPushButton("Export…", self)
        self.export.setToolTip("Training data, QuPath GeoJSON and label pictures into a folder")
        self.export.clicked.connect(self._choose_export)
        keys = QPushButton("Keys  ?", self)
        keys.setToolTip("Show all keys [?]")
        keys.clicked.connect(self.show_keys)
        row.addWidget(self.export, 1)
        row.addWidget(keys)
        return row

    def _connect(self) -> None:
        controller = self.controller
        controller.changed.connect(self.refresh)
        controller.said.connect(self.message.show_message)
        controller.busy_changed.connect(self._busy)
        controller.field_shown.connect(self._bind_layer)
        self.prompt.edit.asked.connect(lambda _text: self._segment())
        self.prompt.edit.left.connect(self.focus_canvas)
        window = self.viewer.window._qt_window
        window.installEventFilter(self)
        self._window = window

    def _bind_layer(self, layer: object) -> None:
        self.bindings.bind(layer)

    def _segment(self) -> None:
        self.controller.segment_field(self.prompt.edit.text())
        self.focus_canvas()

    def _busy(self, busy: bool) -> None:
        self.message.set_busy(busy)
        self.stop.setEnabled(busy)

    def refresh(self) -> None:
        """Show the controller's state."""
        self.slide_line.refresh()
        self.correct.refresh()
        self.classes.refresh()
        desk = self.controller.desk
        self.segment.setEnabled(desk is not None)
        self.export.setEnabled(desk is not None)
        self.stop.setEnabled(self.controller.busy)
        segmenter = self.controller.model.loaded
        if segmenter is None:
            self.model_line.setText("model: loading…")
            return
        card = segmenter.card
        note = ", for research use only" if card.research_only else ""
        self.model_line.setText(f"model: {card.name} {card.version}{note}")
        self.model_line.setToolTip(f"{card.summary}\n{card.license}")

    def focus_prompt(self) -> None:
        """Go to the line to type."""
        self.prompt.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.prompt.edit.selectAll()

    def focus_canvas(self) -> None:
        """Give the keys back to the canvas."""
        self.viewer.window._qt_viewer.canvas.native.setFocus()

    def show_keys(self) -> None:
        """List the keys beside the panel; pressed again it goes away."""
        found: QWidget | None = getattr(self, "_keys", None)
        if found is not None and found.isVisible():
            found.hide()
            return
        rows = "".join(f"<tr><td><b>{k}</b>&nbsp;&nbsp;</td><td>{w}</td></tr>" for k, w in KEYS)
        label = QLabel(f"<table cellspacing=4>{rows}</table>", self)
        label.setWindowFlag(Qt.WindowType.Tool)
        label.setWindowTitle("Keys of the PathSeg panel")
        label.setMargin(10)
        self._keys = label
        label.show()

    def _choose_export(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Export into a folder")
        if folder:
            self.controller.export(Path(folder))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """The window closes: stop the model and finish what is being saved."""
        if event is not None and event.type() == QEvent.Type.Close and watched is self._window:
            self.shut_down()
        return False

    def closeEvent(self, event: QEvent | None) -> None:  # noqa: N802 - Qt's name
        """The panel alone is closed."""
        self.shut_down()
        if event is not None:
            event.accept()

    def shut_down(self) -> None:
        """Leave viewer, mouse and keys alone; does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self._window.removeEventFilter(self)
        self.pointer.detach()
        self.bindings.detach()
        self.controller.close()


def _heading(text: str, parent: QWidget) -> QWidget:
    box = QWidget(parent)
    row = QHBoxLayout(box)
    row.setContentsMargins(0, 2, 0, 0)
    row.addWidget(QLabel(text, box))
    line = QFrame(box)
    line.setFrameShape(QFrame.Shape.HLine)
    row.addWidget(line, 1)
    return box
