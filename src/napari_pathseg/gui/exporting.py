"""Labels of the slides in the viewer go out, in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from psygnal import Signal

from napari_pathseg.config import ExportConfig
from napari_pathseg.errors import ExportError, PathsegError
from napari_pathseg.export.run import Exported, Outlook, export_labels, look_ahead
from napari_pathseg.export.sources import SlideSource
from napari_pathseg.gui.field import field_in_view
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import OPEN_FIRST, Message, of_error, tell_failure
from napari_pathseg.inference.segmentation import Mask
from napari_pathseg.labels.journal import LabelStore
from napari_pathseg.labels.masks import LabelArray
from napari_pathseg.labels.raster import Instances
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.gui.desk import Desk

Scope = Literal["field", "view", "slide", "all"]


class DeskLabels:
    """The fields of a desk as they are shown; what was proposed comes from the store.

    Parameters
    ----------
    fields : sequence of (FieldRecord, mask)
    store : LabelStore or None
        None when it does not have what is shown.
    """

    def __init__(
        self, fields: Sequence[tuple[FieldRecord, Mask]], store: LabelStore | None
    ) -> None:
        self._fields = {record.id: (record, mask) for record, mask in fields}
        self._store = store

    def fields(self) -> tuple[FieldRecord, ...]:
        """All records."""
        return tuple(record for record, _ in self._fields.values())

    def load(self, field_id: str) -> tuple[FieldRecord, Mask]:
        """Record and mask."""
        return self._fields[field_id]

    def numbers(self, field_id: str) -> Instances | None:
        """What the store knows of the objects its pixels belong to."""
        return None if self._store is None else self._store.numbers(field_id)

    def proposal(self, field_id: str) -> LabelArray | None:
        """The mask before the first correction."""
        return None if self._store is None else self._store.proposal(field_id)


class Exporting:
    """What the tab Export does, without Qt.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner
        Of its own, so that nobody's work waits for it.

    Attributes
    ----------
    progressed : Signal(Progress)
    looked : Signal(Outlook)
    ended : Signal(object)
        Exported, or None when there is nothing to show: an error was said, or it was cancelled.
    """

    progressed = Signal(object)
    looked = Signal(object)
    ended = Signal(object)

    def __init__(self, controller: PathsegController, runner: Runner) -> None:
        self._controller = controller
        self._runner = runner
        self._token: CancelToken | None = None

    @property
    def busy(self) -> bool:
        """Whether something is being counted or written."""
        return self._token is not None

    def write(self, folder: Path, config: ExportConfig, scope: Scope) -> None:
        """Write into a folder."""

        def finished(exported: Exported) -> None:
            many = count(exported.objects, "object")
            fields = count(exported.fields, "field")
            said = f"{many} of {fields} written to {folder}."
            self._controller.say(Message(said, "good"))
            self.ended.emit(exported)

        self._start(
            "Exporting",
            scope,
            config,
            lambda sources, own, report, cancel: export_labels(
                sources, folder, own, progress=report, cancel=cancel
            ),
            finished,
        )

    def look(self, config: ExportConfig, scope: Scope) -> None:
        """Count what would be written."""

        def finished(outlook: Outlook) -> None:
            self.looked.emit(outlook)
            self.ended.emit(None)

        self._start(
            "Looking ahead",
            scope,
            config,
            lambda sources, own, report, cancel: look_ahead(
                sources, own, progress=report, cancel=cancel
            ),
            finished,
        )

    def cancel(self) -> None:
        """Stop; the same export goes on from there when it is asked for again."""
        if self._token is not None:
            self._token.cancel()

    def close(self) -> None:
        """The panel goes."""
        self._runner.close()

    def _start(
        self,
        title: str,
        scope: Scope,
        config: ExportConfig,
        work: Callable[[list[SlideSource], ExportConfig, ProgressCallback, CancelToken], object],
        finished: Callable[..., None],
    ) -> None:
        if self.busy:
            return
        try:
            sources, own = self._chosen(scope, config)
        except PathsegError as error:
            self._controller.say(of_error(error))
            self.ended.emit(None)
            return

        def done(result: object) -> None:
            self._token = None
            finished(result)

        def saved_first(report: ProgressCallback, cancel: CancelToken) -> object:
            self._controller.saving.flush()
            return work(sources, own, report, cancel)

        # The token comes before a runner that works at once has ended.
        self._token = CancelToken()
        token = self._runner.submit(Job(title, saved_first, done, self._failed, self._progressed))
        if self._token is not None:
            self._token = token

    def _chosen(self, scope: Scope, config: ExportConfig) -> tuple[list[SlideSource], ExportConfig]:
        desk = self._controller.desk
        if desk is None:
            raise ExportError(OPEN_FIRST)
        desks = list(self._controller.desks) if scope == "all" else [desk]
        if scope == "field":
            if desk.work is None:
                raise ExportError("No field is in work.", "Click on one, or choose the slide.")
            config = replace(config, fields=(desk.work.record.id,))
        elif scope == "view":
            viewer = self._controller.viewer
            config = replace(config, region=field_in_view(viewer, desk.slide.shape, desk.mpp))
        sources = [self._source(d) for d in desks if d.fields()]
        if not sources:
            raise ExportError(
                "There is nothing to export yet.", "Segment a field or draw something first."
            )
        return sources, config

    def _source(self, desk: Desk) -> SlideSource:
        usable = None if self._controller.saving.unsaved else desk.store
        return SlideSource(desk.slide, DeskLabels(desk.fields(), usable))

    def _progressed(self, progress: Progress) -> None:
        self.progressed.emit(progress)

    def _failed(self, error: BaseException) -> None:
        self._token = None
        self.ended.emit(None)
        said = "Cancelled; the same export goes on from there."
        tell_failure(error, self._controller.say, said)


def count(number: int, thing: str) -> str:
    """A number of things, in words."""
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"
