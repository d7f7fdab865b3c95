"""Labels that nowhere could be saved: a folder is asked for before they go with the window."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_pathseg.gui.controller import PathsegController

QUESTION = "Labels could not be saved and are in memory only."


def save_rest(controller: PathsegController, parent: QWidget) -> None:
    """Save what is in memory only; ask for a folder until one takes it or it is given up."""
    saving = controller.saving
    saving.flush()
    while saving.unsaved:
        folder = _ask(controller, parent)
        if folder is None:
            return
        for desk in controller.desks:
            controller.relocating.keep(desk, folder)
        saving.flush()
        saving.again()
        saving.flush()


def _ask(controller: PathsegController, parent: QWidget) -> Path | None:
    """A folder, None to give up."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setText(QUESTION)
    box.setInformativeText(controller.message.text)
    choose = box.addButton("Choose a folder…", QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Lose them", QMessageBox.ButtonRole.DestructiveRole)
    box.exec()
    if box.clickedButton() is not choose:
        return None
    folder = QFileDialog.getExistingDirectory(parent, "Keep the labels in a folder")
    return Path(folder) if folder else _ask(controller, parent)
