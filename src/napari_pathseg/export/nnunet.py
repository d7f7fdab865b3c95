"""nnU-Net v2 raw dataset: fields as RGB PNG with consecutive labels.

Source: nnU-Net v2 documentation, "dataset_format.md": `imagesTr/<case>_0000.png` (all channels of a
natural image in one file), `labelsTr/<case>.png`, `dataset.json`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from napari_pathseg.errors import ExportError
from napari_pathseg.export.fields import ExportField
from napari_pathseg.export.folder import recover, whole_folder
from napari_pathseg.export.pictures import read_labels, write_labels, write_rgb
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

_SOURCE = "napari-pathseg"
# Names that mean something else there.
_RESERVED = {"background": "background tissue", "ignore": "ignore class"}


def write_nnunet(
    folder: Path,
    fields: Iterable[ExportField],
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
    fields : iterable of ExportField
        With images; read one by one.
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
    if not 0 < number < 1000 or not re.fullmatch(r"[A-Za-z0-9_]+", name):
        raise ExportError(
            f"Dataset{number:03d}_{name} is no name of an nnU-Net dataset.",
            "Give a number from 1 to 999 and a name of letters, digits and _.",
        )
    path = folder / f"Dataset{number:03d}_{name}"
    recover(path)
    _check_ours(path)
    labels: dict[str, int] = {}
    unseen = []
    cases = 0
    with whole_folder(path, empty=True) as part:
        for field in fields:
            if cancel is not None:
                cancel.raise_if_cancelled()
            progress(Progress(cases, 0, f"Writing field {cases + 1}"))
            _write_case(part, field, labels)
            cases += 1
            if field.record.status == "proposed":
                unseen.append(f"labelsTr/{field.record.id}.png")
        if unseen:
            # nnU-Net wants it to be the highest.
            labels["ignore"] = len(labels) + 1
        for label in unseen:
            mask = read_labels(part / label)
            write_labels(part, label, np.where(mask == 0, labels["ignore"], mask).astype(np.uint16))
        _write_json(part / "dataset.json", labels, cases)
    return path


def _write_case(part: Path, field: ExportField, labels: dict[str, int]) -> None:
    """Write a field; new classes get the next number in `labels`."""
    record = field.record
    if field.image is None:
        raise ExportError(f"Field {record.id} has no image.", "Open its slide and export again.")
    numbers = np.zeros(max((c.value for c in record.classes), default=0) + 1, dtype=np.uint16)
    for c in record.classes:
        name = _RESERVED.get(c.name, c.name)
        numbers[c.value] = labels.setdefault(name, len(labels) + 1)
    write_rgb(part, f"imagesTr/{record.id}_0000.png", field.image)
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


def _check_ours(path: Path) -> None:
    if not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    try:
        source = json.loads((path / "dataset.json").read_bytes())["converted_by"]
    except (OSError, ValueError, KeyError, TypeError):
        source = None
    if source != _SOURCE:
        raise ExportError(
            f"{path} was not written by napari-pathseg.", "Choose another number or name."
        )
