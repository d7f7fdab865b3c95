"""The desk without Qt: every action of the panel, the keys and the mouse ends here."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import PathsegError, StoreError
from napari_pathseg.geometry import Pair, world_to_level0
from napari_pathseg.gui.asking import Asking
from napari_pathseg.gui.classing import Classing
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.desks import Desks
from napari_pathseg.gui.drawing import Drawing
from napari_pathseg.gui.editing import Editing
from napari_pathseg.gui.explaining import Explaining
from napari_pathseg.gui.fields import Fields
from napari_pathseg.gui.jobs import ImmediateRunner, Job, Runner
from napari_pathseg.gui.layer_slide import plane_name
from napari_pathseg.gui.layers import KEY, warm_up
from napari_pathseg.gui.learning import use_words
from napari_pathseg.gui.messages import (
    OPEN_FIRST,
    Action,
    Message,
    of_error,
    scale_wanted,
    tell_failure,
)
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.refining import Refining
from napari_pathseg.gui.relocating import Relocating
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.reviewing import Reviewing
from napari_pathseg.gui.saving import Saving
from napari_pathseg.gui.settings import SettingsStore
from napari_pathseg.gui.stage import Stage
from napari_pathseg.gui.tools import PAINTING, Tool
from napari_pathseg.gui.words import WordBook
from napari_pathseg.progress import CancelToken, ProgressCallback
from napari_pathseg.prompts import Gesture, LassoPrompt, ScribblePrompt
from napari_pathseg.vocabulary import Resolution, Vocabulary

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_pathseg.models.base import Segmenter


class PathsegController:
    """Prompt, look, correct, next: on whatever slide is in the viewer.

    Parameters
    ----------
    viewer : napari.components.ViewerModel
        A viewer with or without a window.
    runner, writer, mender, opener : Runner
        For the model, for the label store, for live changes of the mask, which are made at once
        without one, and for opening slides, which wait for the model without one.
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
    accepted : Signal(Desk)
        What was shown of a desk was accepted.
    folder_wanted : Signal()
        The labels can not be kept where they are.
    """

    changed = Signal()
    said = Signal(object)
    busy_changed = Signal(bool)
    field_shown = Signal(object)
    accepted = Signal(object)
    folder_wanted = Signal()

    def __init__(
        self,
        viewer: ViewerModel,
        *,
        runner: Runner,
        writer: Runner,
        mender: Runner | None = None,
        opener: Runner | None = None,
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
        self.hand_shown = True
        self.config = config or SegmentConfig()
        self._runner = runner
        self._writer = writer
        self.mender = mender or ImmediateRunner()
        self._opener = opener or runner
        self.stage = Stage(viewer)
        self.relocating = Relocating(self, writer)
        self.saving = Saving(writer, self.relocating.not_saved, self._not_copied)
        self.fields = Fields(self)
        self.drawing = Drawing(self)
        self.refining = Refining(self)
        self.classing = Classing(self)
        self.words = WordBook(self)
        self.editing = Editing(self)
        self.asking = Asking(self, runner)
        self._copy_missed: set[str] = set()
        self.desks: Desks = Desks(
            self.stage,
            self._opener,
            self.saving,
            self.remembered,
            labels_folder or self.remembered.labels_folder,
            self.say,
            self.changed.emit,
            self._on_stage,
            self.set_mpp_of,
            self.relocating.places,
        )
        self.reviewing = Reviewing(self)
        self.explaining = Explaining(self, runner)
        viewer.scene.camera.events.zoom.connect(self._zoomed)

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
        if self.desk is None:
            return None
        return world_to_level0(float(position[-2]), float(position[-1]), self.desk.mpp)

    def slide_mpp(self) -> Pair | None:
        """Scale of the slide in work."""
        return None if self.desk is None else self.desk.mpp

    def takes_clicks(self) -> bool:
        """Whether a click is meant for the desk: a layer of its slide is active, not painting."""
        desk, active = self.desk, self.viewer.layers.selection.active
        if desk is None or active is None:
            return desk is not None
        mine = active in tuple(desk.layers()) or active.metadata.get(KEY) == "prompts"
        return mine and str(active.mode) == "pan_zoom"

    def show_drawn(self, shape: Gesture | None) -> None:
        """Show what the mouse has drawn so far; None when it is let go."""
        if self.desk is not None:
            self.stage.show_prompts(self.desk, () if shape is None else (shape,))

    def pressed(self, y: float, x: float) -> None:
        """A painting tool came down somewhere."""
        self.drawing.pressed(y, x)

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

    def add(self, gesture: Gesture) -> None:
        """Ask with a click, a box, a scribble or a lasso: this too, or not this."""
        self.asking.add(gesture)

    def drew_line(self, tool: Tool, path: Sequence[Pair], positive: bool) -> None:
        """A line was drawn with a tool; one place where the mouse was not moved."""
        if tool is Tool.LASSO:
            self.add(LassoPrompt(tuple(path), positive))
        elif tool is Tool.SCRIBBLE:
            self.add(ScribblePrompt(tuple(path), positive))
        elif tool is Tool.SPLIT:
            self.drawing.split(path)
        elif tool is Tool.JOIN:
            self.drawing.join(path)

    def cancel(self) -> None:
        """Stop the request that runs."""
        self.asking.cancel()

    # Tools, scale.

    def set_tool(self, tool: Tool) -> None:
        """Take a tool in hand; a second time it gives way to the usual one, clicking."""
        self.tool = Tool.ADD if tool is self.tool and tool is not Tool.PAN else tool
        if self.desk is not None:
            try:
                if self.tool in PAINTING and not self.may_change(self.desk):
                    self.tool = Tool.PAN
                self.drawing.hold(self.desk, self.tool)
            except PathsegError as error:
                self.tool = Tool.ADD
                self.say(of_error(error))
        elif tool in PAINTING:
            self.tool = Tool.ADD
            self.say(Message(OPEN_FIRST, "warning"))
        self.changed.emit()

    def ask_for_scale(self) -> None:
        """Say that the slide's scale is unknown, with the usual answers to choose from."""
        self.say(scale_wanted(self.set_mpp))

    def zoom_in(self) -> None:
        """Show a quarter of the view's area, around its centre."""
        self.viewer.scene.camera.zoom *= 2

    def set_mpp(self, mpp: Pair) -> None:
        """Give the slide in work a scale, remembered for it."""
        if self.desk is not None:
            self.set_mpp_of(self.desk, mpp)

    def set_mpp_of(self, desk: Desk, mpp: Pair) -> None:
        """Give a slide a scale, remembered for it."""
        self.cancel()
        self.fields.leave(desk)
        self.stage.drop_field(desk)
        desk.rescale(mpp)
        self.stage.rescale(desk, mpp, follow=desk is self.desk)
        try:
            self.remembered.set_scale(desk.identity, mpp)
        except StoreError as error:
            self.say(of_error(error))
        else:
            self.say(Message(f"{(mpp[0] + mpp[1]) / 2:.3g} µm/px, remembered for this slide."))
        self.changed.emit()

    def warm_up(self) -> None:
        """Load the model, and what napari needs for a first mask, before they are asked for."""

        def load(report: ProgressCallback, cancel: CancelToken) -> Segmenter:
            warm_up()
            cancel.raise_if_cancelled()  # of a window that is closed again
            segmenter = self.model.get(report, cancel)
            cancel.raise_if_cancelled()
            self.words.warm_up()
            return segmenter

        failed = partial(tell_failure, say=self.say)
        self._runner.submit(Job("Loading the model", load, partial(use_words, self), failed))

    def hide_masks(self, hidden: bool) -> None:
        """Look underneath."""
        if self.desk is not None:
            self.stage.show_only_tissue(self.desk, hidden)

    def outline(self) -> None:
        """Outlines instead of filled masks, and back."""
        self.outlined = not self.outlined
        self.stage.outline(self.desks, self.outlined)
        self.changed.emit()

    def show_hand(self) -> None:
        """Hatch what was corrected, or not."""
        self.hand_shown = not self.hand_shown
        self.stage.show_hand(self.desks, self.hand_shown)
        self.changed.emit()

    def _zoomed(self, _event: Any) -> None:
        self.stage.zoomed(self.desks)

    # Coming and going.

    def may_change(self, desk: Desk) -> bool:
        """Whether labels may be changed here; says why not."""
        if desk.read_only:
            self.say(self.desks.why_read_only(desk))
            return False
        if not self.desks.on_plane(desk):
            here = Action("Work on this plane", lambda: self.desks.reopen(desk.layer))
            plane = plane_name(desk.layer, desk.plane)
            self.say(Message(f"You work on {plane} of {desk.name}.", "warning", (here,)))
            return False
        return True

    def _on_stage(self, desk: Desk) -> None:
        """Show what a new desk brings."""
        self.stage.show_stored(desk)
        if desk.work is not None:
            self.editing.show(desk)
        else:
            self.viewer.layers.selection.active = desk.layer
        if len(desk.classes) and desk.classes.named(self.selected or "") is None:
            self.selected = next(iter(desk.classes)).name
        self.editing.bound(desk.layer)
        self.editing.prepare(desk)

    def keep_labels_in(self, folder: Path) -> None:
        """Keep the labels of the slide in another folder from now on."""
        if self.desk is not None:
            self.relocating.keep(self.desk, folder)

    def _not_copied(self, desk: Desk, error: PathsegError) -> None:
        if desk in self.saving.unsaved_desks:
            kept = f"The labels of {desk.name} are kept in memory until the window closes."
            self.say(Message(f"{error} {kept}", "error"))
        elif desk.identity not in self._copy_missed:
            self._copy_missed.add(desk.identity)
            self.say(Message(f"No copy of the labels beside the slide: {error.what}"))

    def close(self) -> None:
        """Stop what runs, finish what is being saved, and leave the viewer alone."""
        self.viewer.scene.camera.events.zoom.disconnect(self._zoomed)
        self.explaining.close()
        self.asking.close()
        self.mender.close()
        self._opener.close()
        self.saving.again()
        self.settings.close()
        self.desks.close()
        self.saving.flush()
        self._writer.close()
