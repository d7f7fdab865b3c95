"""A training bundle as cases and a recipe, to train the whole model further."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari_pathseg.classes import Term
from napari_pathseg.errors import PathsegError
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models.base import ModelCard
from napari_pathseg.training.cases import Case
from napari_pathseg.training.lesson import FINEST_MPP, term_of
from napari_pathseg.training.recipe import DatasetRecipe, GroupRecipe, Recipe, load_recipe
from napari_pathseg.vocabulary.vocabulary import Vocabulary

FINE, COARSE = "corrected, fine", "corrected, coarse"
CROP_PX = {FINE: 256, COARSE: 384}
COARSE_MPP = 0.8
SPREAD = 1.4  # crops are shown from so much finer to so much coarser
# What the model knows already shall change little.
GENTLER = 0.3


def bundle_cases(
    bundle: Path,
    lines: Sequence[Mapping[str, Any]],
    splits: Mapping[str, Sequence[str]],
    vocabulary: Vocabulary,
) -> list[Case]:
    """Cases of a bundle's fields: one for nuclei and cells, one for tissue.

    Raises
    ------
    PathsegError
        When no field is left.
    """
    cases = []
    for line in lines:
        record = FieldRecord.from_json(line)
        split = "val" if record.id in splits["val"] else "train"
        mpp = None if record.mpp is None else (record.mpp[0] + record.mpp[1]) / 2
        for dataset in (FINE, COARSE):
            terms = tuple(
                (str(c.value), term)
                for c in record.classes
                if _dataset(term := term_of(c, vocabulary)) == dataset
            )
            if terms:
                image, mask = bundle / line["file_name"], bundle / line["classes_file_name"]
                name = f"{record.id}-{'fine' if dataset == FINE else 'coarse'}"
                cases.append(
                    Case(
                        name,
                        dataset,
                        record.slide_identity,
                        split,
                        image,
                        mask,
                        "semantic",
                        terms,
                        (),
                        mpp,
                    )
                )
    if not any(case.split == "train" for case in cases):
        raise PathsegError(
            "The bundle has no reviewed field to train on.", "Correct and accept some fields."
        )
    return cases


def _dataset(term: Term) -> str:
    return COARSE if term.structure == "tissue" else FINE


def bundle_recipe(cases: Sequence[Case], start: ModelCard) -> Recipe:
    """The recipe of the shipped model, for these cases and gentler."""
    recipe = load_recipe()
    mpp = {FINE: FINEST_MPP, COARSE: COARSE_MPP}
    datasets, groups = [], []
    for name in (FINE, COARSE):
        own = [c for c in cases if c.dataset == name]
        if any(c.split == "train" for c in own):
            shown = mpp[name] / SPREAD, mpp[name] * SPREAD
            datasets.append(DatasetRecipe(name, name, 1.0, shown, mpp[name], (), {}))
            groups.append(GroupRecipe(name, CROP_PX[name], 4, float(len(own))))
    taught = {term.object: mpp[case.dataset] for case in cases for _, term in case.terms}
    known = {"": recipe.working_mpp[""], **start.working_mpp}
    return replace(
        recipe,
        name=f"{start.name}-corrected",
        version=start.version,
        license=start.license,
        research_only=start.research_only,
        summary=f"{start.identity}, trained further on corrected fields.",
        presence_gate=start.presence_gate,
        offsets=start.offsets,
        presence_offsets=start.presence_offsets,
        context=start.context,
        withheld=tuple(name for name in start.withheld if name not in taught),
        working_mpp={**taught, **known},
        rates={name: rate * GENTLER for name, rate in recipe.rates.items()},
        groups=tuple(groups),
        datasets=tuple(datasets),
    )
