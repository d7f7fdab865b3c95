"""Class lists of other people: read from their files and mapped to entries, with a report."""

from __future__ import annotations

import ast
import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pathseg.classes import UNSPECIFIED, Color, Term
from napari_pathseg.errors import PromptError, describe_os_error
from napari_pathseg.prompts import MAX_TEXT_LENGTH
from napari_pathseg.vocabulary.entry import Entry, Match
from napari_pathseg.vocabulary.grammar import split_label
from napari_pathseg.vocabulary.termfile import TermFile
from napari_pathseg.vocabulary.vocabulary import Vocabulary

MAX_FILE_BYTES = 10_000_000
PATHSEG_NAME = "PATHSEG_CLASSES"

_COLUMNS = ("name", "class", "label", "term", "category", "classification")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class NamedColor:
    """A class of a list: its name and, where the list has one, its colour (sRGB)."""

    name: str
    color: Color | None = None


@dataclass(frozen=True, slots=True)
class ImportRow:
    """What became of one name: its match, or None with the nearest entries."""

    name: str
    match: Match | None
    suggestions: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of a class list.

    Attributes
    ----------
    rows : tuple of ImportRow
        In the order of the list, each name once.
    regions, structures, objects : int
        How many different ones the names state; 0 unless they are in the form
        "[region]-[structure]-[object]".
    """

    rows: tuple[ImportRow, ...]
    regions: int
    structures: int
    objects: int

    @property
    def mapped(self) -> tuple[ImportRow, ...]:
        """The rows that have a match."""
        return tuple(row for row in self.rows if row.match)

    @property
    def unmapped(self) -> tuple[ImportRow, ...]:
        """The rows without a match: nothing is mapped by resemblance."""
        return tuple(row for row in self.rows if row.match is None)


def map_classes(names: Iterable[str], vocabulary: Vocabulary) -> ImportReport:
    """Map class names to entries.

    Parameters
    ----------
    names : iterable of str
        Plain, in camel case, with underscores, or "[region]-[structure]-[object]".
    vocabulary : Vocabulary

    Returns
    -------
    ImportReport
        A name that means no single entry is left unmapped.
    """
    unique = tuple(dict.fromkeys(names))
    rows = tuple(_map_name(name, vocabulary) for name in unique)
    parts = [part for part in map(split_label, unique) if part]
    stated = [part for part in parts if part[0] != UNSPECIFIED]
    return ImportReport(
        rows,
        len({region.lower() for region, _, _ in stated}),
        len({structure for _, structure, _ in parts}),
        len({name.lower() for _, _, name in parts}),
    )


def own_terms(
    report: ImportReport, structure: str, colors: Mapping[str, Color], vocabulary: Vocabulary
) -> TermFile:
    """The names without a match as terms of the user's own, in the colours that the list gives."""
    entries = [
        Entry(
            Term(UNSPECIFIED, structure, row.name),
            (),
            "",
            None,
            (),
            1.0 if structure == "tissue" else 0.5,
            colors.get(row.name) or vocabulary.color(row.name),
        )
        for row in report.unmapped
    ]
    return TermFile(entries=tuple(entries))


def _map_name(name: str, vocabulary: Vocabulary) -> ImportRow:
    suggestions: tuple[Entry, ...] = ()
    for text in dict.fromkeys((name, _CAMEL.sub(" ", name).replace("_", " "))):
        if not text.strip() or len(text) > MAX_TEXT_LENGTH:
            continue
        found = vocabulary.resolve(text)
        single = len(found.matches) == 1 and not (found.excluded or found.unknown)
        if single and found.matches[0].how != "meaning":
            return ImportRow(name, found.matches[0])
        suggestions = found.suggestions or tuple(match.entry for match in found.matches)
    return ImportRow(name, None, suggestions)


def read_classes(path: Path) -> tuple[NamedColor, ...]:
    """The classes of a text, CSV, JSON (also QuPath and COCO) or Python file, each once.

    A Python file is parsed, never run: the list `PATHSEG_CLASSES`, or the only list of words that
    it assigns, is taken.

    Raises
    ------
    PromptError
        When the file can not be read or holds no class list.
    """
    readers: dict[str, Callable[[str, Path], Iterator[NamedColor]]] = {
        ".txt": _from_text,
        ".csv": _from_csv,
        ".tsv": _from_csv,
        ".json": _from_json,
        ".py": _from_python,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise PromptError(
            f"{path}: a class list can not be read from {path.suffix or 'a file without ending'}.",
            f"Give one of {', '.join(readers)}.",
        )
    classes: dict[str, NamedColor] = {}
    for item in reader(_read(path), path):
        if name := item.name.strip():
            classes.setdefault(name, NamedColor(name, item.color))
    if not classes:
        raise PromptError(f"{path} holds no class names.", "Give a file with one name a line.")
    return tuple(classes.values())


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise PromptError(f"{path} is too large for a class list.", "Choose another file.")
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PromptError(describe_os_error(error, path), "Choose a readable file.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{path} is not UTF-8 text.", "Save it as UTF-8.") from error


def _from_text(text: str, path: Path) -> Iterator[NamedColor]:
    for line in text.splitlines():
        yield NamedColor(line.split("#", 1)[0])


def _from_csv(text: str, path: Path) -> Iterator[NamedColor]:
    try:
        dialect: type[csv.Dialect] = csv.Sniffer().sniff(text[:4096], delimiters=",;\t")
    except csv.Error:
        dialect = csv.excel
    try:
        rows = [row for row in csv.reader(io.StringIO(text), dialect) if row]
    except csv.Error as error:
        raise PromptError(f"{path} is no CSV file: {error}.", "Choose another file.") from error
    head = [cell.strip().lower() for cell in rows[0]] if rows else []
    column = next((head.index(name) for name in _COLUMNS if name in head), None)
    for row in rows if column is None else rows[1:]:
        yield NamedColor(row[column or 0] if len(row) > (column or 0) else "")


def _from_json(text: str, path: Path) -> Iterator[NamedColor]:
    try:
        raw = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise PromptError(f"{path} is not JSON: {error}.", "Choose another file.") from error
    if isinstance(raw, dict):
        for key in ("pathClasses", "categories", "classes", "names", "labels"):
            if isinstance(raw.get(key), (list, dict)):
                raw = raw[key]
                break
    yield from _named(raw)


def _named(raw: object) -> Iterator[NamedColor]:
    """Names in a list of words or objects, or in a mapping from or to numbers."""
    if isinstance(raw, dict):
        names = [v if isinstance(v, str) and _is_number(k) else k for k, v in raw.items()]
        yield from (NamedColor(str(name)) for name in names)
    elif isinstance(raw, (list, tuple, set, frozenset)):
        for item in sorted(raw, key=repr) if isinstance(raw, (set, frozenset)) else raw:
            if isinstance(item, str):
                yield NamedColor(item)
            elif isinstance(item, dict) and isinstance(item.get("name"), str):
                yield NamedColor(item["name"], _color(item.get("color", item.get("colorRGB"))))


def _is_number(key: object) -> bool:
    return isinstance(key, int) or (isinstance(key, str) and key.isdecimal())


def _color(value: object) -> Color | None:
    """A colour as QuPath writes it: packed ARGB in a signed integer, or [red, green, blue]."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value >> 16) & 255, (value >> 8) & 255, value & 255
    if isinstance(value, list) and len(value) == 3:
        numbers = [v for v in value if isinstance(v, int) and 0 <= v <= 255]
        return (numbers[0], numbers[1], numbers[2]) if len(numbers) == 3 else None
    return None


def _from_python(text: str, path: Path) -> Iterator[NamedColor]:
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise PromptError(f"{path} is not Python: {error}.", "Choose another file.") from error
    lists = dict(_word_lists(module))
    if PATHSEG_NAME not in lists and len(lists) != 1:
        raise PromptError(
            f"{path} assigns {len(lists)} lists of names and none called {PATHSEG_NAME}.",
            f"Give a file with one list, or call it {PATHSEG_NAME}.",
        )
    yield from lists.get(PATHSEG_NAME) or next(iter(lists.values()))


def _word_lists(module: ast.Module) -> Iterator[tuple[str, tuple[NamedColor, ...]]]:
    """Each literal list of words that a module assigns, by name; nothing is executed."""
    for statement in module.body:
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        else:
            continue
        try:
            value = ast.literal_eval(statement.value) if statement.value else None
        except (ValueError, TypeError, RecursionError, MemoryError):
            continue  # Not a literal: it is no list that could be read without running it.
        words = tuple(_named(value))
        for target in targets:
            if words and isinstance(target, ast.Name):
                yield target.id, words


def format_qupath_classes(classes: Sequence[NamedColor]) -> str:
    """The text of QuPath's classes.json; a colour is packed ARGB in a signed 32-bit integer."""
    items = []
    for item in classes:
        values: dict[str, object] = {"name": item.name}
        if item.color:
            red, green, blue = item.color
            values["color"] = ((255 << 24) | (red << 16) | (green << 8) | blue) - (1 << 32)
        items.append(values)
    return json.dumps({"pathClasses": items}, ensure_ascii=False, indent=2) + "\n"
