"""Term files: the vocabulary that ships and the terms that users add, one JSON schema."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED, Color, Term
from napari_pathseg.errors import PromptError, describe_os_error
from napari_pathseg.vocabulary.entry import Entry

FORMAT = "napari-pathseg terms"
VERSION = 1
_KEYS: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "structure": str,
    "region": str,
    "regions": list,
    "parent": str,
    "mpp": (int, float),
    "color": str,
    "synonyms": list,
    "related": list,
    "codes": dict,
    "definition": str,
}


@dataclass(frozen=True, slots=True)
class TermFile:
    """What a term file holds.

    Attributes
    ----------
    regions : mapping of str to tuple of str
        Each region with its other names and adjectives.
    entries : tuple of Entry
    places : mapping of str to tuple of str
        For an entry's name the regions in which it is annotated.
    sources : tuple of str
        Where the terms come from, with licences.
    colors : mapping of str to (int, int, int)
        Colours chosen for names, of terms that ship or of classes that are no terms.
    mpps : mapping of str to float
        Working resolutions chosen for terms, micrometres per pixel.
    """

    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    places: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    colors: Mapping[str, Color] = field(default_factory=dict)
    mpps: Mapping[str, float] = field(default_factory=dict)


def own_terms_path() -> Path:
    """Where the user's own terms, colours and resolutions are kept."""
    return platformdirs.user_data_path("napari-pathseg", appauthor=False) / "terms.json"


def _fail(source: str, place: str, what: str) -> PromptError:
    return PromptError(
        f"{source}: {place}: {what}.", "Mend the term file or leave this term out of it."
    )


def _texts(value: object, source: str, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(v, str) and v.strip() for v in value):
        raise _fail(source, place, "must be a list of words")
    return tuple(value)


def _mpp(value: object, source: str, place: str) -> float:
    number = float(value) if isinstance(value, (int, float)) else 0.0
    if not 0.05 <= number <= 50:
        raise _fail(source, place, f"mpp must lie between 0.05 and 50, not {value!r}")
    return number


def _color(value: object, source: str, place: str) -> Color:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise _fail(source, place, f"color must be like #0072b2, not {value!r}")
    return int(value[1:3], 16), int(value[3:5], 16), int(value[5:7], 16)


def _check_types(raw: object, source: str, place: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise _fail(source, place, "must be an object with a name and a structure")
    for key, value in raw.items():
        if key not in _KEYS:
            raise _fail(source, place, f"unknown key {key!r}; known are {', '.join(_KEYS)}")
        if not isinstance(value, _KEYS[key]) or isinstance(value, bool):
            raise _fail(source, place, f"{key} has the wrong type")
    if not str(raw.get("name", "")).strip():
        raise _fail(source, place, "name is missing")
    return raw


def _entry(raw: object, source: str, place: str) -> tuple[Entry, tuple[str, ...]]:
    values = _check_types(raw, source, place)
    place = f"term {values['name']!r}"
    structure = values.get("structure")
    if structure not in STRUCTURES:
        raise _fail(source, place, f"structure must be one of {', '.join(STRUCTURES)}")
    mpp = _mpp(values.get("mpp", 1.0 if structure == "tissue" else 0.5), source, place)
    codes = values.get("codes", {})
    if not all(isinstance(k, str) and isinstance(v, str) for k, v in codes.items()):
        raise _fail(source, place, 'codes must be like {"CL": "0000542"}')
    synonyms = _texts(values.get("synonyms", []), source, f"{place}, synonyms")
    entry = Entry(
        Term(values.get("region", UNSPECIFIED), structure, values["name"].strip()),
        tuple(synonym.strip().lower() for synonym in synonyms),
        values.get("definition", ""),
        values.get("parent"),
        _texts(values.get("related", []), source, f"{place}, related"),
        mpp,
        _color(values.get("color", "#e69f00"), source, place),
        tuple(sorted(codes.items())),
    )
    return entry, _texts(values.get("regions", []), source, f"{place}, regions")


def entry_of(raw: object, source: str) -> Entry:
    """One entry from the values that a term file holds of it; PromptError tells what is wrong."""
    return _entry(raw, source, "the term")[0]


def is_term_file(path: Path) -> bool:
    """Whether a file says that it holds terms; one that can not be read does not."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(raw, dict) and raw.get("format") == FORMAT


def parse_terms(text: str, source: str) -> TermFile:
    """The content of a term file.

    Raises
    ------
    PromptError
        Naming the source, the term and what is wrong with it.
    """
    try:
        raw = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PromptError(f"{source} is not JSON: {error}.", "Choose a term file.") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise PromptError(f"{source} is no term file.", f'It must say "format": "{FORMAT}".')
    if raw.get("version") != VERSION:
        raise PromptError(
            f"{source} has version {raw.get('version')!r}; this one reads version {VERSION}.",
            "Update napari-pathseg or save the terms again.",
        )
    regions, entries = raw.get("regions", {}), raw.get("entries", [])
    colors, mpps = raw.get("colors", {}), raw.get("mpps", {})
    if not all(isinstance(part, dict) for part in (regions, colors, mpps)) or not isinstance(
        entries, list
    ):
        raise PromptError(
            f"{source}: regions, entries, colors or mpps have the wrong type.", "Mend the file."
        )
    read = [_entry(item, source, f"entry {i}") for i, item in enumerate(entries, start=1)]
    return TermFile(
        {name: _texts(other, source, f"region {name!r}") for name, other in regions.items()},
        tuple(entry for entry, _ in read),
        {entry.name: places for entry, places in read},
        _texts(raw.get("sources", []), source, "sources"),
        {name: _color(value, source, f"color of {name!r}") for name, value in colors.items()},
        {name: _mpp(value, source, f"mpp of {name!r}") for name, value in mpps.items()},
    )


def read_terms(path: Path) -> TermFile:
    """The content of the term file at `path`; PromptError when it can not be read."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise PromptError(describe_os_error(error, path), "Choose a readable file.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8 text.", "Choose a term file.") from error
    return parse_terms(text, str(path))


def _hex(color: Color) -> str:
    red, green, blue = color
    return f"#{red:02x}{green:02x}{blue:02x}"


def _as_json(entry: Entry, places: tuple[str, ...]) -> dict[str, object]:
    values: dict[str, object] = {"name": entry.name, "structure": entry.term.structure}
    if entry.term.region != UNSPECIFIED:
        values["region"] = entry.term.region
    if entry.parent:
        values["parent"] = entry.parent
    values |= {"mpp": entry.mpp, "color": _hex(entry.color)}
    lists = {"regions": places, "synonyms": entry.synonyms, "related": entry.related}
    values |= {key: list(value) for key, value in lists.items() if value}
    if entry.codes:
        values["codes"] = dict(entry.codes)
    if entry.definition:
        values["definition"] = entry.definition
    return values


def format_terms(content: TermFile) -> str:
    """A term file's text: one line a term, the same bytes for the same content."""
    head: dict[str, object] = {"format": FORMAT, "version": VERSION}
    if content.sources:
        head["sources"] = list(content.sources)
    head["regions"] = {region: list(others) for region, others in content.regions.items()}
    if content.colors:
        head["colors"] = {name: _hex(color) for name, color in sorted(content.colors.items())}
    if content.mpps:
        head["mpps"] = dict(sorted(content.mpps.items()))
    lines = [
        json.dumps(_as_json(entry, content.places.get(entry.name, ())), ensure_ascii=False)
        for entry in content.entries
    ]
    start = json.dumps(head, ensure_ascii=False, indent=1)
    return start[:-2] + ',\n "entries": [\n  ' + ",\n  ".join(lines) + "\n ]\n}\n"


def write_terms(content: TermFile, path: Path) -> None:
    """Write a term file in one step; PromptError when it can not be written."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(format_terms(content), encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise PromptError(describe_os_error(error, path), "Choose another folder.") from error
