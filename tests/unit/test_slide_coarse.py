"""Coarse levels of a large picture of one level: at once a guess, in the end exact, then kept."""

from __future__ import annotations

import gc
import io
import os
import pickle
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from PIL import Image

from napari_pathseg.errors import CancelledError, DamagedSlideError, SlideError
from napari_pathseg.geometry import Field
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide import backend_picture
from napari_pathseg.slide import coarse as coarse_module
from napari_pathseg.slide import coarse_store as coarse_store_module
from napari_pathseg.slide.base import Level, Slide, SlideMetadata
from napari_pathseg.slide.cache import ChunkCache
from napari_pathseg.slide.coarse import FIRST, CoarseLevels, coarse_levels
from napari_pathseg.slide.coarse_store import FACTS, CoarseStore, make_room
from napari_pathseg.slide.level_view import LevelView
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.pixels import BLANK
from napari_pathseg.slide.pyramid import dask_pyramid, viewer_pyramid
from napari_pathseg.slide.sources import AveragedSource, LevelSource, added_levels
from napari_pathseg.slide.tissue import overview

SHAPE = (8301, 2500)
KEEP = 1 << 30


class Tiled(Slide):
    """One level: a pattern that differs from tile to tile; one place of it may be broken."""

    def __init__(self, name: str, tile: tuple[int, int] = (256, 256)) -> None:
        self.path = Path(name)
        self.metadata = SlideMetadata("test", "test", None, None, name)
        self.levels = (Level(SHAPE, (1.0, 1.0), tile),)
        self.pattern = np.random.default_rng(0).integers(0, 255, (300, 300, 3), dtype=np.uint8)
        self.broken: tuple[int, int] | None = None
        self.closed = False
        self.pixels_read = 0
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, field: Field) -> npt.NDArray[np.uint8]:
        self.may_read.wait(30)
        if self.closed:
            raise SlideError("it was closed.")
        if self.broken is not None and field.region.contains(*self.broken):
            raise DamagedSlideError("one place is broken.")
        self.pixels_read += field.height * field.width
        y = np.arange(field.y, field.y + field.height)
        x = np.arange(field.x, field.x + field.width)
        pixels = self.pattern[np.ix_(y % 300, x % 300)] // 2
        return pixels + (y // 90)[:, None, None].astype(np.uint8)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(coarse_module, "default_folder", lambda: tmp_path)
    monkeypatch.setattr(coarse_module, "LARGE_PIXELS", 16_000_000)
    return tmp_path


def shown(
    slide: Slide, cache: ChunkCache, keep_bytes: int
) -> tuple[list[LevelView], CoarseLevels | None]:
    """What a viewer gets that waits for all that is not guessed."""
    found = viewer_pyramid(
        slide, channel=None, cache=cache, keep_bytes=keep_bytes, patience=lambda: None
    )
    return found.levels, found.coarse


def exact_levels(slide: Slide) -> list[AveragedSource]:
    cache = ChunkCache(64 << 20)
    return added_levels(LevelSource(slide, 0, None, cache), cache)


def whole(source: AveragedSource) -> npt.NDArray[np.uint8]:
    return source.window(0, 0, *source.shape[:2])


@pytest.mark.parametrize("tile", [(256, 256), (8, 2500), (1500, 1500)])
def test_a_guess_at_once_and_exact_in_the_end(tile: tuple[int, int]) -> None:
    slide = Tiled(f"t{tile[0]}", tile)
    exact = exact_levels(slide)
    made = coarse_levels(exact, 0)
    assert made is not None
    assert len(made.levels) == len(exact) - FIRST + 1 == 3
    slide.pixels_read = 0
    first = made.window(2, 0, 0, *exact[-1].shape[:2])
    in_sight = slide.pixels_read
    truth = whole(exact[-1])
    # The large shades are there before a part of the pixels was read.
    assert in_sight < 0.6 * SHAPE[0] * SHAPE[1]
    assert np.abs(first.astype(int) - truth).mean() < 20
    made.wait()
    assert made.pieces_done == made.pieces
    for level, source in enumerate(exact[FIRST - 1 :]):
        np.testing.assert_array_equal(made.window(level, 0, 0, *source.shape[:2]), whole(source))
    np.testing.assert_array_equal(
        made.window(0, 700, 33, 300, 400), whole(exact[1])[700:1000, 33:433]
    )


def test_the_first_guess_does_not_wait_for_one_tile_after_the_other() -> None:
    class Slow(Tiled):
        together = threading.Barrier(4)

        def read(self, field: Field) -> npt.NDArray[np.uint8]:
            self.together.wait(20)  # broken, unless four read at a time
            return super().read(field)

    made = CoarseLevels(exact_levels(Slow("slow")), None)
    made._started = True
    assert made.window(1, 0, 0, 10, 10).shape == (10, 10, 3)


def test_what_is_looked_at_comes_first_and_may_be_mixed() -> None:
    slide = Tiled("wanted")
    exact = exact_levels(slide)
    made = CoarseLevels(exact, None)
    made._started = True  # no thread: step by step
    while not made._guess.finished:
        made.step()
    made.window(0, 800, 300, 40, 40)
    made.step()
    assert made.store.done[3, 1]
    assert made.pieces_done == 1
    seen = made.window(0, 700, 200, 300, 300)
    truth = whole(exact[1])[700:1000, 200:500]
    inside = (slice(68, 300), slice(56, 300))  # from pixel 768, 256
    np.testing.assert_array_equal(seen[inside], truth[inside])
    assert not np.array_equal(seen[:60, :50], truth[:60, :50])


def test_a_broken_place_is_named_and_stays_guessed() -> None:
    slide = Tiled("broken")
    slide.broken = (3000, 2300)
    made = CoarseLevels(exact_levels(slide), None)
    with pytest.raises(DamagedSlideError, match="one place"):
        made.wait()
    assert len(made.errors) == 1
    assert made.ended
    assert made.store.done.sum() == made.pieces - 1
    assert made.window(0, 750, 575, 1, 1).min() > 0


def test_nothing_to_read_is_an_error() -> None:
    slide = Tiled("gone")
    made = CoarseLevels(exact_levels(slide), None)
    slide.close()
    with pytest.raises(SlideError, match="closed"):
        made.window(1, 0, 0, 10, 10)


def test_what_is_done_is_kept_and_gone_on_with(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coarse_store_module, "SAVED_EVERY", 2)
    slide = Tiled("kept")
    first = CoarseLevels(exact_levels(slide), folder / "levels")
    first._started = True
    first._guess._grids = []
    for _ in range(4):
        first.step()
    again = CoarseLevels(exact_levels(slide), folder / "levels")
    assert again.pieces_done == 4
    again.wait()
    slide.pixels_read = 0
    third = CoarseLevels(exact_levels(slide), folder / "levels")
    assert third.ended
    truth = whole(exact_levels(slide)[-1])
    slide.pixels_read = 0
    np.testing.assert_array_equal(third.window(2, 0, 0, *truth.shape[:2]), truth)
    assert slide.pixels_read == 0


def test_a_thread_ends_when_nobody_looks() -> None:
    slide = Tiled("left")
    made = CoarseLevels(exact_levels(slide), None)
    made.window(1, 0, 0, 10, 10)
    folder = made.store.folder
    assert any(thread.name == "pathseg-coarse" for thread in threading.enumerate())
    del made
    for _ in range(100):
        gc.collect()
        if not any(thread.name == "pathseg-coarse" for thread in threading.enumerate()):
            break
        time.sleep(0.05)
    else:
        raise AssertionError("the thread goes on")
    assert not folder.exists()


def test_waiting_can_be_cancelled() -> None:
    slide = Tiled("waiting")
    made = CoarseLevels(exact_levels(slide), None)
    slide.may_read.clear()
    token = CancelToken()
    threading.Timer(0.3, token.cancel).start()
    with pytest.raises(CancelledError):
        made.wait(token)
    made.stop()
    slide.may_read.set()
    assert not made.wait()


def write_single_level(path: Path) -> Path:
    """A tiled picture of `SHAPE`, every tile the same."""
    encoded = io.BytesIO()
    shades = np.random.default_rng(1).integers(60, 250, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(shades).resize((256, 256)).save(encoded, "JPEG", subsampling=0)
    tiles = -(-SHAPE[0] // 256) * -(-SHAPE[1] // 256)
    tifffile.imwrite(
        path,
        iter([encoded.getvalue()] * tiles),
        shape=(*SHAPE, 3),
        dtype=np.uint8,
        tile=(256, 256),
        photometric="rgb",
        compression="jpeg",
    )
    return path


def test_a_viewer_sees_the_same_in_the_end_and_other_processes_at_once(tmp_path: Path) -> None:
    with open_slide(write_single_level(tmp_path / "single.tif")) as slide:
        cache = ChunkCache(64 << 20)
        levels, made = shown(slide, cache, KEEP)
        exact = dask_pyramid(slide)
        assert made is not None
        assert [level.shape for level in levels] == [level.shape for level in exact]
        truth = exact[-1].compute(scheduler="synchronous")
        elsewhere = pickle.loads(pickle.dumps(levels))
        np.testing.assert_array_equal(elsewhere[-1].compute(scheduler="synchronous"), truth)
        levels[-1].compute(scheduler="synchronous")
        made.wait()
        np.testing.assert_array_equal(levels[-1].compute(scheduler="synchronous"), truth)
        # The same levels are shared by all who look, and the tissue is found on them.
        again, same = shown(slide, cache, KEEP)
        assert same is made
        assert again[-1].name == levels[-1].name
        pixels, field = overview(slide, 1024)
        np.testing.assert_array_equal(pixels, truth)
        assert field.shape == truth.shape[:2]
        assert (made.store.folder / FACTS).is_file()


def test_small_pictures_need_none() -> None:
    slide = Tiled("small")
    slide.levels = (Level((3900, 4000), (1.0, 1.0), (256, 256)),)
    levels, made = shown(slide, ChunkCache(0), 0)
    assert made is None
    assert len(levels) == 3


def test_the_folder_is_bounded_and_a_spoilt_one_is_made_anew(tmp_path: Path) -> None:
    stores = [
        CoarseStore(tmp_path / f"{i}", [(64, 64, 3), (32, 32, 3)], np.uint8, (32, 32))
        for i in range(3)
    ]
    for age, store in enumerate(stores):
        os.utime(store.folder / FACTS, (1000 + age, 1000 + age))
        store.write(0, 32, 0, np.full((32, 32, 3), 9, np.uint8))
        for row, column in np.ndindex(store.done.shape):
            store.finish(row, column)
    size = sum(file.stat().st_size for file in stores[0].folder.iterdir())
    make_room(tmp_path, 2 * size, stores[0].folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "2"]
    kept = CoarseStore(tmp_path / "2", [(64, 64, 3), (32, 32, 3)], np.uint8, (32, 32))
    assert kept.done.all()
    assert kept.read(0, 30, 0, 4, 1)[:, 0, 0].tolist() == [0, 0, 9, 9]
    for spoil in ("0.npy", "done.npy", FACTS):
        (tmp_path / "2" / spoil).write_bytes(b"spoilt")
        kept = CoarseStore(tmp_path / "2", [(64, 64, 3), (32, 32, 3)], np.uint8, (32, 32))
        assert not kept.done.any()


@pytest.fixture
def picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture that counts as large."""
    monkeypatch.setattr(backend_picture, "AT_ONCE_PIXELS", 0)
    monkeypatch.setattr(coarse_module, "LARGE_PIXELS", 0)
    pixels = np.random.default_rng(0).integers(0, 255, (2100, 2300, 3), dtype=np.uint8)
    path = tmp_path / "large.png"
    Image.fromarray(pixels // 64 * 64).save(path, compress_level=1)
    return path


def test_a_large_picture_is_shown_while_it_is_decoded_and_only_once(
    picture: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_decode, decode, decoded = threading.Event(), backend_picture.unpacked, []

    def waits(opened: Image.Image, path: Path) -> npt.NDArray[np.uint8]:
        may_decode.wait(30)
        decoded.append(opened.size)
        return decode(opened, path)

    monkeypatch.setattr(backend_picture, "unpacked", waits)
    first, second = open_slide(picture), open_slide(picture)
    levels, made = shown(first, ChunkCache(0), 0)
    assert made is not None
    begun = time.monotonic()
    while (seen := np.asarray(levels[-1][:, :]))[:60].max() == BLANK:
        assert time.monotonic() - begun < 20
        time.sleep(0.01)
    # An eighth of the file holds the first rows.
    assert np.ptp(seen[:50]) > 20
    assert (seen[len(seen) // 4 :] == BLANK).all()
    may_decode.set()
    assert made.wait()
    exact = dask_pyramid(second)
    assert np.array_equal(np.asarray(levels[-1][:, :]), np.asarray(exact[-1][:, :]))
    assert decoded == [(2300, 2100)]
    assert second.glimpse().final


def test_a_large_picture_that_is_damaged_is_said_and_stops_no_viewer(picture: Path) -> None:
    data = picture.read_bytes()
    picture.write_bytes(data[: len(data) // 2])
    slide = open_slide(picture)
    levels, made = shown(slide, ChunkCache(0), 0)
    assert made is not None
    with pytest.raises(DamagedSlideError, match=r"large\.png"):
        made.wait()
    seen = np.asarray(levels[-1][:, :])
    assert (seen[len(seen) // 4 :] == BLANK).all()
    for _ in range(2):
        with pytest.raises(DamagedSlideError, match=r"large\.png"):
            slide.read(Field(0, 0, 0, 10, 10, (1.0, 1.0)))
