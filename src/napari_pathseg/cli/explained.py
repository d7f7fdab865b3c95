"""What `pathseg explain` writes: maps and objects drawn over the slide, and a table."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import distance_transform_edt, find_objects

from napari_pathseg.cli.results import STAGING, Facts
from napari_pathseg.errors import ExportError
from napari_pathseg.export.atomic import os_errors
from napari_pathseg.export.pictures import write_rgb
from napari_pathseg.export.sheet import write_sheet
from napari_pathseg.geometry import Shape
from napari_pathseg.inference.explaining import (
    Importance,
    ObjectImportance,
    highest_probability,
    uncertainty,
)
from napari_pathseg.inference.heat import heat, laid_over
from napari_pathseg.inference.segmentation import Segmentation
from napari_pathseg.labels.masks import resampled
from napari_pathseg.labels.raster import Instances
from napari_pathseg.slide.base import RGB, Slide

FILES = {
    "probability": "probability.png",
    "uncertainty": "uncertainty.png",
    "objects": "objects.png",
    "table": "objects.csv",
}
COLUMNS = (
    "number",
    "class",
    "y_level0_px",
    "x_level0_px",
    "area_px",
    "area_um2",
    "importance",
)
SHORTEST_PX, LONGEST_PX = 768, 2048  # the longest side of a picture lies between them
BAR_PX, BAR_LENGTH_PX, MARGIN_PX, TEXT_PX = 26, 512, 18, 22
INK, PAPER = (30, 30, 30), (255, 255, 255)
OTHER_OBJECTS = (120, 120, 120)
LOWEST = 0.35
"""Where the colours of outlines begin: darker ones are not seen on nuclei."""

FloatMap = npt.NDArray[np.float32]


def write_explained(
    out: Path, slide: Slide, segmentation: Segmentation, importance: Importance, facts: Facts
) -> Facts:
    """Write the four files, all or none, and return the facts with objects and files.

    Raises
    ------
    ExportError
        When the folder can not be written or the disk is full; older files stay as they were.
    DamagedSlideError
        When the pixels can not be read.
    """
    picture = _sized(slide.read(segmentation.field))
    names = " or ".join(c.name for c in segmentation.classes)
    drawn = {
        "probability": _map(picture, highest_probability(segmentation), f"probability of {names}"),
        "uncertainty": _map(picture, uncertainty(segmentation), f"uncertainty of {names}, bits"),
        "objects": _objects(picture, segmentation.field.shape, importance),
    }
    rows = [_row(number, one) for number, one in enumerate(importance.objects, start=1)]
    paths = {kind: out / name for kind, name in FILES.items()}
    with os_errors(paths["table"]):
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=STAGING) as folder:
            for kind, pixels in drawn.items():
                write_rgb(Path(folder), FILES[kind], pixels)
            try:
                write_sheet(Path(folder) / FILES["table"], COLUMNS, rows)
            except ExportError as error:
                # The user knows the folder that was given, not the one inside it.
                raise ExportError(error.what.replace(folder, str(out)), error.remedy) from error
            for path in paths.values():
                (Path(folder) / path.name).replace(path)
    return facts | {
        "objects": _plain(importance.objects),
        "files": {kind: str(path) for kind, path in paths.items()},
    }


def _row(number: int, one: ObjectImportance) -> tuple[str | float, ...]:
    area_um2 = "" if one.area_um2 is None else one.area_um2
    return number, one.label_class.name, *one.centroid, one.area_px, area_um2, one.importance


def _plain(objects: Sequence[ObjectImportance]) -> list[Facts]:
    return [
        {
            "number": number,
            "class": one.label_class.name,
            "center": list(one.centroid),
            "area_px": one.area_px,
            "area_um2": one.area_um2,
            "importance": one.importance,
        }
        for number, one in enumerate(objects, start=1)
    ]


def _sized(picture: RGB) -> RGB:
    """A picture that is neither a stamp nor a poster."""
    height, width = picture.shape[:2]
    longest = max(height, width)
    factor = min(max(longest, SHORTEST_PX), LONGEST_PX) / longest
    size = max(round(width * factor), 1), max(round(height * factor), 1)
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS))


def _map(picture: RGB, values: FloatMap, title: str) -> RGB:
    """A map from 0 to 1 over a picture, with its bar."""
    size = picture.shape[1], picture.shape[0]
    large = Image.fromarray(values).resize(size, Image.Resampling.BILINEAR)
    shown = laid_over(picture, np.asarray(large))
    paper = np.full((BAR_PX, BAR_LENGTH_PX, 3), 255, np.uint8)
    bar = laid_over(paper, np.tile(np.linspace(0, 1, BAR_LENGTH_PX), (BAR_PX, 1)))
    return _with_bar(shown, bar, title, ("0", "0.5", "1"))


def _objects(picture: RGB, shape: Shape, importance: Importance) -> RGB:
    """Outlines in the colours of their importance, numbered; those not weighed in grey."""
    objects = importance.objects
    weights = [one.importance for one in objects]
    low, high = min([1.0, *weights]), max([1.0, *weights])
    colors = np.full((int(importance.instances.max(initial=0)) + 1, 3), OTHER_OBJECTS, np.uint8)
    for one in objects:
        share = (one.importance - low) / (high - low) if high > low else 0.0
        colors[one.label] = heat(np.array(LOWEST + share * (1 - LOWEST)))[:3]
    places = resampled(importance.instances, picture.shape[:2])
    edges = _edges(places)
    drawn = picture.copy()
    drawn[edges] = colors[places[edges]]
    image = Image.fromarray(drawn)
    _number(image, importance, shape)
    ticks = f"{low:.3g}", f"{(low + high) / 2:.3g}", f"{high:.3g}"
    bar = heat(np.tile(np.linspace(LOWEST, 1, BAR_LENGTH_PX), (BAR_PX, 1)))[..., :3]
    return _with_bar(np.asarray(image), bar.astype(np.uint8), "importance", ticks)


def _number(image: Image.Image, importance: Importance, shape: Shape) -> None:
    """Write the numbers of the table in the objects, or at the right of those that are small."""
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=TEXT_PX * 0.8)
    scale = image.height / shape[0], image.width / shape[1]
    boxes = find_objects(importance.instances)
    for number, one in enumerate(importance.objects, start=1):
        box = boxes[one.label - 1]
        inside = np.pad(importance.instances[box] == one.label, 1)
        depth = distance_transform_edt(inside)
        row, column = np.unravel_index(int(depth.argmax()), depth.shape)
        if depth.max() * min(scale) > TEXT_PX:
            y, x = box[0].start + row - 0.5, box[1].start + column - 0.5
            place, anchor = (x * scale[1], y * scale[0]), "mm"
        else:
            y = (box[0].start + box[0].stop) / 2
            place, anchor = (box[1].stop * scale[1] + 3, y * scale[0]), "lm"
        pen.text(place, str(number), PAPER, font, anchor=anchor, stroke_width=2, stroke_fill=INK)


def _edges(instances: Instances) -> npt.NDArray[np.bool_]:
    """Pixels of objects that are at most two pixels from what is not the object."""
    edges = np.zeros(instances.shape, dtype=bool)
    around = np.pad(instances, 2)
    height, width = instances.shape
    for y, x in ((0, 2), (1, 1), (1, 3), (2, 0), (2, 4), (3, 1), (3, 3), (4, 2)):
        edges |= around[y : y + height, x : x + width] != instances
    found: npt.NDArray[np.bool_] = edges & (instances > 0)
    return found


def _with_bar(picture: RGB, bar: RGB, title: str, ticks: tuple[str, str, str]) -> RGB:
    """A picture and below it the bar of its colours, with its title and three values."""
    height, width = picture.shape[:2]
    foot = MARGIN_PX * 2 + BAR_PX + TEXT_PX * 2
    length = bar.shape[1]
    page = Image.new("RGB", (max(width, length + 2 * MARGIN_PX), height + foot), PAPER)
    page.paste(Image.fromarray(picture), (0, 0))
    top = height + MARGIN_PX + TEXT_PX + 4
    page.paste(Image.fromarray(bar), (MARGIN_PX, top))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=TEXT_PX * 0.8)
    pen.rectangle((MARGIN_PX - 1, top - 1, MARGIN_PX + length, top + BAR_PX), outline=INK)
    pen.text((MARGIN_PX, height + MARGIN_PX), title, fill=INK, font=font)
    for share, text, anchor in zip((0.0, 0.5, 1.0), ticks, ("la", "ma", "ra"), strict=True):
        place = MARGIN_PX + share * length, top + BAR_PX + 3
        pen.text(place, text, fill=INK, font=font, anchor=anchor)
    return np.asarray(page)
