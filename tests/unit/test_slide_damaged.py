"""Damaged, foreign and hostile files give one clear line, and nothing else."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_pathseg.errors import DamagedSlideError, SlideError, UnsupportedSlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide.aperio import AperioTiles
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.synthetic import SyntheticSlide
from napari_pathseg.slide.write import write_pyramid

SCENE = SyntheticSlide((1040, 530), seed=5)
FAMILIES = ("svs", "ome.tif", "tif", "png", "jpg", "bmp", "webp")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    files = {
        "svs": write_pyramid(SCENE, folder / "a.svs", layout="svs"),
        "ome.tif": write_pyramid(SCENE, folder / "a.ome.tif", layout="ome", compression="deflate"),
        "tif": write_pyramid(SCENE, folder / "a.tif", layout="generic"),
    }
    picture = Image.fromarray(SCENE.read(Field(1, 0, 0, 260, 260, (2.0, 2.0))))
    for suffix in ("png", "jpg", "bmp", "webp"):
        files[suffix] = folder / f"a.{suffix}"
        picture.save(files[suffix])
    return {suffix: path.read_bytes() for suffix, path in files.items()}


def damaged(data: bytes, seed: int) -> Iterator[bytes]:
    """Cut short, bytes flipped anywhere, and bytes flipped in the first kilobyte."""
    rng = np.random.default_rng(seed)
    for part in (0.02, 0.3, 0.7, 0.95, 0.999):
        yield data[: max(int(len(data) * part), 1)]
    for _ in range(10):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 40):
            broken[place] ^= int(rng.integers(1, 256))
        yield bytes(broken)
    for _ in range(20):
        broken = bytearray(data)
        for place in rng.integers(0, min(len(data), 1024), 3):
            broken[place] ^= int(rng.integers(1, 256))
        yield bytes(broken)


@pytest.mark.parametrize("suffix", FAMILIES)
def test_damaged_files_give_only_slide_errors(
    whole: dict[str, bytes], tmp_path: Path, suffix: str
) -> None:
    reasons: list[tuple[Path, str]] = []
    for index, data in enumerate(damaged(whole[suffix], len(suffix))):
        path = tmp_path / f"{index}.{suffix}"
        path.write_bytes(data)
        try:
            with open_slide(path) as slide:
                last = slide.levels[-1]
                for field in (
                    Field(0, 0, 0, 64, 64, (1.0, 1.0)),
                    Field(0, slide.shape[0] - 64, slide.shape[1] - 64, 64, 64, (1.0, 1.0)),
                    Field(len(slide.levels) - 1, 0, 0, 128, 128, last.downsample),
                ):
                    slide.read(field)
        except SlideError as error:
            reasons.append((path, str(error)))
    assert len(reasons) >= 4, "the cuts at least must be noticed"
    for path, reason in reasons:
        assert "\n" not in reason
        assert str(path) in reason


@pytest.mark.parametrize("suffix", ["svs", "ome.tif", "tif", "stack.ome.tif"])
def test_a_tiff_is_refused_wherever_it_is_cut(
    whole: dict[str, bytes], tmp_path: Path, suffix: str
) -> None:
    """Also where level 0 is whole, and only levels, planes, the label or a description miss."""
    data = whole.get(suffix)
    if data is None:
        path = tmp_path / suffix
        planes = np.random.default_rng(0).integers(0, 4000, (3, 2, 100, 120), dtype=np.uint16)
        tifffile.imwrite(path, planes, ome=True, metadata={"axes": "ZCYX"}, tile=(64, 64))
        data = path.read_bytes()
    path = tmp_path / f"cut.{suffix}"
    for part in np.linspace(0.05, 0.999, 24):
        path.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(SlideError, match=r"cut\."):
            open_slide(path)


@pytest.mark.parametrize("suffix", FAMILIES)
@pytest.mark.parametrize("part", [0.25, 0.9])
def test_truncated_files_are_refused_at_open(
    whole: dict[str, bytes], tmp_path: Path, suffix: str, part: float
) -> None:
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[suffix][: int(len(whole[suffix]) * part)])
    with pytest.raises(SlideError):
        open_slide(path)


def test_truncated_tiff_names_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "cut.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(128, 128))
    path.write_bytes(path.read_bytes()[:-70_000])
    with pytest.raises(DamagedSlideError, match="2 of 16 tiles of the 512 x 512 level are missing"):
        open_slide(path)


def test_missing_empty_foreign_and_folders(tmp_path: Path) -> None:
    empty, text, pdf = tmp_path / "empty.svs", tmp_path / "notes.svs", tmp_path / "a.tif"
    empty.touch()
    text.write_text("These are notes, not a slide.")
    pdf.write_bytes(b"%PDF-1.7 something")
    with pytest.raises(SlideError, match="no such file"):
        open_slide(tmp_path / "missing.svs")
    with pytest.raises(DamagedSlideError, match="empty"):
        open_slide(empty)
    with pytest.raises(UnsupportedSlideError, match="not a slide"):
        open_slide(text)
    with pytest.raises(UnsupportedSlideError, match="PDF"):
        open_slide(pdf)
    with pytest.raises(UnsupportedSlideError, match="folder"):
        open_slide(tmp_path)
    with pytest.raises(UnsupportedSlideError, match="backend"):
        open_slide(text, backend="nonsense")


def test_known_formats_without_their_data_say_what_is_missing(tmp_path: Path) -> None:
    mirax = tmp_path / "slide.mrxs"
    Image.new("RGB", (64, 64)).save(mirax, "JPEG")
    with pytest.raises(UnsupportedSlideError, match="data folder 'slide' is missing"):
        open_slide(mirax)
    olympus = tmp_path / "slide.vsi"
    tifffile.imwrite(olympus, np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    with pytest.raises(UnsupportedSlideError, match=r"'_slide_' is missing.*slideio"):
        open_slide(olympus)
    zeiss = tmp_path / "slide.czi"
    zeiss.write_bytes(b"ZISRAWFILE" + bytes(2000))
    with pytest.raises(SlideError, match="czi"):
        open_slide(zeiss)


def test_the_extra_is_named_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_pathseg.slide.open.find_spec", lambda _: None)
    olympus = tmp_path / "slide.vsi"
    tifffile.imwrite(olympus, np.zeros((8, 8, 3), np.uint8), photometric="rgb")
    (tmp_path / "_slide_").mkdir()
    with pytest.raises(UnsupportedSlideError, match=r"pip install napari-pathseg\[vsi\]"):
        open_slide(olympus)


def test_xml_that_declares_entities_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.ome.tif"
    bomb = (
        '<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa">'
        '<!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><OME>&b;</OME>'
    )
    tifffile.imwrite(
        path,
        np.zeros((64, 64, 3), np.uint8),
        photometric="rgb",
        description=bomb,
        metadata=None,
    )
    with pytest.raises(DamagedSlideError, match="XML"):
        open_slide(path)


def test_absurd_header_sizes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.tif"
    tifffile.imwrite(path, np.zeros((64, 64), np.uint8), tile=(64, 64))
    with tifffile.TiffFile(path, mode="r+") as tif:
        tags = tif.pages.first.tags
        for name in ("ImageWidth", "ImageLength", "TileWidth", "TileLength"):
            tags[name].overwrite(2_000_000_000, dtype="I")
    with pytest.raises(DamagedSlideError):
        open_slide(path)


def test_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path = tmp_path / "bomb.png"
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(UnsupportedSlideError, match="too many"):
        open_slide(path)


def test_reading_goes_on_beside_a_broken_tile(tmp_path: Path, whole: dict[str, bytes]) -> None:
    path = tmp_path / "hole.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(128, 128), compression="zlib")
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages.first.dataoffsets[5]
    data = bytearray(path.read_bytes())
    data[offset : offset + 200] = bytes(200)
    path.write_bytes(data)
    with open_slide(path) as slide:
        with pytest.raises(DamagedSlideError, match="tile 5"):
            slide.read(Field(0, 130, 130, 50, 50, (1.0, 1.0)))
        np.testing.assert_array_equal(
            slide.read(Field(0, 0, 0, 100, 100, (1.0, 1.0))), pixels[:100, :100]
        )


def test_openslide_goes_on_after_a_broken_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AperioTiles, "open", lambda *_: None)
    path = write_pyramid(SCENE, tmp_path / "hole.svs", layout="svs", compression="deflate")
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages.first.dataoffsets[0], tif.pages.first.databytecounts[0]
    data = bytearray(path.read_bytes())
    data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    broken, sound = (Field(0, y, 0, 100, 100, (1.0, 1.0)) for y in (0, 600))
    with open_slide(path) as slide:
        expected = slide.read(sound)
        for _ in range(2):
            with pytest.raises(DamagedSlideError, match="level 0, pixels"):
                slide.read(broken)
            np.testing.assert_array_equal(slide.read(sound), expected)
        path.unlink()
        with pytest.raises(DamagedSlideError):
            slide.read(broken)
