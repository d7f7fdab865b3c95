"""Objects over the seams of blocks: found once, and traced as if there were no blocks."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from napari_pathseg.inference import joining
from napari_pathseg.inference.joining import Joined, ObjectJoiner
from napari_pathseg.inference.seam_outlines import trace_objects
from napari_pathseg.inference.spool import TILE_PX, LabelSpool
from napari_pathseg.labels.masks import resampled
from napari_pathseg.labels.measure import measure_objects, measure_outlines
from napari_pathseg.labels.raster import Outline, instances_of, outlines


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one tile, so that small arrays have many seams."""
    monkeypatch.setattr(joining, "BLOCK_PX", TILE_PX)


def spooled(folder: Path, mask: np.ndarray) -> LabelSpool:
    spool = LabelSpool(folder / "labels", mask.shape)
    rows, columns = spool.grid
    for row in range(rows):
        for column in range(columns):
            y, x = row * TILE_PX, column * TILE_PX
            spool.put(row, column, mask[y : y + TILE_PX, x : x + TILE_PX])
    return spool


def joined_of(folder: Path, mask: np.ndarray, **options: object) -> Joined:
    labels = spooled(folder, mask)
    return ObjectJoiner(labels, folder / "parts", **options).result()  # type: ignore[arg-type]


def drawn(joined: Joined, shape: tuple[int, int]) -> np.ndarray:
    """The objects of all pixels."""
    return joined.owner[joined.parts.read(0, 0, *shape)]


@pytest.mark.parametrize("shape", [(61, 97), (900, 1300), (1200, 2500)])
def test_a_small_copy_has_what_lies_under_the_centres(
    tmp_path: Path, shape: tuple[int, int]
) -> None:
    mask = np.random.default_rng(3).integers(0, 4, (900, 1300)).astype(np.uint16)
    mask[512:, :512] = 0
    with spooled(tmp_path, mask) as spool:
        assert np.array_equal(spool.resampled(shape), resampled(mask, shape))


def same_partition(a: np.ndarray, b: np.ndarray) -> bool:
    pairs = np.unique(np.stack([a.ravel(), b.ravel()]), axis=1)
    return len(np.unique(pairs[0])) == pairs.shape[1] == len(np.unique(pairs[1]))


def as_set(traced: list[Outline]) -> set[frozenset[tuple[object, frozenset[object]]]]:
    """Outlines without their numbers, the order of holes and where rings begin."""

    def corners(ring: np.ndarray) -> frozenset[tuple[int, int]]:
        return frozenset(map(tuple, ring.tolist()))

    return {
        frozenset((corners(p.exterior), frozenset(map(corners, p.holes))) for p in outline.polygons)
        for outline in traced
    }


def blobs(shape: tuple[int, int], seed: int, size: float) -> np.ndarray:
    """Ragged shapes of two classes with holes, many of them over seams."""
    noise = np.random.default_rng(seed).standard_normal((2, *shape)).astype(np.float32)
    first, second = (ndimage.gaussian_filter(n, size) for n in noise)
    mask = (first > first.std() * 0.3).astype(np.uint16)
    mask[second > second.std()] = 2
    return mask


@pytest.mark.parametrize(("seed", "size"), [(0, 1.0), (1, 6.0), (2, 25.0)])
def test_objects_over_seams_are_those_of_the_whole(tmp_path: Path, seed: int, size: float) -> None:
    mask = blobs((650, 600), seed, size)
    joined = joined_of(tmp_path, mask)
    assert same_partition(drawn(joined, mask.shape), instances_of(mask))
    numbers = drawn(joined, mask.shape)
    assert (joined.classes[numbers] == mask).all()
    assert joined.crossing.any()


@pytest.mark.parametrize(("seed", "size"), [(0, 1.0), (1, 6.0), (2, 25.0)])
def test_outlines_over_seams_are_those_of_the_whole(tmp_path: Path, seed: int, size: float) -> None:
    mask = blobs((600, 650), seed, size)
    traced = list(trace_objects(joined_of(tmp_path, mask)))
    assert as_set(traced) == as_set(list(outlines(instances_of(mask))))


def test_a_frame_around_all_blocks_is_one_polygon_with_one_hole(tmp_path: Path) -> None:
    mask = np.ones((1100, 1100), dtype=np.uint16)
    mask[1:-1, 1:-1] = 0
    (outline,) = trace_objects(joined_of(tmp_path, mask))
    (polygon,) = outline.polygons
    assert len(polygon.exterior) == 5
    assert len(polygon.holes) == 1


def test_900_disks_on_seams_are_900_objects(tmp_path: Path) -> None:
    """Every disk lies on a seam or a corner, and each touches no other."""
    step, radius = 32, 13
    y, x = np.mgrid[: 30 * step, : 30 * step]
    disk = (y % step - step // 2) ** 2 + (x % step - step // 2) ** 2 < radius**2
    mask = np.zeros((30 * step + step, 30 * step + step), dtype=np.uint16)
    mask[step // 2 : step // 2 + 30 * step, step // 2 : step // 2 + 30 * step] = disk
    for split in ((), (1,)):
        joined = joined_of(tmp_path, mask, split=split)
        assert len(joined.classes) - 1 == 900
        assert len(list(trace_objects(joined))) == 900
        joined.parts.close()


def test_touching_disks_on_a_seam_are_cut_alike_on_both_sides(tmp_path: Path) -> None:
    y, x = np.mgrid[:1024, :1024]
    mask = np.zeros((1024, 1024), dtype=np.uint16)
    for i in range(8):
        for cy, cx in ((100 + 100 * i, 490), (100 + 100 * i, 534), (512, 100 + 45 * i)):
            mask[(y - cy) ** 2 + (x - cx) ** 2 < 25**2] = 1
    together = joined_of(tmp_path, mask)
    apart = joined_of(tmp_path, mask, split=(1,))
    assert len(apart.classes) > len(together.classes)
    for i in (0, 1, 2, 6, 7):
        left, right = (drawn(apart, mask.shape)[100 + 100 * i, c] for c in (480, 545))
        assert left != right
    assert (drawn(apart, mask.shape) > 0).sum() == mask.sum()


def test_spool_gives_back_any_window_and_keeps_no_empty_tile(tmp_path: Path) -> None:
    mask = blobs((700, 1500), 3, 20.0)
    mask[:512, 512:1024] = 0
    with spooled(tmp_path, mask) as spool:
        assert (0, 1) not in set(spool.tiles())
        assert (spool.read(-5, 300, 600, 1300)[5:, :1200] == mask[:595, 300:]).all()
        assert not spool.read(-5, 300, 5, 100).any()


def test_measures_from_outlines_are_those_from_pixels() -> None:
    mask = blobs((300, 320), 4, 5.0)
    instances = instances_of(mask)
    traced = outlines(instances)
    values = [int(mask[instances == o.value][0]) for o in traced]
    of_pixels = measure_objects(instances, mask, (0.5, 0.25), traced)
    for a, b in zip(of_pixels, measure_outlines(traced, values, (0.5, 0.25)), strict=True):
        assert (a.value, a.class_value, a.area_px) == (b.value, b.class_value, b.area_px)
        np.testing.assert_allclose(a.centroid, b.centroid, atol=1e-6)
        assert a.circularity == pytest.approx(b.circularity)


@pytest.mark.parametrize("split", [(), (2,)])
def test_objects_numbered_while_labels_are_made_are_the_same(
    tmp_path: Path, split: tuple[int, ...]
) -> None:
    y, x = np.mgrid[:1700, :1100]
    mask = ((np.sin(y / 19) + np.cos(x / 23) > 0.4) * (1 + (x // 300) % 2)).astype(np.uint16)
    for name in ("whole", "rows"):
        (tmp_path / name).mkdir()
    whole = joined_of(tmp_path / "whole", mask, split=split)
    labels = LabelSpool(tmp_path / "rows" / "labels", mask.shape)
    joiner = ObjectJoiner(labels, tmp_path / "rows" / "parts", split=split, min_neck_px=1.0)
    done = []
    for row in range(labels.grid[0]):
        for column in range(labels.grid[1]):
            at = (slice(row * TILE_PX, (row + 1) * TILE_PX),)
            labels.put(row, column, mask[at][:, column * TILE_PX : (column + 1) * TILE_PX])
        joiner.advance(min((row + 1) * TILE_PX, mask.shape[0]))
        done.append(len(list(joiner.parts.tiles())))
    assert done == sorted(done)
    assert 0 < done[1] < done[-1]
    joined = joiner.result()
    assert np.array_equal(drawn(joined, mask.shape), drawn(whole, mask.shape))
    assert np.array_equal(joined.classes, whole.classes)
    assert np.array_equal(joined.crossing, whole.crossing)


def test_of_a_block_that_is_done_only_its_edges_are_held(tmp_path: Path) -> None:
    y, x = np.mgrid[:TILE_PX, : 12 * TILE_PX]
    mask = (np.sin(y / 19) + np.cos(x / 23) > 0.4).astype(np.uint16)
    with spooled(tmp_path, mask) as labels:
        tracemalloc.start()
        joiner = ObjectJoiner(labels, tmp_path / "parts")
        joiner.advance(TILE_PX)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        joiner.parts.close()
    assert held < TILE_PX**2 * 8  # less than the numbers of one block
