"""The pictures of a zarr: one OME-Zarr, or the several that a converter leaves in folders."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import zarr

from napari_pathseg.errors import DamagedSlideError, UnsupportedSlideError
from napari_pathseg.slide.ome import MAX_XML_CHARS, image_names
from napari_pathseg.slide.scenes import Picture, Scenes, scenes_of
from napari_pathseg.slide.zarr_layout import ZarrLayout, layout_of

OME_XML = "OME/METADATA.ome.xml"
"""Where converters keep the names of the pictures (layout "bioformats2raw", version 3)."""

Found = tuple[zarr.Group, ZarrLayout]


def pictures_of(root: zarr.Group, path: Path) -> tuple[list[Found], Scenes]:
    """Every picture below `root`, and which of them are slides.

    Raises
    ------
    UnsupportedSlideError
        When there is none.
    DamagedSlideError
        When the metadata are broken.
    """
    found = list(_found(root, path))
    if not found:
        raise UnsupportedSlideError(
            f"{path}: this zarr holds no OME-Zarr picture (no multiscales in its metadata)."
        )
    names = _names(path) if len(found) > 1 else []
    pictures = []
    for index, (group, layout) in enumerate(found):
        array = group.get(layout.paths[0])
        if not isinstance(array, zarr.Array) or array.ndim != len(layout.axes):
            raise DamagedSlideError(f"{path}: a level does not fit the axes it names.")
        height, width = (int(array.shape[layout.axes.index(axis)]) for axis in "yx")
        name = names[index] if index < len(names) else ""
        pictures.append(Picture(index, name or layout.name, height * width))
    return found, scenes_of(pictures, path)


def _found(root: zarr.Group, path: Path) -> Iterator[Found]:
    layout = layout_of(dict(root.attrs), path)
    if layout is not None:
        yield root, layout
        return
    for number in count():
        inner = root.get(str(number))
        if number == 0 and inner is None:
            inner = root.get(path.name.removesuffix(".zip"))
        layout = layout_of(dict(inner.attrs), path) if isinstance(inner, zarr.Group) else None
        if layout is None or not isinstance(inner, zarr.Group):
            return
        yield inner, layout


def _names(path: Path) -> list[str]:
    """Names of the pictures as the converter wrote them down, [] when it did not."""
    try:
        if path.is_dir():
            with (path / OME_XML).open("rb") as file:
                data = file.read(MAX_XML_CHARS)
        else:
            with zipfile.ZipFile(path) as archive, archive.open(OME_XML) as member:
                data = member.read(MAX_XML_CHARS)
    except (FileNotFoundError, KeyError):
        return []
    return image_names(data.decode("utf-8", "replace"))
