"""Pyramids of fields or of whole slides: OME-TIFF, and OME-Zarr beside or inside the image."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_pathseg.errors import ExportError
from napari_pathseg.export.atomic import os_errors, whole_file
from napari_pathseg.export.canvas import Canvas, slide_canvas
from napari_pathseg.export.folder import check_ours
from napari_pathseg.export.ome_tiff import write_ome_tiff
from napari_pathseg.export.ome_zarr import PAIR, fill_ome_zarr, is_ours, write_zarr_labels
from napari_pathseg.export.selecting import Piece
from napari_pathseg.export.sources import SlideSource
from napari_pathseg.export.task import Task

_INSIDE = "pathseg-"
_FOREIGN = "no OME-Zarr of napari-pathseg"


def write_ome_tiffs(task: Task, pieces: Sequence[Piece]) -> None:
    """One OME-TIFF for each field, or for each slide."""
    if task.config.extent == "slide":
        for stem, own in task.by_slide(pieces):
            canvas = slide_canvas(own, task.config)
            write_ome_tiff(task.folder / f"{stem}.labels.ome.tif", canvas, cancel=task.cancel)
        return
    names = task.numbered(pieces)
    for piece in task.unwritten(pieces):
        canvas = Canvas([piece], piece.record.field)
        path = task.folder / f"{names[piece.record.id]}.labels.ome.tif"
        write_ome_tiff(path, canvas, cancel=task.cancel)


def write_ome_zarrs(task: Task, pieces: Sequence[Piece]) -> None:
    """An OME-Zarr for each field with its image, or label pyramids beside or inside the slide."""
    if task.config.zarr == "image":
        names = task.numbered(pieces)
        for name in names.values():
            check_ours(task.out / f"{name}.ome.zarr", is_ours, _FOREIGN)
        for field in task.left(pieces, image=True):
            path = task.folder / f"{names[field.record.id]}.ome.zarr"
            shutil.rmtree(path, ignore_errors=True)  # what an interrupted export left half
            fill_ome_zarr(path, field)
        return
    for stem, own in task.by_slide(pieces):
        canvas = slide_canvas(own, task.config)
        if task.config.zarr == "inside":
            _write_inside(_zarr_of(own[0]), canvas, task)
            continue
        for name in PAIR:
            path = task.folder / f"{stem}.{name}.ome.zarr"
            check_ours(task.out / path.name, is_ours, _FOREIGN)
            shutil.rmtree(path, ignore_errors=True)
            write_zarr_labels(path, canvas, name, "", task.cancel)


def _zarr_of(piece: Piece) -> Path:
    """The slide's folder, which must be an OME-Zarr 0.5 of one picture."""
    source = piece.source
    slide = source.slide if isinstance(source, SlideSource) else None
    path = slide.path if slide is not None else Path()
    file = path / "zarr.json"
    try:
        ome = json.loads(file.read_bytes())["attributes"]["ome"]
        fits = "multiscales" in ome and ome["version"] == "0.5"
    except (OSError, ValueError, KeyError, TypeError):
        fits = False
    if not fits:
        raise ExportError(
            f"{source.name} is no OME-Zarr 0.5 folder, so that labels can not go inside.",
            "Write them beside it.",
        )
    return path


def _write_inside(slide: Path, canvas: Canvas, task: Task) -> None:
    """Add both label pyramids to `slide/labels`; its list changes last, in one move."""
    labels = slide / "labels"
    index = labels / "zarr.json"
    with os_errors(labels):
        labels.mkdir(exist_ok=True)
        for name in PAIR:
            part = labels / f".{_INSIDE}{name}.part"
            shutil.rmtree(part, ignore_errors=True)
            try:
                write_zarr_labels(part, canvas, name, "../../", task.cancel)
                place = labels / f"{_INSIDE}{name}"
                check_ours(place, is_ours, _FOREIGN)
                shutil.rmtree(place, ignore_errors=True)
                part.rename(place)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    listed = _listed(index)
    names = {*listed["attributes"]["ome"]["labels"], *(_INSIDE + name for name in PAIR)}
    listed["attributes"]["ome"]["labels"] = sorted(names)
    with whole_file(index) as part:
        part.write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8", newline="\n")


def _listed(index: Path) -> dict[str, Any]:
    """The metadata of the labels group, an empty one where there is none."""
    if not index.exists():
        ome = {"version": "0.5", "labels": []}
        return {"zarr_format": 3, "node_type": "group", "attributes": {"ome": ome}}
    try:
        found: dict[str, Any] = json.loads(index.read_bytes())
        list(found["attributes"]["ome"]["labels"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ExportError(f"{index} is damaged: {error!r}.") from error
    return found
