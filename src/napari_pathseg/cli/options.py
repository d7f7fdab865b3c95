"""Options that several commands take."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

from napari_pathseg.slide.scale import PLAUSIBLE_MPP


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
model_option = click.option(
    "--model",
    default="default",
    metavar="NAME",
    help="default, permissive (two words, for any use), mobile-sam (points and boxes only), or a "
    ".safetensors file.",
)
mpp_option = click.option(
    "--mpp",
    type=Number(*PLAUSIBLE_MPP),
    metavar="M",
    help="Micrometres per pixel of the slide, where its file does not say or is wrong.",
)
working_mpp_option = click.option(
    "--working-mpp",
    type=Number(*PLAUSIBLE_MPP),
    metavar="M",
    help="Micrometres per pixel at which the words are looked for: coarser is quicker and less "
    "exact. [default: what suits each word]",
)
region_option = click.option(
    "--region",
    "corner_and_size",
    type=int,
    nargs=4,
    metavar="Y X H W",
    help="Part of the slide to look at. [default: all of it]",
)
