"""The tabs in a real viewer: made when shown first, alive while shown, quiet afterwards."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import desk_slides as slides
import numpy as np
import pytest
from qtpy.QtCore import QPoint, QRect, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractButton, QComboBox, QLineEdit, QSlider, QTabWidget, QWidget

from napari_pathseg.geometry import Region
from napari_pathseg.gui.pages import PAGES
from napari_pathseg.gui.widgets.hand import Hand

GLAND = slides.GLANDS[0]


@pytest.fixture
def hand(make_hand: Callable[..., Hand], tmp_path: Path) -> Hand:
    """A hand at a slide on which glands and nuclei were asked for."""
    hand = make_hand()
    path = slides.write_slide(tmp_path / "marked.ome.tif", 0.5)
    hand.viewer.open(str(path), plugin="napari-pathseg")
    hand.wait(lambda: hand.controller.desk is not None, 60)
    hand.look_at(Region(0, 0, 1000, 1500))
    hand.ask("gland; nucleus")
    return hand


def click_row(view: QWidget, rect: QRect) -> None:
    QTest.mouseClick(
        view.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, rect.center()
    )


def test_pages_are_made_when_they_are_shown(make_hand: Callable[..., Hand]) -> None:
    tabs = make_hand().panel.tabs
    assert list(tabs.buttons) == [page.title for page in PAGES]
    assert len(tabs.made_pages()) == 1
    for page in PAGES:
        QTest.mouseClick(tabs.buttons[page.title], Qt.MouseButton.LeftButton)
        assert (tabs.shown, tabs.page(page.title).isVisible()) == (page.title, True)
    assert len(tabs.made_pages()) == len(PAGES)


def test_every_control_of_every_page_has_a_tooltip(make_hand: Callable[..., Hand]) -> None:
    panel = make_hand().panel
    silent = []
    for page in PAGES:
        widget = panel.tabs.show_page(page.title)
        for control in widget.findChildren((QAbstractButton, QComboBox, QLineEdit, QSlider)):
            inside = isinstance(control.parent(), QComboBox | QTabWidget)
            named = control.objectName().startswith("qt_")
            if control.isVisible() and not (inside or named or control.toolTip()):
                silent.append((page.title, type(control).__name__, control.parent()))
    assert silent == []


def test_no_page_is_wider_than_the_panel(make_hand: Callable[..., Hand]) -> None:
    panel = make_hand().panel
    wide = {}
    for page in PAGES:
        widget = panel.tabs.show_page(page.title)
        wide[page.title] = widget.minimumSizeHint().width()
    assert {title: width for title, width in wide.items() if width > panel.tabs.width() - 14} == {}


def test_a_row_of_the_table_brings_its_object_into_the_middle(hand: Hand) -> None:
    page = hand.panel.tabs.show_page("Measure")
    table = page.table
    hand.wait(lambda: table.objects.rowCount() == 4, 60)
    gland = next(r for r in range(4) if abs(table.objects.at(r).region.y - GLAND.y) < 4)
    click_row(table, table.visualRect(table.objects.index(gland, 0)))
    hand.wait()
    place = hand.controller.level0_of(hand.viewer.scene.camera.center)
    np.testing.assert_allclose(place, GLAND.center, atol=3)
    hand.wait(lambda: page.card.has_pictures, 30)
    assert "gland; nucleus" in page.card.facts.text()
    table.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    sizes = [table.objects.at(row).measure.area_um2 for row in range(4)]
    assert sizes == sorted(sizes, reverse=True)


def test_measures_follow_the_hand(hand: Hand) -> None:
    page = hand.panel.tabs.show_page("Measure")
    hand.wait(lambda: page.table.objects.rowCount() == 4, 60)
    desk = hand.controller.desk
    painted = desk.work.mask.copy()
    painted[-20:, -20:] = 1
    hand.controller.drawing.painted(desk, painted)
    hand.wait(lambda: page.table.objects.rowCount() == 5, 60)


def test_stains_follow_what_is_set_elsewhere(hand: Hand) -> None:
    page = hand.panel.tabs.show_page("Measure")
    hand.wait(lambda: page.table.objects.rowCount() == 4, 60)
    hand.controller.settings.put(stains="H-DAB")
    assert page.stains.currentText() == "H-DAB"
    model = page.table.objects

    def titles() -> list[str]:
        sideways = Qt.Orientation.Horizontal
        return [model.headerData(i, sideways) for i in range(model.columnCount())]

    hand.wait(lambda: any("DAB" in title for title in titles()), 60)


def test_measures_go_out_as_tables_and_pictures(hand: Hand, tmp_path: Path) -> None:
    page = hand.panel.tabs.show_page("Measure")
    hand.wait(lambda: page.table.objects.rowCount() == 4, 60)
    page.save_into(tmp_path)
    assert {p.name for p in tmp_path.glob("marked.*")} >= {
        "marked.objects.csv",
        "marked.classes.csv",
        "marked.classes.png",
        "marked.histogram.png",
    }
    from PIL import Image

    with Image.open(tmp_path / "marked.histogram.png") as picture:
        colors = {c for _, c in picture.convert("RGB").getcolors(1 << 20)}
    assert len(colors) > 10
    page.save_into(tmp_path / "marked.objects.csv")
    assert hand.controller.message.kind == "error"


def test_the_review_goes_on_with_keys(hand: Hand) -> None:
    hand.look_at(Region(500, 900, 300, 450))
    hand.ask("gland")
    page = hand.panel.tabs.show_page("Review")
    hand.wait(lambda: page.list.topLevelItemCount() == 2, 30)
    hand.key(Qt.Key.Key_U)
    first = hand.controller.reviewing.present
    hand.key(Qt.Key.Key_A)
    hand.wait(lambda: hand.controller.reviewing.present != first, 30)
    hand.wait(lambda: page.bar.value() == 1, 30)
    hand.wait(lambda: "agreement" in page.figures.text(), 30)
    assert page.list.topLevelItemCount() == 1
    page.reviewed_too.setChecked(True)
    assert page.list.topLevelItemCount() == 2
    click_row(page.list, page.list.visualItemRect(page.list.topLevelItem(1)))
    assert hand.controller.reviewing.present == first
    assert page.list.mapToGlobal(QPoint(0, 0)).x() > 0
