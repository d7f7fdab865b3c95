"""`pathseg segment`: prompts become masks of a region, without a screen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_pathseg.cli.console import note, print_json, print_table, progress_line
from napari_pathseg.config import SegmentConfig
from napari_pathseg.errors import PromptError
from napari_pathseg.geometry import Pair, Region, region_inside
from napari_pathseg.prompts import BoxPrompt, PointPrompt, Prompt, TextPrompt
from napari_pathseg.slide.scale import PLAUSIBLE_MPP

if TYPE_CHECKING:
    from napari_pathseg.cli.results import Facts
    from napari_pathseg.inference.session import Session

Box = tuple[float, float, float, float]

# Nobody waits at a screen, so that a region may be larger than a field there.
MAX_TILES = 600


class Number(click.FloatRange):
    """A finite number, in a range if one is given."""

    name = "float"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; the command ends where it is none or infinite."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


_NUMBER = Number()

adapter_option = click.option(
    "--adapter",
    "adapters",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="What `pathseg train --from` learned; may be given again, the last one counts.",
)
context_option = click.option(
    "--context/--no-context",
    default=False,
    help="Let a model that can take what lies around each of its inputs into account, a fifth "
    "slower. [default: --no-context]",
)


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
@click.option(
    "--region",
    "corner_and_size",
    type=int,
    nargs=4,
    metavar="Y X H W",
    help="Part of the slide to segment. [default: all of it]",
)
@click.option(
    "--mpp",
    type=Number(*PLAUSIBLE_MPP),
    metavar="M",
    help="Micrometres per pixel of the slide, where its file does not say or is wrong.",
)
@adapter_option
@context_option
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
    corner_and_size: tuple[int, int, int, int] | None,
    mpp: float | None,
    adapters: Sequence[Path],
    context: bool,
    out: Path,
    as_json: bool,
) -> None:
    """Segment a region of SLIDE by words, points and boxes.

    Places are level-0 pixels, y before x. Points and boxes refine what the words find; without
    words they make one class named "object".
    """
    prompts = collect_prompts(texts, points, negative_points, boxes)
    from napari_pathseg.cli.results import check_writable, facts_of, write_results
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
            facts = facts_of(session, segmentation, region, owners, notes)
            facts = write_results(out, session, segmentation, facts)
    for warning in facts["warnings"]:
        note(warning)
    if as_json:
        print_json(facts)
    else:
        _print(facts)


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


def mpp_notes(session: Session, mpp: float) -> list[str]:
    """What to say when a person's scale is another one than the slide's."""
    stated = session.slide.metadata.mpp
    if stated is None or max(abs(side / mpp - 1) for side in stated) < 1e-3:
        return []
    return [
        f"--mpp {mpp:g} is used in place of the {stated[0]:g} x {stated[1]:g} µm per pixel "
        f"(y, x) that {session.slide.path.name} states."
    ]


def region_of(
    session: Session, corner_and_size: tuple[int, int, int, int] | None, notes: list[str]
) -> Region:
    """The region that was given, or all of the slide; `notes` says when it had to be cut."""
    shape = session.slide.shape
    if corner_and_size is None:
        return Region.whole(shape)
    asked = Region(*corner_and_size)
    inside = region_inside(asked, shape)
    if inside != asked:
        notes.append(f"The region {asked.as_list()} was cut to the slide: {inside.as_list()}.")
    return inside


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
