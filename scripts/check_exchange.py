"""Write labels in every format and read them back with other people's software.

    python scripts/check_exchange.py --out FOLDER [--many] # writes, and reads what is installed
    python scripts/check_exchange.py --read FOLDER         # only reads, in another environment

Prints one row a format: the reader, and the pixels that differ from what was written. Readers
that are too heavy for the tests: `pip install geopandas datasets ome-zarr nnunetv2`.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

DOWN = 2.0
"""Level-0 pixels per pixel of the field."""
TILE = 200
CORNER = (96, 160)
"""Field pixels (y, x) of the field's first pixel."""


def hard_mask(many: bool) -> np.ndarray:
    """Holes in holes, touching classes, one-pixel objects, the border; 71,000 objects if many."""
    rng = np.random.default_rng(0)
    height, width = (1080, 1090) if many else (330, 440)
    mask = np.zeros((height, width), np.uint16)
    mask[::4, ::4] = 1  # one-pixel objects
    y, x = np.mgrid[:height, :width]
    disc = (y - 150) ** 2 + (x - 160) ** 2
    mask[disc < 120**2] = 2
    mask[disc < 60**2] = 0
    mask[disc < 30**2] = 1
    mask[220:330, 320:440] = rng.integers(0, 3, (110, 120))  # every way to touch
    mask[100:200, 0:2] = 2
    return mask


def write(out: Path, many: bool) -> None:
    """All formats of one slide with one field."""
    from napari_pathseg.classes import ClassList
    from napari_pathseg.config import ExportConfig
    from napari_pathseg.export.formats import FORMATS
    from napari_pathseg.export.run import export_labels
    from napari_pathseg.export.sources import SlideSource
    from napari_pathseg.geometry import Field
    from napari_pathseg.labels.record import FieldRecord
    from napari_pathseg.slide.synthetic import SyntheticSlide

    mask = hard_mask(many)
    slide = SyntheticSlide((4096, 4096), 0.25, 0)
    field = Field(1, *CORNER, *mask.shape, (DOWN, DOWN))
    classes = ClassList.from_names(["gland", "stroma"], [(0, 114, 178), (230, 159, 0)])
    record = FieldRecord.new(
        field,
        classes,
        slide_identity=slide.metadata.identity,
        slide_name="slide",
        mpp=(0.5, 0.5),
        status="accepted",
    )

    class One:
        def fields(self) -> Any:
            return (record,)

        def load(self, _: str) -> Any:
            return record, mask

        def numbers(self, _: str) -> None:
            return None

        def proposal(self, _: str) -> Any:
            return mask

    names = [name for name, form in FORMATS.items() if form.available]
    whole = [name for name in names if name not in ("imagefolder", "parquet")]
    export_labels([SlideSource(slide, One())], out, ExportConfig(formats=tuple(whole)))
    tiled = tuple(name for name in names if name in ("imagefolder", "parquet", "coco", "nnunet"))
    config = ExportConfig(formats=tiled, tile_px=TILE, overlap_px=30)
    export_labels([SlideSource(slide, One())], out / "tiles", config)
    np.save(out / "mask.npy", mask)


def _tile_of(name: str, mask: np.ndarray) -> np.ndarray:
    """What a tile must hold, from the place in its name."""
    y, x = (int(part) for part in name.split("_")[1:3])
    top, left = y - CORNER[0], x - CORNER[1]
    return mask[top : top + TILE, left : left + TILE]


def geopandas_reader(out: Path, mask: np.ndarray) -> int:
    """GeoJSON: every polygon is valid, the areas of each class are those of the mask."""
    import geopandas

    (path,) = out.glob("*.geojson")
    frame = geopandas.read_file(path)
    names = [
        json.loads(c)["name"] if isinstance(c, str) else c["name"] for c in frame["classification"]
    ]
    wrong = 0
    for value, name in ((1, "gland"), (2, "stroma")):
        own = frame[[n == name for n in names]]
        assert own.geometry.is_valid.all()
        area = own.geometry.area.sum() / DOWN**2
        wrong += abs(round(area) - int((mask == value).sum()))
    return wrong


def pycocotools_reader(out: Path, mask: np.ndarray) -> int:
    """The annotations by the API of COCO, of the whole field and of all tiles."""
    from pycocotools.coco import COCO
    from pycocotools.mask import decode, merge

    wrong = 0
    for folder in (out, out / "tiles"):
        coco = COCO(str(folder / "coco" / "annotations.json"))
        for image in coco.loadImgs(coco.getImgIds()):
            found = np.zeros((image["height"], image["width"]), np.uint16)
            for category in coco.getCatIds():
                own = coco.loadAnns(coco.getAnnIds([image["id"]], [category]))
                if not own:
                    continue
                runs = [coco.annToRLE(annotation) for annotation in own]
                inside = decode(merge(runs)) > 0
                wrong += abs(sum(a["area"] for a in own) - int(inside.sum()))  # none is shared
                found[inside] = category
            expected = mask if folder == out else _tile_of(image["field"], mask)
            wrong += int((found != expected).sum())
    return wrong


def yaozarrs_reader(out: Path, mask: np.ndarray) -> int:
    """Valid by the OME-Zarr 0.5 models, pixels by zarr."""
    import yaozarrs
    import zarr

    (path,) = out.glob("*.ome.zarr")
    yaozarrs.validate_zarr_store(str(path))
    group = zarr.open_group(path / "labels" / "classes", mode="r")
    return int((group["0"][...] != mask).sum())


def ome_zarr_reader(out: Path, mask: np.ndarray) -> int:
    """Labels by the reference library."""
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (path,) = out.glob("*.ome.zarr")
    nodes = [node for node in Reader(parse_url(str(path)))() if node.data]
    labels = [node for node in nodes if "labels/classes" in str(node.zarr)]
    return int((np.asarray(labels[0].data[0]) != mask).sum())


def tifffile_reader(out: Path, mask: np.ndarray) -> int:
    """Label TIFF, and two levels of the OME-TIFF."""
    import tifffile

    (plain,) = out.glob("*.labels.tif")
    (pyramid,) = out.glob("*.labels.ome.tif")
    with tifffile.TiffFile(pyramid) as tiff:
        classes = tiff.series[0].levels[0].asarray()
        coarse = [level.asarray() for level in tiff.series[0].levels[1:]]
    wrong = int((tifffile.imread(plain) != mask).sum() + (classes != mask).sum())
    for number, level in enumerate(coarse, start=1):
        scale = 2**number
        at = [np.minimum(np.arange(n) * scale + scale // 2, m - 1)
              for n, m in zip(level.shape, mask.shape, strict=True)]  # fmt: skip
        wrong += int((level != mask[np.ix_(*at)]).sum())
    return wrong


def highdicom_seg_reader(out: Path, mask: np.ndarray) -> int:
    """All segments as one matrix."""
    import highdicom

    (path,) = out.glob("*.seg.dcm")
    read = highdicom.seg.segread(path)
    return int((read.get_total_pixel_matrix(combine_segments=True) != mask).sum())


def highdicom_ann_reader(out: Path, mask: np.ndarray) -> int:
    """Polygons by highdicom, filled here by counting edges."""
    import highdicom

    (path,) = out.glob("*.ann.dcm")
    found = np.zeros(mask.shape, np.uint16)
    for value, group in enumerate(highdicom.ann.annread(path).get_annotation_groups(), start=1):
        for ring in group.get_graphic_data("2D"):
            _fill_even_odd(found, ring[:, ::-1] / DOWN - np.array(CORNER), value)
    return int((found != mask).sum())


def _fill_even_odd(found: np.ndarray, ring: np.ndarray, value: int) -> None:
    """Set the pixels whose centre lies inside a ring with edges along the pixel grid."""
    y, x = np.rint(ring).astype(int).T
    y0, x0, y1, x1 = y.min(), x.min(), y.max(), x.max()
    flips = np.zeros((y1 - y0 + 1, x1 - x0 + 1), bool)
    after = np.roll(np.arange(len(y)), -1)
    for a, b in zip(range(len(y)), after, strict=True):
        if x[a] == x[b]:  # a vertical edge flips all that lies right of it
            low, high = sorted((y[a], y[b]))
            flips[low - y0 : high - y0, x[a] - x0] ^= True
        elif y[a] != y[b]:  # a line to a hole: gone forth and back, it flips nothing
            continue
    inside = np.logical_xor.accumulate(flips, axis=1)[:-1, :-1]
    found[y0:y1, x0:x1][inside] = value


def datasets_reader(out: Path, mask: np.ndarray) -> int:
    """Both Hugging Face forms with `datasets`: every tile, and every column is there."""
    import datasets

    wrong = 0
    cache = str(out / ".hf")
    folder = datasets.load_dataset(
        "imagefolder", data_dir=str(out / "tiles" / "imagefolder"), cache_dir=cache
    )
    parquet = datasets.load_dataset(str(out / "tiles" / "parquet"), cache_dir=cache)
    for sets in (folder, parquet):
        for split in sets.values():
            for row in split:
                expected = _tile_of(row["field"], mask)
                wrong += int((np.asarray(row["classes"]) != expected).sum())
                wrong += int(((np.asarray(row["instances"]) > 0) != (expected > 0)).sum())
                assert row["image"].mode == "RGB"
    return wrong


def nnunet_reader(out: Path, mask: np.ndarray) -> int:
    """nnU-Net's own check of the data set, and its own reader."""
    from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
    from nnunetv2.imageio.natural_image_reader_writer import NaturalImage2DIO

    wrong = 0
    for folder in (out, out / "tiles"):
        (path,) = folder.glob("Dataset*")
        verify_dataset_integrity(str(path), 1)
        for file in sorted((path / "labelsTr").iterdir()):
            read, _ = NaturalImage2DIO().read_seg(str(file))
            expected = mask if folder == out else _tile_of(file.stem, mask)
            wrong += int((read[0, 0] != expected).sum())
    return wrong


def pillow_reader(out: Path, mask: np.ndarray) -> int:
    """Pictures of the bundle and the mask."""
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None
    (picture,) = out.glob("*.png")
    (bundle,) = (out / "training" / "classes").iterdir()
    return sum(int((np.asarray(Image.open(p)) != mask).sum()) for p in (picture, bundle))


def pandas_reader(out: Path, mask: np.ndarray) -> int:
    """Measures with pandas: the areas of all objects make up the mask."""
    import pandas

    (path,) = out.glob("*.csv")
    table = pandas.read_csv(path)
    areas = table.groupby("class")["area_px"].sum()
    return sum(
        abs(int(areas[name]) - int((mask == value).sum()))
        for value, name in ((1, "gland"), (2, "stroma"))
    )


READERS: tuple[tuple[str, str, str, Callable[[Path, np.ndarray], int]], ...] = (
    ("GeoJSON", "geopandas", "geopandas", geopandas_reader),
    ("COCO", "pycocotools", "pycocotools", pycocotools_reader),
    ("OME-Zarr", "yaozarrs", "yaozarrs", yaozarrs_reader),
    ("OME-Zarr", "ome-zarr", "ome_zarr", ome_zarr_reader),
    ("label TIFF, OME-TIFF", "tifffile", "tifffile", tifffile_reader),
    ("DICOM SEG", "highdicom", "highdicom", highdicom_seg_reader),
    ("DICOM ANN", "highdicom", "highdicom", highdicom_ann_reader),
    ("Hugging Face folder, Parquet", "datasets", "datasets", datasets_reader),
    ("nnU-Net", "nnunetv2", "nnunetv2", nnunet_reader),
    ("bundle, mask PNG", "Pillow", "PIL", pillow_reader),
    ("CSV", "pandas", "pandas", pandas_reader),
)


def read(out: Path) -> Iterator[tuple[str, str, str]]:
    """One row a reader: format, reader with version, what differs."""
    from importlib.metadata import version

    mask = np.load(out / "mask.npy")
    for form, name, module, reader in READERS:
        if importlib.util.find_spec(module) is None:
            yield form, name, "not installed here"
            continue
        yield form, f"{name} {version(name)}", f"{reader(out, mask)} px"


def main() -> int:
    """Write and read, or only read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--read", type=Path)
    parser.add_argument("--many", action="store_true", help="more objects than 16 bits can number")
    chosen = parser.parse_args()
    if chosen.out is not None:
        write(chosen.out, chosen.many)
    failed = False
    for row in read(chosen.read or chosen.out):
        print(" | ".join(row), flush=True)
        failed |= row[2] not in ("0 px", "not installed here")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
