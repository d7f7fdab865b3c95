"""The tabs of the panel, in rows that fit its width; pages are made when they are shown first."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import (
    QButtonGroup,
    QFrame,
    QGridLayout,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.pages import Page
from napari_pathseg.gui.widgets.icons import theme_color

IN_A_ROW = 4


class PageTabs(QWidget):
    """One button for each page, and the page; one that is too high for the window scrolls.

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
        self._controller = controller
        self._pages = {page.title: page for page in pages}
        self._made: dict[str, QWidget] = {}
        self._stack = QStackedWidget(self)
        self._group = QButtonGroup(self)
        self.buttons: dict[str, QToolButton] = {}
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addLayout(self._button_rows())
        layout.addWidget(self._stack, 1)
        self.set_theme(str(controller.viewer.theme))
        self.show_page(next(iter(self._pages)))

    def _button_rows(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setSpacing(2)
        for i, (title, page) in enumerate(self._pages.items()):
            button = QToolButton(self)
            button.setText(title)
            button.setToolTip(page.tooltip)
            button.setCheckable(True)
            button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            button.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            button.clicked.connect(lambda _=False, title=title: self.show_page(title))
            self._group.addButton(button)
            self.buttons[title] = button
            grid.addWidget(button, *divmod(i, IN_A_ROW))
            self._stack.addWidget(_scrolling(self))
        return grid

    def set_theme(self, theme: str) -> None:
        """Take the colours of a theme of napari."""
        lit, rim = theme_color(theme, "current"), theme_color(theme, "primary")
        ground = theme_color(theme, "foreground")
        style = (
            f"QToolButton {{ border: none; border-bottom: 2px solid {rim}; padding: 3px;"
            f" background: {ground}; border-radius: 2px; }}"
            f" QToolButton:checked {{ border-bottom: 2px solid {lit}; background: {rim}; }}"
            f" QToolButton:hover {{ border-bottom: 2px solid {lit}; }}"
        )
        for button in self.buttons.values():
            button.setStyleSheet(style)

    @property
    def shown(self) -> str:
        """Title of the page in front."""
        return list(self._pages)[self._stack.currentIndex()]

    def page(self, title: str) -> QWidget:
        """The widget of a page, made if it is not there yet."""
        found = self._made.get(title)
        if found is None:
            found = self._made[title] = self._pages[title].make(self._controller)
            area = self._stack.widget(list(self._pages).index(title))
            assert isinstance(area, QScrollArea)
            area.setWidget(found)
            self.made.emit(found)
        return found

    def show_page(self, title: str) -> QWidget:
        """Bring a page to the front."""
        found = self.page(title)
        self.buttons[title].setChecked(True)
        self._stack.setCurrentIndex(list(self._pages).index(title))
        return found

    def made_pages(self) -> tuple[QWidget, ...]:
        """The pages that were shown once."""
        return tuple(self._made.values())

    def close_pages(self) -> None:
        """Tell every page that was made to close."""
        for page in self._made.values():
            page.close()


def _scrolling(parent: QWidget) -> QScrollArea:
    """A place for a page that may be higher, never wider, than there is room."""
    area = QScrollArea(parent)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    return area
