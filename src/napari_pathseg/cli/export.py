"""`pathseg export`: the labels that are kept for a slide, as files for other software."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_pathseg.cli.console import progress_line
from napari_pathseg.errors import ExportError
from napari_pathseg.progress import Progress, ProgressCallback

if TYPE_CHECKING:
    from napari_pathseg.export.fields import ExportField
    from napari_pathseg.labels.journal import LabelStore
    from napari_pathseg.slide.base import Slide

FORMATS = ("bundle", "geojson", "tif", "png", "ome-zarr", "coco", "csv", "nnunet")
WITH_IMAGES = ("bundle", "ome-zarr", "nnunet")


@click.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where to write; made when missing. An older bundle is added to.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="bundle",
    show_default=True,
    help="bundle: images, masks and provenance for training; geojson: for QuPath; tif, png, "
    "ome-zarr: one for each field; coco; csv: measures of objects; nnunet: a raw data set.",
)
@click.option("--names", is_flag=True, help="Keep the slide's name in a bundle, not its hash.")
@click.option(
    "--number",
    type=click.IntRange(1, 999),
    default=1,
    show_default=True,
    help="Of the nnU-Net data set.",
)
def export(slide: Path, out: Path, form: str, names: bool, number: int) -> None:
    """Write the labels that were made of SLIDE in the viewer."""
    from napari_pathseg.labels.journal import LabelStore, store_path
    from napari_pathseg.slide.open import open_slide

    with open_slide(slide) as opened, progress_line() as progress:
        identity = opened.metadata.identity
        if not store_path(identity).exists():
            raise ExportError(f"No labels are kept for {slide}.", "Make some in the viewer first.")
        with LabelStore.open(identity, opened.path.name) as store:
            if not store.fields():
                raise ExportError(f"{slide} has no labelled fields.", "Make some in the viewer.")
            fields = _fields(opened, store, progress, images=form in WITH_IMAGES)
            stem = opened.path.stem
            if form == "bundle":
                written = _write_bundle(out, fields, names)
            elif form == "nnunet":
                written = _write_nnunet(out, stem, fields, number)
            elif form in ("tif", "png", "ome-zarr"):
                written = _write_each(out, stem, fields, form)
            else:
                written = _write_one_file(out, stem, fields, form)
    click.echo(written)


def _fields(
    slide: Slide, store: LabelStore, progress: ProgressCallback, *, images: bool
) -> Iterator[ExportField]:
    """The fields of a store one by one, so that a slide of many needs the memory of one."""
    from napari_pathseg.export.fields import ExportField

    records = store.fields()
    for done, listed in enumerate(records, start=1):
        progress(Progress(done, len(records), "writing fields"))
        record, mask = store.load(listed.id)
        yield ExportField(
            record,
            mask,
            image=slide.read(record.field) if images else None,
            before=store.proposal(record.id) if images else None,
        )


def _write_bundle(out: Path, fields: Iterator[ExportField], names: bool) -> str:
    from napari_pathseg.export.bundle import write_bundle

    return f"{_count(write_bundle(out, fields, hide_names=not names), 'field')} in {out}"


def _write_nnunet(out: Path, stem: str, fields: Iterator[ExportField], number: int) -> str:
    from napari_pathseg.export.nnunet import write_nnunet

    name = re.sub(r"[^A-Za-z0-9_]", "_", stem)
    return str(write_nnunet(out, fields, number=number, name=name))


def _write_one_file(out: Path, stem: str, fields: Iterator[ExportField], form: str) -> str:
    """All fields in one file."""
    from napari_pathseg.export.coco import write_coco
    from napari_pathseg.export.geojson import write_geojson
    from napari_pathseg.export.table import write_table

    if form == "geojson":
        path = out / f"{stem}.geojson"
        count = write_geojson(path, fields)
    elif form == "coco":
        path = out / f"{stem}.coco.json"
        count = write_coco(path, fields)
    else:
        path = out / f"{stem}.csv"
        count = write_table(path, fields)
    return f"{_count(count, 'object')} in {path}"


def _write_each(out: Path, stem: str, fields: Iterator[ExportField], form: str) -> str:
    """Files for each field, numbered in the order the fields were made."""
    from napari_pathseg.export.mask_png import write_mask_png
    from napari_pathseg.export.ome_zarr import write_ome_zarr

    count = 0
    for count, field in enumerate(fields, start=1):
        name = f"{stem}.{count}"
        if form == "tif":
            _write_tiff(out, name, field)
        elif form == "png":
            write_mask_png(out / f"{name}.png", field.mask, field.record.classes)
        else:
            write_ome_zarr(out / f"{name}.ome.zarr", field)
    return f"{_count(count, 'field')} in {out}"


def _write_tiff(out: Path, name: str, field: ExportField) -> None:
    """A label picture, and its record as JSON."""
    from napari_pathseg.export.atomic import whole_file
    from napari_pathseg.export.labels_tiff import write_labels_tiff

    record = field.record
    write_labels_tiff(out / f"{name}.labels.tif", field.mask, record.mpp, record.classes)
    with whole_file(out / f"{name}.json") as part:
        part.write_text(json.dumps(record.to_json(), indent=2) + "\n", encoding="utf-8")


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
