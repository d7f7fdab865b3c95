"""Learning from the desk's corrections, and the adapters that came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_pathseg.errors import PathsegError
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import Message, of_error, tell_failure
from napari_pathseg.gui.work import author
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.models.adapter_folder import AdapterFolder, Installed
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback

if TYPE_CHECKING:
    from napari_pathseg.classes import LabelClass
    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.gui.desk import Desk
    from napari_pathseg.models.base import ModelCard, Segmenter
    from napari_pathseg.training.lesson import Lesson
    from napari_pathseg.training.lesson_trainer import LearningConfig

NEEDED = 5


@dataclass(frozen=True, slots=True)
class Subject:
    """A class that could be learned: how many reviewed fields it has on how many open slides."""

    name: str
    fields: int
    slides: int

    @property
    def missing(self) -> int:
        """How many fields more it takes."""
        return max(NEEDED - self.fields, 0)


class Learning:
    """Learns one class at a time, in the background, and installs what was learned.

    Parameters
    ----------
    controller : PathsegController
    runner : Runner
        Of its own, so that the model can be asked meanwhile.
    folder : AdapterFolder, optional
        The user's own by default.
    config : LearningConfig, optional

    Attributes
    ----------
    changed : Signal()
        Something that the tab shows has changed.
    lesson : Lesson or None
        What was learned and waits to be accepted or discarded.
    progress : Progress or None
        While it learns; a LessonProgress has the curve.
    """

    changed = Signal()

    def __init__(
        self,
        controller: PathsegController,
        runner: Runner,
        folder: AdapterFolder | None = None,
        config: LearningConfig | None = None,
    ) -> None:
        self._controller, self._runner = controller, runner
        self.folder = folder or AdapterFolder()
        self._config = config
        self._token: CancelToken | None = None
        self.lesson: Lesson | None = None
        self.progress: Progress | None = None

    @property
    def busy(self) -> bool:
        """Whether it learns."""
        return self.progress is not None

    def subjects(self) -> tuple[Subject, ...]:
        """The classes of all open slides with what there is to learn from, most first."""
        fields: dict[str, int] = {}
        slides: dict[str, set[str]] = {}
        for desk in self._controller.desks:
            for record in _records(desk):
                for label_class in record.classes:
                    reviewed = record.status != "proposed"
                    fields[label_class.name] = fields.get(label_class.name, 0) + reviewed
                    if reviewed:
                        slides.setdefault(label_class.name, set()).add(record.slide_identity)
        found = (Subject(n, count, len(slides.get(n, ()))) for n, count in fields.items())
        return tuple(sorted(found, key=lambda s: (-s.fields, s.name)))

    def start(self, name: str) -> None:
        """Learn a class; the lesson then waits in `lesson`."""
        if self.busy:
            return
        label_class = self._class_named(name)
        if label_class is None:
            return
        given = [
            (record, mask, partial(desk.slide.read, record.field))
            for desk in self._controller.desks
            for record, mask in desk.fields()
        ]
        vocabulary, model, config = (
            self._controller.vocabulary,
            self._controller.model,
            self._config,
        )

        def work(report: ProgressCallback, cancel: CancelToken) -> Lesson:
            from napari_pathseg.training.learning import learn
            from napari_pathseg.training.lesson import lesson_fields, term_of

            term = term_of(label_class, vocabulary)
            fields = lesson_fields(given, term, vocabulary)
            base = base_of(model.get())
            return learn(term, fields, base, config=config, progress=report, cancel=cancel)

        self.lesson, self.progress = None, Progress(0, 1, f"Learning {name}")
        self._submit("Learning", work, self._learned, self._reported)
        self.changed.emit()

    def cancel(self) -> None:
        """Stop learning; nothing is kept."""
        if self._token is not None:
            self._token.cancel()

    def discard(self) -> None:
        """Forget what was learned."""
        self.lesson = None
        self.changed.emit()

    def accept(self) -> None:
        """Install what was learned and use it from now on."""
        lesson = self.lesson
        if lesson is None:
            return
        self.lesson = None

        def keep(base: ModelCard) -> None:
            from napari_pathseg.training.lesson import adapter_of

            self.folder.keep(adapter_of([lesson], base, author=author()))

        self._change(
            keep,
            f"{lesson.taught.term.object}: learned, and used from now on.",
        )

    def installed(self) -> tuple[Installed, ...]:
        """The adapters on this computer; in trouble where they do not fit the model in use."""
        loaded = self._controller.model.loaded
        try:
            return self.folder.installed(None if loaded is None else base_of(loaded).card)
        except PathsegError as error:
            self._controller.say(of_error(error))
            return ()

    def switch(self, path: Path, *, on: bool) -> None:
        """Use an adapter or not."""
        said = "used" if on else "no longer used"
        self._change(
            lambda _base: self.folder.switch(path, on=on), f"{path.name.split('.')[0]} is {said}."
        )

    def install(self, path: Path) -> None:
        """Take over an adapter's file and use it."""
        self._change(lambda _base: self.folder.install(path), f"{path.name} is used from now on.")

    def remove(self, path: Path) -> None:
        """Delete an adapter."""
        self._change(lambda _base: self.folder.remove(path), f"{path.name} was removed.")

    def share(self, path: Path, target: Path) -> None:
        """Copy an adapter's file to a place from where others can take it."""
        say = self._controller.say
        try:
            copied = self.folder.share(path, target)
        except PathsegError as error:
            say(of_error(error))
        else:
            say(Message(f"Copied to {copied}. It works with the same model only.", "good"))

    def close(self) -> None:
        """Stop what runs; nothing is delivered any more."""
        self._runner.close()

    def _change(self, change: Callable[[ModelCard], object], said: str) -> None:
        """Change what is installed, in the background, and use what is on then."""

        def work(_report: ProgressCallback, _cancel: CancelToken) -> Segmenter:
            base = base_of(self._controller.model.get())
            change(base.card)
            return with_adapters(base, self.folder)

        def done(segmenter: Segmenter) -> None:
            self._controller.model.put(segmenter)
            for desk in self._controller.desks:
                desk.session = None
            use_words(self._controller, segmenter)
            self._controller.say(Message(said, "good"))
            self._controller.changed.emit()
            self.changed.emit()

        self._submit("Changing adapters", work, done)

    def _submit(
        self,
        title: str,
        work: Callable[[ProgressCallback, CancelToken], Any],
        done: Callable[[Any], None],
        progressed: Callable[[Progress], None] = lambda _: None,
    ) -> None:
        token = self._runner.submit(Job(title, work, done, self._failed, progressed))
        # A runner without a background has already ended.
        self._token = token if self.busy else None

    def _learned(self, lesson: Lesson) -> None:
        self.lesson, self.progress, self._token = lesson, None, None
        name = lesson.taught.term.object
        self._controller.say(Message(f"{name}: look at before and after, then accept or discard."))
        self.changed.emit()

    def _reported(self, progress: Progress) -> None:
        if self.busy:
            self.progress = progress
            self.changed.emit()

    def _failed(self, error: BaseException) -> None:
        self.progress, self._token = None, None
        self.changed.emit()
        tell_failure(error, self._controller.say, "Cancelled. Nothing was learned.")

    def _class_named(self, name: str) -> LabelClass | None:
        named = (desk.classes.named(name) for desk in self._controller.desks)
        return next((found for found in named if found is not None), None)


def base_of(segmenter: Segmenter) -> Segmenter:
    """The model itself, without adapters."""
    from napari_pathseg.models.adapted import AdaptedSegmenter

    return segmenter.base if isinstance(segmenter, AdaptedSegmenter) else segmenter


def with_adapters(base: Segmenter, folder: AdapterFolder | None = None) -> Segmenter:
    """A model with the adapters that are switched on for it.

    Raises
    ------
    ModelError
    """
    from napari_pathseg.models.adapted import AdaptedSegmenter

    adapters = (folder or AdapterFolder()).in_use(base.card)
    return AdaptedSegmenter(base, adapters) if adapters else base


def use_words(controller: PathsegController, segmenter: Segmenter) -> None:
    """Let the desk understand the words that a model and its adapters were taught."""
    from napari_pathseg.inference.adapting import with_taught, with_words_of
    from napari_pathseg.models.adapted import AdaptedSegmenter

    adapters = segmenter.adapters if isinstance(segmenter, AdaptedSegmenter) else ()
    try:
        vocabulary = with_taught(controller.vocabulary, [adapter.card for adapter in adapters])
        controller.vocabulary = with_words_of(vocabulary, segmenter.card)
    except PathsegError as error:
        controller.say(of_error(error))
    controller.changed.emit()


def _records(desk: Desk) -> list[FieldRecord]:
    """All records of a desk as they are now."""
    records = dict(desk.records)
    if desk.work is not None:
        records[desk.work.id] = desk.work.record
    return list(records.values())
