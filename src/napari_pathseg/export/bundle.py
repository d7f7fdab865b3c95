"""Training bundle: a folder of field images, masks and provenance; all other forms come from it.

Layout::

    images/<id>.png       uint8 RGB, the field's pixels
    classes/<id>.png      uint16 class mask, values as in classes.json
    instances/<id>.png    uint16 instance mask (.tif, uint32, above 65,535 objects)
    before/<id>.png       uint16 class mask as the model proposed it
    metadata.jsonl        one line a field: prompts, terms, place, model, author, times, files
    classes.json          value, name, term and colour of each class
    splits.json           ids of "train" and "val", all fields of a slide on the same side; of the
                          fields of a single slide, those that overlap
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError, StoreError
from napari_pathseg.export.atomic import os_errors
from napari_pathseg.export.fields import ExportField, hidden_name, reported
from napari_pathseg.export.folder import check_ours, drop, recover, whole_folder
from napari_pathseg.export.merging import merge_classes
from napari_pathseg.export.pictures import (
    read_labels,
    read_rgb,
    write_instances,
    write_labels,
    write_rgb,
)
from napari_pathseg.export.splitting import splits_of
from napari_pathseg.labels.raster import Ints
from napari_pathseg.labels.record import FieldRecord, classes_from_json, classes_to_json
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress

FORMAT = "napari-pathseg training bundle"
VERSION = 1

# Lines of fields that are written, until all are.
_FRESH = ".fresh"
_FILES = {
    "image": "file_name",
    "classes": "classes_file_name",
    "instances": "instances_file_name",
    "before": "before_file_name",
}


def write_bundle(
    path: Path,
    fields: Sequence[ExportField],
    *,
    hide_names: bool = True,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> int:
    """Write fields into a bundle, or add them to one; a field with a known id is replaced.

    All fields of a bundle share one list of classes: a class keeps the value it has in the
    bundle, whatever value it had in the field. The same fields give the same bytes.

    Parameters
    ----------
    path : Path
        A folder that is new, empty or a bundle. Changed in one move at the end.
    fields : sequence of ExportField
        With images.
    hide_names : bool
        Put a hash in the place of the slide's file name, which may name a patient.

    Returns
    -------
    int
        Fields written.

    Raises
    ------
    ExportError
        When the folder is something else, a field has no image, or there is no space; the
        folder is then as it was.
    CancelledError
    """
    recover(path)
    check_bundle(path)
    records = [field.record for field in fields]
    if hide_names:
        records = [replace(r, slide_name=hidden_name(r.slide_identity)) for r in records]
    with whole_folder(path) as part:
        named = (replace(f, record=r) for f, r in zip(fields, records, strict=True))
        fill_bundle(part, records, reported(named, len(fields), progress, cancel))
    return len(fields)


def fill_bundle(part: Path, records: Sequence[FieldRecord], fields: Iterable[ExportField]) -> None:
    """Write fields into a folder that is nobody's yet, or a copy of a bundle.

    Parameters
    ----------
    part : Path
    records : sequence of FieldRecord
        Of all fields, those included that an interrupted export has written here.
    fields : iterable of ExportField
        The others, with images; read one by one.

    Raises
    ------
    ExportError
        When a field has no image.
    """
    classes = _read_classes(part)
    values = []
    for record in records:
        classes, table = merge_classes(classes, record.classes)
        values.append(table)
    tables = {record.id: table for record, table in zip(records, values, strict=True)}
    lines = {line["id"]: line for line in _read_lines(part)}
    fresh = part / _FRESH
    fresh.mkdir(exist_ok=True)
    for field in fields:
        field_id = field.record.id
        _remove(part, lines.get(field_id, {}))
        line = _write_field(part, field, tables[field_id])
        _write_json(fresh / f"{field_id}.json", line)
    for record in records:
        file = fresh / f"{record.id}.json"
        if file.exists():  # else it was interrupted when all was written
            lines[record.id] = _read_json(file)
    _write_indexes(part, lines, classes)
    drop(fresh)


def read_bundle(path: Path) -> list[ExportField]:
    """All fields of a bundle, in the order of their ids, every pixel as it was written.

    The records have the bundle's list of classes.

    Raises
    ------
    ExportError
        When the folder is no bundle, or a file is missing or damaged; names it.
    """
    return [read_bundle_field(path, line) for line in read_bundle_lines(path)]


def read_bundle_lines(path: Path) -> list[dict[str, Any]]:
    """What a bundle says of its fields, one mapping each; raises as :func:`read_bundle`."""
    recover(path)
    if not (path / "metadata.jsonl").is_file():
        raise ExportError(f"{path} is no training bundle: metadata.jsonl is missing.")
    check_bundle(path)
    return _read_lines(path)


def read_splits(path: Path) -> dict[str, list[str]]:
    """Ids of the fields by split: "train" and "val"."""
    splits = _read_json(path / "splits.json")
    return {side: list(splits[side]) for side in ("train", "val")}


def _write_field(part: Path, field: ExportField, values: npt.NDArray[np.uint16]) -> dict[str, Any]:
    record = field.record
    files = {
        "image": write_rgb(part, f"images/{record.id}.png", field.pixels()),
        "classes": write_labels(part, f"classes/{record.id}.png", _revalued(field.mask, values)),
        "instances": write_instances(part, f"instances/{record.id}", field.objects()),
    }
    if field.before is not None:
        known = np.isin(field.before, [c.value for c in record.classes])
        before = _revalued(np.where(known, field.before, 0), values)
        files["before"] = write_labels(part, f"before/{record.id}.png", before)
    own = ClassList(tuple(replace(c, value=int(values[c.value])) for c in record.classes))
    line = {_FILES[kind]: file for kind, file in files.items()}
    return line | {"text": "; ".join(record.texts)} | replace(record, classes=own).to_json()


def _revalued(mask: Ints, values: npt.NDArray[np.uint16]) -> npt.NDArray[np.uint16]:
    revalued: npt.NDArray[np.uint16] = values[mask]
    return revalued


def _remove(part: Path, line: Mapping[str, Any]) -> None:
    """Remove the files of a field: they may be links and must not be written into."""
    for kind in _FILES:
        if _FILES[kind] in line:
            _inside(part, line, kind).unlink(missing_ok=True)


def _write_indexes(part: Path, lines: Mapping[str, Mapping[str, Any]], classes: ClassList) -> None:
    ordered = [lines[key] for key in sorted(lines)]
    text = "".join(json.dumps(line, allow_nan=False) + "\n" for line in ordered)
    (part / "metadata.jsonl").unlink(missing_ok=True)
    (part / "metadata.jsonl").write_text(text, encoding="utf-8", newline="\n")
    head = {"format": FORMAT, "version": VERSION, "classes": classes_to_json(classes)}
    _write_json(part / "classes.json", head)
    before = _read_json(part / "splits.json") if (part / "splits.json").exists() else {}
    _write_json(part / "splits.json", splits_of(ordered, before))


def read_bundle_field(path: Path, line: Mapping[str, Any], *, image: bool = True) -> ExportField:
    """The field of one of :func:`read_bundle_lines`; raises as :func:`read_bundle`."""
    try:
        record = FieldRecord.from_json(line)
    except StoreError as error:
        raise ExportError(f"{path / 'metadata.jsonl'}: {error.what}") from error
    before = line.get(_FILES["before"])
    return ExportField(
        record,
        read_labels(_inside(path, line, "classes")).astype(np.uint16),
        read_rgb(_inside(path, line, "image")) if image else None,
        read_labels(_inside(path, line, "instances")).astype(np.uint32),
        None if before is None else read_labels(_inside(path, line, "before")).astype(np.uint16),
    )


def _inside(path: Path, line: Mapping[str, Any], kind: str) -> Path:
    """The file of a line, which must lie inside the bundle."""
    name = line.get(_FILES[kind])
    if not isinstance(name, str) or not (path / name).resolve().is_relative_to(path.resolve()):
        raise ExportError(
            f"{path / 'metadata.jsonl'}: field {line.get('id')}: {name!r} is no file of the bundle."
        )
    return path / name


def check_bundle(path: Path) -> None:
    """Refuse a folder that holds something and is no bundle, or a newer one."""
    check_ours(path, _is_bundle, "no training bundle")


def _is_bundle(path: Path) -> bool:
    file = path / "classes.json"
    head = _read_json(file) if file.is_file() else {}
    if head["format"] == FORMAT and head["version"] > VERSION:
        raise ExportError(
            f"{path} was written by a newer version of napari-pathseg.", "Update napari-pathseg."
        )
    return bool(head["format"] == FORMAT)


def _read_classes(path: Path) -> ClassList:
    file = path / "classes.json"
    if not file.exists():
        return ClassList()
    try:
        return classes_from_json(_read_json(file)["classes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExportError(f"{file} is damaged: {error}.") from error


def _read_lines(path: Path) -> list[dict[str, Any]]:
    file = path / "metadata.jsonl"
    if not file.exists():
        return []
    lines = []
    with os_errors(file):
        text = file.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            value = json.loads(line)
            value["id"], value["slide"]["identity"]
        except (ValueError, TypeError, KeyError) as error:
            raise ExportError(f"{file}: line {number} is damaged: {error}.") from error
        lines.append(value)
    return lines


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise ExportError(f"{file} can not be read: {error.strerror}.") from error
    except ValueError as error:
        raise ExportError(f"{file} is damaged: {error}.") from error


def _write_json(file: Path, value: object) -> None:
    file.unlink(missing_ok=True)  # it may be the same file as in the folder that is replaced
    file.write_text(json.dumps(value, indent=1) + "\n", encoding="utf-8", newline="\n")
