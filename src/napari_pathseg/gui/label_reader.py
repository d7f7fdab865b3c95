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


def holds_only_labels(path: Path) -> bool:
    """Whether a picture or an OME-Zarr is surely labels and no slide.

    That is a label image of OME-Zarr alone, what this package wrote, and pictures of one plane
    whose numbers have more bits than a camera gives.
    """
    if path.is_dir():
        from napari_pathseg.export.ome_zarr_read import is_label_zarr

        return is_label_zarr(path, alone=True)
    suffix = path.suffix.lower()
    if suffix not in (".png", ".tif", ".tiff"):
        return False
    from napari_pathseg.export.pictures import DAMAGED

    try:
        return _is_mask_png(path) if suffix == ".png" else _is_mask_tiff(path)
    except (OSError, *DAMAGED):
        return False  # whoever reads it as a slide says what is wrong


def _is_mask_png(path: Path) -> bool:
    from PIL import PngImagePlugin

    # By its name: Image.open refuses what is large before it is known to be no slide.
    with PngImagePlugin.PngImageFile(path) as image:
        mode, texts = image.mode, image.info
    if mode != "P":
        return mode.startswith("I")
    from napari_pathseg.export.mask_png import KEY

    return KEY in texts


def _is_mask_tiff(path: Path) -> bool:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        shape, dtype, said = page.shape, page.dtype, page.description
    if len(shape) != 2:
        return False  # the slides that people wait for: what follows imports what they need not
    from napari_pathseg.export.ome_tiff import KEY

    wide = dtype is not None and dtype.kind in "ui" and dtype.itemsize > 2
    return wide or said.startswith('{"classes"') or f'K="{KEY}"' in said


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
