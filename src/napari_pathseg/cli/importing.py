"""`pathseg import`: labels of other software become editable labels of a slide."""

from __future__ import annotations

import getpass
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from napari_pathseg.cli.console import note, print_table

if TYPE_CHECKING:
    from napari_pathseg.export.incoming.frame import Incoming
    from napari_pathseg.export.incoming.mapping import Mapped


@click.command("import")
@click.argument("slide", type=click.Path(path_type=Path))
@click.argument("labels", type=click.Path(path_type=Path, exists=True))
@click.option(
    "--map",
    "changes",
    multiple=True,
    metavar="NAME=CLASS",
    help="What a class of the file becomes on the slide; nothing after = leaves it out.",
)
@click.option("--level", type=int, help="Of a mask that does not say it, or to draw objects at.")
@click.option(
    "--corner", type=int, nargs=2, metavar="Y X", help="Level-0 place of a mask's first pixel."
)
@click.option(
    "--numbers",
    type=click.Choice(["classes", "objects"]),
    help="What the numbers of a mask are. [default: told from the file]",
)
@click.option("--mpp", type=float, metavar="M", help="Of the slide, where its file is silent.")
@click.option("--reviewed", is_flag=True, help="A person vouches for these labels.")
@click.option(
    "--other-slide", is_flag=True, help="Take labels that were made on another file of it."
)
@click.option("--dry-run", is_flag=True, help="Only show what would become of its classes.")
def import_(
    slide: Path,
    labels: Path,
    changes: Sequence[str],
    level: int | None,
    corner: tuple[int, int] | None,
    numbers: Literal["classes", "objects"] | None,
    mpp: float | None,
    reviewed: bool,
    other_slide: bool,
    dry_run: bool,
) -> None:
    """Store LABELS as editable labels of SLIDE: all of them, or none when anything is wrong.

    LABELS is GeoJSON of QuPath and others, COCO, a label TIFF or PNG, OME-Zarr labels, DICOM SEG
    or a training bundle. Classes are matched with the slide's and with the vocabulary; of objects
    that are only numbered say what they are: --map objects=nucleus.
    """
    wanted = dict(_change(text) for text in changes)
    from napari_pathseg.export.incoming.frame import Frame, Where
    from napari_pathseg.export.incoming.mapping import propose, with_changes
    from napari_pathseg.export.incoming.reading import read_incoming
    from napari_pathseg.export.incoming.storing import classes_of, import_labels
    from napari_pathseg.labels.journal import LabelStore
    from napari_pathseg.slide.open import open_slide
    from napari_pathseg.vocabulary import Vocabulary

    with open_slide(slide) as opened:
        frame = Frame.of(opened, None if mpp is None else (mpp, mpp))
    incoming = read_incoming(labels, frame, Where(level, corner, other_slide, numbers or ""))
    vocabulary = Vocabulary.of_user()
    with LabelStore.open(frame.identity, slide.name) as store:
        classes = classes_of(store.fields())
        mapping = propose(incoming, classes, vocabulary)
        mapping = with_changes(mapping, wanted, classes, vocabulary)
        _show(incoming, mapping)
        if dry_run:
            return
        done = import_labels(
            incoming, mapping, store, frame, author=getpass.getuser(), reviewed=reviewed
        )
    fields = "1 field" if done.fields == 1 else f"{done.fields} fields"
    click.echo(f"{fields} of {slide} from {incoming.kind} {labels}")


def _change(text: str) -> tuple[str, str]:
    name, equals, target = text.partition("=")
    if not equals or not name:
        raise click.UsageError(f"--map {text!r} is not of the form NAME=CLASS.")
    return name, target


def _show(incoming: Incoming, mapping: Sequence[Mapped]) -> None:
    rows = [("in the file", "pixels", "becomes", "why")]
    for m in mapping:
        near = f" (near: {', '.join(m.near)})" if m.near else ""
        rows.append((m.source.name, f"{m.pixels:,}", m.target or "-", m.why + near))
    print_table(rows)
    if incoming.numbers:
        note(f"its numbers are taken for {incoming.numbers} (--numbers says otherwise).")
    for text in incoming.notes:
        note(f"left out: {text}.")
