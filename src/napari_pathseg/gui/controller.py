"""The desk without Qt: every action of the panel, the keys and the mouse ends here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_pathseg.classes import LabelClass
from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import (
    PathsegError,
    StoreError,
)
from napari_pathseg.geometry import Pair, world_to_level0
from napari_pathseg.gui.asking import Asking
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.desks import Desks
from napari_pathseg.gui.editing import Editing
from napari_pathseg.gui.exporting import Exported, export_desk
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.layers import warm_up
from napari_pathseg.gui.messages import OPEN_FIRST, Action, Message, of_error
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.saving import Saving
from napari_pathseg.gui.settings import NapariSettings, SettingsStore
from napari_pathseg.gui.stage import Stage
from napari_pathseg.gui.tools import PAINTING, Tool
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.prompts import BoxPrompt, PointPrompt
from napari_pathseg.vocabulary import Resolution, Vocabulary

if TYPE_CHECKING:
    from napari.components import ViewerModel


class PathsegController:
    """Prompt, look, correct, next: on whatever slide is in the viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        A viewer with or without a window.
    runner, writer : Runner
        For the model, and for the label store.
    model : SharedModel
    vocabulary : Vocabulary
    labels_folder : Path, optional
        Of the label stores; the user's data folder by default.
    remembered : Remembered, optional
    config : SegmentConfig
    settings : SettingsStore, optional
        What a person has set; the defaults, kept nowhere, without it.

    Attributes
    ----------
    changed : Signal()
        Anything that the panel shows has changed.
    said : Signal(Message)
    busy_changed : Signal(bool)
    field_shown : Signal(Layer)
        A layer came that the keys of the desk work on.
    """

    changed = Signal()
    said = Signal(object)
    busy_changed = Signal(bool)
    field_shown = Signal(object)

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        runner: Runner,
        writer: Runner,
        model: SharedModel,
        vocabulary: Vocabulary,
        labels_folder: Path | None = None,
        remembered: Remembered | None = None,
        config: SegmentConfig | None = None,
        settings: SettingsStore | None = None,
    ) -> None:
        self.viewer = viewer
        self.vocabulary = vocabulary
        self.model = model
        self.remembered = remembered or Remembered()
        self.settings = settings or SettingsStore()
        self.message = Message(OPEN_FIRST)
        self.tool = Tool.ADD
        self.threshold = (config or SegmentConfig()).threshold
        self.selected: str | None = None
        self.outlined = False
        self.config = config or SegmentConfig()
        self._runner = runner
        self._writer = writer
        self.stage = Stage(viewer)
        self.saving = Saving(writer, self._not_saved)
        self.editing = Editing(self)
        self.asking = Asking(self, runner)
        self.desks = Desks(
            self.stage,
            runner,
            self.remembered,
            labels_folder,
            self.say,
            self.changed.emit,
            self._on_stage,
        )

    # What the panel reads.

    @property
    def desk(self) -> Desk | None:
        """The slide in work."""
        return self.desks.current

    @property
    def busy(self) -> bool:
        """Whether the model is asked."""
        return bool(self.asking.busy)

    def level0_of(self, position: tuple[float, ...]) -> Pair | None:
        """Level-0 place of a world position, None without a slide."""
        desk = self.desk
        if desk is None:
            return None
        return world_to_level0(float(position[-2]), float(position[-1]), desk.mpp)

    def slide_mpp(self) -> Pair | None:
        """Scale of the slide in work."""
        return None if self.desk is None else self.desk.mpp

    def takes_clicks(self) -> bool:
        """Whether a click is meant for the desk: a layer of its slide is active, not painting."""
        desk, active = self.desk, self.viewer.layers.selection.active
        if desk is None or active is None:
            return desk is not None
        mine = active in tuple(desk.layers()) or active.metadata.get("pathseg") == "prompts"
        return mine and str(active.mode) == "pan_zoom"

    def pressed(self, y: float, x: float) -> None:
        """A painting tool came down somewhere."""
        self.editing.drawing.pressed(y, x)

    def say(self, message: Message) -> None:
        """Show a message in the place of the last one."""
        self.message = message
        self.said.emit(message)

    # Asking.

    def understand(self, text: str) -> Resolution | None:
        """How a text would be understood; None for an empty or too long one."""
        try:
            return self.vocabulary.resolve(text)
        except PathsegError:
            return None

    def segment_field(self, text: str) -> None:
        """Ask for a text in the visible field."""
        self.asking.segment_field(text)

    def add_point(self, point: PointPrompt) -> None:
        """Ask with a click: this too, or not this."""
        self.asking.add_point(point)

    def add_box(self, box: BoxPrompt) -> None:
        """Ask with a box."""
        self.asking.add_box(box)

    def cancel(self) -> None:
        """Stop the request that runs."""
        self.asking.cancel()

    # Tools, scale, export.

    def set_tool(self, tool: Tool) -> None:
        """Take a tool in hand; a second time puts it down."""
        self.tool = Tool.PAN if tool is self.tool and tool is not Tool.PAN else tool
        if self.desk is not None:
            try:
                self.editing.drawing.hold(self.desk, self.tool)
            except PathsegError as error:
                self.tool = Tool.ADD
                self.say(of_error(error))
        elif tool in PAINTING:
            self.tool = Tool.ADD
            self.say(Message(OPEN_FIRST, "warning"))
        self.changed.emit()

    def ask_for_scale(self) -> None:
        """Say that the slide's scale is unknown, with the usual answers to choose from."""
        usual = ((0.25, "40x"), (0.5, "20x"))
        actions = [
            Action(f"{um} as for {lens}", lambda um=um: self.set_mpp((um, um)), "µm per pixel")  # type: ignore[misc]
            for um, lens in usual
        ]
        text = "This file does not say its resolution, and words need it. Choose or set its scale."
        self.say(Message(text, "warning", tuple(actions)))

    def zoom_in(self) -> None:
        """Show a quarter of the view's area, around its centre."""
        self.viewer.scene.camera.zoom *= 2

    def set_mpp(self, mpp: Pair) -> None:
        """Give the slide a scale, remembered for it."""
        desk = self.desk
        if desk is None:
            return
        self.cancel()
        self.editing.leave_field(desk)
        self.stage.drop_field(desk)
        desk.rescale(mpp)
        self.stage.rescale(desk, mpp)
        try:
            self.remembered.set_scale(desk.identity, mpp)
        except StoreError as error:
            self.say(of_error(error))
        else:
            self.say(Message(f"{(mpp[0] + mpp[1]) / 2:.3g} µm/px, remembered for this slide."))
        self.changed.emit()

    def export(self, folder: Path, done: Callable[[Exported], None] = lambda _: None) -> None:
        """Write everything of the slide into a folder, in the background."""
        desk = self.desk
        if desk is None:
            self.say(Message(OPEN_FIRST, "warning"))
            return
        self.saving.flush()
        fields, slide, store = desk.fields(), desk.slide, desk.store
        usable = store if store is not None and not self.saving.unsaved else None

        def finished(exported: Exported) -> None:
            many = f"{exported.fields} fields" if exported.fields != 1 else "1 field"
            self.say(Message(f"{many}, {exported.objects} objects written to {folder}.", "good"))
            done(exported)

        self._runner.submit(
            Job(
                "Exporting",
                lambda report, cancel: export_desk(folder, slide, usable, fields, report, cancel),
                finished,
                self._not_exported,
                lambda progress: self.say(Message(progress.message, "busy")),
            )
        )

    def _not_exported(self, error: BaseException) -> None:
        if not isinstance(error, PathsegError):
            raise error
        self.say(of_error(error))

    def warm_up(self) -> None:
        """Load the model, and what napari needs for a first mask, before they are asked for."""

        def failed(error: BaseException) -> None:
            if not isinstance(error, PathsegError):
                raise error
            self.say(of_error(error))

        def load(_report: ProgressCallback, _cancel: CancelToken) -> None:
            warm_up()
            self.model.get()

        done = self.changed.emit
        self._runner.submit(Job("Loading the model", load, lambda _none: done(), failed))

    # Classes.

    def select_class(self, name: str) -> None:
        """The class that is drawn, and that a click without words belongs to."""
        self.selected = name
        if self.desk is not None:
            self.editing.drawing.hold(self.desk, self.tool)
        self.changed.emit()

    def add_class(self, name: str) -> None:
        """Add a class of one's own, or a term of the vocabulary, and select it."""
        desk, name = self.desk, name.strip()
        if desk is None or not name:
            return
        known = next((e for e in self.vocabulary.entries if e.name == name), None)
        term = known.term if known is not None else None
        desk.classes = desk.classes.with_class(name, term, self.vocabulary.color(name))
        self.editing.drawing.classes_changed(desk)
        self.select_class(name)

    def show_class(self, label_class: LabelClass, shown: bool) -> None:
        """The eye of a class."""
        if self.desk is not None:
            (self.desk.hidden.discard if shown else self.desk.hidden.add)(label_class.value)
            self.stage.recolor(self.desk)
            self.changed.emit()

    def hide_masks(self, hidden: bool) -> None:
        """Look underneath."""
        if self.desk is not None:
            self.stage.show_only_tissue(self.desk, hidden)

    def outline(self) -> None:
        """Outlines instead of filled masks, and back."""
        self.outlined = not self.outlined
        self.stage.outline(self.desks, self.outlined)
        self.changed.emit()

    # Coming and going.

    def _on_stage(self, desk: Desk) -> None:
        """Show what a new desk brings."""
        if desk.work is not None:
            self.editing.show(desk)
        self.stage.show_stored(desk)
        if desk.field_layer is None:
            self.viewer.layers.selection.active = desk.layer
        if len(desk.classes):
            self.selected = next(iter(desk.classes)).name
        self.editing.bound(desk.layer)

    def _not_saved(self, desk: Desk, error: PathsegError) -> None:
        again = Action("Try again", lambda: self.editing.save_again(desk))
        self.say(of_error(error, (again,)))

    def close(self) -> None:
        """Stop what runs, finish what is being saved, and leave the viewer alone."""
        self.asking.close()
        self.saving.flush()
        self._writer.close()
        self.settings.close()
        self.desks.close()


def default_controller(
    viewer: ViewerModel, runner: Runner, writer: Runner, **options: Any
) -> PathsegController:
    """A controller with the chosen model, the vocabulary that ships, and napari's settings."""
    from napari_pathseg.gui.models import load_chosen

    settings = options.pop("settings", None) or NapariSettings()
    return PathsegController(
        viewer,
        runner=runner,
        writer=writer,
        model=SharedModel(lambda: load_chosen(settings.value.model)),
        vocabulary=Vocabulary.load(),
        settings=settings,
        **options,
    )
