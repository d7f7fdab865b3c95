"""What a batch is asked to do, in a form that travels to workers and into files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_pathseg.config import LabelFormat
from napari_pathseg.inference.slide_plan import Where
from napari_pathseg.inference.understanding import Question
from napari_pathseg.prompts import TextPrompt

ALWAYS: tuple[LabelFormat, ...] = ("tif", "geojson")
UNFINISHED = ".pathseg"
"""The folder, in that of the results, of what is not finished."""


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """The same for all slides of a batch.

    Attributes
    ----------
    prompts : tuple of str
        Value i of the labels is the i-th.
    mpp : float or None
        Micrometres per level-0 pixel of slides that do not say.
    where : {"auto", "tissue", "all"}
        As in :func:`~napari_pathseg.inference.slide_plan.plan_slide`.
    instances : bool
        Cut touching nuclei and cells apart, and write a picture of the objects.
    formats : tuple of {"tif", "geojson", "zarr", "png"}
        The first two are always written.
    model : str
        Name of the model.
    adapters : tuple of str
        Files of adapters for it; the last one counts where several teach the same term.
    context : bool
        Let the model take what lies around each input into account, where it can.
    working_mpp : float or None
        Micrometres per pixel at which all words are looked for; None = what suits each.
    """

    prompts: tuple[str, ...]
    mpp: float | None = None
    where: Where = "auto"
    instances: bool = False
    formats: tuple[LabelFormat, ...] = ALWAYS
    model: str = "default"
    adapters: tuple[str, ...] = ()
    context: bool = False
    working_mpp: float | None = None

    @property
    def texts(self) -> tuple[TextPrompt, ...]:
        """The prompts as prompts."""
        return tuple(TextPrompt(text) for text in self.prompts)

    def fingerprint(self, model: str, questions: Sequence[Question]) -> str:
        """The same for settings, a model by its identity, and how closely it looks for each class,
        that give the same results.
        """
        looked_at = [question.working_mpp for question in questions]
        facts: dict[str, Any] = asdict(self) | {"formats": sorted({*self.formats, *ALWAYS})}
        del facts["adapters"]  # the model's identity says which, wherever their files are
        text = json.dumps(facts | {"model": model, "looked_at": looked_at}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SlideJob:
    """One slide of a batch.

    Attributes
    ----------
    path : Path
    name : str
        What its results are called: the file's name up to its last dot, with a number where
        another slide has that name.
    out : Path
        Folder of the results.
    mpp : float or None
        Micrometres per level-0 pixel, whatever its file says.
    settings : BatchSettings
    """

    path: Path
    name: str
    out: Path
    mpp: float | None
    settings: BatchSettings

    @property
    def folder(self) -> Path:
        """Where work that is not finished is kept."""
        return self.out / UNFINISHED / self.name

    @property
    def facts_path(self) -> Path:
        """The file that is written last: a slide that has it is finished."""
        return self.out / f"{self.name}.json"

    def stamp(self) -> list[int]:
        """Size and time of change of the slide's file: another one is another slide.

        Empty for a picture that is not in a file; such a one is never taken for finished.

        Raises
        ------
        OSError
        """
        if not self.path.exists():
            return []
        stat = self.path.stat()
        return [stat.st_size, stat.st_mtime_ns]
