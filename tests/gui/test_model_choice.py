"""The model card in words, and another model in the place of the first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from desk_slides import look_at, open_in
from marker_segmenter import MarkerSegmenter
from PIL import Image

from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Region
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.model_choice import (
    choices,
    datasets,
    failures,
    pictured_failures,
    use_model,
)
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.settings import SettingsStore
from napari_pathseg.models.base import Figure
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback


def test_failures_are_told() -> None:
    card = replace(
        MarkerSegmenter().card,
        figures=(
            Figure("a", "gland", "text", 9, 0.8),
            Figure("b", "nucleus", "text", 9, 0.2),
            Figure("a", "nucleus", "box", 9, 0.4),
        ),
        withheld=("plasma cell",),
    )
    assert datasets(card) == ("a", "b")
    told = failures(card)
    assert told[0].startswith("nucleus by text: Dice 0.20")
    assert told[1].startswith("nucleus by box")
    assert "plasma cell" in told[2]
    assert len(told) == 3
    assert failures(replace(card, figures=(), withheld=())) == ()


def test_registry_and_own_files_can_be_chosen() -> None:
    names = [name for name, _ in choices("default")]
    assert names == ["default", "permissive"]
    assert choices("/models/mine.safetensors")[-1] == (
        "/models/mine.safetensors",
        "mine.safetensors",
    )


def test_pictures_of_failures_lie_beside_the_model(tmp_path: Path) -> None:
    shipped = pictured_failures("default")
    assert shipped is not None
    assert min(Image.open(shipped).size) > 300
    assert pictured_failures("permissive") is None, "they are those of another model"
    assert pictured_failures("mobile-sam") is None
    own = tmp_path / "mine.safetensors"
    assert pictured_failures(str(own)) is None
    (tmp_path / "mine.failures.jpg").write_bytes(shipped.read_bytes())
    assert pictured_failures(str(own)) == tmp_path / "mine.failures.jpg"


def test_another_model_answers_from_now_on(
    make_controller: Callable[..., PathsegController], marked_slide: Path
) -> None:
    loaded: list[str] = []
    settings = SettingsStore()

    def load() -> MarkerSegmenter:
        loaded.append(settings.value.model)
        return MarkerSegmenter()

    controller = make_controller(model=SharedModel(load), settings=settings)
    open_in(controller, marked_slide)
    look_at(controller, Region(100, 150, 400, 600))
    controller.segment_field("gland")
    first = controller.model.loaded
    use_model(controller, "other")
    assert loaded == ["default", "other"]
    assert controller.model.loaded is not first
    assert controller.desk.session is None
    controller.segment_field("nucleus")
    assert first.encoder_passes == 1
    assert controller.model.loaded.encoder_passes > 0


def test_what_a_model_needs_is_fetched_before_it_is_loaded() -> None:
    told: list[object] = []

    def fetch(progress: ProgressCallback, cancel: CancelToken | None) -> None:
        progress(Progress(1, 2, "Fetching"))
        told.append("fetched")
        if cancel is not None:
            cancel.raise_if_cancelled()

    def load() -> MarkerSegmenter:
        told.append("loaded")
        return MarkerSegmenter()

    shared, cancel = SharedModel(load, fetch), CancelToken()
    cancel.cancel()
    with pytest.raises(CancelledError):
        shared.get(told.append, cancel)
    assert told == [Progress(1, 2, "Fetching"), "fetched"]
    assert shared.loaded is None
    assert shared.get() is shared.get()
    assert told[2:] == ["fetched", "loaded"], "once"


def test_a_model_that_comes_late_is_not_kept() -> None:
    begun, go = threading.Event(), threading.Event()
    made: list[MarkerSegmenter] = []

    def load() -> MarkerSegmenter:
        made.append(MarkerSegmenter())
        if len(made) == 1:
            begun.set()
            assert go.wait(60)
        return made[-1]

    shared = SharedModel(load)
    thread = threading.Thread(target=shared.get)
    thread.start()
    assert begun.wait(60)
    shared.forget()  # does not wait for the first one
    go.set()
    thread.join()
    assert shared.loaded is None
    assert shared.get() is made[1]
