"""Every way of correcting on a real slide, for the pictures of its page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import ndimage

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Pair, Region
from napari_pathseg.gui.demo_script import say
from napari_pathseg.gui.filming import Film
from napari_pathseg.slide.base import RGB

if TYPE_CHECKING:
    from napari_pathseg.gui.widgets.hand import Hand

SAMPLE = "cmu-region"
VIEW = Region(1880, 960, 420, 600)
WHORL = (2082.0, 1262.0)
AROUND = (
    (1962, 1262),
    (2000, 1175),
    (2090, 1160),
    (2180, 1190),
    (2200, 1270),
    (2140, 1360),
    (2040, 1370),
    (1980, 1330),
    (1962, 1262),
)
ALONG = ((2150, 1215), (2100, 1240), (2050, 1285), (2000, 1320))
STROKE = ((2150, 1010), (2170, 1050), (2200, 1080))
AROUND_STROKE = Region(2120, 970, 110, 150)
CLOSE_UP = Region(1990, 1000, 130, 180)
MARGIN_PX = 20


def perform_correcting(hand: Hand, path: Path, film: Film) -> None:
    """Ask, correct in every way, and take a still of each.

    Raises
    ------
    PathsegError
        When the slide or an answer does not come.
    """
    say(f"correct on {path.name}")
    controller = hand.controller
    hand.viewer.layers.clear()
    hand.viewer.open(str(path), plugin="napari-pathseg")
    hand.wait(lambda: controller.desk is not None and controller.model.loaded, 300)
    hand.panel.tabs.show_page("Segment")
    hand.look_at(VIEW)
    hand.wait(seconds=1.0)
    _prompt(hand, film)
    _draw(hand, film)
    _cut_and_join(hand, film)
    _outline(hand, film)


def _prompt(hand: Hand, film: Film) -> None:
    """A lasso, a scribble, and the three candidates of a click."""
    pictures = []
    for key, path in (("L", AROUND), ("S", ALONG)):
        hand.key(key)
        hand.drag(path)
        hand.wait(seconds=0.5)
        pictures.append(film.shot())
        hand.key("X")
        hand.settle()
    film.row("correct-lasso-scribble", pictures)
    hand.key("P")
    hand.click(WHORL)
    pictures = [film.shot()]
    for _ in range(2):
        hand.key("C")
        hand.settle()
        hand.wait(seconds=0.5)
        pictures.append(film.shot())
    film.row("correct-candidates", pictures)
    hand.key("X")
    hand.settle()


def _draw(hand: Hand, film: Film) -> None:
    """A stroke of the brush, which the model may not change any more."""
    hand.ask("nuclei")
    hand.look_at(AROUND_STROKE)
    hand.wait(seconds=0.5)
    pictures = [film.shot()]
    hand.key("D")
    hand.drag(STROKE)
    hand.key("D")
    hand.wait(seconds=0.5)
    film.row("correct-hatched", [*pictures, film.shot()])
    hand.key("A")
    hand.settle()


def _cut_and_join(hand: Hand, film: Film) -> None:
    """The largest object in two, and one again."""
    around, across, along = _largest(hand)
    hand.look_at(around)
    hand.wait(seconds=0.5)
    pictures: list[RGB] = [film.shot()]
    for key, line in (("K", across), ("J", along)):
        hand.key(key)
        hand.drag(line)
        hand.key(key)
        hand.wait(seconds=0.5)
        pictures.append(film.shot())
    film.row("correct-cut-join", pictures)


def _outline(hand: Hand, film: Film) -> None:
    """Masks filled, and as outlines."""
    hand.look_at(CLOSE_UP)
    hand.wait(seconds=0.5)
    pictures = [film.shot()]
    hand.key("O")
    hand.wait(seconds=0.5)
    film.row("correct-outlines", [*pictures, film.shot()])
    hand.key("O")


def _largest(hand: Hand) -> tuple[Region, tuple[Pair, Pair], tuple[Pair, Pair]]:
    """Level-0 places of the largest object that the model found, and lines across and along it."""
    desk = hand.controller.desk
    if desk is None or desk.work is None:
        raise PathsegError("There is no field.")
    field = desk.work.record.field
    labels, _ = ndimage.label(desk.work.mask > 0)
    drawn = np.unique(labels[desk.work.state.draft.by_hand])
    sizes = np.bincount(labels.ravel())
    sizes[[0, *drawn]] = 0
    if not sizes.any():
        raise PathsegError("No object was found.")
    inside = labels == int(np.argmax(sizes))
    places = np.argwhere(inside) + 0.5
    center = places.mean(axis=0)
    long, wide = np.linalg.svd(places - center, full_matrices=False)[2]
    half = np.abs((places - center) @ long).max() / 2
    reach = np.abs((places - center) @ wide).max() + 4

    def line(axis: np.ndarray[tuple[int], np.dtype[np.float64]], by: float) -> tuple[Pair, Pair]:
        first, last = center - by * axis, center + by * axis
        return field.to_level0(*first), field.to_level0(*last)

    low, high = field.to_level0(*places.min(axis=0)), field.to_level0(*places.max(axis=0))
    around = Region.from_corners(
        low[0] - MARGIN_PX, low[1] - MARGIN_PX, high[0] + MARGIN_PX, high[1] + MARGIN_PX
    )
    return around, line(wide, reach), line(long, half)
