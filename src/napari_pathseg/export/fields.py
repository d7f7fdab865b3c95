"""ExportField: a field with its pixels, ready to go out."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import ExportError
from napari_pathseg.labels.raster import Instances, Ints, instances_of
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback


@dataclass(frozen=True, slots=True, eq=False)
class ExportField:
    """One field with everything that is exported of it. All arrays have the field's shape.

    Attributes
    ----------
    record : FieldRecord
    mask : integer array (height, width)
        Class mask; each value but 0 is one of `record.classes`.
    image : uint8 array (height, width, 3) or None
        sRGB pixels at the field's level; needed for the training bundle only.
    instances : uint32 array (height, width) or None
        One value an object, inside one class each; 8-connected components when None.
    before : integer array (height, width) or None
        Class mask as the model proposed it, before any correction. Values that are no class of
        the record any more count as background.

    Raises
    ------
    ExportError
        When an array has another shape, or the mask has values without a class.
    """

    record: FieldRecord
    mask: Ints
    image: npt.NDArray[np.uint8] | None = None
    instances: Ints | None = None
    before: Ints | None = None

    def __post_init__(self) -> None:
        shape = self.record.field.shape
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", self.record.id):
            raise ExportError(f"{self.record.id!r} can not be the name of a file.")
        for name, array in (
            ("mask", self.mask),
            ("instances", self.instances),
            ("before", self.before),
        ):
            if array is not None and array.shape != shape:
                raise ExportError(
                    f"Field {self.record.id}: the {name} has the shape {array.shape},"
                    f" the field {shape}."
                )
        if self.image is not None and self.image.shape != (*shape, 3):
            raise ExportError(
                f"Field {self.record.id}: the image has the shape {self.image.shape},"
                f" the field {shape}."
            )
        known = {0, *(c.value for c in self.record.classes)}
        unknown = set(np.unique(self.mask).tolist()) - known
        if unknown:
            raise ExportError(
                f"Field {self.record.id}: the mask has the values {sorted(unknown)},"
                " which are no class of it.",
                "Add the classes or paint over these values.",
            )

    def pixels(self) -> npt.NDArray[np.uint8]:
        """The image; ExportError when there is none."""
        if self.image is None:
            raise ExportError(
                f"Field {self.record.id} has no image.", "Open its slide and export again."
            )
        return self.image

    def objects(self) -> Instances:
        """The instance mask: as given, or the 8-connected components."""
        if self.instances is None:
            return instances_of(self.mask)
        return self.instances.astype(np.uint32)

    def classed_objects(self) -> Instances:
        """The instance mask without what is background in the class mask."""
        instances = self.objects()
        instances[self.mask == 0] = 0
        return instances


def hidden_name(identity: str) -> str:
    """What stands in the place of a slide's name, which may name a patient."""
    return "slide-" + hashlib.sha256(identity.encode()).hexdigest()[:12]


def reported(
    fields: Iterable[ExportField],
    total: int,
    progress: ProgressCallback,
    cancel: CancelToken | None,
) -> Iterator[ExportField]:
    """The fields one by one, each told before it is written; CancelledError when cancelled."""
    for done, field in enumerate(fields):
        if cancel is not None:
            cancel.raise_if_cancelled()
        progress(Progress(done, total, f"Writing field {done + 1}"))
        yield field
