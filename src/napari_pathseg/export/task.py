"""What a writer is given besides the pieces it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.config import ExportConfig
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.selecting import Piece
from napari_pathseg.export.staging import Stage
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback


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

    def load(
        self, pieces: Sequence[Piece], *, image: bool = False, before: bool = False
    ) -> Iterator[ExportField]:
        """All pieces with their pixels, one by one.

        Raises
        ------
        CancelledError
        """
        for done, piece in enumerate(pieces):
            self.tell(done, len(pieces))
            yield piece.load(image=image, before=before)

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
