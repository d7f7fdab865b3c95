"""`pathseg batch`: prompts over files, folders and whole slides, on one machine or many."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click

from napari_pathseg.cli.console import (
    interrupted_code,
    note,
    print_json,
    print_table,
    progress_line,
)
from napari_pathseg.cli.fetching import fetch_for
from napari_pathseg.cli.options import (
    Number,
    adapter_option,
    context_option,
    model_option,
    working_mpp_option,
)
from napari_pathseg.config import LabelFormat
from napari_pathseg.slide.scale import PLAUSIBLE_MPP


@click.command()
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--prompt",
    "texts",
    multiple=True,
    required=True,
    metavar="TEXT",
    help="What to look for; may be given again. Value i of the labels is the i-th prompt.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for NAME.labels.tif, NAME.geojson, NAME.json, report.csv, report.html, run.json.",
)
@click.option(
    "--mpp",
    type=Number(*PLAUSIBLE_MPP),
    metavar="M",
    help="Micrometres per pixel of slides whose file does not say.",
)
@click.option(
    "--tissue-only/--all",
    "tissue_only",
    default=None,
    help="Look where there is tissue, or everywhere. [default: tissue only, but all of a picture "
    "of a few tiles]",
)
@click.option(
    "--instances",
    is_flag=True,
    help="Cut touching nuclei and cells apart; NAME.instances.tif numbers the objects.",
)
@click.option(
    "--format",
    "formats",
    type=click.Choice(get_args(LabelFormat)),
    multiple=True,
    help="Besides tif and geojson, which are always written: zarr (OME-Zarr), png. May be given "
    "again.",
)
@model_option
@adapter_option
@context_option
@working_mpp_option
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Slides at a time, each in a process. [default: as cores and memory allow]",
)
@click.option(
    "--scheduler",
    metavar="ADDRESS",
    help="A running dask scheduler, such as tcp://10.0.0.5:8786, instead of processes here.",
)
@click.option(
    "--resume", is_flag=True, help="Leave what is finished in DIR, go on with what is not."
)
@click.option("--json", "as_json", is_flag=True, help="Print DIR/run.json.")
@click.pass_context
def batch(
    ctx: click.Context,
    inputs: Sequence[str],
    texts: Sequence[str],
    out: Path,
    mpp: float | None,
    tissue_only: bool | None,
    instances: bool,
    formats: Sequence[Any],
    model: str,
    adapters: Sequence[Path],
    context: bool,
    working_mpp: float | None,
    workers: int | None,
    scheduler: str | None,
    resume: bool,
    as_json: bool,
) -> None:
    """Segment each INPUT by words: slides and pictures of any size.

    An INPUT is a file, a folder of slides, a pattern such as "slides/**/*.svs", or a list: a text
    file with a path in each line, or a CSV file with a column slide and if need be mpp. A slide
    that can not be done is named, the others go on; the exit code is then 1.
    """
    from napari_pathseg.batch.run import prepare, run_batch
    from napari_pathseg.batch.settings import ALWAYS, BatchSettings
    from napari_pathseg.cli.results import check_writable
    from napari_pathseg.inference.adapting import load_adapted

    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers counts processes here; a --scheduler has its own.")
    check_writable(out)
    where = "auto" if tissue_only is None else "tissue" if tissue_only else "all"
    settings = BatchSettings(
        prompts=tuple(texts),
        mpp=mpp,
        where=where,  # type: ignore[arg-type]
        instances=instances,
        formats=tuple(dict.fromkeys([*ALWAYS, *formats])),
        # Workers may start in another folder.
        model=str(Path(model).absolute()) if Path(model).suffix else model,
        adapters=tuple(str(file.absolute()) for file in adapters),
        context=context,
        working_mpp=working_mpp,
    )
    fetch_for(settings.model)
    segmenter, vocabulary = load_adapted(settings.model, adapters, words_only=True)
    work = prepare(inputs, out, settings, segmenter, vocabulary, resume=resume)
    out.mkdir(parents=True, exist_ok=True)
    try:
        with progress_line() as progress:
            facts = run_batch(
                work, workers=workers, scheduler=scheduler, ended=_tell, progress=progress
            )
    except KeyboardInterrupt:
        done = sum(row["status"] == "done" for row in work.rows.values())
        note(
            f"cancelled; {done} of {len(work.jobs)} slides are done. "
            "The same command with --resume goes on."
        )
        ctx.exit(interrupted_code())
    if as_json:
        print_json(facts)
    else:
        _print(facts, out)
    if facts["failed"]:
        names = ", ".join(Path(row["slide"]).name for row in facts["failed"])
        note(f"{len(facts['failed'])} of {len(work.jobs)} slides failed: {names}.")
        ctx.exit(1)


def _tell(facts: dict[str, Any]) -> None:
    """A line for a slide that failed, as soon as it does."""
    if facts["status"] == "failed":
        note(f"failed: {facts['error']}")


def _print(facts: dict[str, Any], out: Path) -> None:
    rows = [
        (
            row["name"],
            term["name"],
            f"{term['objects']} objects",
            f"{term['pixels']} px",
            "before" if row.get("kept") else f"{row['seconds']:.1f} s",
        )
        for row in facts["slides"]
        for term in row.get("terms", ())
    ]
    print_table(rows)
    count = facts["counts"]
    click.echo(
        f"{count['done']} of {count['slides']} slides done ({count['kept']} before), "
        f"{count['failed']} failed"
    )
    click.echo(out / "report.html")
