"""Whole slides from the panel: estimate, run, watch, pause, stop, go on."""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from psygnal import Signal

from napari_pathseg.batch.inputs import Found, name_slides
from napari_pathseg.batch.one_run import only_run_in
from napari_pathseg.batch.one_slide import Facts, describe, failed, finished, segment_to_files
from napari_pathseg.batch.report import PAGE, names_before
from napari_pathseg.batch.run import Batch
from napari_pathseg.batch.settings import UNFINISHED, BatchSettings, SlideJob
from napari_pathseg.classes import ClassList
from napari_pathseg.errors import (
    CancelledError,
    ExportError,
    PathsegError,
    PromptError,
    StoreError,
    UnknownScaleError,
)
from napari_pathseg.export.atomic import whole_file
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import NO_SCALE, OPEN_FIRST, Message, of_error
from napari_pathseg.gui.slide_labels import LiveLabels
from napari_pathseg.inference.slide_plan import SlidePlan, plan_slide, time_tile
from napari_pathseg.inference.whole_slide import LiveTile, tiles_done_before
from napari_pathseg.labels.record import field_from_json
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.inference.session import Session

State = Literal["idle", "estimating", "ready", "running", "paused"]
WORK = "panel.json"
LOOK_EVERY_S = 0.1


@dataclass(slots=True, eq=False)
class SlideRow:
    """One slide of a run, as the page shows it.

    Attributes
    ----------
    job : SlideJob
    desk : Desk
    session : Session or None
    plan : SlidePlan or None
        None where it can not be done, or was done before.
    tile_s : float
        Seconds that a tile takes, estimated or as it has been.
    done : int
        Tiles, those of a run that was stopped among them.
    facts : dict or None
        Once it has ended.
    classes : ClassList or None
        Of a slide that was done before.
    """

    job: SlideJob
    desk: Desk
    session: Session | None = None
    plan: SlidePlan | None = None
    tile_s: float = 0.0
    done: int = 0
    facts: Facts | None = None
    classes: ClassList | None = None
    live: LiveLabels | None = field(default=None, repr=False)

    @property
    def left(self) -> int:
        """Tiles that are still to be done."""
        return self.plan.tiles - self.done if self.plan is not None and self.facts is None else 0


class Batching:
    """What the tab does, without Qt.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner
        Of its own, so that a field can be asked while slides are done.
    """

    changed = Signal()

    def __init__(self, controller: PathsegController, runner: Runner) -> None:
        self._controller = controller
        self._runner = runner
        self._token: CancelToken | None = None
        self._tiles: queue.SimpleQueue[tuple[SlideRow, LiveTile]] = queue.SimpleQueue()
        self._started = 0.0
        self.state: State = "idle"
        self.rows: tuple[SlideRow, ...] = ()

    @property
    def report(self) -> Path | None:
        """The page that tells of slides in the table, once one has come to an end."""
        if not any(row.facts for row in self.rows):
            return None
        page = self.rows[0].job.out / PAGE
        return page if page.exists() else None

    @property
    def tiles_left(self) -> int:
        """How many are still to be done, of all slides."""
        return sum(row.left for row in self.rows)

    @property
    def seconds_left(self) -> float:
        """Estimated, from how fast it went so far; the writing of files is not in it."""
        return sum(row.tile_s * row.left for row in self.rows)

    def unfinished(self, out: Path) -> BatchSettings | None:
        """What a run into a folder was asked that was stopped or has crashed, else None."""
        try:
            text = (out / UNFINISHED / WORK).read_text(encoding="utf-8")
            facts: dict[str, Any] = json.loads(text)
            listed = {n: tuple(v) for n, v in facts.items() if isinstance(v, list)}
            return BatchSettings(**facts | listed)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def estimate(self, settings: BatchSettings, out: Path, *, every: bool) -> None:
        """Plan the slide in work, or all that are open after it, and time one tile of each."""
        settings = replace(settings, context=self._controller.config.context)
        desk = self._controller.desk
        if desk is None:
            self._controller.say(Message(OPEN_FIRST, "warning"))
            return
        if not "".join(settings.prompts).strip():
            text = PromptError("There is nothing to look for.", "Type what to segment first.")
            self._controller.say(of_error(text))
            return
        out = out.absolute()
        others = [each for each in self._controller.desks if each is not desk]
        desks = [desk, *others] if every else [desk]  # the one that is seen comes first
        found = [Found(each.slide.path.absolute()) for each in desks]
        jobs = [
            SlideJob(slide.path, name, out, _own_scale(each), settings)
            for each, (slide, name) in zip(
                desks, name_slides(found, names_before(out)), strict=True
            )
        ]
        self.rows = tuple(map(SlideRow, jobs, desks))
        rows = self.rows
        self._submit(
            "estimating",
            "Estimating",
            lambda report, cancel: self._plan(rows, report, cancel),
            lambda _none: self._planned(),
        )

    def start(self) -> None:
        """Do what was estimated; slides that were finished before are left as they are."""
        model = self._controller.model.loaded
        if self.state != "ready" or model is None:
            return
        rows = self.rows
        batch = Batch(rows[0].job.out, rows[0].job.settings, tuple(r.job for r in rows), model.card)
        batch.rows |= {row.job.name: row.facts for row in rows if row.facts is not None}
        try:
            self._controller.remembered.set_results_folder(batch.out)
        except StoreError as error:
            self._controller.say(of_error(error))
        for row in rows:
            if row.plan is not None:
                row.live = self._over(row.desk, row.plan.classes)
        self._controller.say(Message("Whole slides are at work; you can go on with fields."))
        self._submit(
            "running",
            "Segmenting whole slides",
            lambda report, cancel: self._run(batch, rows, report, cancel),
            lambda _none: self._ended(),
        )

    def pause(self) -> None:
        """Hold after the tile that is at work, or go on."""
        if self.state in ("running", "paused"):
            self._set("paused" if self.state == "running" else "running")

    def cancel(self) -> None:
        """Stop; what is done stays, and the next run into the same folder goes on from there."""
        if self._token is not None:
            self._token.cancel()
        if self.state == "ready":
            self.rows = ()
            self._set("idle")

    def close(self) -> None:
        """Stop what runs and deliver nothing more."""
        self.cancel()
        self._runner.close()

    # In the background.

    def _plan(
        self, rows: Sequence[SlideRow], report: ProgressCallback, cancel: CancelToken
    ) -> None:
        from napari_pathseg.inference.session import Session
        from napari_pathseg.inference.understanding import class_list, understand

        model = self._controller.model.get()
        settings = rows[0].job.settings
        asked = understand(settings.texts, self._controller.vocabulary, model, settings.working_mpp)
        fingerprint = settings.fingerprint(model.card.identity, asked)
        classes = class_list(asked)
        config = replace(self._controller.config, working_mpp=settings.working_mpp)
        for number, row in enumerate(rows):
            cancel.raise_if_cancelled()
            report(Progress(number, len(rows), f"Looking at {row.desk.name}"))
            row.facts = finished(row.job, fingerprint)
            if row.facts is not None:
                row.facts |= {"kept": True}
                row.classes = classes
                continue
            desk, vocabulary = row.desk, self._controller.vocabulary
            row.session = Session(desk.slide, model, vocabulary, mpp=desk.mpp, config=config)
            try:
                row.plan = plan_slide(row.session, settings.texts, settings.where)
                row.tile_s = time_tile(row.session, row.plan)
                row.done = tiles_done_before(row.session, row.plan, row.job.folder)
            except PromptError:
                raise
            except UnknownScaleError:
                row.facts = failed(row.job, NO_SCALE)
            except (PathsegError, OSError, MemoryError) as error:
                row.facts = failed(row.job, describe(error, row.job.path))

    def _run(
        self,
        batch: Batch,
        rows: Sequence[SlideRow],
        report: ProgressCallback,
        cancel: CancelToken,
    ) -> None:
        work = batch.out / UNFINISHED / WORK
        with only_run_in(batch.out):
            with whole_file(work) as part:
                part.write_text(json.dumps(asdict(batch.settings)), encoding="utf-8")
            batch.report()  # names are kept, however soon it is stopped
            for row in rows:
                if row.plan is None or row.session is None:
                    continue
                row.facts = self._do(row, report, cancel)
                batch.rows[row.job.name] = row.facts
                batch.report()
                report(Progress(row.plan.tiles, row.plan.tiles, row.desk.name))
            work.unlink(missing_ok=True)

    def _do(self, row: SlideRow, report: ProgressCallback, cancel: CancelToken) -> Facts:
        assert row.plan is not None
        assert row.session is not None
        kept, started = row.done, time.perf_counter()

        def live(tile: LiveTile) -> None:
            nonlocal started
            self._tiles.put((row, tile))
            held = time.perf_counter()
            while self.state == "paused" and not cancel.cancelled:
                time.sleep(LOOK_EVERY_S)
            started += time.perf_counter() - held

        def progress(step: Progress) -> None:
            if step.done > kept:
                row.done = step.done
                row.tile_s = (time.perf_counter() - started) / (step.done - kept)
            report(step)

        try:
            return segment_to_files(
                row.job, row.session, plan=row.plan, live=live, progress=progress, cancel=cancel
            )
        except (PathsegError, OSError, MemoryError) as error:
            cancel.raise_if_cancelled()  # slides are closed with their viewer
            return failed(row.job, describe(error, row.job.path))

    # In the GUI thread.

    def _submit(
        self,
        state: State,
        title: str,
        work: Callable[[ProgressCallback, CancelToken], None],
        done: Callable[[None], None],
    ) -> None:
        self._set(state)
        self._token = None
        token = self._runner.submit(Job(title, work, done, self._failed, self._progressed))
        if self.state in ("estimating", "running"):
            self._token = token

    def _progressed(self, progress: Progress) -> None:
        tiles: dict[SlideRow, list[LiveTile]] = {}
        while not self._tiles.empty():
            row, tile = self._tiles.get()
            tiles.setdefault(row, []).append(tile)
        for row, done in tiles.items():
            if row.live is not None:
                row.live.paint(done)
        self._show_files()
        self.changed.emit()

    def _planned(self) -> None:
        """Show what was done before, and say how long the rest takes."""
        for row in self.rows:
            if row.classes is not None:
                row.live = self._over(row.desk, row.classes)
        self._show_files()
        self._set("ready")

    def _over(self, desk: Desk, classes: ClassList) -> LiveLabels:
        """An empty layer of labels over a slide."""
        return LiveLabels(
            self._controller.viewer,
            desk.slide,
            desk.mpp,
            classes,
            above=desk.overview or desk.layer,
        )

    def _show_files(self) -> None:
        """The exact labels of slides that have just been done."""
        for row in self.rows:
            live, facts = row.live, row.facts
            if live is not None and facts is not None and facts["status"] == "done":
                path = row.job.out / facts["files"]["tif"]
                live.show_file(path, _field_of(facts))
                row.live = None

    def _ended(self) -> None:
        self._show_files()
        done = [row for row in self.rows if row.facts and row.facts["status"] == "done"]
        bad = len(self.rows) - len(done)
        self._set("idle")
        where = f"{len(done)} of {len(self.rows)} slides are in {self.rows[0].job.out}."
        self._controller.say(Message(where, "warning" if bad else "good"))

    def _failed(self, error: BaseException) -> None:
        was, self._token = self.state, None
        self._set("idle")
        if isinstance(error, CancelledError):
            kept = "" if was == "estimating" else " What is done is kept, and goes on from there."
            self._controller.say(Message(f"Stopped.{kept}"))
            return
        if isinstance(error, OSError) and not isinstance(error, PathsegError):
            error = ExportError(describe(error, Path()), "Choose another folder.")
        if not isinstance(error, PathsegError):
            raise error
        self._controller.say(of_error(error))

    def _set(self, state: State) -> None:
        self.state = state
        if state in ("idle", "ready"):
            self._token = None
        self.changed.emit()


def _own_scale(desk: Desk) -> float | None:
    """The scale that a person gave a slide, where its file says none or another."""
    if desk.mpp is None or desk.mpp == desk.slide.metadata.mpp:
        return None
    return (desk.mpp[0] + desk.mpp[1]) / 2


def _field_of(facts: dict[str, Any]) -> Any:
    height, width = facts["shape"]
    where = {"level": facts["level"], "y": 0, "x": 0, "height": height, "width": width}
    return field_from_json(where | {"downsample": facts["downsample"]})
