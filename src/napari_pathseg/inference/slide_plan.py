"""How a whole slide is looked at: which tiles, with what resolution, and the grid of the labels."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from napari_pathseg.classes import ClassList
from napari_pathseg.geometry import Field, Region, exact_downsample
from napari_pathseg.inference.plan import MAX_FIELD_PIXELS
from napari_pathseg.inference.scope import Scope, tissue_scope, whole_scope
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.sweep import Askers, Look
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.inference.understanding import Question, class_list
from napari_pathseg.prompts import TextPrompt

Where = Literal["auto", "tissue", "all"]
FEW_TILES = 16
"""A picture that takes no more is looked at everywhere unless only its tissue is asked for."""

COARSER = 1.5
"""Labels of a large slide are not finer than the model saw, if that is this much coarser."""


@dataclass(frozen=True, slots=True, eq=False)
class SlidePlan:
    """What there is to do on a slide.

    Attributes
    ----------
    texts : tuple of TextPrompt
    questions : tuple of Question
        One for each class, in the order of values.
    scope : Scope
    looks : tuple of Look
    field : Field
        Of the labels: the whole slide at one level, or at the model's own resolution.
    tissue_only : bool
    """

    texts: tuple[TextPrompt, ...]
    questions: tuple[Question, ...]
    scope: Scope
    looks: tuple[Look, ...]
    field: Field
    tissue_only: bool

    @property
    def tiles(self) -> int:
        """How many model inputs it takes."""
        return sum(look.tiles for look in self.looks)

    @property
    def classes(self) -> ClassList:
        """The classes, value i the i-th."""
        return class_list(self.questions)


def plan_slide(session: Session, texts: Sequence[TextPrompt], where: Where = "auto") -> SlidePlan:
    """How a whole slide would be looked at; reads no more than a coarse level.

    Parameters
    ----------
    where : {"auto", "tissue", "all"}
        "auto" is tissue only, but all of a picture of at most `FEW_TILES` tiles.

    Raises
    ------
    PromptError, UnknownTermError
    UnknownScaleError
        When the slide does not say its mpp and none was given.
    DamagedSlideError
    """
    questions = session.understand(texts)
    slide = session.slide
    everywhere = whole_scope(slide.shape)
    looks = _looks(session, questions, everywhere)
    few = sum(look.tiles for look in looks) <= FEW_TILES
    tissue_only = where == "tissue" or (where == "auto" and not few)
    scope = tissue_scope(slide, session.mpp) if tissue_only else everywhere
    if tissue_only:
        looks = _looks(session, questions, scope)
    field = _label_field(session, looks)
    return SlidePlan(tuple(texts), questions, scope, looks, field, tissue_only)


def time_tile(session: Session, plan: SlidePlan) -> float:
    """Seconds that a tile takes here, measured on some from the middle."""
    look = max(plan.looks, key=lambda each: each.tiles)
    tiles = [tile for row in look.rows for _, tile in row]
    if not tiles:
        return 0.0
    with Askers(session.segmenter) as askers:
        chosen = [tiles[len(tiles) // 2]] * askers.at_once
        for _ in range(2):  # the first pass of a size is slower
            start = time.perf_counter()
            asked = [askers.ask(session.slide, look, tile) for tile in chosen]
            for future in asked:
                future.result()
        return (time.perf_counter() - start) / len(chosen)


def _looks(session: Session, questions: Sequence[Question], scope: Scope) -> tuple[Look, ...]:
    region = Region.whole(session.slide.shape)
    looks = []
    for number, mpp in enumerate(dict.fromkeys(q.working_mpp for q in questions)):
        plan = session.plan(region, mpp)
        own = tuple((i, q) for i, q in enumerate(questions) if q.working_mpp == mpp)
        rows: dict[int, list[tuple[int, Tile]]] = {}
        down_y, down_x = plan.downsample
        for i, tile in enumerate(plan.tiles):
            row = rows.setdefault(tile.y, [])
            stop_y, stop_x = tile.y + tile.height, tile.x + tile.width
            if scope.touches(tile.y * down_y, tile.x * down_x, stop_y * down_y, stop_x * down_x):
                row.append((i, tile))
        looks.append(Look(number, plan, own, tuple(map(tuple, rows.values())), tuple(rows)))
    return tuple(looks)


def _label_field(session: Session, looks: Sequence[Look]) -> Field:
    """The grid of the labels: a stored level's, unless that would only blow up a large slide."""
    finest = min(looks, key=lambda look: look.plan.downsample[0])
    field, shape = finest.plan.field, finest.plan.shape
    large = field.height * field.width > MAX_FIELD_PIXELS
    if large and finest.plan.downsample[0] > COARSER * field.downsample[0]:
        return Field(field.level, 0, 0, *shape, exact_downsample(session.slide.shape, shape))
    return field
