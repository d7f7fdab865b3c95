"""`pathseg export`: the labels that are kept for slides, as files for other software."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_pathseg.cli.console import note, print_table, progress_line
from napari_pathseg.config import ExportConfig
from napari_pathseg.errors import ExportError
from napari_pathseg.geometry import Region

if TYPE_CHECKING:
    from napari_pathseg.export.run import Outlook
    from napari_pathseg.export.sources import Source

# As in `export.formats.FORMATS`, which takes long to import; a test compares them.
FORMATS = (
    "bundle",
    "geojson",
    "coco",
    "ome-zarr",
    "ome-tiff",
    "nnunet",
    "imagefolder",
    "parquet",
    "dicom-seg",
    "dicom-ann",
    "tif",
    "png",
    "csv",
)


@click.command()
@click.argument("slides", type=click.Path(path_type=Path), nargs=-1, required=True)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Where to write; made when missing. A bundle in it (DIR/training) is added to.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(FORMATS),
    multiple=True,
    default=("bundle",),
    show_default=True,
    help="May be given again. bundle: pictures, masks and provenance for training; geojson: for"
    " QuPath; coco; ome-zarr; ome-tiff; nnunet: a raw data set; imagefolder, parquet: for Hugging"
    " Face; dicom-seg, dicom-ann; tif, png: one mask a field; csv: measures of objects.",
)
@click.option("--region", type=int, nargs=4, metavar="Y X H W", help="Only what lies in it.")
@click.option("--reviewed", is_flag=True, help="Only fields that a person corrected or accepted.")
@click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Only this class; may be repeated."
)
@click.option("--level", type=int, help="Pyramid level of pictures and masks.")
@click.option("--mpp", type=float, metavar="M", help="Micrometres per pixel instead of a level.")
@click.option("--tile", "tile_px", type=int, metavar="PX", help="Cut fields into squares.")
@click.option("--overlap", "overlap_px", type=int, default=0, help="Of neighbouring tiles, pixels.")
@click.option(
    "--background",
    "background_ratio",
    type=float,
    metavar="R",
    help="At most R pieces without an object for each with one. [default: all]",
)
@click.option(
    "--objects",
    type=click.Choice(["annotation", "detection", "cell", "class"]),
    default="annotation",
    show_default=True,
    help="What objects become in QuPath; class: one annotation for all of a class.",
)
@click.option(
    "--outlines", "outlining", type=click.Choice(["rle", "polygon"]), default="rle",
    show_default=True, help="Of COCO: run lengths, or polygons where an object has no hole.",
)  # fmt: skip
@click.option(
    "--zarr",
    type=click.Choice(["image", "beside", "inside"]),
    default="image",
    show_default=True,
    help="OME-Zarr of each field with its image; or label pyramids of the slide, beside it or"
    " inside a slide that is OME-Zarr.",
)
@click.option(
    "--extent",
    type=click.Choice(["field", "slide"]),
    default="field",
    show_default=True,
    help="OME-TIFF of each field or of the whole slide.",
)
@click.option("--names", is_flag=True, help="Keep slide names, not their hashes.")
@click.option(
    "--number",
    "dataset_number",
    type=click.IntRange(1, 999),
    default=1,
    show_default=True,
    help="Of the nnU-Net data set.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be written, and how much.")
def export(
    slides: Sequence[Path],
    out: Path,
    formats: Sequence[str],
    region: tuple[int, int, int, int] | None,
    classes: Sequence[str],
    reviewed: bool,
    names: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    """Write the labels that were made of SLIDES in the viewer.

    A slide may also be a training bundle: pathseg export BUNDLE --format coco. Everything is
    written or nothing; what was interrupted goes on with the same command.
    """
    try:
        config = ExportConfig(
            formats=tuple(dict.fromkeys(formats)),
            region=Region(*region) if region else None,
            classes=tuple(classes),
            reviewed_only=reviewed,
            hide_names=not names,
            **options,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    from napari_pathseg.export.run import export_labels, look_ahead

    with ExitStack() as stack, progress_line() as progress:
        sources = [source for path in slides for source in _sources(path, len(slides) > 1, stack)]
        if not sources:
            raise ExportError("No labels are kept for any of the slides.", "Make some first.")
        if dry_run:
            _show(look_ahead(sources, config, progress=progress), config)
            return
        done = export_labels(sources, out, config, progress=progress)
    what = [_count(done.objects, "object"), "in", _count(done.fields, "field")]
    click.echo(" ".join([*what, "of", _count(done.slides, "slide")]))
    for path in done.paths:
        click.echo(path)


def _sources(path: Path, several: bool, stack: ExitStack) -> Sequence[Source]:
    """What is labelled of a slide, or of all slides of a bundle."""
    from napari_pathseg.export.sources import SlideSource, bundle_sources
    from napari_pathseg.labels.journal import LabelStore, store_path
    from napari_pathseg.slide.open import open_slide

    if (path / "metadata.jsonl").is_file():
        return bundle_sources(path)
    slide = stack.enter_context(open_slide(path))
    identity = slide.metadata.identity
    if not store_path(identity).exists():
        if several:
            note(f"no labels are kept for {path}; it is left out.")
            return ()
        raise ExportError(f"No labels are kept for {path}.", "Make some in the viewer first.")
    store = stack.enter_context(LabelStore.open(identity, path.name))
    return (SlideSource(slide, store),)


def _show(outlook: Outlook, config: ExportConfig) -> None:
    from napari_pathseg.export.run import megabytes

    pieces = _count(outlook.tiles, "tile") if config.tile_px else ""
    rows = [
        ("slides", str(outlook.slides)),
        ("fields", f"{outlook.fields} {f'({pieces})' if pieces else ''}".strip()),
        ("objects", f"{outlook.objects:,}"),
        ("classes", ", ".join(outlook.classes) or "none"),
        *((f"left out, {reason}", str(n)) for reason, n in outlook.left_out.items()),
        *((name, megabytes(size)) for name, size in outlook.sizes.items()),
        ("in all", megabytes(outlook.total_bytes)),
    ]
    print_table(rows)


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}" if number == 1 else f"{number} {thing}s"
