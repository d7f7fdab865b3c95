"""A batch from start to end: which slides, who does them, what came of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from napari_pathseg.batch.cluster import run_jobs, threads_each
from napari_pathseg.batch.inputs import find_slides, name_slides
from napari_pathseg.batch.one_run import forget_unfinished, only_run_in
from napari_pathseg.batch.one_slide import Facts, finished
from napari_pathseg.batch.report import names_before, rows_before, write_reports
from napari_pathseg.batch.settings import BatchSettings, SlideJob
from napari_pathseg.errors import PathsegError
from napari_pathseg.inference.understanding import prompt_of_each_class, understand
from napari_pathseg.models.base import ModelCard, Segmenter
from napari_pathseg.progress import Progress, ProgressCallback, no_progress
from napari_pathseg.vocabulary.vocabulary import Vocabulary

REPORT_EVERY_S = 30.0
WORKER_BYTES = 2e9
"""Memory of a worker with its model, at the most."""


@dataclass(slots=True)
class Batch:
    """The slides of a batch and how far each is.

    Attributes
    ----------
    out : Path
    settings : BatchSettings
    jobs : tuple of SlideJob
    model : ModelCard
    rows : dict of str to dict
        Facts by name; a slide without any is waiting.
    anew : bool
        Throw away what a run that was stopped left of slides at work.
    """

    out: Path
    settings: BatchSettings
    jobs: tuple[SlideJob, ...]
    model: ModelCard
    rows: dict[str, Facts] = field(default_factory=dict)
    started: float = field(default_factory=time.time)
    workers: int | str = 1
    anew: bool = False

    @property
    def waiting(self) -> list[SlideJob]:
        """The slides that are to be done, in the order given."""
        return [job for job in self.jobs if job.name not in self.rows]

    def report(self) -> Facts:
        """Write the reports as things stand; what run.json holds.

        Slides that other runs did in the same folder stay in them.
        """
        rows = [self.rows.get(job.name, _waiting(job)) for job in self.jobs]
        rows += _of_other_runs(self.out, {job.name for job in self.jobs})
        now = time.time()
        run = {
            "started": datetime.fromtimestamp(self.started, UTC).isoformat(),
            "seconds": round(now - self.started, 3),
            "model": self.model.identity,
            "model_sha256": self.model.sha256,
            "model_license": self.model.license,
            "workers": self.workers,
        }
        return write_reports(self.out, rows, self.settings, run)


def prepare(
    inputs: Sequence[str],
    out: Path,
    settings: BatchSettings,
    segmenter: Segmenter,
    vocabulary: Vocabulary,
    *,
    resume: bool,
) -> Batch:
    """Find the slides, and with `resume` those that are finished already.

    Raises
    ------
    PathsegError
        When a prompt is not understood, a list can not be read or there is no slide.
    """
    prompt_of_each_class(settings.prompts, vocabulary, segmenter)
    found = find_slides(inputs)
    if not found:
        raise PathsegError("There is no slide to segment.", "Name files, folders or a list.")
    out = out.absolute()
    names = name_slides(found, names_before(out))
    jobs = tuple(SlideJob(slide.path, name, out, slide.mpp, settings) for slide, name in names)
    batch = Batch(out, settings, jobs, segmenter.card, anew=not resume)
    asked = understand(settings.texts, vocabulary, segmenter, settings.working_mpp)
    fingerprint = settings.fingerprint(segmenter.card.identity, asked)
    for job in jobs if resume else ():
        facts = finished(job, fingerprint)
        if facts is not None:
            batch.rows[job.name] = facts | {"kept": True}
    return batch


def run_batch(
    batch: Batch,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    ended: Callable[[Facts], None] = lambda _: None,
    progress: ProgressCallback = no_progress,
) -> Facts:
    """Do all slides that wait; what run.json holds at the end.

    The reports are written now and then, so that a look at them tells how far it is; one that is
    stopped leaves them as they were at that moment.

    Parameters
    ----------
    ended : callable
        Told the facts of each slide that came to an end.

    Raises
    ------
    PathsegError, KeyboardInterrupt
        Also when another run is at work in the same folder.
    """
    waiting = batch.waiting
    count = worker_count(workers, len(waiting))
    batch.workers = scheduler or count
    last = time.monotonic()
    with only_run_in(batch.out):
        if batch.anew:
            forget_unfinished(batch.out)
        batch.report()  # names are kept, however soon it is stopped
        try:
            for facts in _ends(waiting, count, scheduler, batch, progress):
                batch.rows[facts["name"]] = facts
                ended(facts)
                if time.monotonic() - last > REPORT_EVERY_S:
                    batch.report()
                    last = time.monotonic()
        finally:
            facts = batch.report()
    return facts


def worker_count(asked: int | None, slides: int) -> int:
    """How many processes: as asked, or as cores and memory allow; no more than there are slides."""
    cores = os.cpu_count() or 1
    count = asked
    if count is None:
        from distributed.system import MEMORY_LIMIT

        count = min(cores // threads_each(cores), int(MEMORY_LIMIT / WORKER_BYTES))
    return max(min(count, slides), 1)


def _ends(
    waiting: Sequence[SlideJob],
    workers: int,
    scheduler: str | None,
    batch: Batch,
    progress: ProgressCallback,
) -> Iterator[Facts]:
    if not waiting:
        return

    def tell(tiles: Progress) -> None:
        text = f"{tiles.message}: tile {tiles.done:,} of {tiles.total:,}"
        progress(Progress(len(batch.rows), len(batch.jobs), text))

    yield from run_jobs(waiting, workers=workers, scheduler=scheduler, progress=tell)


def _of_other_runs(out: Path, names: Collection[str]) -> list[Facts]:
    """Facts of the slides that are done in a folder besides those of these names."""
    return [
        row | {"kept": True}
        for row in rows_before(out)
        if row["status"] == "done"
        and row["name"] not in names
        and (out / f"{row['name']}.json").exists()
    ]


def _waiting(job: SlideJob) -> Facts:
    return {"status": "waiting", "slide": str(job.path), "name": job.name}
