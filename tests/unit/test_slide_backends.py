"""Every backend keeps the contract and gives the reference library's own pixels."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openslide
import pytest
import tifffile
from contracts import check_slide
from PIL import Image

from napari_pathseg.geometry import Field
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.synthetic import SyntheticSlide
from napari_pathseg.slide.write import Compression, Layout, write_pyramid

RGB = npt.NDArray[np.uint8]
SCENE = SyntheticSlide((1044, 790), mpp=0.5, seed=3)


@pytest.fixture(scope="module")
def scene() -> list[RGB]:
    return [
        SCENE.read(Field(i, 0, 0, *level.shape, level.downsample))
        for i, level in enumerate(SCENE.levels)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slides")


@pytest.fixture(scope="module")
def written(folder: Path) -> Callable[..., Path]:
    """A function that has the scene on disk in one layout, written once."""

    @functools.cache
    def write(layout: Layout, compression: Compression = "deflate") -> Path:
        suffix = {"svs": ".svs", "ome": ".ome.tif", "generic": ".tif"}[layout]
        path = folder / f"scene-{compression}{suffix}"
        return write_pyramid(SCENE, path, layout=layout, compression=compression)

    return write


def on_white(rgba: npt.NDArray[np.uint8]) -> RGB:
    alpha = rgba[..., 3:].astype(np.float64) / 255
    return np.floor(rgba[..., :3] * alpha + 255 * (1 - alpha) + 0.5).astype(np.uint8)


def with_openslide(path: Path) -> list[RGB]:
    with openslide.OpenSlide(path) as slide:
        return [
            on_white(np.asarray(slide.read_region((0, 0), level, size)))
            for level, size in enumerate(slide.level_dimensions)
        ]


def with_tifffile(path: Path) -> list[RGB]:
    with tifffile.TiffFile(path) as tif:
        return [level.asarray() for level in tif.series[0].levels]


def test_aperio_through_openslide(written: Callable[..., Path]) -> None:
    path = written("svs", "jpeg")
    slide = open_slide(path)
    assert (slide.metadata.backend, slide.metadata.vendor) == ("openslide", "aperio")
    assert slide.metadata.mpp == (0.5, 0.5)
    assert slide.metadata.objective_power == 20
    assert "thumbnail" in slide.associated_names
    assert slide.associated("thumbnail").shape[2] == 3
    check_slide(slide, with_openslide(path))


@pytest.mark.parametrize("compression", ["jpeg", "deflate"])
@pytest.mark.parametrize("layout", ["ome", "generic"])
def test_pyramids_through_tifffile(
    written: Callable[..., Path], layout: Layout, compression: Compression
) -> None:
    path = written(layout, compression)
    slide = open_slide(path)
    assert slide.metadata.backend == "tifffile"
    assert slide.metadata.mpp == pytest.approx((0.5, 0.5), rel=1e-6)
    assert len(slide.levels) == 2
    check_slide(slide, with_tifffile(path))


@pytest.mark.parametrize(
    "options",
    [
        {"rowsperstrip": 37},
        {"rowsperstrip": 64, "compression": "lzw", "predictor": True},
        {"tile": (64, 96), "compression": "zlib"},
        {"planarconfig": "separate", "tile": (64, 64)},
        {"byteorder": ">", "bigtiff": True},
    ],
    ids=["strips", "lzw", "tiles", "planar", "big-endian"],
)
def test_plain_tiff(folder: Path, scene: list[RGB], options: dict[str, Any]) -> None:
    path = folder / "plain.tif"
    pixels = scene[1]
    separate = options.get("planarconfig") == "separate"
    data = np.moveaxis(pixels, 2, 0).copy() if separate else pixels
    tifffile.imwrite(path, data, photometric="rgb", metadata=None, **options)
    slide = open_slide(path)
    assert slide.metadata.mpp is None
    check_slide(slide, [pixels])


def test_alpha_is_composited_on_white(folder: Path, scene: list[RGB]) -> None:
    alpha = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    rgba = np.dstack([scene[1][:256, :256], alpha])
    Image.fromarray(rgba).save(folder / "alpha.png")
    tifffile.imwrite(
        folder / "alpha.tif", rgba, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64)
    )
    for name in ("alpha.png", "alpha.tif"):
        check_slide(open_slide(folder / name), [on_white(rgba)])


@pytest.mark.parametrize(
    ("suffix", "options"),
    [("png", {}), ("bmp", {}), ("jpg", {"quality": 90}), ("webp", {"lossless": True})],
)
def test_pictures_through_pillow(
    folder: Path, scene: list[RGB], suffix: str, options: dict[str, Any]
) -> None:
    path = folder / f"scene.{suffix}"
    Image.fromarray(scene[1]).save(path, **options)
    slide = open_slide(path)
    assert slide.metadata.backend == "pillow"
    assert slide.metadata.mpp is None
    with Image.open(path) as picture:
        reference = np.array(picture.convert("RGB"))
    check_slide(slide, [reference])


def test_slideio_reads_what_was_written(written: Callable[..., Path], scene: list[RGB]) -> None:
    pytest.importorskip("slideio", reason="an optional extra")
    path = written("svs", "deflate")
    slide = open_slide(path, backend="slideio")
    assert slide.metadata.mpp == pytest.approx((0.5, 0.5))
    assert slide.metadata.objective_power == 20
    check_slide(slide, scene)


def test_generated_slide_keeps_the_contract(scene: list[RGB]) -> None:
    check_slide(SyntheticSlide(SCENE.shape, 0.5, 3), scene)


def test_one_scene_in_three_formats_is_one_scene(
    written: Callable[..., Path], scene: list[RGB]
) -> None:
    field = Field(0, 501, 233, 300, 410, (1.0, 1.0))
    backends = set()
    for layout in ("svs", "ome", "generic"):
        with open_slide(written(layout)) as slide:
            backends.add(slide.metadata.backend)
            np.testing.assert_array_equal(
                slide.read(field), scene[0][501:801, 233:643], slide.metadata.backend
            )
            assert slide.metadata.mpp == pytest.approx((0.5, 0.5), rel=1e-6)
            assert [level.shape for level in slide.levels] == [x.shape for x in SCENE.levels]
    assert backends == {"openslide", "tifffile"}


def test_identity_stays_when_the_file_moves(written: Callable[..., Path], tmp_path: Path) -> None:
    path = written("svs", "jpeg")
    with open_slide(path) as slide:
        here = slide.metadata.identity
    moved = tmp_path / "elsewhere" / "renamed.svs"
    moved.parent.mkdir()
    moved.write_bytes(path.read_bytes())
    with open_slide(moved) as slide:
        assert slide.metadata.identity == here
    changed = bytearray(path.read_bytes())
    changed[-3] ^= 1
    moved.write_bytes(changed)
    with open_slide(moved) as slide:
        assert slide.metadata.identity != here


@pytest.mark.parametrize(
    ("make", "mpp"),
    [
        (lambda: {"resolution": (20000.0, 40000.0), "resolutionunit": "CENTIMETER"}, (0.25, 0.5)),
        (lambda: {"resolution": (50800.0, 50800.0), "resolutionunit": "INCH"}, (0.5, 0.5)),
        (lambda: {"resolution": (72.0, 72.0), "resolutionunit": "INCH"}, None),
        (lambda: {"resolution": (1.0, 1.0), "resolutionunit": "NONE"}, None),
        (lambda: {"resolution": (96.0, 96.0), "resolutionunit": "CENTIMETER"}, None),
    ],
    ids=["cm, y before x", "inch", "72 dpi", "no unit", "96 per cm"],
)
def test_scale_of_resolution_tags(
    folder: Path, make: Callable[[], dict[str, Any]], mpp: tuple[float, float] | None
) -> None:
    path = folder / "scale.tif"
    tifffile.imwrite(path, np.zeros((64, 64, 3), np.uint8), photometric="rgb", **make())
    with open_slide(path) as slide:
        assert slide.metadata.mpp == (None if mpp is None else pytest.approx(mpp, rel=1e-6))


@pytest.mark.parametrize("layout", ["svs", "ome", "generic"])
def test_many_threads_may_be_the_first_to_read(
    written: Callable[..., Path], layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = _whole(written(layout, "jpeg"))
    seek = tifffile.FileHandle.seek

    def slow_seek(handle: tifffile.FileHandle, *place: int) -> int:
        found = seek(handle, *place)
        time.sleep(0.03)  # another thread may come between
        return found

    with open_slide(written(layout, "jpeg")) as slide:
        monkeypatch.setattr(tifffile.FileHandle, "seek", slow_seek)
        together = threading.Barrier(6)

        def read(place: int) -> bool:
            together.wait(30)
            y, x = 256 * (place // 3), 256 * (place % 3)
            pixels = slide.read(Field(0, y, x, 200, 200, (1.0, 1.0)))
            return np.array_equal(pixels, truth[y : y + 200, x : x + 200])

        with ThreadPoolExecutor(6) as threads:
            assert list(threads.map(read, range(6))) == [True] * 6


def _whole(path: Path) -> RGB:
    with open_slide(path) as slide:
        return slide.read(Field(0, 0, 0, *slide.shape, (1.0, 1.0)))
