"""The tab bar of the panel: pages are made when they are shown first."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QFrame, QScrollArea, QTabWidget, QWidget

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.pages import Page


class PageTabs(QTabWidget):
    """One tab for each page; a page that is too high for the window scrolls.

    Parameters
    ----------
    controller : PathsegController
    pages : sequence of Page
    parent : QWidget, optional

    Attributes
    ----------
    made : Signal(QWidget)
        A page was made.
    """

    made = Signal(QWidget)

    def __init__(
        self,
        controller: PathsegController,
        pages: Sequence[Page],
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._makers = {page.title: partial(page.make, controller) for page in pages}
        self._made: dict[str, QWidget] = {}
        self.setDocumentMode(True)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        for i, page in enumerate(pages):
            area = QScrollArea(self)
            area.setWidgetResizable(True)
            area.setFrameShape(QFrame.Shape.NoFrame)
            area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
            area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            self.addTab(area, page.title)
            self.setTabToolTip(i, page.tooltip)
        self.currentChanged.connect(self._shown)
        self._shown(self.currentIndex())

    def page(self, title: str) -> QWidget:
        """The widget of a page, made if it is not there yet."""
        found = self._made.get(title)
        if found is None:
            found = self._made[title] = self._makers[title]()
            area = self.widget(list(self._makers).index(title))
            assert isinstance(area, QScrollArea)
            area.setWidget(found)
            self.made.emit(found)
        return found

    def show_page(self, title: str) -> QWidget:
        """Bring a page to the front."""
        self.setCurrentIndex(list(self._makers).index(title))
        return self.page(title)

    def close_pages(self) -> None:
        """Tell every page that was made to close."""
        for page in self._made.values():
            page.close()

    def _shown(self, index: int) -> None:
        if index >= 0:
            self.page(self.tabText(index))
