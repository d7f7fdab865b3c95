"""A large picture is read while it is unpacked, and its pixels are those of the whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from napari_pathseg.errors import DamagedSlideError
from napari_pathseg.slide import unpacking
from napari_pathseg.slide.unpacking import Unpacking, unpacked

WIDTH, HEIGHT = 700, 1500


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "TELL_EVERY_S", 0.0)
    monkeypatch.setattr(unpacking, "HEAD_START_S", 0.0)


def written(path: Path, mode: str = "RGB", **options: Any) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 4), dtype=np.uint8)
    pixels[::50] = 0  # black rows are rows too
    Image.fromarray(pixels).convert(mode).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "mode", "options", "follows"),
    [
        ("a.png", "RGB", {"compress_level": 1}, True),
        ("a.jpg", "RGB", {"quality": 95}, True),
        ("progressive.jpg", "RGB", {"quality": 95, "progressive": True}, False),
        ("transparent.png", "RGB", {"transparency": (1, 2, 3)}, False),
        ("a.png", "RGBA", {}, False),
        ("a.png", "L", {}, False),
        ("a.png", "P", {}, False),
        ("a.jpg", "CMYK", {}, False),
        ("a.bmp", "RGB", {}, False),
        ("a.webp", "RGB", {"lossless": True}, False),
    ],
)
def test_rows_come_from_the_top_and_are_those_of_the_whole(
    tmp_path: Path, name: str, mode: str, options: dict[str, Any], follows: bool
) -> None:
    path = written(tmp_path / name, mode, **options)
    with Image.open(path) as picture:
        laid = Image.new("RGBA", picture.size, "white")
        laid.alpha_composite(picture.convert("RGBA"))
        truth = np.asarray(laid.convert("RGB")).astype(int)
    reached: list[int] = []

    def tell(pixels: np.ndarray, rows: int) -> None:
        reached.append(rows)
        assert abs(pixels[:rows] - truth[:rows]).max() <= 1

    with Image.open(path) as picture:
        pixels = unpacked(picture, tell)
    assert abs(pixels - truth).max() <= 1  # where alpha is laid on white, rounding may differ
    assert reached == sorted(set(reached))
    assert bool(reached) == follows
    if follows:
        assert len(reached) > 3
        assert reached[0] < HEIGHT / 2


class Held:
    """A file that is opened, and read no further than half before it may be."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.may_go_on = threading.Event()
        self.times_opened = 0

    @contextmanager
    def opened(self) -> Iterator[Any]:
        self.times_opened += 1
        try:
            with Image.open(self.path) as picture:
                read, size, done = picture.load_read, self.path.stat().st_size, 0

                def load_read(count: int) -> bytes:
                    nonlocal done
                    done += count
                    if done > size // 2:
                        assert self.may_go_on.wait(30)
                    return bytes(read(count))

                picture.load_read = load_read
                yield picture
        except OSError as error:
            raise DamagedSlideError(f"{self.path}: it is broken.") from error


@pytest.mark.parametrize(("name", "head_start_s"), [("a.png", 0.3), ("a.jpg", 0.0)])
def test_who_reads_waits_for_its_rows_alone(
    tmp_path: Path, name: str, head_start_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_pathseg.slide.unpacking.HEAD_START_S", head_start_s)
    held = Held(written(tmp_path / name))
    unpacking = Unpacking(held.opened)
    unpacking.begin()
    top = unpacking.rows(HEIGHT // 4)[: HEIGHT // 4].copy()
    assert not unpacking.ended
    held.may_go_on.set()
    whole = unpacking.rows(HEIGHT)
    assert unpacking.ended
    np.testing.assert_array_equal(whole[: HEIGHT // 4], top)
    with Image.open(held.path) as picture:
        np.testing.assert_array_equal(whole, np.asarray(picture))
    assert held.times_opened == 1


def test_damage_is_told_to_all_who_read(tmp_path: Path) -> None:
    held = Held(written(tmp_path / "a.png"))
    data = held.path.read_bytes()
    held.path.write_bytes(data[: len(data) * 3 // 4])
    unpacking = Unpacking(held.opened)
    unpacking.begin()
    unpacking.rows(HEIGHT // 4)
    held.may_go_on.set()
    for stop in (HEIGHT, 1):
        with pytest.raises(DamagedSlideError, match="broken"):
            unpacking.rows(stop)
    assert held.times_opened == 1
