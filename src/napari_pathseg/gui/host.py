"""What the parts of the desk need of the controller that holds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from napari_pathseg.config import SegmentConfig
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Runner
from napari_pathseg.gui.messages import Message
from napari_pathseg.gui.models import SharedModel
from napari_pathseg.gui.remembered import Remembered
from napari_pathseg.gui.saving import Saving
from napari_pathseg.gui.settings import SettingsStore
from napari_pathseg.gui.stage import Stage
from napari_pathseg.gui.tools import Tool
from napari_pathseg.vocabulary import Vocabulary

if TYPE_CHECKING:
    from napari.components import ViewerModel

    from napari_pathseg.gui.classing import Classing
    from napari_pathseg.gui.desks import Desks
    from napari_pathseg.gui.drawing import Drawing
    from napari_pathseg.gui.editing import Editing
    from napari_pathseg.gui.fields import Fields
    from napari_pathseg.gui.refining import Refining
    from napari_pathseg.gui.words import WordBook


class Host(Protocol):
    """The controller, as asking, editing, drawing and the rest see it."""

    viewer: ViewerModel
    vocabulary: Vocabulary
    model: SharedModel
    remembered: Remembered
    config: SegmentConfig
    settings: SettingsStore
    stage: Stage
    saving: Saving
    desks: Desks
    mender: Runner
    editing: Editing
    drawing: Drawing
    fields: Fields
    refining: Refining
    classing: Classing
    words: WordBook
    tool: Tool
    threshold: float
    selected: str | None
    outlined: bool
    message: Message
    changed: Any
    busy_changed: Any
    field_shown: Any
    accepted: Any

    @property
    def desk(self) -> Desk | None:
        """The slide in work."""

    def say(self, message: Message) -> None:
        """Show a message."""

    def ask_for_scale(self) -> None:
        """Say that the scale is unknown."""

    def zoom_in(self) -> None:
        """Show less."""

    def may_change(self, desk: Desk) -> bool:
        """Whether labels may be changed here; says why not."""
