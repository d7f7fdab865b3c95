"""One export from beginning to end: what goes out, how large it will be, and the writing."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from napari_pathseg.config import ExportConfig
from napari_pathseg.errors import ExportError
from napari_pathseg.export.formats import BUNDLE, FORMATS
from napari_pathseg.export.selecting import Piece, Selection, select
from napari_pathseg.export.sources import Source
from napari_pathseg.export.staging import stage
from napari_pathseg.export.task import Task
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress

_SAMPLES = 3
# What an object weighs in pixels, for the size of a file of outlines.
_OBJECT_PX = 400


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an export would write.

    Attributes
    ----------
    slides, fields, tiles, objects : int
        Tiles are the pieces that formats of pictures write: fields, where they are not cut.
    classes : mapping of str to int
        Fields that each class occurs in, by its name.
    left_out : mapping of str to int
        Fields that do not go out, by the reason.
    sizes : mapping of str to int
        Bytes of each format, estimated from up to three pieces that were written and removed.
    """

    slides: int
    fields: int
    tiles: int
    objects: int
    classes: Mapping[str, int]
    left_out: Mapping[str, int]
    sizes: Mapping[str, int]

    @property
    def total_bytes(self) -> int:
        """Of all formats."""
        return sum(self.sizes.values())


def megabytes(size: int) -> str:
    """Some bytes as people read them, of an estimate."""
    return "under 0.1 MB" if size < 1e5 else f"about {size / 1e6:,.1f} MB"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes
    ----------
    folder : Path
    paths : tuple of Path
        Files and folders in it that are new or were replaced.
    slides, fields, objects : int
    """

    folder: Path
    paths: tuple[Path, ...]
    slides: int
    fields: int
    objects: int

    @property
    def bundle(self) -> Path:
        """Where a training bundle is, when one was asked for."""
        return self.folder / BUNDLE

    @property
    def geojson(self) -> Path:
        """The GeoJSON of the first slide, when it was asked for."""
        return next(path for path in self.paths if path.suffix == ".geojson")

    @property
    def labels(self) -> tuple[Path, ...]:
        """All label TIFFs."""
        return tuple(path for path in self.paths if path.name.endswith(".labels.tif"))


def export_labels(
    sources: Sequence[Source],
    out: Path,
    config: ExportConfig,
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Exported:
    """Write the labels of slides in all formats of the config.

    All results take their places in `out` together. What was cancelled or killed goes on where
    it was when the same export is asked for again. The same labels give the same bytes. Only
    pixels of fields are read, never label, macro or thumbnail pictures of a slide.

    Parameters
    ----------
    sources : sequence of Source
        Each slide once.
    out : Path
        A folder; made when missing. A training bundle in it is added to, other results of the
        same names are replaced, files of others are left alone.
    config : ExportConfig

    Raises
    ------
    ExportError
        When there is nothing to write, a place is taken by files of others, a package is missing
        or there is no space; `out` is then as it was.
    CancelledError
    """
    token = cancel or CancelToken()
    _check(config)
    selection = select(sources, config, progress=progress, cancel=token)
    with stage(out, _key(selection, config)) as begun:
        for name in config.formats:
            form = FORMATS[name]
            task = Task(config, out.resolve(), begun, selection.stems, form.title, progress, token)
            form.write(task, selection.tiles if form.tiled else selection.whole)
            begun.mark(f"format {name}")
        names = sorted(entry.name for entry in begun.folder.iterdir())
    paths = tuple(out / name for name in names)
    return Exported(out, paths, selection.slides, len(selection.whole), selection.objects)


def look_ahead(
    sources: Sequence[Source],
    config: ExportConfig,
    *,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Outlook:
    """Count what an export would write, without writing it.

    Raises
    ------
    ExportError
        As :func:`export_labels`, as far as it is known before.
    CancelledError
    """
    token = cancel or CancelToken()
    _check(config)
    selection = select(sources, config, progress=progress, cancel=token)
    classes: dict[str, int] = {}
    for piece in selection.whole:
        for label_class in piece.record.classes:
            classes[label_class.name] = classes.get(label_class.name, 0) + 1
    return Outlook(
        selection.slides,
        len(selection.whole),
        len(selection.tiles),
        selection.objects,
        classes,
        dict(selection.left_out),
        {name: _size(name, selection, config, token) for name in config.formats},
    )


def _check(config: ExportConfig) -> None:
    if not config.formats:
        raise ExportError("No format is chosen.", f"Choose from: {', '.join(FORMATS)}.")
    for name in config.formats:
        if name not in FORMATS:
            raise ExportError(
                f"There is no format {name!r}.", f"Choose from: {', '.join(FORMATS)}."
            )
        form = FORMATS[name]
        if not form.available:
            raise ExportError(
                f"{form.title} needs the package {form.package}.",
                f'Run: pip install "napari-pathseg[{form.extra}]"',
            )


def _key(selection: Selection, config: ExportConfig) -> str:
    """What is exported and how: an interrupted export goes on when this is the same."""
    pieces = [
        [p.record.id, p.record.updated.isoformat(), p.record.status, *p.window]
        for p in selection.tiles
    ]
    whole = [[p.record.id, p.record.updated.isoformat()] for p in selection.whole]
    options = asdict(config)
    text = json.dumps([options, pieces, whole, dict(selection.stems)], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _size(name: str, selection: Selection, config: ExportConfig, token: CancelToken) -> int:
    """Bytes of a format: a sample is written, measured and scaled by pixels or objects."""
    form = FORMATS[name]
    pieces = selection.tiles if form.tiled else selection.whole
    step = max(len(pieces) // _SAMPLES, 1)
    sample = pieces[step // 2 :: step][:_SAMPLES]
    inside = replace(config, zarr="beside") if config.zarr == "inside" else config
    own = replace(inside, extent="field")
    with (
        tempfile.TemporaryDirectory(prefix="pathseg-") as folder,
        stage(Path(folder) / "out", "sample") as begun,
    ):
        nowhere = Path(folder) / "none"
        task = Task(own, nowhere, begun, selection.stems, form.title, no_progress, token)
        form.write(task, sample)
        written = sum(f.stat().st_size for f in begun.folder.rglob("*") if f.is_file())
    return math.ceil(written * _weight(pieces, form.tiled) / max(_weight(sample, form.tiled), 1))


def _weight(pieces: Sequence[Piece], pixels: bool) -> int:
    """How much there is to write of pieces: pixels of pictures, objects of outlines."""
    objects = sum(p.objects for p in pieces)
    if not pixels:
        return objects + len(pieces)
    return _OBJECT_PX * objects + sum(math.prod(p.record.field.shape) for p in pieces)
