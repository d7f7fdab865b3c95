"""The labels of a slide go to another folder, such as when a disk is full or a share is gone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_pathseg.errors import PathsegError, StoreError
from napari_pathseg.gui.desk import Desk
from napari_pathseg.gui.jobs import Job, Runner
from napari_pathseg.gui.messages import Action, Message, of_error, tell_failure
from napari_pathseg.labels.journal import LabelStore, store_path
from napari_pathseg.labels.refuge import in_refuge, leave_refuge, move, take_refuge

if TYPE_CHECKING:
    from napari_pathseg.gui.controller import PathsegController


class Relocating:
    """Finds labels a place that their folder does not give them.

    Parameters
    ----------
    controller : PathsegController
    writer : Runner
        That of the label stores.
    """

    def __init__(self, controller: PathsegController, writer: Runner) -> None:
        self._controller = controller
        self._writer = writer

    def not_saved(self, desk: Desk, error: PathsegError) -> None:
        """Say so, and keep the labels elsewhere until there is a better place."""
        text = f"{error} What you do is kept in memory."
        self._controller.say(Message(text, "error", self.places(desk)))
        if not _is_in_refuge(desk):
            self._seek_refuge(desk, error)

    def places(self, desk: Desk) -> tuple[Action, ...]:
        """What can be done where the labels of a slide can not be kept."""

        def again() -> None:
            if desk.store is not None and not _is_in_refuge(desk):
                self._controller.saving.again()
            else:
                folder = self._controller.desks.labels_folder
                self.keep(desk, store_path(desk.identity, folder).parent)

        wanted = self._controller.folder_wanted
        other = Action("Choose another folder", wanted.emit, "Keep the labels there")
        return Action("Try again", again, "Write what could not be written"), other

    def keep(self, desk: Desk, folder: Path) -> None:
        """Keep a desk's labels in another folder from now on; remembered.

        They go there with their whole history where the old store can still be read and none of
        this slide is there, and as they are shown otherwise.
        """
        fields, there = desk.fields(), store_path(desk.identity, folder).exists()

        def work() -> None:
            _swap(desk, move(fields, desk.store, desk.identity, desk.name, folder))

        self._writer.submit(
            Job(
                "Moving the labels",
                lambda _report, _cancel: work(),
                lambda _none: self._kept(folder, there),
                lambda error: tell_failure(error, self._controller.say),
            )
        )

    def keep_now(self, desk: Desk, folder: Path) -> None:
        """The same at once, as the window closes; the desk may have been left.

        Raises
        ------
        StoreError
            When the folder does not take them.
        """
        store = move(desk.fields(), desk.store, desk.identity, desk.name, folder)
        self._controller.saving.kept(desk)
        if desk in tuple(self._controller.desks):
            _swap(desk, store)
        else:
            store.close()
        self._remember(folder)

    def _kept(self, folder: Path, there: bool) -> None:
        controller = self._controller
        controller.saving.again()
        text = f"Labels are kept in {folder} now."
        if there:
            text += " There were labels of this slide already; yours are beside them."
        controller.say(Message(text, "good"))
        self._remember(folder)
        controller.changed.emit()

    def _remember(self, folder: Path) -> None:
        """Labels are in this folder from now on."""
        self._controller.desks.labels_folder = folder
        try:
            self._controller.remembered.set_labels_folder(folder)
        except StoreError as error:
            self._controller.say(of_error(error))

    def _seek_refuge(self, desk: Desk, why: PathsegError) -> None:
        """Keep labels elsewhere for now; where there is no such place they stay in memory."""
        fields = desk.fields()

        def work() -> Path:
            if desk.store is None or not _is_in_refuge(desk):
                _swap(desk, take_refuge(fields, desk.store, desk.identity, desk.name))
            assert desk.store is not None
            return desk.store.path.parent

        def done(folder: Path) -> None:
            self._controller.saving.again()
            text = f"{why.what} Until there is a better place, labels are kept in {folder}."
            self._controller.say(Message(text, "warning", self.places(desk)))

        self._writer.submit(
            Job(
                "Saving labels elsewhere",
                lambda _report, _cancel: work(),
                done,
                lambda error: tell_failure(error, lambda _message: None),
            )
        )


def _is_in_refuge(desk: Desk) -> bool:
    return desk.store is not None and in_refuge(desk.store.path)


def _swap(desk: Desk, store: LabelStore) -> None:
    """Another store for a desk; in the thread that writes, so that nothing is written meanwhile."""
    old, desk.store = desk.store, store
    if old is not None:
        old.close()
        if in_refuge(old.path) and not in_refuge(store.path) and not old.read_only:
            leave_refuge(old.path)
