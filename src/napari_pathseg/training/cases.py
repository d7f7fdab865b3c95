"""Cases: images with masks, and what is known of each, from a CSV beside them.

Columns: id, dataset, case, split, image, mask, kind (binary, instance, semantic), terms (JSON:
mask value -> [region, structure, object]; the key ">0" stands for any value above 0), ignore
(JSON list of mask values of which nothing is known), organ, mpp. Every object named in `terms`
is annotated exhaustively, so that its absence is a true negative.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from napari_pathseg.classes import Term
from napari_pathseg.errors import PathsegError, describe_os_error

ANY_VALUE = ">0"


@dataclass(frozen=True, slots=True)
class Case:
    """One image with its mask."""

    id: str
    dataset: str
    case: str
    split: str
    image: Path
    mask: Path
    kind: str
    terms: tuple[tuple[str, Term], ...]
    ignore: tuple[int, ...]
    mpp: float | None

    @property
    def region(self) -> str:
        """The organ its terms name."""
        return self.terms[0][1].region

    def read_image(self) -> npt.NDArray[np.uint8]:
        """Pixels (height, width, 3) in sRGB."""
        with Image.open(self.image) as picture:
            return np.asarray(picture.convert("RGB"))

    def read_mask(self) -> npt.NDArray[np.int32]:
        """Mask values (height, width).

        Raises
        ------
        PathsegError
            When the file can not be read, or its colours are no single values.
        """
        try:
            with Image.open(self.mask) as picture:
                values = np.asarray(picture).astype(np.int32)
        except OSError as error:
            raise PathsegError(
                describe_os_error(error, self.mask), "Give masks as PNG or TIFF."
            ) from error
        if values.ndim == 3:
            if (values[..., :3] != values[..., :1]).any():
                raise PathsegError(
                    f"{self.mask}: a mask in colours; values are wanted.",
                    "Save it with one channel, a value for each term.",
                )
            values = values[..., 0]
        return values

    def known(self, mask: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Where the mask says something."""
        return ~np.isin(mask, self.ignore)

    def term_mask(self, mask: npt.NDArray[np.int32], term: Term) -> npt.NDArray[np.bool_]:
        """Where one of the case's terms is; the region of `term` does not matter."""
        wanted = term.without_region
        inside = np.zeros(mask.shape, dtype=bool)
        for value, own in self.terms:
            if own.without_region == wanted:
                inside |= mask > 0 if value == ANY_VALUE else mask == int(value)
        return inside & self.known(mask)


def read_cases(path: Path) -> list[Case]:
    """All cases of a CSV; files are found beside it.

    Raises
    ------
    PathsegError
        Naming the file and line that can not be read.
    """
    cases = []
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.DictReader(file), start=2):
                try:
                    cases.append(_case(row, path.parent))
                except (KeyError, ValueError, TypeError, AttributeError) as error:
                    raise PathsegError(
                        f"{path}, line {number}: {type(error).__name__} {error}.",
                        "See the columns in the documentation of `pathseg evaluate`.",
                    ) from error
    except OSError as error:
        raise PathsegError(describe_os_error(error, path), "Give a CSV of cases.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise PathsegError(f"{path} is no CSV: {error}.", "Give a CSV of cases.") from error
    return cases


def _case(row: dict[str, str], folder: Path) -> Case:
    terms = tuple((value, Term(*names)) for value, names in json.loads(row["terms"]).items())
    return Case(
        id=row["id"],
        dataset=row["dataset"],
        case=row["case"],
        split=row["split"],
        image=folder / row["image"],
        mask=folder / row["mask"],
        kind=row["kind"],
        terms=terms,
        ignore=tuple(json.loads(row["ignore"] or "[]")),
        mpp=float(row["mpp"]) if row["mpp"] else None,
    )


def taught_terms(cases: Iterable[Case]) -> list[Term]:
    """Every term of the cases, once, sorted."""
    return sorted({term for case in cases for _, term in case.terms})
