"""OME-Zarr of both versions, in folders and archives, sharded or not."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import zarr
from contracts import check_planes, check_slide
from numcodecs import Blosc
from zarr.codecs import BloscCodec

from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide.backend_zarr import ZarrSlide
from napari_pathseg.slide.base import Plane
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.sources import halved


def scene() -> list[npt.NDArray[np.uint8]]:
    """Two levels, (height, width, 3)."""
    fine = np.random.default_rng(8).integers(0, 256, (301, 230, 3), dtype=np.uint8)
    return [fine, halved(fine)]


def write_zarr(
    path: Path,
    levels: list[npt.NDArray[Any]],
    axes: str,
    *,
    version: int = 3,
    shards: tuple[int, ...] | None = None,
    unit: str | None = "micrometer",
    scale: float = 0.5,
    omero: dict[str, Any] | None = None,
    blosc: bool = False,
) -> Path:
    """A picture as the format's text says; `axes` such as cyx."""
    group = zarr.open_group(path, mode="w", zarr_format=version)
    datasets = []
    for index, level in enumerate(levels):
        chunks = tuple(64 if axis in "yx" else n for axis, n in zip(axes, level.shape, strict=True))
        options: dict[str, Any] = {} if shards is None else {"shards": shards}
        if blosc:
            options["compressors"] = Blosc() if version == 2 else BloscCodec()
        array = group.create_array(
            str(index), shape=level.shape, chunks=chunks, dtype=level.dtype, **options
        )
        array[:] = level
        steps = [scale * 2**index if axis in "yx" else 1.0 for axis in axes]
        transform = [{"type": "scale", "scale": steps}]
        datasets.append({"path": str(index), "coordinateTransformations": transform})
    kinds = {"c": "channel", "t": "time"}
    named = [
        {"name": axis, "type": kinds.get(axis, "space")}
        | ({"unit": unit} if unit and axis in "yx" else {})
        for axis in axes
    ]
    facts: dict[str, Any] = {"multiscales": [{"axes": named, "datasets": datasets}]}
    if omero is not None:
        facts["omero"] = omero
    if version == 3:
        group.attrs["ome"] = {"version": "0.5", **facts}
    else:
        facts["multiscales"][0]["version"] = "0.4"
        group.attrs.update(facts)
    return path


def packed(folder: Path) -> Path:
    path = folder.with_name(folder.name + ".zip")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder).as_posix())
    return path


@pytest.mark.parametrize(
    ("version", "shards"), [(2, None), (3, None), (3, (3, 128, 128))], ids=["0.4", "0.5", "shards"]
)
@pytest.mark.parametrize("zipped", [False, True], ids=["folder", "zip"])
def test_rgb_picture(
    tmp_path: Path, version: int, shards: tuple[int, ...] | None, zipped: bool
) -> None:
    levels = scene()
    moved = [np.moveaxis(level, 2, 0) for level in levels]
    path = write_zarr(tmp_path / "a.ome.zarr", moved, "cyx", version=version, shards=shards)
    slide = open_slide(packed(path) if zipped else path)
    assert slide.metadata.backend == "zarr"
    assert slide.metadata.mpp == (0.5, 0.5)
    assert slide.metadata.properties["zarr.format"] == str(version)
    check_slide(slide, levels)


@pytest.mark.parametrize("version", [2, 3], ids=["0.4", "0.5"])
def test_planes_are_those_that_were_stored(tmp_path: Path, version: int) -> None:
    pixels = np.random.default_rng(2).integers(0, 60_000, (2, 2, 3, 90, 110), dtype=np.uint16)
    path = write_zarr(tmp_path / "a.zarr", [pixels], "tczyx", version=version)
    with open_slide(path) as slide:
        check_planes(slide, pixels.swapaxes(1, 2))


def test_scale_needs_a_unit(tmp_path: Path) -> None:
    levels = [np.zeros((80, 90), np.uint8)]
    expected = {None: None, "millimeter": None, "nanometer": (0.25, 0.25)}
    for unit, mpp in expected.items():
        path = write_zarr(tmp_path / f"{unit}.zarr", levels, "yx", unit=unit, scale=250)
        with open_slide(path) as slide:
            assert slide.metadata.mpp == mpp


def test_channels_are_mixed_in_their_colours(tmp_path: Path) -> None:
    planes = np.zeros((1, 2, 3, 64, 96), np.uint16)
    planes[0, 0, 1, :, :48] = 1000
    planes[0, 1, 1, 32:, :] = 500
    omero = {"channels": [{"label": "DAPI", "color": "0000FF"}, {"color": "FF8000"}]}
    path = write_zarr(tmp_path / "f.zarr", [planes], "tczyx", omero=omero)
    with open_slide(path) as slide:
        assert isinstance(slide, ZarrSlide)
        assert [channel.name for channel in slide.stack.channels] == ["DAPI", "channel 2"]
        pixels = slide.read(Field(0, 0, 0, 64, 96, (1.0, 1.0)))
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[63, 95].tolist() == [255, 128, 0]
    assert pixels[63, 0].tolist() == [255, 128, 255]
    assert pixels[0, 95].tolist() == [0, 0, 0]


def test_channels_are_shown_as_the_file_wants(tmp_path: Path) -> None:
    planes = np.random.default_rng(0).integers(100, 900, (4, 64, 96), dtype=np.uint16)
    windows: list[object] = [
        {"min": 0, "max": 65535, "start": 50, "end": 250},
        {"start": 0, "end": 65535},
        {"start": 9, "end": 9},
        "bright",
    ]
    omero = {"channels": [{"color": "FFFFFF", "window": window} for window in windows]}
    path = write_zarr(tmp_path / "w.zarr", [planes], "cyx", omero=omero)
    with open_slide(path) as slide:
        assert isinstance(slide, ZarrSlide)
        said, *measured = slide.display_windows()
        assert said == (50, 250)
        for window, plane in zip(measured, planes[1:], strict=True):
            assert window == pytest.approx(tuple(np.percentile(plane, (0.1, 99.9))), rel=1e-3)


def test_identity_of_a_folder_stays_when_it_moves(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", scene()[1:], "yxc")
    with open_slide(path) as slide:
        here = slide.metadata.identity
    moved = tmp_path / "other" / "b.zarr"
    shutil.copytree(path, moved)
    with open_slide(moved) as slide:
        assert slide.metadata.identity == here


@pytest.mark.parametrize("name", ["../../secret", "/etc", "..\\secret", "C:/secret", ""])
def test_levels_outside_the_slide_are_refused(tmp_path: Path, name: str) -> None:
    path = write_zarr(tmp_path / "a.zarr", [np.zeros((80, 90), np.uint8)], "yx", version=2)
    facts = json.loads((path / ".zattrs").read_text())
    facts["multiscales"][0]["datasets"][0]["path"] = name
    (path / ".zattrs").write_text(json.dumps(facts))
    with pytest.raises(DamagedSlideError, match="outside the slide"):
        open_slide(path)


@pytest.mark.parametrize("linked", ["file", "folder", "file inside a linked folder"])
def test_links_out_of_the_slide_are_refused(tmp_path: Path, linked: str) -> None:
    path = write_zarr(tmp_path / "a.zarr", [np.full((80, 90), 7, np.uint8)], "yx", version=2)
    outside, chunk = tmp_path / "outside", path / "0" / "0.0"
    try:
        if linked == "file":
            chunk.rename(outside)
            chunk.symlink_to(outside)
        else:
            (path / "0").rename(outside)
            if "inside" in linked:
                (outside / "0.0").rename(path / "kept")
                (outside / "0.0").symlink_to(path / "kept")
            (path / "0").symlink_to(outside, target_is_directory=True)
    except OSError:
        pytest.skip("links need a right here")
    with pytest.raises(DamagedSlideError, match="leads out"), open_slide(path) as slide:
        slide.read(Field(0, 0, 0, 80, 90, (1.0, 1.0)))


def test_links_within_the_slide_are_followed(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", [np.full((80, 90), 7, np.uint8)], "yx", version=2)
    chunk = path / "0" / "0.0"
    chunk.rename(path / "kept")
    try:
        chunk.symlink_to(path / "kept")
    except OSError:
        pytest.skip("links need a right here")
    with open_slide(path) as slide:
        assert (slide.read_plane(Field(0, 0, 0, 80, 90, (1.0, 1.0)), Plane(channel=0)) == 7).all()


@pytest.mark.parametrize("version", [2, 3], ids=["0.4", "0.5"])
def test_a_chunk_that_is_cut_short_is_refused_before_it_is_unpacked(
    tmp_path: Path, version: int
) -> None:
    """Blosc reads on behind the end of the bytes that it is given."""
    pixels = np.random.default_rng(0).integers(0, 9, (80, 90), dtype=np.uint8)
    path = write_zarr(tmp_path / "a.zarr", [pixels], "yx", version=version, blosc=True)
    with open_slide(path) as slide:
        check_planes(slide, pixels[None, None, None])
    chunk = path / "0" / ("0.0" if version == 2 else "c/0/0")
    data = chunk.read_bytes()
    for length in (8, 40, len(data) - 1):
        chunk.write_bytes(data[:length])
        with pytest.raises(DamagedSlideError, match=f"cut short: {length} bytes"), open_slide(path):
            pass


def test_absurd_sizes_and_other_zarrs_are_refused(tmp_path: Path) -> None:
    path = write_zarr(tmp_path / "a.zarr", [np.zeros((80, 90), np.uint8)], "yx", version=2)
    array = path / "0" / ".zarray"
    facts = json.loads(array.read_text())
    array.write_text(json.dumps(facts | {"shape": [10**9, 10**9], "chunks": [10**6, 10**6]}))
    with pytest.raises(DamagedSlideError, match="refused"):
        open_slide(path)
    archive = bytearray(packed(path).read_bytes())
    archive[archive.index(b"PK\x01\x02") + 6] = 160
    (tmp_path / "later.zip").write_bytes(archive)
    with pytest.raises(DamagedSlideError, match="zip"):
        open_slide(tmp_path / "later.zip")
    zarr.open_group(tmp_path / "plain.zarr", mode="w")
    with pytest.raises(UnsupportedSlideError, match="multiscales"):
        open_slide(tmp_path / "plain.zarr")


def test_damaged_archives_give_only_slide_errors(tmp_path: Path) -> None:
    whole = packed(write_zarr(tmp_path / "a.zarr", scene()[1:], "yxc")).read_bytes()
    rng = np.random.default_rng(3)
    broken = [whole[: int(len(whole) * part)] for part in (0.1, 0.5, 0.9, 0.99)]
    for _ in range(25):
        data = bytearray(whole)
        span = len(data) if rng.random() < 0.5 else 2000
        for place in len(data) - 1 - rng.integers(0, span, 8):
            data[place] ^= int(rng.integers(1, 256))
        broken.append(bytes(data))
    reasons = []
    for index, content in enumerate(broken):
        path = tmp_path / f"{index}.zarr.zip"
        path.write_bytes(content)
        try:
            with open_slide(path) as slide:
                slide.read(Field(0, 0, 0, *slide.shape, (1.0, 1.0)))
        except SlideError as error:
            reasons.append(str(error))
    assert len(reasons) >= 8
    assert all("\n" not in reason for reason in reasons)
