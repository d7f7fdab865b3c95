"""What `pathseg segment` writes: the label picture, the outlines and all that is known of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_pathseg.classes import term_facts
from napari_pathseg.cli.region import OpenRegion
from napari_pathseg.errors import ExportError, os_reason
from napari_pathseg.export.atomic import os_errors
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.geojson import write_geojson
from napari_pathseg.export.labels_tiff import write_labels_tiff
from napari_pathseg.inference.segmentation import Segmentation
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.understanding import prompt_of_each_class
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import BoxPrompt, PointPrompt, Prompt, TextPrompt

Facts = dict[str, Any]

SUFFIXES = {"labels": ".labels.tif", "geojson": ".geojson", "json": ".json"}
STAGING = ".pathseg-"


def check_writable(out: Path) -> None:
    """Refuse a folder that can not be written before minutes are spent on the work.

    Raises
    ------
    ExportError
    """
    existing = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise ExportError(f"{existing} is a file, not a folder.", "Give another folder as --out.")
    # Permissions alone do not tell of a full disk, a virtual file system or a system's own folder.
    try:
        with tempfile.TemporaryDirectory(dir=existing, prefix=STAGING):
            pass
    except OSError as error:
        raise ExportError(
            f"{existing} can not be written: {os_reason(error)}.",
            "Give another folder as --out.",
        ) from error


def result_paths(out: Path, slide: Path) -> dict[str, Path]:
    """Where the three files of a slide go; the name is the slide's up to its last dot."""
    return {kind: out / (slide.stem + suffix) for kind, suffix in SUFFIXES.items()}


def facts_of(here: OpenRegion, segmentation: Segmentation, texts: Sequence[str]) -> Facts:
    """All that is known of a segmentation, as plain values for JSON.

    Parameters
    ----------
    here : OpenRegion
        What was asked, cut to the slide. `origin` is the exact level-0 place of the label
        picture's first corner, less than one picture pixel above and left of it.
    segmentation : Segmentation
    texts : sequence of str
        The words that were asked; empty when there were none.
    """
    session, field = here.session, segmentation.field
    owners = prompt_of_each_class(texts, session.vocabulary, session.segmenter)
    terms = _terms(segmentation, owners)
    return {
        "slide": str(session.slide.path),
        **_prompts(segmentation.prompts),
        "terms": terms,
        "model": segmentation.model,
        "model_sha256": session.segmenter.card.sha256,
        "model_license": session.segmenter.card.license,
        "region": here.region.as_list(),
        "origin": list(field.origin),
        "shape": list(field.shape),
        "level": field.level,
        "downsample": list(field.downsample),
        "mpp": None if session.mpp is None else list(session.mpp),
        "field_mpp": None if segmentation.mpp is None else list(segmentation.mpp),
        "working_mpp": segmentation.working_mpp,
        "seconds": segmentation.seconds,
        "files": {},
        "warnings": [*here.notes, *segmentation.notes, *_warnings(terms)],
    }


def write_results(out: Path, session: Session, segmentation: Segmentation, facts: Facts) -> Facts:
    """Write the three files, all or none, and return the facts with their places.

    Raises
    ------
    ExportError
        When the folder can not be written or the disk is full; older files stay as they were.
    """
    paths = result_paths(out, session.slide.path)
    facts = facts | {"files": {kind: str(path) for kind, path in paths.items()}}
    mask = segmentation.mask
    record = _record(session, segmentation)
    with os_errors(paths["labels"]):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=STAGING) as folder:
            staged = {kind: Path(folder) / path.name for kind, path in paths.items()}
            try:
                write_labels_tiff(staged["labels"], mask, segmentation.mpp, segmentation.classes)
                write_geojson(staged["geojson"], [ExportField(record, mask)])
            except ExportError as error:
                # The user knows the folder that was given, not the one inside it.
                raise ExportError(error.what.replace(folder, str(out)), error.remedy) from error
            staged["json"].write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            for kind, path in paths.items():
                staged[kind].replace(path)
    return facts


def _record(session: Session, segmentation: Segmentation) -> FieldRecord:
    card = session.segmenter.card
    answers = segmentation.answers
    return FieldRecord.new(
        segmentation.field,
        segmentation.classes,
        slide_identity=session.slide.metadata.identity,
        slide_name=session.slide.path.name,
        mpp=segmentation.mpp,
        prompts=segmentation.prompts,
        asked_as=[answer.asked_as for answer in answers],
        presence=[answer.presence for answer in answers],
        scores=[answer.score for answer in answers],
        model=segmentation.model,
        model_sha256=card.sha256,
        model_license=card.license,
        working_mpp=segmentation.working_mpp,
        author="pathseg segment",
    )


def _terms(segmentation: Segmentation, owners: Sequence[str]) -> list[Facts]:
    """One object for each class, in the order of values."""
    pixels = np.bincount(segmentation.mask.ravel(), minlength=len(segmentation.classes) + 1)
    classes = zip(segmentation.classes, segmentation.answers, strict=True)
    return [
        {
            "value": label_class.value,
            "name": label_class.name,
            "prompt": owners[order] if owners else None,
            **term_facts(answer.term),
            "asked_as": [term_facts(term) for term in answer.asked_as],
            "presence": answer.presence,
            "score": answer.score,
            "pixels": int(pixels[label_class.value]),
        }
        for order, (label_class, answer) in enumerate(classes)
    ]


def _warnings(terms: Sequence[Facts]) -> list[str]:
    """What a reader of the masks alone would not see."""
    return [
        f"No {term['name']} in this region (presence {term['presence']:.2f})."
        for term in terms
        if not term["pixels"]
    ]


def _prompts(prompts: Sequence[Prompt]) -> Facts:
    """What was asked, under the names of the options that ask it."""
    points = [prompt for prompt in prompts if isinstance(prompt, PointPrompt)]
    return {
        "prompts": [prompt.text for prompt in prompts if isinstance(prompt, TextPrompt)],
        "points": [[point.y, point.x] for point in points if point.positive],
        "negative_points": [[point.y, point.x] for point in points if not point.positive],
        "boxes": [[b.y0, b.x0, b.y1, b.x1] for b in prompts if isinstance(b, BoxPrompt)],
    }
