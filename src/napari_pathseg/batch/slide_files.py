"""What is written of one slide: labels, outlines, objects and a thumbnail; then all appear."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.batch.label_pyramid import (
    label_pyramid,
    write_label_tiff,
    write_label_zarr,
)
from napari_pathseg.batch.settings import SlideJob
from napari_pathseg.classes import ClassList
from napari_pathseg.closing import Closing
from napari_pathseg.config import LabelFormat, ObjectForm
from napari_pathseg.export.atomic import flush
from napari_pathseg.export.geojson import object_feature
from napari_pathseg.export.labels_tiff import write_labels_tiff
from napari_pathseg.export.mask_png import write_mask_png
from napari_pathseg.geometry import Pair
from napari_pathseg.inference.joining import Joined, ObjectJoiner
from napari_pathseg.inference.seam_outlines import trace_objects
from napari_pathseg.inference.spool import LabelSpool
from napari_pathseg.inference.whole_slide import SlideLabels
from napari_pathseg.labels.measure import ObjectMeasure, measure_outlines
from napari_pathseg.labels.raster import Outline
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide.base import Slide
from napari_pathseg.slide.tissue import overview

WHOLE_PX = 4096
"""Labels of no longer side are one plain page, as `pathseg segment` writes them."""

PNG_PX = 8192
THUMBNAIL_PX = 640
SHOWN = 0.55
NECK_UM = 0.75
"""Nuclei are two where the waist between them is narrower by this; at least a pixel."""

AT_ONCE = 1000
SUFFIXES: dict[LabelFormat | str, str] = {
    "tif": ".labels.tif",
    "geojson": ".geojson",
    "zarr": ".labels.ome.zarr",
    "png": ".labels.png",
    "instances": ".instances.tif",
}
THUMBNAILS = "thumbnails"


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes
    ----------
    files : dict of str to str
        Name in the folder of results, by kind.
    objects : tuple of int
        Of each class.
    """

    files: dict[str, str]
    objects: tuple[int, ...]


class Numbering(Closing):
    """Numbers the objects of a slide while its labels are made, beside the model.

    Parameters
    ----------
    job : SlideJob
    classes : ClassList
    mpp : (float, float) or None
        Of a label pixel.
    cancel : CancelToken
    """

    def __init__(
        self, job: SlideJob, classes: ClassList, mpp: Pair | None, cancel: CancelToken
    ) -> None:
        self._path = job.folder / "parts.spool"
        self._split = _to_split(classes) if job.settings.instances else ()
        self._neck = max(NECK_UM / mpp[0], 1.0) if mpp else 1.0
        self._cancel = cancel
        self._joiner: ObjectJoiner | None = None

    def follow(self, labels: LabelSpool, rows: int) -> None:
        """So many rows of the labels are final."""
        if self._joiner is None:
            self._joiner = ObjectJoiner(
                labels, self._path, split=self._split, min_neck_px=self._neck
            )
        self._joiner.advance(rows, self._cancel)

    def joined(self, labels: LabelSpool) -> Joined:
        """All objects; they can be read until this is closed."""
        self.follow(labels, labels.shape[0])
        assert self._joiner is not None
        return self._joiner.result(self._cancel)

    def close(self) -> None:
        """Release the file of the numbers."""
        if self._joiner is not None:
            self._joiner.parts.close()


def write_slide(
    job: SlideJob,
    slide: Slide,
    result: SlideLabels,
    record: FieldRecord,
    joined: Joined,
    cancel: CancelToken,
) -> Written:
    """Write all files of a slide beside each other where nobody looks; `publish` shows them.

    Raises
    ------
    OSError, ExportError
        When the folder can not be written or the disk is full.
    CancelledError
    """
    ready = ready_folder(job)
    shutil.rmtree(ready, ignore_errors=True)
    ready.mkdir(parents=True)
    classes, counts = record.classes, [0] * (len(record.classes) + 1)
    legend: dict[str, str] = {}
    with ExitStack() as stack:
        beside = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="pathseg-outlines"))
        path = ready / _name(job, "geojson")
        outlined = beside.submit(_write_geojson, path, job, joined, record, counts, cancel)
        levels = stack.enter_context(label_pyramid(result.labels, job.folder))
        cancel.raise_if_cancelled()
        _write_tiff(ready / _name(job, "tif"), levels, result.mpp, classes)
        if "zarr" in job.settings.formats:
            write_label_zarr(ready / _name(job, "zarr"), levels, result.mpp, classes)
        if "png" in job.settings.formats:
            level = next(each for each in levels if max(each.shape) <= PNG_PX)
            mask = level.read(0, 0, *level.shape)
            legend = {"legend": write_mask_png(ready / _name(job, "png"), mask, classes).name}
        if job.settings.instances:
            _write_instances(ready / _name(job, "instances"), job, joined, result.mpp)
        cancel.raise_if_cancelled()
        _write_thumbnail(ready / THUMBNAILS / f"{job.name}.jpg", slide, levels[-1], classes)
        outlined.result()
    kinds: list[LabelFormat | str] = ["tif", "geojson"]
    kinds += [kind for kind in ("zarr", "png") if kind in job.settings.formats]
    kinds += ["instances"] if job.settings.instances else []
    files = {kind: _name(job, kind) for kind in kinds}
    files |= legend | {"thumbnail": f"{THUMBNAILS}/{job.name}.jpg"}
    return Written(files, tuple(counts[1:]))


def publish(job: SlideJob, facts: dict[str, Any]) -> None:
    """Move what is ready into the folder of results, the facts last, and clear up.

    Raises
    ------
    OSError
    """
    ready = ready_folder(job)
    (ready / job.facts_path.name).write_text(
        json.dumps(facts, indent=2, allow_nan=False) + "\n", encoding="utf-8", newline="\n"
    )
    for path in ready.iterdir():
        if path.is_file():
            flush(path)
    _remove(job, _files_before(job) - set(facts["files"].values()))
    job.facts_path.unlink(missing_ok=True)
    (job.out / THUMBNAILS).mkdir(exist_ok=True)
    for path in sorted(ready.iterdir(), key=lambda each: each.name == job.facts_path.name):
        target = job.out / path.name
        if path.name == THUMBNAILS:
            for picture in path.iterdir():
                picture.replace(target / picture.name)
            continue
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)
    shutil.rmtree(job.folder, ignore_errors=True)


def _files_before(job: SlideJob) -> set[str]:
    """Names of the files of what was done of the slide before."""
    try:
        facts = json.loads(job.facts_path.read_text(encoding="utf-8"))
        return {str(name) for name in facts["files"].values() if Path(name).name == name}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def _remove(job: SlideJob, names: set[str]) -> None:
    """Take away what would stand beside newer labels and not belong to them."""
    for path in (job.out / name for name in names):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def ready_folder(job: SlideJob) -> Path:
    """Where the files of a slide wait until all are written."""
    return job.folder / "ready"


def _name(job: SlideJob, kind: LabelFormat | str) -> str:
    return job.name + SUFFIXES[kind]


def _to_split(classes: ClassList) -> tuple[int, ...]:
    """Values of the classes whose objects are round and touch: nuclei and cells."""
    round_ = ("nuclei", "cell")
    return tuple(c.value for c in classes if c.term and c.term.structure in round_)


def _write_geojson(
    path: Path,
    job: SlideJob,
    joined: Joined,
    record: FieldRecord,
    counts: list[int],
    cancel: CancelToken,
) -> None:
    """Write the outlines as they are traced; counts the objects of each class on the way."""
    kind: ObjectForm = "detection" if job.settings.instances else "annotation"
    metadata = {
        "prompt": "; ".join(record.texts),
        "model": record.model,
        "model_sha256": record.model_sha256,
        "field": record.id,
    }
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, (outline, measure) in enumerate(_measured(joined, record.mpp, cancel)):
            counts[measure.class_value] += 1
            known = metadata | {"number": str(outline.value)}  # QuPath takes text alone
            feature = object_feature(record, outline, measure, known, objects=kind)
            file.write(",\n" if number else "\n")
            file.write(json.dumps(feature, allow_nan=False))
        file.write("\n]}\n")


def _measured(
    joined: Joined, mpp: Pair | None, cancel: CancelToken
) -> Iterator[tuple[Outline, ObjectMeasure]]:
    outlines = trace_objects(joined, cancel)
    while traced := list(islice(outlines, AT_ONCE)):
        values = [int(joined.classes[outline.value]) for outline in traced]
        yield from zip(traced, measure_outlines(traced, values, mpp), strict=True)


def _write_tiff(path: Path, levels: list[LabelSpool], mpp: Pair | None, classes: ClassList) -> None:
    finest = levels[0]
    if max(finest.shape) <= WHOLE_PX:
        write_labels_tiff(path, finest.read(0, 0, *finest.shape), mpp, classes)
    else:
        write_label_tiff(path, levels, mpp, classes)


def _write_instances(path: Path, job: SlideJob, joined: Joined, mpp: Pair | None) -> None:
    """The number of the object at each pixel, which the GeoJSON tells too."""
    parts = joined.parts
    spool = job.folder / "objects.spool"
    with ExitStack() as stack:
        objects = stack.enter_context(LabelSpool(spool, parts.shape, np.uint32))
        for row, column in parts.tiles():
            tile = parts.tile(row, column)
            if tile is not None:
                objects.put(row, column, joined.owner[tile])
        levels = stack.enter_context(label_pyramid(objects, job.folder))
        write_label_tiff(path, levels, mpp, ClassList())
    spool.unlink()


def _write_thumbnail(path: Path, slide: Slide, labels: LabelSpool, classes: ClassList) -> None:
    """The slide, small, with the classes over it in their colours."""
    pixels, _ = overview(slide, max(THUMBNAIL_PX, 64))
    small = labels.resampled(pixels.shape[:2])
    shown = pixels.astype(np.float32)
    for label_class in classes:
        inside = small == label_class.value
        color = np.array(label_class.color, dtype=np.float32)
        shown[inside] = (1 - SHOWN) * shown[inside] + SHOWN * color
    path.parent.mkdir(exist_ok=True)
    picture: npt.NDArray[np.uint8] = shown.round().astype(np.uint8)
    Image.fromarray(picture).save(path, format="JPEG", quality=85)
