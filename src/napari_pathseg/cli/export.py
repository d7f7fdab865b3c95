"""`pathseg export`: the labels that are kept for a slide, as files for other software."""

from __future__ import annotations

import json
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

FORMATS = ("bundle", "geojson", "tif", "ome-zarr")
WITH_IMAGES = ("bundle", "ome-zarr")


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
    help="bundle: images, masks and provenance for training; geojson: for QuPath; "
    "tif: a label picture and its record for each field; ome-zarr: an image with labels for each.",
)
@click.option("--names", is_flag=True, help="Keep the slide's name in a bundle, not its hash.")
def export(slide: Path, out: Path, form: str, names: bool) -> None:
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
            fields = _fields(opened, store, images=form in WITH_IMAGES)
            written = _write(out, opened.path.stem, form, fields, names, progress)
    click.echo(written)


def _fields(slide: Slide, store: LabelStore, *, images: bool) -> Iterator[ExportField]:
    """The fields of a store one by one, so that a slide of many needs the memory of one."""
    from napari_pathseg.export.fields import ExportField

    for listed in store.fields():
        record, mask = store.load(listed.id)
        yield ExportField(
            record,
            mask,
            image=slide.read(record.field) if images else None,
            before=store.proposal(record.id) if images else None,
        )


def _write(
    out: Path,
    stem: str,
    form: str,
    fields: Iterator[ExportField],
    names: bool,
    progress: ProgressCallback,
) -> str:
    """Write fields in one form and say what was written."""
    if form == "bundle":
        from napari_pathseg.export.bundle import write_bundle

        count = write_bundle(out, fields, hide_names=not names, progress=progress)
        return f"{count} fields in {out}"
    if form == "geojson":
        from napari_pathseg.export.geojson import write_geojson

        path = out / f"{stem}.geojson"
        return f"{write_geojson(path, fields, progress=progress)} objects in {path}"
    write_one = _write_tiff if form == "tif" else _write_ome_zarr
    count = 0
    for count, field in enumerate(fields, start=1):
        progress(Progress(count, 0, f"Writing field {count}"))
        write_one(out, f"{stem}.{count}", field)
    return f"{count} fields in {out}"


def _write_tiff(out: Path, name: str, field: ExportField) -> None:
    """A label picture and its record."""
    from napari_pathseg.export.atomic import whole_file
    from napari_pathseg.export.labels_tiff import write_labels_tiff

    record = field.record
    write_labels_tiff(out / f"{name}.labels.tif", field.mask, record.mpp, record.classes)
    with whole_file(out / f"{name}.json") as part:
        part.write_text(json.dumps(record.to_json(), indent=2) + "\n", encoding="utf-8")


def _write_ome_zarr(out: Path, name: str, field: ExportField) -> None:
    """An image with its labels."""
    from napari_pathseg.export.ome_zarr import write_ome_zarr

    write_ome_zarr(out / f"{name}.ome.zarr", field)
