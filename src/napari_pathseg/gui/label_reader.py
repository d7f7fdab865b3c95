"""napari reader of labels: what is dropped on the viewer goes to the panel's tab Export."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_pathseg.errors import ExportError

Paths = str | Sequence[str]
TITLE = "PathSeg"


def get_label_reader(path: Paths) -> Callable[[Paths], list[Any]] | None:
    """The reader of labels; None for a file that does not look like labels of ours or QuPath."""
    first = Path(path if isinstance(path, str) else path[0])
    try:
        with first.open("rb") as file:
            head = file.read(4096).decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    except OSError:
        return None
    known = any(word in head for word in ('"Feature', '"annotations"', '"geometry"'))
    return read_labels if head[:1] in ("{", "[") and known else None


def read_labels(path: Paths) -> list[Any]:
    """Hand labels to the panel, opened when it is not there; no layer is made here.

    Raises
    ------
    ExportError
        When there is no viewer with a window.
    """
    from napari import current_viewer

    from napari_pathseg.gui.widgets.export_page import ExportPage
    from napari_pathseg.gui.widgets.panel import PathsegPanel

    viewer = current_viewer()
    if viewer is None:
        raise ExportError(
            "Labels are taken in by the panel, and there is no window.", "Use: pathseg import."
        )
    shown = [w for w in viewer.window.dock_widgets.values() if isinstance(w, PathsegPanel)]
    panel = shown[0] if shown else _open_panel(viewer)
    page = panel.tabs.show_page("Export")
    assert isinstance(page, ExportPage)
    for each in [path] if isinstance(path, str) else path:
        page.importing.read(Path(each))
    return [(None,)]  # npe2's word for: read, and no layer came of it


def _open_panel(viewer: Any) -> Any:
    _, panel = viewer.window.add_plugin_dock_widget("napari-pathseg", TITLE)
    return panel
