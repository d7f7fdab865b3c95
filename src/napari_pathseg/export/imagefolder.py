"""Hugging Face data sets: an imagefolder with masks beside the pictures, or Parquet shards.

Source: the documentation of Hugging Face `datasets` ("Create an image dataset": `metadata.jsonl`
with `*_file_name` columns; "Image" features as structs of bytes and path) and of the Hub ("Dataset
cards": YAML front matter).
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ExportError
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.folder import drop
from napari_pathseg.export.merging import merge_classes
from napari_pathseg.export.pictures import write_labels, write_rgb
from napari_pathseg.export.splitting import splits_of
from napari_pathseg.labels.raster import Ints
from napari_pathseg.labels.record import FieldRecord

Json = dict[str, Any]

SHARD = 64
"""Fields of one Parquet shard: so many are in memory at once."""
_SPLITS = {"train": "train", "val": "validation"}
_FRESH = ".fresh"
_MARK = "napari-pathseg"


def is_imagefolder(path: Path) -> bool:
    """Whether a folder is a data set that we wrote."""
    return _MARK in (path / "README.md").read_text(encoding="utf-8")


def fill_imagefolder(
    part: Path, records: Sequence[FieldRecord], fields: Iterable[ExportField]
) -> None:
    """Write `<split>/<id>.png`, its masks and `<split>/metadata.jsonl`, and a card.

    `load_dataset("imagefolder", data_dir=...)` gives the columns image, classes and instances
    as pictures, and all that is known of a field.

    Parameters
    ----------
    part : Path
    records : sequence of FieldRecord
        Of all fields, those included that an interrupted export has written here.
    fields : iterable of ExportField
        The others, with images; read one by one.
    """
    classes, tables, split_of = _common(records)
    fresh = part / _FRESH
    fresh.mkdir(exist_ok=True)
    for field in fields:
        record, split = field.record, split_of[field.record.id]
        write_rgb(part, f"{split}/{record.id}.png", field.pixels())
        for name, mask in _masks(field, tables[record.id]).items():
            write_labels(part, f"{split}/{record.id}.{name}.png", mask)
        line = {"file_name": f"{record.id}.png"}
        line |= {
            f"{name}_file_name": f"{record.id}.{name}.png" for name in ("classes", "instances")
        }
        text = json.dumps(line | _columns(record), allow_nan=False) + "\n"
        (fresh / record.id).write_text(text, encoding="utf-8", newline="\n")
    _write_card(part, records, classes, split_of, parquet=False)
    if not any(fresh.iterdir()):
        fresh.rmdir()
        return  # it was interrupted when all was written
    for split in sorted(set(split_of.values())):
        with (part / split / "metadata.jsonl").open("w", encoding="utf-8", newline="\n") as file:
            for field_id in sorted(k for k, v in split_of.items() if v == split):
                file.write((fresh / field_id).read_text(encoding="utf-8"))
    drop(fresh)


def fill_parquet(
    part: Path,
    records: Sequence[FieldRecord],
    load: Callable[[Sequence[str]], Iterable[ExportField]],
    *,
    done: Callable[[str], bool] = lambda _: False,
    mark: Callable[[str], None] = lambda _: None,
) -> None:
    """Write `data/<split>-<n>-of-<count>.parquet` and a card; as the Hub stores data sets.

    Parameters
    ----------
    part : Path
    records : sequence of FieldRecord
        Of all fields.
    load : callable
        The fields of some ids with their images, in that order, read one by one.
    done, mark : callable
        Whether an interrupted export has written a file of that name; that it is written now.

    Raises
    ------
    ExportError
        When pyarrow is not installed.
    """
    try:
        arrow, parquet = import_module("pyarrow"), import_module("pyarrow.parquet")
    except ImportError as error:
        raise ExportError(
            "Parquet needs the package pyarrow.", 'Run: pip install "napari-pathseg[parquet]"'
        ) from error
    classes, tables, split_of = _common(records)
    schema = _schema(arrow, classes)
    (part / "data").mkdir(exist_ok=True)
    for name, ids in _shards(split_of, records):
        if done(name):
            continue
        rows = [_row(field, tables[field.record.id]) for field in load(ids)]
        table = arrow.Table.from_pylist(rows, schema=schema)
        path = part / "data" / name
        parquet.write_table(table, path, row_group_size=8, compression="zstd")
        mark(name)
    _write_card(part, records, classes, split_of, parquet=True)


def _shards(
    split_of: Mapping[str, str], records: Sequence[FieldRecord]
) -> Iterator[tuple[str, list[str]]]:
    """File name and fields of each shard."""
    for split in dict.fromkeys(split_of.values()):
        ids = [record.id for record in records if split_of[record.id] == split]
        count = -(-len(ids) // SHARD)
        for number in range(count):
            own = ids[number * SHARD : (number + 1) * SHARD]
            yield f"{split}-{number:05d}-of-{count:05d}.parquet", own


def _row(field: ExportField, table: npt.NDArray[np.uint16]) -> Json:
    pictures: dict[str, npt.NDArray[Any]] = {"image": field.pixels()}
    pictures.update(_masks(field, table))
    row = {
        name: {"bytes": _png(array), "path": f"{field.record.id}.{name}.png"}
        for name, array in pictures.items()
    }
    return row | _columns(field.record)


def _common(
    records: Sequence[FieldRecord],
) -> tuple[ClassList, dict[str, npt.NDArray[np.uint16]], dict[str, str]]:
    """One list of classes, each field's values in it, and each field's split."""
    classes, tables = ClassList(), {}
    for record in records:
        classes, tables[record.id] = merge_classes(classes, record.classes)
    splits = splits_of([record.to_json() for record in records], {})
    split_of = {i: _SPLITS[side] for side in _SPLITS for i in splits[side]}
    return classes, tables, split_of


def _masks(field: ExportField, table: npt.NDArray[np.uint16]) -> dict[str, npt.NDArray[np.uint16]]:
    """Class and instance mask, 16 bits each."""
    objects = field.classed_objects()
    if int(objects.max(initial=0)) > np.iinfo(np.uint16).max:
        objects = renumbered(objects)
    if int(objects.max(initial=0)) > np.iinfo(np.uint16).max:
        raise ExportError(
            f"Field {field.record.id} has more objects than 16 bits can number.",
            "Give a tile size, so that fields are cut.",
        )
    return {"classes": table[field.mask], "instances": objects.astype(np.uint16)}


def renumbered(instances: Ints) -> npt.NDArray[np.uint32]:
    """The same objects with the values 1, 2, 3, ..., in the same order."""
    values, inverse = np.unique(instances, return_inverse=True)
    shift = 0 if values.size and values[0] == 0 else 1
    found: npt.NDArray[np.uint32] = (inverse.reshape(instances.shape) + shift).astype(np.uint32)
    return found


def _png(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def _columns(record: FieldRecord) -> Json:
    """What is known of a field, as plain columns."""
    mpp_y, mpp_x = record.mpp or (None, None)
    return {
        "field": record.id,
        "slide": record.slide_name,
        "text": "; ".join(record.texts),
        "class_names": [c.name for c in record.classes],
        "mpp_y": mpp_y,
        "mpp_x": mpp_x,
        "region": record.field.region.as_list(),
        "level": record.field.level,
        "model": record.model,
        "model_license": record.model_license,
        "status": record.status,
    }


def _schema(arrow: Any, classes: ClassList) -> Any:
    """Columns with the Image features that `datasets` finds in the schema's metadata."""
    picture = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    plain = {
        "field": arrow.string(),
        "slide": arrow.string(),
        "text": arrow.string(),
        "class_names": arrow.list_(arrow.string()),
        "mpp_y": arrow.float64(),
        "mpp_x": arrow.float64(),
        "region": arrow.list_(arrow.int64()),
        "level": arrow.int64(),
        "model": arrow.string(),
        "model_license": arrow.string(),
        "status": arrow.string(),
    }
    features: Json = {name: {"_type": "Image"} for name in ("image", "classes", "instances")}
    for name, kind in plain.items():
        if name in ("class_names", "region"):
            inner = {"dtype": str(kind.value_type), "_type": "Value"}
            features[name] = {"feature": inner, "_type": "List"}
        else:
            dtype = "float64" if name.startswith("mpp") else str(kind)
            features[name] = {"dtype": dtype, "_type": "Value"}
    info = {"info": {"features": features}, "classes": {c.value: c.name for c in classes}}
    columns = [(name, picture) for name in ("image", "classes", "instances")]
    return arrow.schema([*columns, *plain.items()], {"huggingface": json.dumps(info)})


def _write_card(
    part: Path,
    records: Sequence[FieldRecord],
    classes: ClassList,
    split_of: Mapping[str, str],
    *,
    parquet: bool,
) -> None:
    licenses = sorted({record.model_license for record in records if record.model_license})
    text = card(records, classes, split_of, licenses, parquet=parquet)
    (part / "README.md").write_text(text, encoding="utf-8", newline="\n")


def card(
    records: Sequence[FieldRecord],
    classes: ClassList,
    split_of: Mapping[str, str],
    licenses: Sequence[str],
    *,
    parquet: bool,
) -> str:
    """The data set's card: what is in it, how it was made, what may be done with it."""
    reviewed = sum(record.status != "proposed" for record in records)
    slides = len({record.slide_identity for record in records})
    splits = sorted(set(split_of.values()))
    head = ["---", "license: other", "task_categories:", "- image-segmentation", "tags:"]
    head += ["- pathology", "- histology", f"- {_MARK}"]
    if parquet:
        head += ["configs:", "- config_name: default", "  data_files:"]
        for split in splits:
            head += [f"  - split: {split}", f"    path: data/{split}-*.parquet"]
    rows = [f"| {c.value} | {_cell(c.name)} | {_cell(str(c.term or ''))} |" for c in classes]
    counts = [f"{list(split_of.values()).count(s)} {s}" for s in splits]
    return "\n".join(
        [
            *head,
            "---",
            "",
            "# Fields of pathology slides with class and instance masks",
            "",
            f"{len(records)} fields of {slides} slides ({', '.join(counts)}); {reviewed} were"
            " corrected or accepted by a person, the others are a model's proposals"
            ' (column "status"). Written by napari-pathseg.',
            "",
            "| value in `classes` | class | term |",
            "|---|---|---|",
            *rows,
            "",
            "`image` is RGB; `classes` holds class values and `instances` one value an object,"
            " both as 16-bit pictures with 0 for background. `mpp_y` and `mpp_x` are micrometres"
            " per pixel, `region` is [y, x, height, width] in pixels of the full slide.",
            "",
            "## Licence",
            "",
            "Set it to what the owner of the slides allows.",
            *(f"The model that proposed masks says of its use: {_cell(x)}" for x in licenses),
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
