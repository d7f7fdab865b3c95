"""napari reader: slides, pictures and DICOM folders become layers, read as they are looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from napari_pathseg.errors import PathsegError, SlideError

Paths = str | Sequence[str]


def get_reader(path: Paths) -> Callable[[Paths], list[object]] | None:
    """The reader of a path, None where no backend knows the kind of file.

    What is surely labels goes to the panel, as other files of labels do.

    Parameters
    ----------
    path : str or list of str
        What the user dropped on the viewer. A list is read as one slide a path.
    """
    from napari_pathseg.gui.label_reader import holds_only_labels, read_labels
    from napari_pathseg.slide.open import choose_backend, index_of, is_mirax_data

    first = Path(path if isinstance(path, str) else path[0])
    if holds_only_labels(first):
        return read_labels
    try:
        choose_backend(index_of(first))
    except PathsegError:
        # napari would only say that no plugin reads it: a slide's trouble comes out on reading.
        if first.is_dir() and not is_mirax_data(first) and not _holds_slides(first):
            return _reader_of_folders()
    return read_slides


def _holds_slides(folder: Path) -> bool:
    """Whether a folder has whole slides in it: napari's own reader would load all of them whole."""
    from napari_pathseg.batch.inputs import SCANNERS

    return any(member.suffix.lower() in SCANNERS for member in folder.iterdir())


def _reader_of_folders() -> Callable[[Paths], list[object]] | None:
    """For a folder without a slide: None, unless napari was told to ask this package for all."""
    from napari.settings import get_settings

    from napari_pathseg.gui.settings import FOLDERS, PLUGIN, is_read_elsewhere

    is_ours = get_settings().plugins.extension2reader.get(FOLDERS) == PLUGIN
    return read_as_napari if is_ours and not is_read_elsewhere(FOLDERS) else None


def read_as_napari(path: Paths) -> list[object]:
    """What napari's own reader makes of a folder."""
    from npe2 import read

    paths = [path] if isinstance(path, str) else list(path)
    return [layer for each in paths for layer in read([each], stack=False, plugin_name="napari")]


def read_slides(path: Paths) -> list[object]:
    """Open slides for napari; only metadata is read here.

    Why one can not be opened is shown here too: napari tells only that a reader failed.

    Raises
    ------
    SlideError
        When one can not be opened; names the file and the way out.
    """
    from napari_pathseg.gui.sources import read_file

    paths = [path] if isinstance(path, str) else list(path)
    try:
        return [layer for each in paths for layer in read_file(Path(each))]
    except SlideError as error:
        from napari.utils.notifications import show_error

        show_error(str(error))
        raise
