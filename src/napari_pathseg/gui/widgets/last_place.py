"""Labels that nowhere could be saved: a folder is asked for before they go with the window."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from napari_pathseg.errors import StoreError
from napari_pathseg.gui.controller import PathsegController


def save_rest(controller: PathsegController, parent: QWidget) -> None:
    """Save what is in memory only, also of slides that were closed before; ask for a folder until
    one takes it or it is given up.
    """
    saving, why = controller.saving, ""
    saving.flush()
    while desks := saving.unsaved_desks:
        names = ", ".join(dict.fromkeys(desk.name for desk in desks))
        folder = _ask(names, why, parent)
        if folder is None:
            return
        for desk in desks:
            try:
                controller.relocating.keep_now(desk, folder)
            except StoreError as error:
                why = str(error)


def _ask(names: str, why: str, parent: QWidget) -> Path | None:
    """A folder, None to give up."""
    box = QMessageBox(parent)
    box.setIcon(QMessageBox.Icon.Warning)
    box.setText(f"Labels of {names} could not be saved and are in memory only.")
    box.setInformativeText(why or "Choose a folder to keep them in, or they go with the window.")
    choose = box.addButton("Choose a folder…", QMessageBox.ButtonRole.AcceptRole)
    box.addButton("Lose them", QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(choose)
    box.exec()
    if box.clickedButton() is not choose:
        return None
    folder = QFileDialog.getExistingDirectory(parent, "Keep the labels in a folder")
    return Path(folder) if folder else _ask(names, why, parent)
