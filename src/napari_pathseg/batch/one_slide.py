"""One slide from start to end: open, segment, write, and say what came of it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_pathseg import __version__
from napari_pathseg.batch.one_run import only_one_at
from napari_pathseg.batch.settings import SlideJob
from napari_pathseg.batch.slide_files import Numbering, Written, publish, write_slide
from napari_pathseg.classes import term_facts
from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import PathsegError, SlideError, describe_os_error
from napari_pathseg.geometry import Pair
from napari_pathseg.inference.segmentation import IN_CHANNELS
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.slide_plan import SlidePlan, plan_slide
from napari_pathseg.inference.understanding import prompt_of_each_class
from napari_pathseg.inference.whole_slide import LiveTile, SlideLabels, segment_slide
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models.base import Segmenter
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.open import open_slide
from napari_pathseg.vocabulary.vocabulary import Vocabulary

Facts = dict[str, Any]

LAYOUT = 1  # of the facts; another number is other work


def run_slide(
    job: SlideJob,
    segmenter: Segmenter,
    vocabulary: Vocabulary,
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Facts:
    """Do a slide, or say why it can not be done: what is known of the slide is no reason to stop.

    Returns
    -------
    dict
        JSON-ready; `status` is "done" or "failed", and then `error` says why.

    Raises
    ------
    CancelledError
        What was done of the slide is kept in `job.folder` and need not be done again.
    """
    start = time.perf_counter()
    try:
        with open_slide(job.path) as slide:
            asked = job.settings
            config = SegmentConfig(context=asked.context, working_mpp=asked.working_mpp)
            session = Session(slide, segmenter, vocabulary, mpp=scale_of(job, slide), config=config)
            return segment_to_files(job, session, progress=progress, cancel=cancel)
    except (SlideError, MemoryError, OSError, PathsegError) as error:
        if cancel is not None:
            cancel.raise_if_cancelled()
        return failed(job, describe(error, job.path), time.perf_counter() - start)


def scale_of(job: SlideJob, slide: Slide) -> Pair | None:
    """Micrometres per level-0 pixel: the job's own, the file's, or that of the batch."""
    if job.mpp is not None:
        return job.mpp, job.mpp
    given = job.settings.mpp
    return slide.metadata.mpp or (None if given is None else (given, given))


def segment_to_files(
    job: SlideJob,
    session: Session,
    *,
    plan: SlidePlan | None = None,
    live: Callable[[LiveTile], None] | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Facts:
    """Segment an open slide and write its files; they appear together or not at all.

    Raises
    ------
    PathsegError, OSError
    """
    cancel = cancel or CancelToken()
    start = time.perf_counter()
    stamp = job.stamp()
    settings = job.settings
    plan = plan or plan_slide(session, settings.texts, settings.where)
    with only_one_at(job, cancel):
        with (
            Numbering(job, plan.classes, plan.field.mpp(session.mpp), cancel) as numbering,
            segment_slide(
                session,
                plan,
                job.folder,
                live=live,
                follow=numbering.follow,
                progress=progress,
                cancel=cancel,
            ) as result,
        ):
            record, joined = _record(session, result), numbering.joined(result.labels)
            written = write_slide(job, session.slide, result, record, joined, cancel)
            facts = _facts(job, session, result, written, stamp)
            facts["seconds"] = round(time.perf_counter() - start, 3)
        publish(job, facts)
    return facts


def finished(job: SlideJob, fingerprint: str) -> Facts | None:
    """What is known of a slide that was finished with the same settings and model, else None."""
    try:
        facts: Facts = json.loads(job.facts_path.read_text(encoding="utf-8"))
        same = (
            facts["layout"] == LAYOUT
            and facts["fingerprint"] == fingerprint
            and facts["asked_mpp"] == job.mpp
            and facts["slide"] == str(job.path)
            and facts["stamp"] == job.stamp() != []
            and all((job.out / name).exists() for name in facts["files"].values())
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return facts if same else None


def failed(job: SlideJob, error: str, seconds: float = 0.0) -> Facts:
    """The facts of a slide that could not be done."""
    return {
        "status": "failed",
        "slide": str(job.path),
        "name": job.name,
        "error": " ".join(error.split()),
        "seconds": round(seconds, 3),
    }


def describe(error: BaseException, path: Path) -> str:
    """One line for what stopped a slide."""
    if isinstance(error, PathsegError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{path}: there is not enough memory for this slide. Give fewer --workers."
    if isinstance(error, OSError):
        return describe_os_error(error, Path(error.filename or path))
    return f"{path}: {type(error).__name__}: {error}"


def _record(session: Session, result: SlideLabels) -> FieldRecord:
    card, plan = session.segmenter.card, result.plan
    working = [look.plan.mpp for look in plan.looks if look.plan.mpp is not None]
    return FieldRecord.new(
        plan.field,
        plan.classes,
        slide_identity=session.slide.metadata.identity,
        slide_name=session.slide.path.name,
        mpp=result.mpp,
        prompts=plan.texts,
        asked_as=[answer.asked_as for answer in result.answers],
        presence=[answer.presence for answer in result.answers],
        scores=[answer.score for answer in result.answers],
        model=card.identity,
        model_sha256=card.sha256,
        model_license=card.license,
        working_mpp=min(working, default=None),
        author="pathseg batch",
    )


def _facts(
    job: SlideJob, session: Session, result: SlideLabels, written: Written, stamp: list[int]
) -> Facts:
    """All that is known of a finished slide."""
    plan, card = result.plan, session.segmenter.card
    field, mpp = plan.field, session.mpp
    owners = prompt_of_each_class(job.settings.prompts, session.vocabulary, session.segmenter)
    terms = _terms(result, owners, written)
    return {
        "status": "done",
        "slide": str(job.path),
        "name": job.name,
        "identity": session.slide.metadata.identity,
        "prompts": list(job.settings.prompts),
        "terms": terms,
        "model": card.identity,
        "model_sha256": card.sha256,
        "model_license": card.license,
        "version": __version__,
        "slide_shape": list(session.slide.shape),
        "mpp": None if mpp is None else list(mpp),
        "origin": list(field.origin),
        "shape": list(field.shape),
        "level": field.level,
        "downsample": list(field.downsample),
        "field_mpp": None if result.mpp is None else list(result.mpp),
        "working_mpp": [look.plan.mpp for look in plan.looks],
        "tissue_only": plan.tissue_only,
        "looked_at_mm2": _mm2(plan.scope.tissue_px, mpp),
        "tiles": plan.tiles,
        "tiles_kept": result.tiles_kept,
        "model_seconds": round(result.model_seconds, 3),
        "segment_seconds": round(result.seconds, 3),
        "files": written.files,
        "warnings": _warnings(session.slide, result, terms),
        "layout": LAYOUT,
        "fingerprint": job.settings.fingerprint(card.identity, plan.questions),
        "asked_mpp": job.mpp,
        "stamp": stamp,
    }


def _terms(result: SlideLabels, owners: list[str], written: Written) -> list[Facts]:
    """One object for each class, in the order of values."""
    area = None if result.mpp is None else result.mpp[0] * result.mpp[1]
    return [
        {
            "value": label_class.value,
            "name": label_class.name,
            "color": list(label_class.color),
            "prompt": owners[i],
            **term_facts(result.answers[i].term),
            "asked_as": [term_facts(term) for term in result.answers[i].asked_as],
            "presence": result.answers[i].presence,
            "score": result.answers[i].score,
            "objects": written.objects[i],
            "pixels": result.pixels[i],
            "area_um2": None if area is None else result.pixels[i] * area,
        }
        for i, label_class in enumerate(result.plan.classes)
    ]


def _warnings(slide: Slide, result: SlideLabels, terms: list[Facts]) -> list[str]:
    """What a reader of the labels alone would not see."""
    warnings = [q.note for q in result.plan.questions if q.note]
    if slide.stack.channels:
        warnings.append(IN_CHANNELS)
    if not result.plan.tiles:
        return [*warnings, "No tissue was found, so nothing was looked at; --all looks everywhere."]
    return warnings + [
        f"No {term['name']} on this slide (presence {term['presence']:.2f})."
        for term in terms
        if not term["pixels"]
    ]


def _mm2(area_px: float, mpp: Pair | None) -> float | None:
    return None if mpp is None else round(area_px * mpp[0] * mpp[1] / 1e6, 4)
