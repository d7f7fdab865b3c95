"""One list of classes for many fields."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import ClassList


def merge_classes(classes: ClassList, more: ClassList) -> tuple[ClassList, npt.NDArray[np.uint16]]:
    """A list with the classes of another added, by name.

    A new class keeps its value where that is free and gets the next one otherwise.

    Returns
    -------
    classes : ClassList
        In the order of the values.
    values : uint16 array
        For each value of `more`, its value in the list: a look-up table for masks; 0 stays 0.
    """
    values = np.zeros(max((c.value for c in more), default=0) + 1, dtype=np.uint16)
    taken = {c.value for c in classes}
    for label_class in more:
        found = classes.named(label_class.name)
        if found is None:
            value = label_class.value if label_class.value not in taken else max(taken) + 1
            found = replace(label_class, value=value)
            classes = ClassList(tuple(sorted((*classes, found), key=lambda c: c.value)))
            taken.add(value)
        values[label_class.value] = found.value
    return classes, values
