"""Which model is asked: those of the registry and files of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.gui.models import MODEL_FILE
from napari_pathseg.models.base import Figure, ModelCard

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController

POOR_DICE = 0.5
"""Terms below this are told to be known failures."""


def choices(chosen: str) -> tuple[tuple[str, str], ...]:
    """Name or path of every model that can be chosen, and how it is listed.

    Imports the registry, and torch with it: call it when the model is loaded.
    """
    from napari_pathseg.models.registry import MODELS

    own = [(chosen, Path(chosen).name)] if chosen.endswith(MODEL_FILE) else []
    return (*((name, name) for name in MODELS), *own)


def use_model(controller: PathsegController, name: str) -> None:
    """Ask another model from now on, and remember it; it is loaded in the background."""
    controller.cancel()
    controller.settings.put(model=name)
    controller.model.forget()
    for desk in controller.desks:
        desk.session = None
    controller.changed.emit()
    controller.warm_up()


def datasets(card: ModelCard) -> tuple[str, ...]:
    """What the figures were measured on, in order."""
    return tuple(sorted({figure.dataset for figure in card.figures}))


def failures(card: ModelCard) -> tuple[str, ...]:
    """What the model is known to fail at, a line each: asked in words, and not offered at all."""
    poor = sorted((f for f in card.figures if f.dice < POOR_DICE), key=_order)
    lines = [f"{f.term} by {f.prompt}: Dice {f.dice:.2f} on {f.dataset}" for f in poor]
    if card.withheld:
        lines.append(f"not offered, found too badly: {', '.join(card.withheld)}")
    return tuple(lines)


def pictured_failures(chosen: str) -> Path | None:
    """The picture of what a model does wrong that lies beside its file; None where there is none.

    Imports the registry, as `choices` does.
    """
    from napari_pathseg.models.registry import DEFAULT, FAILURES_SUFFIX, MODELS, SHIPPED

    if chosen in MODELS and chosen != DEFAULT:
        return None
    picture = (SHIPPED if chosen == DEFAULT else Path(chosen)).with_suffix(FAILURES_SUFFIX)
    return picture if picture.is_file() else None


def _order(figure: Figure) -> tuple[bool, float]:
    return figure.prompt != "text", figure.dice
