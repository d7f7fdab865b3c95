"""`pathseg segment`: prompts become masks of a region, without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from napari_pathseg.cli.console import answer, print_table, progress_line
from napari_pathseg.cli.options import Number
from napari_pathseg.cli.region import RegionOptions, open_region, region_options
from napari_pathseg.errors import PromptError
from napari_pathseg.geometry import Pair
from napari_pathseg.prompts import BoxPrompt, PointPrompt, Prompt, TextPrompt

if TYPE_CHECKING:
    from napari_pathseg.cli.results import Facts

Box = tuple[float, float, float, float]

_NUMBER = Number()


@click.command()
@click.argument("slide", type=click.Path(path_type=Path))
@click.option(
    "--prompt",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="What to look for; may be given again. Value i of the labels is the i-th prompt.",
)
@click.option(
    "--point", "points", type=_NUMBER, nargs=2, multiple=True, metavar="Y X", help="This too."
)
@click.option(
    "--negative-point",
    "negative_points",
    type=_NUMBER,
    nargs=2,
    multiple=True,
    metavar="Y X",
    help="Not this.",
)
@click.option(
    "--box",
    "boxes",
    type=_NUMBER,
    nargs=4,
    multiple=True,
    metavar="Y0 X0 Y1 X1",
    help="Only in here; without words: what is in here.",
)
@region_options
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for NAME.labels.tif, NAME.geojson and NAME.json; made when missing.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what NAME.json holds.")
def segment(
    slide: Path,
    texts: Sequence[str],
    points: Sequence[Pair],
    negative_points: Sequence[Pair],
    boxes: Sequence[Box],
    out: Path,
    as_json: bool,
    **options: Unpack[RegionOptions],
) -> None:
    """Segment a region of SLIDE by words, points and boxes.

    Places are level-0 pixels, y before x. Points and boxes refine what the words find; without
    words they make one class named "object".
    """
    prompts = collect_prompts(texts, points, negative_points, boxes)
    from napari_pathseg.cli.results import check_writable, facts_of, write_results

    check_writable(out)
    with progress_line() as progress, open_region(slide, **options) as here:
        segmentation = here.session.segment(here.region, prompts, progress=progress)
        facts = facts_of(here, segmentation, texts)
        facts = write_results(out, here.session, segmentation, facts)
    answer(facts, as_json, _print)


def collect_prompts(
    texts: Sequence[str],
    points: Sequence[Pair],
    negative_points: Sequence[Pair],
    boxes: Sequence[Box],
) -> list[Prompt]:
    """All prompts in the order words, boxes, points, points to leave out.

    Raises
    ------
    PromptError
        When there is none, or a box has no area.
    """
    for y0, x0, y1, x1 in boxes:
        if not (y0 < y1 and x0 < x1):
            raise PromptError(
                f"The box {y0:g} {x0:g} {y1:g} {x1:g} has no area.",
                "Give --box Y0 X0 Y1 X1 with Y0 < Y1 and X0 < X1.",
            )
    prompts: list[Prompt] = [TextPrompt(text) for text in texts]
    prompts += [BoxPrompt(*box) for box in boxes]
    prompts += [PointPrompt(*point) for point in points]
    prompts += [PointPrompt(*point, positive=False) for point in negative_points]
    if not prompts:
        raise PromptError("There is nothing to look for.", "Give --prompt, --point or --box.")
    if not (texts or points or boxes):
        raise PromptError(
            "A --negative-point alone says only what is not meant.",
            "Give --prompt, --point or --box too.",
        )
    return prompts


def _print(facts: Facts) -> None:
    rows = [
        (
            str(term["value"]),
            str(term["object"] or "object"),
            f"presence {term['presence']:.2f}",
            f"score {term['score']:.2f}",
            f"{term['pixels']} px",
        )
        for term in facts["terms"]
    ]
    print_table(rows)
    click.echo(f"{facts['seconds']:.1f} s, level {facts['level']}")
    for path in facts["files"].values():
        click.echo(path)
