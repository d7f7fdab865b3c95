"""What the numbers of a mask are: values of classes, or one number an object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList, LabelClass
from napari_pathseg.errors import ExportError
from napari_pathseg.labels.raster import Instances, Ints, instances_of

Numbers = Literal["", "classes", "objects"]

OBJECTS = "objects"
"""Name of the class of objects in a file that does not say what they are."""

_GREY = (128, 128, 128)
_MOST_CLASSES = 255
_LEAST_OBJECTS = 8
_PIECES = 1.1
_MOST_16 = 65_535


@dataclass(frozen=True, slots=True, eq=False)
class Meant:
    """A mask that is understood.

    Attributes
    ----------
    mask : uint16 array (height, width)
        Class mask.
    classes : ClassList
    objects : uint32 array (height, width) or None
        One value an object, where the file knows more than the class mask.
    numbers : "classes", "objects" or ""
        What its numbers were taken for; "" where the file itself says it.
    """

    mask: npt.NDArray[np.uint16]
    classes: ClassList
    objects: Instances | None = None
    numbers: Numbers = ""


def meant(
    path: Path,
    values: Ints,
    classes: ClassList,
    *,
    named: bool,
    name: str = "",
    objects: Ints | None = None,
    said: Numbers = "",
) -> Meant:
    """A mask as class mask and objects.

    Parameters
    ----------
    path : Path
        Named in errors.
    values : integer array (height, width)
        0 = background.
    classes : ClassList
        What the file says of its values.
    named : bool
        Whether it names them; then its numbers are classes.
    name : str
        Of the class of all objects, where the numbers are objects.
    objects : integer array (height, width), optional
        One value an object, where the file has them beside the classes.
    said : "classes", "objects" or ""
        What a person says of the numbers; else it is told from the mask, see :func:`numbers_of`.

    Raises
    ------
    ExportError
        When a number is negative or has more than 32 bits, or a class more than 16.
    """
    least, most = int(values.min(initial=0)), int(values.max(initial=0))
    if least < 0 or most > np.iinfo(np.uint32).max:
        raise ExportError(f"{path} holds values from {least} to {most}, which number nothing.")
    numbers: Numbers = said or ("" if named else numbers_of(values))
    if numbers == "objects":
        color = next((c.color for c in classes), _GREY)
        only = ClassList((LabelClass(1, name or OBJECTS, None, color),))
        return Meant((values > 0).astype(np.uint16), only, values.astype(np.uint32), numbers)
    if most > _MOST_16:
        raise ExportError(
            f"{path} holds values up to {most}, which are no classes.",
            "Read them as objects (--numbers objects).",
        )
    apart = None if objects is None else objects.astype(np.uint32)
    return Meant(values.astype(np.uint16), with_unnamed(classes, values), apart, numbers)


def numbers_of(values: Ints) -> Numbers:
    """What the numbers of a mask without names are, by how they lie.

    Objects are more than 255 numbers, or at least eight of which next to none is in several
    pieces. Whoever knows better can say so.
    """
    present = int(np.count_nonzero(np.unique(values)))
    if present > _MOST_CLASSES:
        return "objects"
    if present < _LEAST_OBJECTS:
        return "classes"
    pieces = int(instances_of(values).max(initial=0))
    return "objects" if pieces <= _PIECES * present else "classes"


def with_unnamed(classes: ClassList, mask: Ints) -> ClassList:
    """The classes, and "label <value>" for values without a name; colours stay."""
    known = {0, *(c.value for c in classes)}
    unnamed = [int(value) for value in np.unique(mask) if int(value) not in known]
    found = [*classes, *(LabelClass(v, f"label {v}", None, _GREY) for v in unnamed)]
    return ClassList(tuple(sorted(found, key=lambda c: c.value)))
