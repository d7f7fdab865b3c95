"""Embeddings on the disk: found again by pixels and model, bounded, and never trusted blindly."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from napari_pathseg.classes import Term
from napari_pathseg.inference.embedding_store import EmbeddingStore
from napari_pathseg.models.base import TileQuery
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.models.segmenter import PathsegSegmenter

GLAND = TileQuery(term=Term("unspecified", "tissue", "gland"))


@pytest.fixture(scope="module")
def segmenter() -> PathsegSegmenter:
    model = load_segmenter()
    assert isinstance(model, PathsegSegmenter)
    return model


def picture(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 255, (64, 96, 3), dtype=np.uint8)


def test_a_tile_seen_before_is_not_encoded_again(
    tmp_path: Path, segmenter: PathsegSegmenter
) -> None:
    first = EmbeddingStore(tmp_path, 10**9).encode(segmenter, picture(1))
    passes = segmenter.encoder_passes
    again = EmbeddingStore(tmp_path, 10**9).encode(segmenter, picture(1))
    assert segmenter.encoder_passes == passes
    assert again.shape == first.shape == (64, 96)
    (new,), (old,) = segmenter.decode(again, [GLAND]), segmenter.decode(first, [GLAND])
    assert np.array_equal(new.logits, old.logits)
    EmbeddingStore(tmp_path, 10**9).encode(segmenter, picture(2))
    assert segmenter.encoder_passes == passes + 1


def test_a_damaged_file_is_made_again(tmp_path: Path, segmenter: PathsegSegmenter) -> None:
    store = EmbeddingStore(tmp_path, 10**9)
    store.encode(segmenter, picture(1))
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"\xff" * 64):
        kept.write_bytes(damaged)
        assert store.encode(segmenter, picture(1)).shape == (64, 96)
        assert kept.read_bytes() == whole


def test_the_least_used_are_given_up(tmp_path: Path, segmenter: PathsegSegmenter) -> None:
    EmbeddingStore(tmp_path, 10**9).encode(segmenter, picture(0))
    (first,) = tmp_path.iterdir()
    size = first.stat().st_size
    os.utime(first, (1, 1))
    store = EmbeddingStore(tmp_path, int(2.5 * size))
    for seed in (1, 2, 3, 4):
        store.encode(segmenter, picture(seed))
        assert sum(p.stat().st_size for p in tmp_path.iterdir()) <= 2.5 * size
    assert not first.exists()


def test_a_folder_that_can_not_be_written_costs_only_time(
    tmp_path: Path, segmenter: PathsegSegmenter
) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    store = EmbeddingStore(blocked / "below", 10**9)
    assert store.encode(segmenter, picture(1)).shape == (64, 96)
