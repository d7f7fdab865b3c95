"""The card of an adapter: read from its file without loading a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED, Term
from napari_pathseg.errors import ModelError, describe_os_error

FORMAT = "napari-pathseg adapter"
VERSION = 1
SUFFIX = ".adapter.safetensors"
MAX_BYTES = 2_000_000
REMEDY = "Ask whoever made it for the file again, or learn anew."


@dataclass(frozen=True, slots=True)
class TaughtTerm:
    """A term that an adapter teaches, and how well.

    Attributes
    ----------
    term : Term
        Without a region.
    added : bool
        Whether the head is added to what the base says of a term it knows; else it stands alone.
    working_mpp : float
        Micrometres per pixel at which it was learned and is looked at.
    fields, slides, present : int
        Learned from so many fields, of so many slides; so many fields hold the term.
    before, after : float or None
        Mean Dice over the fields that hold it, each asked of heads that had not seen it; None
        where the base could not be asked, or where no field was left to measure.
    """

    term: Term
    added: bool
    working_mpp: float
    fields: int
    slides: int
    present: int
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class AdapterCard:
    """What an adapter is: its base, what it teaches, from what, by whom and under which terms.

    Attributes
    ----------
    base_name, base_sha256 : str
        The one model that it works with.
    license : str
        What may be done with it; the base's terms hold for it too.
    author : str
    made : datetime
        With a time zone.
    """

    name: str
    version: str
    base_name: str
    base_sha256: str
    terms: tuple[TaughtTerm, ...]
    license: str
    author: str
    made: datetime

    def to_json(self) -> dict[str, Any]:
        """Plain values; :meth:`from_json` gives back an equal card."""
        values = asdict(self) | {"made": self.made.isoformat()}
        return {"format": FORMAT, "format_version": VERSION, **values}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> AdapterCard:
        """The card that :meth:`to_json` wrote; KeyError, TypeError or ValueError for others."""
        if values["format"] != FORMAT:
            raise ValueError(f"the format is {values['format']!r}")
        if values["format_version"] > VERSION:
            raise ValueError("it was written by a newer version of napari-pathseg")
        terms = tuple(_term_from_json(row) for row in values["terms"])
        if not terms or len({t.term for t in terms}) != len(terms):
            raise ValueError("it must teach at least one term, and each once")
        texts = ("name", "version", "base_name", "base_sha256", "license", "author")
        own = {key: str(values[key]) for key in texts}
        return cls(**own, terms=terms, made=datetime.fromisoformat(values["made"]))


def _term_from_json(row: Mapping[str, Any]) -> TaughtTerm:
    term = Term(**row["term"])
    if term.region != UNSPECIFIED or term.structure not in STRUCTURES or not term.object.strip():
        raise ValueError(f"{term} is no term that can be taught")
    if not 0.05 <= float(row["working_mpp"]) <= 20:
        raise ValueError(f"{row['working_mpp']} µm/px is no scale of a microscope")
    return TaughtTerm(**{**row, "term": term})


def read_adapter_card(path: Path) -> AdapterCard:
    """The card of an adapter's file, without its weights; raises as
    :func:`napari_pathseg.models.adapter.load_adapter`.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES / 1e6:g} MB")
        with safe_open(path, framework="numpy") as file:
            return AdapterCard.from_json(json.loads((file.metadata() or {})["card"]))
    except OSError as error:
        raise ModelError(describe_os_error(error, path), "Name another file.") from error
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: no adapter ({type(error).__name__}: {error}).", REMEDY) from (
            error
        )
