"""What the demo does, as a person would: ask, correct, go on, review, measure, look around."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pathseg.errors import PathsegError
from napari_pathseg.geometry import Pair, Region
from napari_pathseg.gui.filming import Film
from napari_pathseg.gui.pages import PAGES
from napari_pathseg.gui.widgets.slide_page import SlidePage

if TYPE_CHECKING:
    from napari_pathseg.export.run import Exported
    from napari_pathseg.gui.widgets.hand import Hand

LETTER_S = 0.12
STILLS = ("1-opened", "2-prompted", "3-clicked", "4-painted", "5-closer", "6-both")


@dataclass(frozen=True, slots=True)
class Scene:
    """What is done on one sample; places are level-0 (y, x).

    Attributes
    ----------
    key : str
        Of the sample.
    mpp : float or None
        Given where the file has none.
    prompt : str
    view : Region
        The field that is segmented.
    add, remove : (float, float)
        Clicked with "this too" and "not this".
    stroke : tuple of (float, float)
        Painted.
    closer_prompt : str
    closer : Region
        A second field.
    """

    key: str
    mpp: float | None
    prompt: str
    view: Region
    add: Pair
    remove: Pair
    stroke: tuple[Pair, ...]
    closer_prompt: str
    closer: Region


def perform(hand: Hand, scene: Scene, path: Path, out: Path, film: Film) -> None:
    """All of it, a still of each step, and frames for the moving picture.

    Raises
    ------
    PathsegError
        When something does not come, such as the slide or the export.
    """
    _open(hand, scene, path, film)
    _ask(hand, scene, film)
    _correct(hand, scene, film)
    _closer(hand, scene, film)
    _review(hand, scene, film)
    _measure(hand, film)
    _export(hand, out)
    _look_around(hand, film)


def say(text: str) -> None:
    """Tell what is done."""
    print(f"==> {text}", flush=True)


def _open(hand: Hand, scene: Scene, path: Path, film: Film) -> None:
    say(f"open {path.name}")
    film.still("0-empty")
    film.frame("Open a slide: drag it onto napari", 2)
    hand.viewer.open(str(path), plugin="napari-pathseg")
    controller = hand.controller
    hand.wait(lambda: controller.desk is not None and controller.model.loaded, 300)
    hand.wait(seconds=0.5)
    film.still(STILLS[0])
    film.frame(path.name, 2)
    if controller.slide_mpp() is None and scene.mpp is not None:
        say(f"the file does not say its scale: set {scene.mpp} µm per pixel")
        controller.set_mpp((scene.mpp, scene.mpp))
        film.frame("The file does not say its scale: it is set once and remembered", 2)
    hand.look_at(scene.view)
    hand.wait(seconds=0.5)


def _type(hand: Hand, text: str, film: Film) -> None:
    """Type a prompt letter by letter, then ask."""
    hand.key("T")
    for number in range(len(text)):
        hand.type(text[number])
        film.frame("T, then say what to find", LETTER_S)
    hand.press_enter()


def _ask(hand: Hand, scene: Scene, film: Film) -> None:
    say(f"type {scene.prompt!r} and press Enter")
    _type(hand, scene.prompt, film)
    _tell(hand)
    film.still(STILLS[1])
    film.frame("Enter: what you see is segmented, with a word on how sure it is", 4)


def _correct(hand: Hand, scene: Scene, film: Film) -> None:
    say("click: this too")
    hand.click(scene.add)
    _tell(hand)
    film.frame("Click: this too", 3)
    say("Shift+click: not this")
    hand.click(scene.remove, "Shift")
    _tell(hand)
    film.still(STILLS[2])
    film.frame("Shift+click: not this", 3)
    say("paint a stroke, undo it, do it again")
    hand.key("D")
    hand.drag(scene.stroke)
    film.still(STILLS[3])
    film.frame("D: draw. What you draw is yours", 2.5)
    hand.key("Z", "Ctrl")
    hand.settle()
    film.frame("Ctrl+Z: undo anything", 1.5)
    hand.key("Z", "Ctrl+Shift")
    hand.settle()
    film.frame("Ctrl+Shift+Z: and do it again", 1.5)
    hand.key("P")
    say("accept")
    hand.key("A")
    hand.settle()
    film.frame("A: accept", 2)


def _closer(hand: Hand, scene: Scene, film: Film) -> None:
    hand.look_at(scene.closer)
    film.frame("Zoom in and ask for something finer", 2)
    say(f"go closer, type {scene.closer_prompt!r} and press Enter")
    _type(hand, scene.closer_prompt, film)
    _tell(hand)
    film.still(STILLS[4])
    film.frame("The words decide at which resolution the slide is read", 4)
    hand.look_at(scene.view)
    hand.wait(seconds=0.5)
    film.still(STILLS[5])
    film.frame("Both stay, each at its own level", 3)


def _review(hand: Hand, scene: Scene, film: Film) -> None:
    say("review: the least sure field")
    page = _show(hand, "Review")
    hand.wait(lambda: page.list.topLevelItemCount() > 0, 60)
    hand.key("U")
    hand.wait(seconds=1.0)
    film.still("review")
    film.frame("Review. U: the field it is least sure of", 4)
    hand.key("A")
    hand.wait(lambda: "agreement" in page.figures.text(), 60)
    film.frame("A: accepted, and on to the next", 3)


def _measure(hand: Hand, film: Film) -> None:
    say("measure, and look at the largest object")
    page = _show(hand, "Measure")
    hand.wait(lambda: page.table.objects.rowCount() > 0, 120)
    film.frame("Measure: every object, every class, against the tissue looked at", 4)
    page.table.sort_by("area", descending=True)
    page.table.selectRow(0)
    hand.wait(lambda: page.card.has_pictures, 60)
    hand.wait(seconds=0.5)
    film.still("measure")
    film.frame("A row brings its object into the middle, with what was proposed and what is now", 4)
    page.group.setCurrentIndex(1)
    hand.wait(seconds=0.3)
    film.still("origin")
    film.frame("Where it comes from: words, clicks, model, level, person, time", 4)
    page.group.setCurrentIndex(0)


def _export(hand: Hand, out: Path) -> None:
    say("export")
    page = _show(hand, "Export")
    found: list[Exported | None] = []
    page.exporting.ended.connect(found.append)
    page.write_into(out)
    hand.wait(lambda: found, 300)
    exported = found[0]
    if exported is None:
        raise PathsegError(hand.controller.message.text)
    say(f"    training data, {exported.fields} fields: {exported.bundle}")
    say(f"    QuPath GeoJSON, {exported.objects} objects: {exported.geojson}")


def _look_around(hand: Hand, film: Film) -> None:
    """The other tabs, the list of keys, the tour and the light theme."""
    seen = {"Segment", "Review", "Measure"}
    for title in (page.title for page in PAGES if page.title not in seen):
        page = _show(hand, title)
        if isinstance(page, SlidePage):
            hand.wait(partial(_has_picture, page), 60)
        hand.wait(seconds=1.0)
        film.still(title.lower())
        film.frame(f"{title}: {hand.panel.tabs.buttons[title].toolTip()}", 2.5)
    hand.panel.show_keys()
    hand.wait(seconds=0.3)
    film.part("keys", hand.panel.keys_window)
    hand.panel.show_keys()
    hand.panel.begin_tour()
    hand.wait(seconds=0.3)
    film.still("tour")
    hand.panel.end_tour()
    _show(hand, "Segment")
    hand.viewer.theme = "light"
    hand.wait(seconds=1.0)
    film.still("light")
    hand.viewer.theme = "dark"
    hand.wait(seconds=0.5)
    film.frame("All of it on a laptop, offline, without a GPU", 3)


def _has_picture(page: SlidePage) -> bool:
    return bool(page.thumbnail.pixmap().width())


def _show(hand: Hand, title: str) -> Any:
    return hand.panel.tabs.show_page(title)


def _tell(hand: Hand) -> None:
    desk = hand.controller.desk
    say(f"    {hand.controller.message.text}")
    for value, count in (desk.counts() if desk is not None else {}).items():
        assert desk is not None
        say(f"    {desk.classes[value].name}: {count.objects} objects, {count.area_px:,} pixels")
