"""`pathseg doctor`: is this installation whole, and if not, what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import click

from napari_pathseg.cli import checks
from napari_pathseg.cli.console import print_json

_COLORS = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check versions, PyTorch, devices, Qt, OpenGL, disk and model, each with its mend.

    Ends with exit code 1 when something fails; warnings do not count.
    """
    found: list[checks.Check] = []
    for check in _all_checks():
        found.append(check)
        if not as_json:
            _print(check)
    if as_json:
        print_json([asdict(check) for check in found])
    ctx.exit(int(any(check.status == "fail" for check in found)))


def _all_checks() -> Iterator[checks.Check]:
    """Each check when its turn comes, so that the first lines show while slow ones run."""
    from napari_pathseg.labels.journal import default_folder

    yield checks.check_python()
    yield from checks.check_packages()
    yield from checks.check_torch()
    yield checks.check_model()
    yield checks.check_qt()
    yield checks.check_opengl()
    yield checks.check_disk(default_folder())


def _print(check: checks.Check) -> None:
    status = click.style(check.status.ljust(4), fg=_COLORS[check.status])
    click.echo(f"{status}  {check.name:<16}  {check.detail}")
    if check.mend:
        click.echo(f"      {'':<16}  -> {check.mend}")
