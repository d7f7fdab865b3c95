"""The formats by name: what each is for, what it needs, and how it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from napari_pathseg.export.atomic import whole_file
from napari_pathseg.export.bundle import check_bundle, fill_bundle
from napari_pathseg.export.coco import annotations_of, write_annotations
from napari_pathseg.export.dicom import write_dicom_ann, write_dicom_seg
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.folder import check_ours, link_tree
from napari_pathseg.export.geojson import features, write_features
from napari_pathseg.export.imagefolder import fill_imagefolder, fill_parquet, is_imagefolder
from napari_pathseg.export.labels_tiff import write_labels_tiff
from napari_pathseg.export.mask_png import write_mask_png
from napari_pathseg.export.nnunet import dataset_name, fill_nnunet, is_nnunet
from napari_pathseg.export.pictures import write_rgb
from napari_pathseg.export.pyramids import write_ome_tiffs, write_ome_zarrs
from napari_pathseg.export.selecting import Piece
from napari_pathseg.export.sheet import write_sheet
from napari_pathseg.export.table import COLUMNS, rows
from napari_pathseg.export.task import Task
from napari_pathseg.geometry import Region, Shape

Write = Callable[[Task, Sequence[Piece]], None]

BUNDLE = "training"
COCO = "coco"
FOLDER = "imagefolder"
PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Format:
    """One format.

    Attributes
    ----------
    title : str
        For people, short.
    summary : str
        What it is for and what is kept, one sentence.
    write : callable
        Writes pieces into the task's folder.
    tiled : bool
        Whether tiles go out, or fields as a whole: objects of vector formats are never cut.
    package : str
        What must be installed besides, "" for nothing; `extra` brings it.
    extra : str
    """

    title: str
    summary: str
    write: Write
    tiled: bool = True
    package: str = ""
    extra: str = ""

    @property
    def available(self) -> bool:
        """Whether what it needs is installed."""
        return not self.package or find_spec(self.package) is not None


def _bundle(task: Task, pieces: Sequence[Piece]) -> None:
    here, there = task.folder / BUNDLE, task.out / BUNDLE
    check_bundle(there)
    if there.exists() and not here.exists():
        link_tree(there, here)  # what is in it stays
    here.mkdir(exist_ok=True)
    fill_bundle(here, [p.record for p in pieces], task.left(pieces, image=True, before=True))


def _geojson(task: Task, pieces: Sequence[Piece]) -> None:
    items = partial(features, objects=task.config.objects)
    for stem, own in task.by_slide(pieces):
        lines = (line for _, own_lines in task.lines(own, items) for line in own_lines)
        write_features(task.folder / f"{stem}.geojson", lines)


def _table(task: Task, pieces: Sequence[Piece]) -> None:
    items = partial(rows, hide_names=task.config.hide_names)
    for stem, own in task.by_slide(pieces):
        cells = (json.loads(line) for _, lines in task.lines(own, items) for line in lines)
        write_sheet(task.folder / f"{stem}.csv", COLUMNS, cells)


def _coco(task: Task, pieces: Sequence[Piece]) -> None:
    here = task.folder / COCO
    check_ours(task.out / COCO, _is_coco, "no COCO data set of napari-pathseg")
    for field in task.left(pieces, image=True):
        here.mkdir(exist_ok=True)
        write_rgb(here, f"images/{field.record.id}.png", field.pixels())
    items = partial(annotations_of, segmentation=task.config.outlining)
    made = ((record, map(json.loads, lines)) for record, lines in task.lines(pieces, items))
    write_annotations(here / "annotations.json", made)


def _is_coco(path: Path) -> bool:
    with (path / "annotations.json").open(encoding="utf-8") as file:
        return "napari-pathseg" in file.read(200)


def _nnunet(task: Task, pieces: Sequence[Piece]) -> None:
    stems = {task.stems[piece.of.slide_identity] for piece in pieces}
    name = stems.pop() if len(stems) == 1 else "pathseg"
    folder = dataset_name(task.config.dataset_number, re.sub(r"[^A-Za-z0-9_]", "_", name))
    check_ours(task.out / folder, is_nnunet, "no data set of napari-pathseg")
    (task.folder / folder).mkdir(exist_ok=True)
    records = [piece.record for piece in pieces]
    fill_nnunet(task.folder / folder, records, task.left(pieces, image=True))


def _imagefolder(task: Task, pieces: Sequence[Piece]) -> None:
    check_ours(task.out / FOLDER, is_imagefolder, "no data set of napari-pathseg")
    (task.folder / FOLDER).mkdir(exist_ok=True)
    records = [piece.record for piece in pieces]
    fill_imagefolder(task.folder / FOLDER, records, task.left(pieces, image=True))


def _parquet(task: Task, pieces: Sequence[Piece]) -> None:
    check_ours(task.out / PARQUET, is_imagefolder, "no data set of napari-pathseg")
    (task.folder / PARQUET).mkdir(exist_ok=True)
    records = [piece.record for piece in pieces]
    by_id = {piece.record.id: piece for piece in pieces}
    shown = 0

    def load(ids: Sequence[str]) -> Iterator[ExportField]:
        nonlocal shown
        for field_id in ids:
            task.tell(shown, len(pieces))
            shown += 1
            yield by_id[field_id].load(image=True)

    stage = task.stage
    fill_parquet(task.folder / PARQUET, records, load, done=stage.done, mark=stage.mark)


def _labels_tiff(task: Task, pieces: Sequence[Piece]) -> None:
    names = task.numbered(pieces)
    for field in task.left(pieces):
        record, name = field.record, names[field.record.id]
        path = task.folder / f"{name}.labels.tif"
        write_labels_tiff(path, field.mask, record.mpp, record.classes, record.field)
        _write_record(task.folder / f"{name}.json", field)


def _mask_png(task: Task, pieces: Sequence[Piece]) -> None:
    names = task.numbered(pieces)
    for field in task.left(pieces):
        record = field.record
        path = task.folder / f"{names[record.id]}.png"
        write_mask_png(path, field.mask, record.classes, record.field)


def _dicom_seg(task: Task, pieces: Sequence[Piece]) -> None:
    names = task.numbered(pieces)
    for field in task.left(pieces):
        write_dicom_seg(task.folder / f"{names[field.record.id]}.seg.dcm", field)


def _dicom_ann(task: Task, pieces: Sequence[Piece]) -> None:
    for stem, own in task.by_slide(pieces):
        levels = own[0].source.levels
        shape = levels[0][0] if levels else _reach([p.record.field.region for p in own])
        write_dicom_ann(task.folder / f"{stem}.ann.dcm", task.load(own), shape)


def _reach(regions: Sequence[Region]) -> Shape:
    """Of a slide that is not at hand: as far as its fields reach."""
    return max(r.stop_y for r in regions), max(r.stop_x for r in regions)


def _write_record(path: Path, field: ExportField) -> None:
    with whole_file(path) as part:
        text = json.dumps(field.record.to_json(), indent=2) + "\n"
        part.write_text(text, encoding="utf-8", newline="\n")


FORMATS: dict[str, Format] = {
    "bundle": Format(
        "Training bundle",
        "Pictures, class and instance masks, what the model proposed, provenance, splits: for"
        " pathseg train, and the source of all other formats",
        _bundle,
    ),
    "geojson": Format(
        "QuPath GeoJSON",
        "Objects with classes, colours and measurements, one file a slide",
        _geojson,
        tiled=False,
    ),
    "coco": Format("COCO", "Pictures and objects as run lengths or polygons", _coco),
    "ome-zarr": Format(
        "OME-Zarr 0.5",
        "Labels with the image, as pyramids beside the slide, or inside a slide that is OME-Zarr",
        write_ome_zarrs,
        tiled=False,
    ),
    "ome-tiff": Format(
        "OME-TIFF",
        "Class and object labels as a pyramid, for each field or the whole slide",
        write_ome_tiffs,
        tiled=False,
    ),
    "nnunet": Format("nnU-Net v2", 'A raw data set; what nobody reviewed is "ignore"', _nnunet),
    "imagefolder": Format(
        "Hugging Face folder", "Pictures and masks with metadata.jsonl and a card", _imagefolder
    ),
    "parquet": Format(
        "Hugging Face Parquet", "The same in Parquet files", _parquet, True, "pyarrow", "parquet"
    ),
    "dicom-seg": Format(
        "DICOM SEG", "Classes as segments", _dicom_seg, False, "highdicom", "dicom"
    ),
    "dicom-ann": Format(
        "DICOM ANN", "Objects as bulk annotations", _dicom_ann, False, "highdicom", "dicom"
    ),
    "tif": Format("Label TIFF", "One 16-bit class mask a field", _labels_tiff),
    "png": Format("Mask PNG", "One class mask a field in class colours, with a legend", _mask_png),
    "csv": Format("Measurements", "One row an object, one file a slide", _table, tiled=False),
}
