"""What a writer is given besides the pieces it writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_pathseg.config import ExportConfig
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.selecting import Piece
from napari_pathseg.export.staging import Stage
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback

TELL_EVERY = 200
"""Objects between two reports."""


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One export in one format.

    Attributes
    ----------
    config : ExportConfig
    out : Path
        Where results will be; only to be read.
    stage : Stage
        Where results are made.
    stems : mapping of str to str
        The beginning of file names for each slide, by its identity.
    title : str
        Of the format, for the progress.
    progress : callable
    cancel : CancelToken
    """

    config: ExportConfig
    out: Path
    stage: Stage
    stems: Mapping[str, str]
    title: str
    progress: ProgressCallback
    cancel: CancelToken

    @property
    def folder(self) -> Path:
        """Where results are made, named as they will be."""
        return self.stage.folder

    def load(self, pieces: Sequence[Piece]) -> Iterator[ExportField]:
        """All pieces with their masks, one by one.

        Raises
        ------
        CancelledError
        """
        for done, piece in enumerate(pieces):
            self.tell(done, len(pieces))
            yield piece.load()

    def left(
        self, pieces: Sequence[Piece], *, image: bool = False, before: bool = False
    ) -> Iterator[ExportField]:
        """The pixels of :meth:`unwritten`."""
        for piece in self.unwritten(pieces):
            yield piece.load(image=image, before=before)

    def unwritten(self, pieces: Sequence[Piece]) -> Iterator[Piece]:
        """Those that no interrupted export has written; one is done when the next is asked.

        Raises
        ------
        CancelledError
        """
        for done, piece in enumerate(pieces):
            self.tell(done, len(pieces))
            unit = f"{self.title}/{piece.record.id}"
            if not self.stage.done(unit):
                yield piece
                self.stage.mark(unit)

    def lines(
        self, pieces: Sequence[Piece], items_of: Callable[[ExportField], Iterable[Any]]
    ) -> Iterator[tuple[FieldRecord, Iterator[str]]]:
        """For each piece its record and items, one line of JSON each.

        Those of a piece that an interrupted export has made are not made again.

        Raises
        ------
        CancelledError
        """
        total, before = sum(piece.objects for piece in pieces), 0
        for piece in pieces:
            unit = f"{self.title}, objects/{piece.record.id}"
            kept = self.stage.kept(unit)
            if not self.stage.done(unit):
                with kept.open("w", encoding="utf-8", newline="\n") as file:
                    for done, item in enumerate(items_of(piece.load()), start=before):
                        if done % TELL_EVERY == 0:
                            self.tell(min(done, total - 1), total)
                        file.write(json.dumps(item, allow_nan=False) + "\n")
                self.stage.mark(unit)
            before += piece.objects
            yield piece.record, read_lines(kept)

    def numbered(self, pieces: Sequence[Piece]) -> dict[str, str]:
        """A file name for each piece, by its id: that of its slide, and a number in it."""
        count: dict[str, int] = {}
        names = {}
        for piece in pieces:
            stem = self.stems[piece.of.slide_identity]
            count[stem] = count.get(stem, 0) + 1
            names[piece.record.id] = f"{stem}.{count[stem]}"
        return names

    def by_slide(self, pieces: Sequence[Piece]) -> Iterator[tuple[str, list[Piece]]]:
        """Name and pieces of each slide that no interrupted export has written."""
        slides: dict[str, list[Piece]] = {}
        for piece in pieces:
            slides.setdefault(piece.of.slide_identity, []).append(piece)
        for identity, own in slides.items():
            unit = f"{self.title}/{identity}"
            if not self.stage.done(unit):
                yield self.stems[identity], own
                self.stage.mark(unit)

    def tell(self, done: int, total: int) -> None:
        """Report, and stop when that is asked for."""
        self.cancel.raise_if_cancelled()
        self.progress(Progress(done, total, f"{self.title}: {done + 1} of {total}"))


def read_lines(path: Path) -> Iterator[str]:
    """The lines of a text file, one by one."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            yield line[:-1]
