"""`pathseg train`: images with masks become a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from napari_pathseg.cli.console import note, progress_line

FULL_MINUTES = 30.0


@click.command()
@click.argument("cases", type=click.Path(path_type=Path), required=False)
@click.option(
    "--from",
    "bundle",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="BUNDLE",
    help="Learn from a training bundle of corrected fields instead: writes a small adapter.",
)
@click.option(
    "--term", "terms", multiple=True, metavar="TEXT", help="Only this class of the bundle."
)
@click.option("--name", help="Of the adapter. [default: its terms]")
@click.option("--author", default="", help="Of the corrections, for the adapter's card.")
@click.option(
    "--full", is_flag=True, help="Train the whole model further on the bundle, not an adapter."
)
@click.option(
    "--recipe",
    "recipe_path",
    type=click.Path(path_type=Path),
    help="TOML file with data sets, scales, rates. [default: the recipe of the shipped model]",
)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Instead of the recipe's."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="Folder for the checkpoint (a stopped run goes on from it), curves and the model.",
)
@click.option(
    "--points",
    type=click.Path(path_type=Path),
    metavar="CSV",
    help="Also learn from images with classified centres of nuclei, as the recipe maps them.",
)
@click.option(
    "--start",
    type=click.Path(path_type=Path),
    help="Go on from a .safetensors model of ours, or MobileSAM's checkpoint. "
    "[default: MobileSAM, fetched once by name, checked by sha256]",
)
@click.option(
    "--keep",
    "kept_crops",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="Draw N crops once and keep what the lower image encoder sees in them: many more steps.",
)
@click.option(
    "--of-start",
    type=click.FloatRange(0, 1),
    default=0.0,
    metavar="SHARE",
    help="Share of the weights of --start, taught the same terms, in those that come out.",
)
def train(
    cases: Path | None,
    bundle: Path | None,
    terms: tuple[str, ...],
    name: str | None,
    author: str,
    full: bool,
    recipe_path: Path | None,
    minutes: float | None,
    out: Path,
    points: Path | None,
    start: Path | None,
    kept_crops: int,
    of_start: float,
) -> None:
    """Train a model on CASES, a CSV of images and masks; or learn from corrected fields.

    Writes DIR/model.safetensors; `pathseg evaluate CASES --model DIR/model.safetensors` measures
    it. With --from: DIR/NAME.adapter.safetensors for `pathseg segment --adapter`, its card and a
    report with figures and pictures before and after.
    """
    if (cases is None) == (bundle is None):
        raise click.UsageError("Give CASES or --from BUNDLE.")
    if bundle is not None:
        from napari_pathseg.cli.learning import fine_tune_bundle, learn_bundle

        if full:
            fine_tune_bundle(bundle, out, start, minutes or FULL_MINUTES)
        else:
            learn_bundle(bundle, terms, out, str(start or "default"), name, author)
        return
    if full or terms:
        raise click.UsageError("--full and --term go with --from BUNDLE.")
    assert cases is not None
    from napari_pathseg.models.sources import fetch_mobile_sam
    from napari_pathseg.training.cases import read_cases
    from napari_pathseg.training.finish import write_model
    from napari_pathseg.training.loop import Trainer, build_network
    from napari_pathseg.training.points import read_point_cases
    from napari_pathseg.training.recipe import DEFAULT_RECIPE, load_recipe

    recipe = load_recipe(recipe_path or DEFAULT_RECIPE)
    if minutes is not None:
        recipe = replace(recipe, minutes=minutes)
    names = {d.name for d in recipe.datasets}
    known = [case for case in read_cases(cases) if case.dataset in names]
    if points is not None:
        known += read_point_cases(points, {d.name: d.points for d in recipe.datasets if d.points})
    with progress_line() as progress:
        start = start or fetch_mobile_sam(progress)
        network = build_network(known, recipe, start)
        trainer = Trainer(network, recipe, known, out, kept_crops=kept_crops, of_start=of_start)
        network = trainer.run(progress)
    path = out / "model.safetensors"
    write_model(network, path, recipe)
    note(f"wrote {path}")
