"""nnU-Net v2 raw dataset: fields as RGB PNG with consecutive labels.

Source: nnU-Net v2 documentation, "dataset_format.md": `imagesTr/<case>_0000.png` (all channels of a
natural image in one file), `labelsTr/<case>.png`, `dataset.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from napari_pathseg.errors import ExportError
from napari_pathseg.export.fields import ExportField, reported
from napari_pathseg.export.folder import check_ours, recover, whole_folder
from napari_pathseg.export.pictures import write_labels, write_rgb
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, ProgressCallback, no_progress

_SOURCE = "napari-pathseg"
# Names that mean something else there.
_RESERVED = {"background": "background tissue", "ignore": "ignore class"}


def write_nnunet(
    folder: Path,
    fields: Sequence[ExportField],
    *,
    number: int,
    name: str,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> Path:
    """Write fields as `folder/Dataset<number>_<name>`, to be used as nnU-Net's raw folder.

    Fields that nobody looked at (status "proposed") are written with the label "ignore" where
    they have no class, so that what the model missed is not learned as background.

    Parameters
    ----------
    folder : Path
        nnU-Net's `nnUNet_raw`.
    fields : sequence of ExportField
        With images.
    number : int
        1 to 999.
    name : str
        Letters, digits and "_".

    Returns
    -------
    Path
        Of the dataset; replaced at once when all is written.

    Raises
    ------
    ExportError
        When a field has no image, the folder is something else, or it can not be written.
    CancelledError
    """
    path = folder / dataset_name(number, name)
    recover(path)
    check_ours(path, is_nnunet, "no data set of napari-pathseg")
    with whole_folder(path, empty=True) as part:
        records = [field.record for field in fields]
        fill_nnunet(part, records, reported(fields, len(fields), progress, cancel))
    return path


def dataset_name(number: int, name: str) -> str:
    """The name of a dataset's folder; ExportError when nnU-Net would not take it."""
    if not 0 < number < 1000 or not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ExportError(
            f"Dataset{number:03d}_{name} is no name of an nnU-Net dataset.",
            "Give a number from 1 to 999 and a name of letters, digits and _.",
        )
    return f"Dataset{number:03d}_{name}"


def is_nnunet(path: Path) -> bool:
    """Whether a folder is a dataset of ours."""
    return bool(json.loads((path / "dataset.json").read_bytes())["converted_by"] == _SOURCE)


def fill_nnunet(part: Path, records: Sequence[FieldRecord], fields: Iterable[ExportField]) -> None:
    """Write a dataset's files.

    Parameters
    ----------
    part : Path
    records : sequence of FieldRecord
        Of all cases, those included that an interrupted export has written here.
    fields : iterable of ExportField
        The others, with images; read one by one.
    """
    labels: dict[str, int] = {}
    for record in records:
        for c in record.classes:
            labels.setdefault(_RESERVED.get(c.name, c.name), len(labels) + 1)
    if any(record.status == "proposed" for record in records):
        labels["ignore"] = len(labels) + 1  # nnU-Net wants it to be the highest
    for field in fields:
        _write_case(part, field, labels)
    _write_json(part / "dataset.json", labels, len(records))


def _write_case(part: Path, field: ExportField, labels: Mapping[str, int]) -> None:
    record = field.record
    numbers = np.zeros(max((c.value for c in record.classes), default=0) + 1, dtype=np.uint16)
    for c in record.classes:
        numbers[c.value] = labels[_RESERVED.get(c.name, c.name)]
    if record.status == "proposed":
        numbers[0] = labels["ignore"]
    write_rgb(part, f"imagesTr/{record.id}_0000.png", field.pixels())
    write_labels(part, f"labelsTr/{record.id}.png", numbers[field.mask])


def _write_json(path: Path, labels: dict[str, int], cases: int) -> None:
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0} | labels,
        "numTraining": cases,
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
        "converted_by": _SOURCE,
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8", newline="\n")
