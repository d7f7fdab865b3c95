"""What the tour tells, and where."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_pathseg.gui.keys import Keys
from napari_pathseg.gui.widgets.tour import Step


def first_steps(
    keys: Keys, slide: QWidget, prompt: QWidget, canvas: QWidget, tabs: QWidget
) -> tuple[Step, ...]:
    """Open, ask, correct, go on.

    Parameters
    ----------
    keys : Keys
        In use now.
    slide, prompt, canvas, tabs : QWidget
        The parts of the window that the steps tell of.
    """
    key = keys.shown
    return (
        Step(
            "Open a slide",
            "Drag a slide file onto napari, or take one of File > Open Sample > PathSeg."
            " Its name and scale stand here; a slide that does not say its scale asks for it.",
            lambda: slide,
        ),
        Step(
            "Say what to find",
            f"Press {key('type_prompt')}, type a word such as gland or nuclei, press Enter."
            " What you see now is segmented. Below stands how your words were understood.",
            lambda: prompt,
        ),
        Step(
            "Correct it",
            "Click on what was missed, Shift+click on what is wrong."
            f" {key('brush')} draws, {key('eraser')} erases, {key('undo')} takes anything back,"
            f" {key('accept')} accepts. Everything is on the disk the moment you do it.",
            lambda: canvas,
        ),
        Step(
            "Go on",
            f"Review shows what the model is least sure of ({key('next_in_review')}),"
            " Measure counts and sizes everything, Export writes it out."
            f" {key('show_keys')} lists all keys and brings this tour back.",
            lambda: tabs,
        ),
    )
