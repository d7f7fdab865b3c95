"""A region of a slide, opened for one command."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

from napari_pathseg.cli.fetching import fetch_for
from napari_pathseg.cli.options import (
    adapter_option,
    context_option,
    model_option,
    mpp_option,
    region_option,
    working_mpp_option,
)
from napari_pathseg.config import SegmentConfig
from napari_pathseg.geometry import Region, region_inside

if TYPE_CHECKING:
    from napari_pathseg.inference.session import Session

# Nobody waits at a screen, so that a region may be larger than a field there.
MAX_TILES = 600

Command = TypeVar("Command", bound=Callable[..., Any])


class RegionOptions(TypedDict):
    """What :func:`region_options` gives a command: which region, and how it is looked at."""

    corner_and_size: tuple[int, int, int, int] | None
    mpp: float | None
    model: str
    adapters: Sequence[Path]
    context: bool
    working_mpp: float | None


def region_options(command: Command) -> Command:
    """The options of a command that opens a region; it hands them on to :func:`open_region`.

    Help lists them the other way round.
    """
    for option in (
        working_mpp_option,
        context_option,
        adapter_option,
        model_option,
        mpp_option,
        region_option,
    ):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class OpenRegion:
    """A region and what segments it.

    Attributes
    ----------
    session : Session
    region : Region
        Level-0 pixels inside the slide.
    notes : list of str
        What the person should know about how it was opened.
    """

    session: Session
    region: Region
    notes: list[str]


@contextmanager
def open_region(slide: Path, **options: Unpack[RegionOptions]) -> Iterator[OpenRegion]:
    """A slide's region, or all of the slide, until the `with` block ends.

    Raises
    ------
    PathsegError
        When the slide, the model or an adapter can not be opened.
    """
    from napari_pathseg.inference.session import open_session

    fetch_for(options["model"])
    mpp = options["mpp"]
    session = open_session(
        slide,
        mpp=None if mpp is None else (mpp, mpp),
        model=options["model"],
        config=SegmentConfig(
            max_tiles=MAX_TILES, context=options["context"], working_mpp=options["working_mpp"]
        ),
        adapters=options["adapters"],
    )
    with session.slide:
        notes = [] if mpp is None else _mpp_notes(session, mpp)
        yield OpenRegion(session, _inside(session, options["corner_and_size"], notes), notes)


def _mpp_notes(session: Session, mpp: float) -> list[str]:
    """What to say when a person's scale is another one than the slide's."""
    stated = session.slide.metadata.mpp
    if stated is None or max(abs(side / mpp - 1) for side in stated) < 1e-3:
        return []
    return [
        f"--mpp {mpp:g} is used in place of the {stated[0]:g} x {stated[1]:g} µm per pixel "
        f"(y, x) that {session.slide.path.name} states."
    ]


def _inside(
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
