"""One frozen config for each operation, shared by the panel, the command line and TOML files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_pathseg.geometry import Region

ObjectForm = Literal["annotation", "detection", "cell", "class"]
Outlining = Literal["rle", "polygon"]
ZarrPlace = Literal["image", "beside", "inside"]
Extent = Literal["field", "slide"]
LabelFormat = Literal["tif", "geojson", "zarr", "png"]
"""What a batch writes of a slide."""


@dataclass(frozen=True, slots=True)
class SlideConfig:
    """How slides are opened and shown.

    Attributes
    ----------
    color_managed : bool
        Turn the scanner's colours to sRGB where the file has a colour profile.
    cache_mb : int
        Memory, in megabytes, for decoded pixels of all slides that are shown.
    overviews_mb : int
        Megabytes of overviews, made of large pictures that have none, kept on the disk for the
        next time; 0 keeps none.
    """

    color_managed: bool = False
    cache_mb: int = 512
    overviews_mb: int = 2048

    def __post_init__(self) -> None:
        if self.cache_mb < 16:
            raise ValueError(f"the cache needs 16 MB at least: {self.cache_mb}")
        if self.overviews_mb < 0:
            raise ValueError(f"overviews can not take {self.overviews_mb} MB")


@dataclass(frozen=True, slots=True)
class SegmentConfig:
    """How a field is segmented.

    Attributes
    ----------
    tile_px : int
        Side of every model input for words: that of the crops it was trained on, and a whole
        number of the encoder's windows, so that none is filled up with nothing.
    click_px : int
        Side of the one model input in which clicks and boxes without words are answered: a window
        around them, at the scale of the field on a screen of `screen_px`.
    screen_px : int
    looks : tuple of str
        Where a single click without words is answered: "near", in that window, "wide", in the
        whole region; of several the likelier answer is taken. Boxes take the first, and so do more
        clicks, whose answer goes on in the second where the window cuts it.
    overlap_px : int
        Shared by neighbouring tiles, blended on logits. The encoder and the words read windows of
        112 and 224 pixels: where `tile_px - overlap_px` is a multiple of 112, windows of
        neighbours lie on one grid, and both see much the same.
    max_tiles : int
        A field of more tiles is refused with the advice to zoom in or to run a batch.
    threshold : float
        Probability above which a pixel belongs to the class.
    cached_tiles : int
        Embeddings kept in memory, 3.5 MB each at 448 pixels.
    kept_mb : int
        Megabytes of embeddings kept on the disk for the next time; 0 keeps none.
    context : bool
        Let a model that can take what lies around each input into account, a fifth slower.
    working_mpp : float or None
        Micrometres per pixel at which all words are looked for; None = what suits each of them.
    """

    tile_px: int = 448
    click_px: int = 448
    screen_px: int = 1024
    looks: tuple[str, ...] = ("near", "wide")
    overlap_px: int = 112
    max_tiles: int = 150
    threshold: float = 0.5
    cached_tiles: int = 150
    kept_mb: int = 0
    context: bool = False
    working_mpp: float | None = None

    def __post_init__(self) -> None:
        sides = (self.tile_px, self.click_px)
        if any(side < 64 or side % 32 for side in sides):
            raise ValueError(f"model inputs are multiples of 32 pixels, at least 64: {sides}")
        if not self.looks or not set(self.looks) <= {"near", "wide"}:
            raise ValueError(f"clicks are looked at near or wide: {self.looks}")
        if not 0 <= self.overlap_px < self.tile_px:
            raise ValueError(f"tiles of {self.tile_px} can not share {self.overlap_px} pixels")
        if not 0 < self.threshold < 1:
            raise ValueError(f"a threshold lies between 0 and 1: {self.threshold}")
        if self.working_mpp is not None and not self.working_mpp > 0:
            raise ValueError(f"no scale to look at: {self.working_mpp} µm per pixel")


@dataclass(frozen=True, slots=True)
class ExportConfig:
    """What goes out, and in which form.

    Attributes
    ----------
    formats : tuple of str
        Names of `export.formats.FORMATS`.
    region : Region or None
        Only what lies in it, level-0 pixels.
    fields : tuple of str
        Ids of the fields; all when empty.
    reviewed_only : bool
        Leave out what the model proposed and nobody corrected or accepted.
    classes : tuple of str
        Names; all when empty. The others become background.
    level : int or None
        Pyramid level of all pictures and masks; None is the level each field was made at.
    mpp : float or None
        Micrometres per pixel instead of a level.
    tile_px : int or None
        Cut fields into squares of this side; a smaller field stays as it is.
    overlap_px : int
        Shared by neighbouring tiles.
    background_ratio : float or None
        At most so many pieces without an object for each piece with one; None keeps all.
    hide_names : bool
        Put a hash in the place of slide names, which may name a patient.
    objects : "annotation", "detection", "cell" or "class"
        What objects become in QuPath; "class" joins all objects of a class into one annotation.
    outlining : "rle" or "polygon"
        How COCO writes objects.
    zarr : "image", "beside" or "inside"
        OME-Zarr with the fields' images, labels alone for the whole slide, or labels inside the
        slide itself, where that is an OME-Zarr.
    extent : "field" or "slide"
        OME-TIFF pyramids of each field, or of the whole slide.
    dataset_number : int
        Of the nnU-Net data set, 1 to 999.
    """

    formats: tuple[str, ...] = ("bundle",)
    region: Region | None = None
    fields: tuple[str, ...] = ()
    reviewed_only: bool = False
    classes: tuple[str, ...] = ()
    level: int | None = None
    mpp: float | None = None
    tile_px: int | None = None
    overlap_px: int = 0
    background_ratio: float | None = None
    hide_names: bool = True
    objects: ObjectForm = "annotation"
    outlining: Outlining = "rle"
    zarr: ZarrPlace = "image"
    extent: Extent = "field"
    dataset_number: int = 1

    def __post_init__(self) -> None:
        if self.level is not None and self.mpp is not None:
            raise ValueError("a level or micrometres per pixel, not both")
        if self.mpp is not None and not 0.01 <= self.mpp <= 1000:
            raise ValueError(f"micrometres per pixel lie between 0.01 and 1000: {self.mpp}")
        if self.tile_px is not None and not 16 <= self.tile_px <= 16_384:
            raise ValueError(f"tiles have 16 to 16384 pixels a side: {self.tile_px}")
        if not 0 <= self.overlap_px < (self.tile_px or 1):
            raise ValueError(f"tiles of {self.tile_px} can not share {self.overlap_px} pixels")
        if self.background_ratio is not None and self.background_ratio < 0:
            raise ValueError(f"a ratio is not negative: {self.background_ratio}")
        if not 0 < self.dataset_number < 1000:
            raise ValueError(f"nnU-Net numbers are 1 to 999: {self.dataset_number}")
