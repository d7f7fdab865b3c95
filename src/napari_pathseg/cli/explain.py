"""`pathseg explain`: where the model is unsure, and which objects speak for a term."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from napari_pathseg.cli.console import note, print_json, print_table, progress_line
from napari_pathseg.cli.segment import (
    MAX_TILES,
    Number,
    adapter_option,
    collect_prompts,
    context_option,
    mpp_notes,
    region_of,
)
from napari_pathseg.config import SegmentConfig
from napari_pathseg.slide.scale import PLAUSIBLE_MPP

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
    "--region",
    "corner_and_size",
    type=int,
    nargs=4,
    metavar="Y X H W",
    help="Part of the slide to explain. [default: all of it]",
)
@click.option(
    "--mpp",
    type=Number(*PLAUSIBLE_MPP),
    metavar="M",
    help="Micrometres per pixel of the slide, where its file does not say or is wrong.",
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
@adapter_option
@context_option
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
    corner_and_size: tuple[int, int, int, int] | None,
    mpp: float | None,
    most: int,
    adapters: Sequence[Path],
    context: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Show why a region of SLIDE is segmented as it is.

    Two maps, probability and uncertainty, and the objects that speak most for the term: those
    without which the model would be less sure that it is there.
    """
    prompts = collect_prompts(texts, (), (), ())
    from napari_pathseg.cli.explained import write_explained
    from napari_pathseg.cli.results import check_writable, facts_of
    from napari_pathseg.inference.explaining import object_importance
    from napari_pathseg.inference.session import open_session
    from napari_pathseg.inference.understanding import prompt_of_each_class

    check_writable(out)
    with progress_line() as progress:
        session = open_session(
            slide,
            mpp=None if mpp is None else (mpp, mpp),
            config=SegmentConfig(max_tiles=MAX_TILES, context=context),
            adapters=adapters,
        )
        with session.slide:
            notes = [] if mpp is None else mpp_notes(session, mpp)
            region = region_of(session, corner_and_size, notes)
            owners = prompt_of_each_class(texts, session.vocabulary, session.segmenter)
            segmentation = session.segment(region, prompts, progress=progress)
            importance = object_importance(
                session, segmentation, region, most=most, progress=progress
            )
            facts = facts_of(session, segmentation, region, owners, notes)
            facts = write_explained(out, session.slide, segmentation, importance, facts)
    for warning in facts["warnings"]:
        note(warning)
    if as_json:
        print_json(facts)
    else:
        _print(facts)


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
