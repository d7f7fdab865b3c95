"""`pathseg`: the command line. Commands import what they need when they run, so help is instant."""

from __future__ import annotations

import io
import logging
import sys
from pathlib import Path

import click

from napari_pathseg import __version__
from napari_pathseg.cli.batch import batch
from napari_pathseg.cli.console import interrupted_code, interrupts_kept
from napari_pathseg.cli.doctor import doctor
from napari_pathseg.cli.evaluate import evaluate
from napari_pathseg.cli.explain import explain
from napari_pathseg.cli.export import export
from napari_pathseg.cli.importing import import_
from napari_pathseg.cli.info import info
from napari_pathseg.cli.segment import segment
from napari_pathseg.cli.terms import terms
from napari_pathseg.cli.train import train
from napari_pathseg.errors import PathsegError, describe_os_error


class _OneLineError(click.ClickException):
    """An error as one line on stderr, exit code 1; what would steer a terminal is left out."""

    def show(self, file: object = None) -> None:
        line = " ".join(self.format_message().split())
        plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
        click.echo(f"pathseg: error: {plain}", err=True)


class _OneLineUsageError(_OneLineError):
    """Wrong usage as one line on stderr, exit code 2."""

    exit_code = click.UsageError.exit_code


class _Commands(click.Group):
    """A group that turns the errors a user can meet into one line."""

    def invoke(self, ctx: click.Context) -> object:
        debug = bool(ctx.params.get("debug"))
        try:
            with interrupts_kept():
                return super().invoke(ctx)
        except click.exceptions.NoArgsIsHelpError:
            raise
        except click.UsageError as error:
            where = error.ctx.command_path if error.ctx else "pathseg"
            said = f"{error.format_message()} See {where} --help."
            raise _OneLineUsageError(said) from error
        except BrokenPipeError:
            raise  # click ends quietly when the reader of a pipe has gone
        except (PathsegError, OSError, MemoryError) as error:
            if debug:
                raise
            raise _OneLineError(_describe(error)) from error
        except KeyboardInterrupt:
            if debug:
                raise
            click.echo("pathseg: cancelled; nothing was written.", err=True)
            ctx.exit(interrupted_code())


def _describe(error: PathsegError | OSError | MemoryError) -> str:
    if isinstance(error, MemoryError):
        return "There is not enough memory. Give a smaller --region."
    if isinstance(error, OSError) and error.filename:
        return describe_os_error(error, Path(str(error.filename)))
    return str(error)


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    commands=[info, segment, explain, batch, export, import_, terms, train, evaluate, doctor],
)
@click.version_option(__version__, prog_name="pathseg")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def main(debug: bool) -> None:
    """Text, points and boxes become masks on whole-slide pathology images.

    Places and sizes are level-0 pixels, y before x.
    """
    # What a console or pipe can not show is escaped, not an error.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if not debug:
        # It tells of a broken file in lines of its own, ours says it again.
        logging.getLogger("tifffile").setLevel(logging.CRITICAL)
