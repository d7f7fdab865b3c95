"""Files, folders, patterns and lists become the slides of a batch, each with its own name."""

from __future__ import annotations

import csv
import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.errors import PathsegError, SlideError, describe_os_error

SCANNERS = (".svs", ".svslide", ".ndpi", ".mrxs", ".scn", ".bif", ".dcm", ".czi", ".vsi", ".vms")
"""Suffixes that scanners write and little else does."""

_TIFFS = (".tif", ".tiff", ".btf", ".tf2", ".tf8", ".qptiff", ".zarr", ".zip")
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
SUFFIXES = frozenset((*SCANNERS, ".vmu", *_TIFFS, *_PICTURES))
"""What is taken for a slide in a folder; a file that is named is tried whatever it is called."""

LISTS = (".txt", ".lst", ".csv")
PATH_COLUMNS = ("slide", "path", "image", "file")
OURS = (".labels.", ".instances.")


@dataclass(frozen=True, slots=True)
class Found:
    """A slide that was asked for, whether it is there or not.

    Attributes
    ----------
    path : Path
        Absolute.
    mpp : float or None
        From a list with a column `mpp`.
    """

    path: Path
    mpp: float | None = None


def find_slides(inputs: Sequence[str]) -> list[Found]:
    """The slides that are meant, each once, in the order given.

    Parameters
    ----------
    inputs : sequence of str
        Slides, folders of slides, patterns with `*`, `?` and `**`, and lists: text files with a
        path in each line, or CSV files with a column slide, path, image or file, and if need be
        mpp. Paths in a list are relative to its folder, or else to the working folder.

    Returns
    -------
    list of Found
        A file that is missing is among them; who opens it says so.

    Raises
    ------
    SlideError
        When a list can not be read.
    """
    found: dict[Path, Found] = {}
    for text in inputs:
        for slide in _expand(text):
            found.setdefault(slide.path.resolve(), slide)
    return list(found.values())


def name_slides(slides: Sequence[Found], before: Mapping[str, str]) -> list[tuple[Found, str]]:
    """A name for each slide, none twice, not even on systems that do not tell cases apart.

    Parameters
    ----------
    before : mapping of str to str
        Names that slides (absolute paths) had in the same folder; they keep them.
    """
    taken = {name.casefold() for name in before.values()}
    named = []
    for slide in slides:
        name = before.get(str(slide.path))
        if name is None:
            stem, number = slide.path.stem or "slide", 1
            name = stem
            while name.casefold() in taken:
                number += 1
                name = f"{stem}-{number}"
            taken.add(name.casefold())
        named.append((slide, name))
    return named


def _expand(text: str) -> Iterator[Found]:
    path = Path(text).expanduser()
    if path.is_dir():
        yield from _of_folder(path)
    elif path.suffix.lower() in LISTS and path.is_file():
        yield from _of_list(path)
    elif not path.exists() and glob.has_magic(text):
        yield from _of_pattern(path)
    else:
        yield Found(path.absolute())


def _of_folder(folder: Path) -> Iterator[Found]:
    """The folder itself where it is a slide, else the slides right in it."""
    if _is_slide_folder(folder):
        yield Found(folder.absolute())
        return
    inside = [path for path in sorted(folder.iterdir()) if _looks_like_slide(path)]
    if not inside:
        yield Found(folder.absolute())  # who opens it says that there is no slide
    for path in inside:
        yield Found(path.absolute())


def _of_pattern(pattern: Path) -> Iterator[Found]:
    start = Path(pattern.anchor)
    matches = sorted(start.glob(str(pattern.relative_to(start))))
    slides = [path for path in matches if _looks_like_slide(path)]
    for path in slides or matches or [pattern]:
        yield Found(path.absolute())


def _of_list(path: Path) -> Iterator[Found]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SlideError(describe_os_error(error, path)) from error
    except UnicodeDecodeError as error:
        raise SlideError(f"{path}: this is no list of slides.", "Write it as UTF-8.") from error
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _lines(text)
    for entry, mpp in rows:
        for slide in _expand(_beside(path, entry)):
            yield Found(slide.path, mpp if mpp is not None else slide.mpp)


def _lines(text: str) -> Iterator[tuple[str, float | None]]:
    for line in text.splitlines():
        entry = line.strip()
        if entry and not entry.startswith("#"):
            yield entry, None


def _csv_rows(path: Path, text: str) -> Iterator[tuple[str, float | None]]:
    reader = csv.DictReader(text.splitlines())
    names = {name.strip().lower(): name for name in reader.fieldnames or () if name}
    column = next((names[name] for name in PATH_COLUMNS if name in names), None)
    if column is None:
        raise SlideError(
            f"{path}: no column is named {', '.join(PATH_COLUMNS)}.", "Name the column of paths."
        )
    for row in reader:
        mpp = (row.get(names.get("mpp", "")) or "").strip()
        entry = (row[column] or "").strip()
        if entry:
            yield entry, _number(mpp, path) if mpp else None


def _number(text: str, path: Path) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise SlideError(f"{path}: the mpp {text!r} is no number.") from error
    if not 0 < value < 1000:
        raise SlideError(f"{path}: the mpp {text} is no scale of a slide.")
    return value


def _beside(listing: Path, entry: str) -> str:
    """An entry of a list, relative to the list where it is there."""
    near = listing.parent / entry
    return str(near) if near.exists() or glob.has_magic(entry) else entry


def _looks_like_slide(path: Path) -> bool:
    if path.name.startswith(".") or any(mark in path.name for mark in OURS):
        return False
    if path.is_dir():
        return _is_slide_folder(path)
    return path.suffix.lower() in SUFFIXES


def _is_slide_folder(folder: Path) -> bool:
    from napari_pathseg.slide.open import choose_backend

    try:
        choose_backend(folder)
    except (PathsegError, OSError):
        return False
    return True
