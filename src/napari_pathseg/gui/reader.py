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
        return None if first.is_dir() and not is_mirax_data(first) else read_slides
    return read_slides


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
