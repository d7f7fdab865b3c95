"""`pathseg explain`: where the model is unsure, and which objects speak for a term."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from napari_pathseg.cli.console import answer, print_table, progress_line
from napari_pathseg.cli.region import RegionOptions, open_region, region_options
from napari_pathseg.prompts import TextPrompt

if TYPE_CHECKING:
    from napari_pathseg.cli.results import Facts

SHOWN_OBJECTS = 10


@click.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.option(
    "--prompt",
    "texts",
    multiple=True,
    required=True,
    metavar="TEXT",
    help="What to look for; may be given again.",
)
@click.option(
    "--objects",
    "most",
    type=click.IntRange(0, 1000),
    default=24,
    show_default=True,
    metavar="N",
    help="How many objects of each class to weigh, the largest first; a look at the model each.",
)
@region_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for probability.png, uncertainty.png, objects.png and objects.csv.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all that is known as JSON.")
def explain(
    slide: Path,
    texts: Sequence[str],
    most: int,
    out: Path,
    as_json: bool,
    **options: Unpack[RegionOptions],
) -> None:
    """Show why a region of SLIDE is segmented as it is.

    Two maps, probability and uncertainty, and the objects that speak most for the term: those
    without which the model would be less sure that it is there.
    """
    from napari_pathseg.cli.explained import write_explained
    from napari_pathseg.cli.results import check_writable, facts_of
    from napari_pathseg.inference.explaining import object_importance

    check_writable(out)
    prompts = [TextPrompt(text) for text in texts]
    with progress_line() as progress, open_region(slide, **options) as here:
        segmentation = here.session.segment(here.region, prompts, progress=progress)
        importance = object_importance(
            here.session, segmentation, here.region, most=most, progress=progress
        )
        facts = facts_of(here, segmentation, texts)
        facts = write_explained(out, here.session.slide, segmentation, importance, facts)
    answer(facts, as_json, _print)


def _print(facts: Facts) -> None:
    rows = [
        (
            str(one["number"]),
            str(one["class"]),
            f"at {one['center'][0]:.0f} {one['center'][1]:.0f}",
            f"importance {one['importance']:.2f}",
        )
        for one in facts["objects"][:SHOWN_OBJECTS]
    ]
    print_table(rows)
    for path in facts["files"].values():
        click.echo(path)
