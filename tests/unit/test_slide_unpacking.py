"""A picture is unpacked once, beside other threads, and its pixels are those that Pillow gives."""

from __future__ import annotations

import struct
import threading
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import png_encode
from PIL import Image

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.geometry import Field
from napari_pathseg.slide import backend_picture, unpacking
from napari_pathseg.slide.backend_picture import PictureSlide
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.pixels import BLANK
from napari_pathseg.slide.unpacking import Unpacking, first_look, unpacked

WIDTH, HEIGHT = 350, 700
RGB = npt.NDArray[np.uint8]


def written(path: Path, mode: str = "RGB", **options: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "options", "quick"),
    [
        ("a.png", "RGB", {"compress_level": 1}, True),
        ("transparent.png", "RGB", {"transparency": (1, 2, 3)}, True),
        ("a.png", "RGBA", {}, True),
        ("a.png", "L", {}, True),
        ("a.png", "LA", {}, True),
        ("a.png", "P", {}, True),
        ("transparent.png", "P", {"transparency": 3}, True),
        ("a.png", "1", {}, True),
        ("a.jpg", "RGB", {"quality": 95}, True),
        ("a.jpg", "L", {}, True),
        ("progressive.jpg", "RGB", {"quality": 95, "progressive": True}, True),
        ("preview.jpg", "RGB", {"exif": b"Exif\0\0 the end of a preview: \xff\xd9"}, True),
        ("a.webp", "RGB", {"lossless": True}, True),
        ("a.webp", "RGBA", {"lossless": True}, True),
        ("a.jpg", "CMYK", {}, False),
        ("a.bmp", "RGB", {}, False),
    ],
)
def test_pixels_are_those_that_pillow_gives(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    mode: str,
    options: dict[str, Any],
    quick: bool,
) -> None:
    path = written(tmp_path / name, mode, **options)
    by_pillow, slow = unpacking._by_pillow, []
    monkeypatch.setattr(unpacking, "_by_pillow", lambda p: slow.append(p) or by_pillow(p))
    with Image.open(path) as picture:
        laid = Image.new("RGBA", picture.size, "white")
        laid.alpha_composite(picture.convert("RGBA"))
        truth = np.asarray(laid.convert("RGB")).astype(int)
    with Image.open(path) as picture:
        pixels = unpacked(picture, path)
    assert abs(pixels - truth).max() <= 1  # where alpha is laid on white, rounding may differ
    assert bool(slow) is not quick


@pytest.mark.parametrize(
    ("name", "mode", "options"),
    [
        ("a.png", "RGB", {}),
        ("a.png", "RGBA", {}),
        ("a.png", "L", {}),
        ("a.png", "P", {}),
        ("a.png", "1", {}),
        ("a.jpg", "RGB", {"quality": 95}),
        ("a.jpg", "L", {"quality": 95}),
        ("a.jpg", "CMYK", {"quality": 95}),
        ("progressive.jpg", "RGB", {"quality": 95, "progressive": True}),
    ],
)
def test_a_first_look_is_like_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, mode: str, options: dict[str, Any]
) -> None:
    monkeypatch.setattr(unpacking, "LOOK_PX", 100)
    path = tmp_path / name
    shade = np.add.outer(np.arange(HEIGHT) // 8, np.arange(WIDTH) // 8 * 3) % 200
    shade += np.random.default_rng(0).integers(0, 40, shade.shape)
    pixels = np.repeat(shade[..., None], 4, axis=2).astype(np.uint8)
    if mode != "RGBA":
        pixels[..., 3] = 255
    Image.fromarray(pixels).convert(mode).save(path, **options)
    with Image.open(path) as picture:
        truth = unpacked(picture, path)[3::7, 3::7].astype(int)
    with Image.open(path) as picture:
        look = first_look(picture, path)
    assert look is not None
    if picture.format == "JPEG":
        assert look.shape == (HEIGHT // 8 + 1, WIDTH // 8 + 1, 3)
        assert abs(look.mean() - truth.mean()) < 2
        return
    assert look.shape == truth.shape
    known = int((look != BLANK).any(axis=(1, 2)).sum())
    assert 3 < known < len(truth) / 2
    assert abs(look[:known] - truth[:known]).max() <= 1
    assert (look[known:] == BLANK).all()


@pytest.mark.parametrize(("name", "has_look"), [("a.jpg", True), ("a.webp", False)])
def test_who_waits_for_a_look_has_it_before_the_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, has_look: bool
) -> None:
    may_decode, decode = threading.Event(), backend_picture.unpacked

    def waits(opened: Image.Image, path: Path) -> RGB:
        assert may_decode.wait(30)
        return decode(opened, path)

    monkeypatch.setattr(backend_picture, "unpacked", waits)
    monkeypatch.setattr(backend_picture, "AT_ONCE_PIXELS", 0)
    slide = PictureSlide(written(tmp_path / name))
    begun = time.monotonic()
    glimpse = slide.glimpse(20.0)
    assert time.monotonic() - begun < 15, "of a WebP nothing comes"
    assert (glimpse.pixels.shape[0] > 1) is has_look
    assert not glimpse.final
    may_decode.set()
    slide.read(Field(0, 0, 0, 5, 5, (1.0, 1.0)))
    assert slide.glimpse().final


def test_a_damaged_picture_has_no_first_look(tmp_path: Path) -> None:
    path = written(tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:4000] + bytes(2000))
    slide = PictureSlide(path)
    glimpse = slide.glimpse()
    with pytest.raises(DamagedSlideError, match=r"a\.png"):
        slide.read(Field(0, 0, 0, 10, 10, (1.0, 1.0)))
    assert (glimpse.pixels == BLANK).all()
    assert slide.glimpse().final


def test_a_bomb_is_not_unpacked_for_a_first_look(tmp_path: Path) -> None:
    path = written(tmp_path / "bomb.png")
    data = path.read_bytes()
    place = data.index(b"IDAT") - 4
    bomb = zlib.compress(bytes(300_000_000))
    chunk = b"IDAT" + bomb
    check = struct.pack(">I", zlib.crc32(chunk))
    path.write_bytes(data[:place] + struct.pack(">I", len(bomb)) + chunk + check)
    del data, bomb, chunk
    tracemalloc.start()
    try:
        with Image.open(path) as picture:
            look = first_look(picture, path)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert look is not None
    assert (look == 0).all(), "as many rows as the header names"
    assert most < 8_000_000


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(0, 65536, (300, 20, 3), dtype=np.uint16)
    for stored in (values, values[..., 0].copy()):
        path = tmp_path / f"{stored.ndim}.png"
        path.write_bytes(png_encode(stored))
        pixels = PictureSlide(path).read(Field(0, 0, 0, 300, 20, (1.0, 1.0)))
        shown = stored if stored.ndim == 3 else stored[..., None]
        assert np.abs(pixels - shown / 257).max() <= 0.51


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "preview.jpg", "a.webp"])
def test_a_picture_without_its_end_is_refused(tmp_path: Path, name: str) -> None:
    exif = b"Exif\0\0 the end of a preview: \xff\xd9"
    path = written(tmp_path / name, **({"exif": exif} if name == "preview.jpg" else {}))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 3 // 4])
    with pytest.raises(DamagedSlideError, match=name):
        open_slide(path)


def test_it_is_decoded_once_for_all_who_wait() -> None:
    may_go_on, decoded = threading.Event(), []

    def decode() -> RGB:
        decoded.append(threading.current_thread())
        assert may_go_on.wait(30)
        return np.zeros((2, 3, 3), np.uint8)

    unpacking = Unpacking(decode)
    unpacking.begin(look=False)
    unpacking.begin(look=False)
    assert not unpacking.ended
    assert unpacking.look is None
    threading.Timer(0.05, may_go_on.set).start()
    assert unpacking.pixels() is unpacking.pixels()
    assert unpacking.ended
    assert len(decoded) == 1
    assert decoded[0] is not threading.current_thread()


def test_damage_is_told_to_all_who_read() -> None:
    tried = []

    def decode() -> RGB:
        tried.append(1)
        raise DamagedSlideError("it is broken.")

    unpacking = Unpacking(decode)
    unpacking.begin(look=False)
    for _ in range(2):
        with pytest.raises(DamagedSlideError, match="broken"):
            unpacking.pixels()
    assert len(tried) == 1
