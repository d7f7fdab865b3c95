"""What a chosen model needs and does not ship, told while it is fetched."""

from __future__ import annotations

from napari_pathseg.cli.console import progress_line


def fetch_for(model: str) -> None:
    """Have what a model of the registry adds to; nothing is fetched for one that is whole.

    Raises
    ------
    FetchError
        When it can not be had.
    """
    from napari_pathseg.models.registry import fetch_base

    with progress_line() as progress:
        fetch_base(model, progress)
