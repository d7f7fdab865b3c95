"""The tabs of the panel: one line each, made when they are shown first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController


@dataclass(frozen=True, slots=True)
class Page:
    """One tab.

    Attributes
    ----------
    title : str
        On the tab: one short word, the bar is 340 pixels wide.
    tooltip : str
    make : callable
        Gives the QWidget for a controller (its slides are `controller.desks`). Called when the
        tab is shown first, so that the panel opens fast; the widget's module is imported here.
        The widget listens to what it needs (`controller.changed`) and does the costly part only
        while it is visible. It is told to `close()` when the panel goes.
    """

    title: str
    tooltip: str
    make: Callable[[PathsegController], Any]


def _segment(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.segment_page import SegmentPage

    return SegmentPage(controller)


def _learn(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.learn_page import LearnPage

    return LearnPage(controller)


def _review(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.review_page import ReviewPage

    return ReviewPage(controller)


def _measure(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.measure_page import MeasurePage

    return MeasurePage(controller)


def _slide(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.slide_page import SlidePage

    return SlidePage(controller)


def _terms(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.terms_page import TermsPage

    return TermsPage(controller)


def _export(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.export_page import ExportPage

    return ExportPage(controller)


def _model(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.model_page import ModelPage

    return ModelPage(controller)


def _batch(controller: PathsegController) -> Any:
    from napari_pathseg.gui.widgets.batch_page import BatchPage

    return BatchPage(controller)


PAGES: tuple[Page, ...] = (
    Page("Segment", "Ask for what you look for, and correct it", _segment),
    Page("Terms", "All words it knows, your own, colours and class lists", _terms),
    Page("Slide", "Scale, levels, tissue and other pictures of the slide", _slide),
    Page("Review", "What the model is least sure of, on all open slides", _review),
    Page("Measure", "Sizes, shapes, stains and origin of every object", _measure),
    Page("Export", "Labels for other software, and labels of other software", _export),
    Page("Batch", "Whole slides and all open images, with estimate and report", _batch),
    Page("Learn", "Make the model better from what you corrected, on the spot", _learn),
    Page("Model", "What the model was taught, how good it is, and another one", _model),
)
