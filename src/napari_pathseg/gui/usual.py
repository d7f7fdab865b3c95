"""The desk as a person has it: the chosen model, the words that ship, napari's settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.jobs import Runner
from napari_pathseg.gui.models import SharedModel, fetch_chosen, load_chosen
from napari_pathseg.gui.settings import kept_settings
from napari_pathseg.vocabulary import Vocabulary
from napari_pathseg.vocabulary.termfile import own_terms_path

if TYPE_CHECKING:
    from napari.components import ViewerModel


def default_controller(
    viewer: ViewerModel, runner: Runner, writer: Runner, **options: Any
) -> PathsegController:
    """A controller with the chosen model, the vocabulary that ships, and napari's settings."""
    settings = options.pop("settings", None) or kept_settings()
    controller = PathsegController(
        viewer,
        runner=runner,
        writer=writer,
        model=SharedModel(
            lambda: load_chosen(settings.value.model),
            lambda progress, cancel: fetch_chosen(settings.value.model, progress, cancel),
        ),
        vocabulary=Vocabulary.load(),
        settings=settings,
        **options,
    )
    controller.words.load(own_terms_path())
    return controller
