"""Nuclei of which only the centre and the class are known: weak masks for training.

A disk at each centre belongs to its class; of the ring around it, where the nucleus may end,
nothing is known; what is far from every centre is no nucleus.
Columns of the CSV: id, dataset, case, split, image, points, organ, mpp; of each file of points:
x, y (pixels), class.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage

from napari_pathseg.classes import UNSPECIFIED, Term
from napari_pathseg.errors import PathsegError, describe_os_error
from napari_pathseg.training.cases import Case

UNKNOWN = 255
INSIDE_UM, OUTSIDE_UM = 2.2, 9.0


@dataclass(frozen=True, slots=True)
class PointCase(Case):
    """An image with classified centres; `mask` is the file of points.

    Attributes
    ----------
    class_names : tuple of str
        The name in the file of each of `terms`.
    """

    class_names: tuple[str, ...] = ()

    def read_mask(self) -> npt.NDArray[np.int32]:
        """Disks of the classes on (height, width); 255 where nothing is known."""
        with Image.open(self.image) as picture:
            shape = (picture.height, picture.width)
        centers = np.zeros(shape, dtype=np.int32)
        with self.mask.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                y = min(max(int(float(row["y"])), 0), shape[0] - 1)
                x = min(max(int(float(row["x"])), 0), shape[1] - 1)
                known = row["class"] in self.class_names
                centers[y, x] = 1 + self.class_names.index(row["class"]) if known else UNKNOWN
        distance, nearest = ndimage.distance_transform_edt(centers == 0, return_indices=True)
        distance_um = distance * (self.mpp or 1.0)
        values = np.where(distance_um <= OUTSIDE_UM, UNKNOWN, 0).astype(np.int32)
        disk = distance_um <= INSIDE_UM
        values[disk] = centers[nearest[0], nearest[1]][disk]
        return values


def read_point_cases(path: Path, objects: Mapping[str, Mapping[str, str]]) -> list[PointCase]:
    """The cases of a CSV whose data set is a key of `objects`: class in the file -> nucleus.

    Raises
    ------
    PathsegError
        Naming the file that can not be read.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [r for r in csv.DictReader(file) if r["dataset"] in objects]
        return [_case(row, path.parent, objects[row["dataset"]]) for row in rows]
    except OSError as error:
        raise PathsegError(describe_os_error(error, path), "Give a CSV of cases.") from error
    except (KeyError, ValueError, UnicodeDecodeError, csv.Error) as error:
        raise PathsegError(f"{path}: {error!r}.", "Give a CSV of images with points.") from error


def _case(row: dict[str, str], folder: Path, objects: Mapping[str, str]) -> PointCase:
    region = row["organ"] or UNSPECIFIED
    terms = tuple(
        (str(value), Term(region, "nuclei", name))
        for value, name in enumerate(objects.values(), start=1)
    )
    return PointCase(
        id=row["id"],
        dataset=row["dataset"],
        case=row["case"],
        split=row["split"],
        image=folder / row["image"],
        mask=folder / row["points"],
        kind="points",
        terms=terms,
        ignore=(UNKNOWN,),
        mpp=float(row["mpp"]) if row["mpp"] else None,
        class_names=tuple(objects),
    )
