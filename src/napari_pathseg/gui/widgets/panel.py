"""The panel: the slide in work, the tabs, and what the desk has to say."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.errors import StoreError
from napari_pathseg.gui.bindings import Bindings
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.keys import Keys
from napari_pathseg.gui.messages import of_error
from napari_pathseg.gui.pages import PAGES
from napari_pathseg.gui.provenance import Origins
from napari_pathseg.gui.settings import Settings, apply
from napari_pathseg.gui.tools import Pointer
from napari_pathseg.gui.usual import default_controller
from napari_pathseg.gui.widgets.canvas_context import CanvasContext
from napari_pathseg.gui.widgets.keys_window import KeysWindow
from napari_pathseg.gui.widgets.last_move import LastMove
from napari_pathseg.gui.widgets.last_place import save_rest
from napari_pathseg.gui.widgets.message_line import MessageLine
from napari_pathseg.gui.widgets.segment_page import SegmentPage
from napari_pathseg.gui.widgets.slide_line import SlideLine
from napari_pathseg.gui.widgets.tabs import PageTabs
from napari_pathseg.gui.widgets.themes import dress
from napari_pathseg.gui.widgets.tooltips import explain, show_keys_in
from napari_pathseg.gui.widgets.tour import Tour
from napari_pathseg.gui.widgets.tour_steps import first_steps
from napari_pathseg.gui.worker import QtRunner

if TYPE_CHECKING:
    from napari.viewer import Viewer

WIDTH_PX = 360
FIRST_TOUR_MS = 800


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
        # napari gives plugins a proxy whose layers and widgets are not equal to the real ones.
        napari_viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self.viewer = napari_viewer
        self.controller = controller or default_controller(
            napari_viewer, QtRunner(), QtRunner(), mender=QtRunner(), opener=QtRunner()
        )
        self._canvas: QWidget = napari_viewer.window._qt_viewer.canvas.native
        self.setMinimumWidth(WIDTH_PX)
        # Else napari puts an empty space below that takes half of the height.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self.slide_line = SlideLine(self.controller, self)
        self.tabs = PageTabs(self.controller, PAGES, self)
        segment = self.tabs.page(PAGES[0].title)
        assert isinstance(segment, SegmentPage)
        self.prompt = segment.prompt
        self.message = MessageLine(str(napari_viewer.theme), self)
        self._lay_out()
        self._connect(segment)
        self._closed = self._asked_to_close = False
        self.keys_window: KeysWindow | None = None
        self.tour: Tour | None = None
        self.origins = Origins(self.controller)
        self.pointer = Pointer(self.controller)
        self.canvas_context = CanvasContext(napari_viewer)
        self.last_move = LastMove(napari_viewer)
        own = {"type_prompt": self.focus_prompt, "show_keys": self.show_keys}
        self.bindings = Bindings(self.controller, own)
        self._set(self.controller.settings.value)
        self.message.show_message(self.controller.message)
        self.refresh()
        _import_before_threads()
        self.controller.warm_up()
        if controller is None and not self.controller.remembered.toured:
            QTimer.singleShot(FIRST_TOUR_MS, self._begin_first_tour)

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 6)
        layout.setSpacing(7)
        layout.addWidget(self.slide_line)
        layout.addWidget(self.tabs, 1)
        layout.addWidget(self.message)
        self.model_line = QLabel(self)
        self.model_line.setWordWrap(True)
        self.model_line.setEnabled(False)
        self.keys_button = QPushButton("Keys", self)
        explain(self.keys_button, "All keys, and the tour", "show_keys")
        self.keys_button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.keys_button.clicked.connect(self.show_keys)
        row = QHBoxLayout()
        row.addWidget(self.model_line, 1)
        row.addWidget(self.keys_button)
        layout.addLayout(row)

    def _connect(self, segment: SegmentPage) -> None:
        controller = self.controller
        controller.changed.connect(self.refresh)
        controller.said.connect(self.message.show_message)
        controller.busy_changed.connect(self.message.set_busy)
        controller.field_shown.connect(self._bind_layer)
        controller.words.wanted.connect(lambda _text: self.focus_prompt())
        controller.folder_wanted.connect(self._choose_labels_folder)
        controller.settings.changed.connect(self._set)
        self.tabs.made.connect(lambda page: show_keys_in(page, self.bindings.keys))
        self.viewer.events.theme.connect(self._dress)
        segment.asked.connect(self.focus_canvas)
        self.slide_line.was_set.connect(self.focus_canvas)
        window = self.viewer.window._qt_window
        window.installEventFilter(self)
        self._window = window

    def _choose_labels_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Keep the labels in a folder")
        if folder:
            self.controller.keep_labels_in(Path(folder))

    def _dress(self, _event: object = None) -> None:
        dress(self, str(self.viewer.theme))

    def _bind_layer(self, layer: object) -> None:
        self.bindings.bind(layer)

    def _set(self, settings: Settings) -> None:
        """Take over what a person has set."""
        apply(self.controller, settings)
        keys = Keys(settings.keys)
        if keys != self.bindings.keys:
            self.bindings.use(keys)
            show_keys_in(self, keys)

    def refresh(self) -> None:
        """Show the controller's state."""
        self.slide_line.refresh()
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
        self.tabs.show_page(PAGES[0].title)
        self.prompt.edit.setFocus(Qt.FocusReason.ShortcutFocusReason)
        self.prompt.edit.selectAll()

    def focus_canvas(self) -> None:
        """Give the keys back to the canvas."""
        self._canvas.setFocus()

    def show_keys(self) -> None:
        """List the keys beside the panel; pressed again it goes away."""
        if self.keys_window is not None and self.keys_window.isVisible():
            self.keys_window.hide()
            return
        self.keys_window = KeysWindow(
            self.bindings.keys, self.begin_tour, self._show_preferences, self
        )
        self.keys_window.show()

    def _show_preferences(self) -> None:
        self._window._open_preferences_dialog()

    def _begin_first_tour(self) -> None:
        if not self._closed and self.isVisible():
            self.begin_tour()

    def begin_tour(self) -> None:
        """Show the first of four steps."""
        self.end_tour()
        self.tabs.show_page(PAGES[0].title)
        steps = first_steps(
            self.bindings.keys, self.slide_line, self.prompt, self._canvas, self.tabs
        )
        self.tour = Tour(steps, str(self.viewer.theme), self._window, self._toured)

    def end_tour(self) -> None:
        """Leave the tour, if there is one."""
        if self.tour is not None:
            self.tour.end()

    def _toured(self) -> None:
        self.tour = None
        try:
            self.controller.remembered.set_toured()
        except StoreError as error:
            self.controller.say(of_error(error))
        self.focus_canvas()

    def keyPressEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """A key that no control took, such as a slider that was moved: it is the canvas's."""
        if event is None:
            return
        if not self._is_typed_into():
            QApplication.sendEvent(self._canvas, event)
        elif event.key() == Qt.Key.Key_Escape:
            self.focus_canvas()

    def keyReleaseEvent(self, event: QKeyEvent | None) -> None:  # noqa: N802 - Qt's name
        """As with a key that is pressed."""
        if event is not None and not self._is_typed_into():
            QApplication.sendEvent(self._canvas, event)

    def _is_typed_into(self) -> bool:
        """Whether the keys are letters of a text."""
        return isinstance(self._window.focusWidget(), (QLineEdit, QAbstractSpinBox))

    def eventFilter(self, watched: QObject | None, event: QEvent | None) -> bool:  # noqa: N802
        """The window closes: stop the model and finish what is being saved.

        Where a person closes it, napari asks first, and the window may stay: it is closed when it
        is hidden.
        """
        if event is None or watched is not self._window:
            return False
        if event.type() == QEvent.Type.Close:
            self._asked_to_close = event.spontaneous()
        closes = event.type() == QEvent.Type.Hide and self._asked_to_close
        if closes or (event.type() == QEvent.Type.Close and not event.spontaneous()):
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
        save_rest(self.controller, self)
        self.end_tour()
        self._window.removeEventFilter(self)
        self.viewer.events.theme.disconnect(self._dress)
        self.tabs.close_pages()
        self.pointer.detach()
        self.bindings.detach()
        self.controller.close()
        self.last_move.detach()
        self.canvas_context.detach()


def _import_before_threads() -> None:
    """Import here what napari would import with its first Image layer.

    CPython 3.11 fails when two threads build syntax trees at once, as this module does and as
    the loading of the model does in the background.
    """
    name = "napari.components.histogram"
    if find_spec(name) is not None:
        import_module(name)
