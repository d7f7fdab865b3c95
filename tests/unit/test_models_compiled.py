"""The compiled encoder gives torch's masks, is made once, and is not needed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pathseg.classes import Term
from napari_pathseg.geometry import Field
from napari_pathseg.models import compiled, registry, segmenter
from napari_pathseg.models.base import SeveralAtOnce, TileQuery
from napari_pathseg.models.network import PathsegNetwork
from napari_pathseg.models.registry import (
    DEFAULT,
    load_segmenter,
    load_segmenter_file,
    model_path,
)
from napari_pathseg.slide.synthetic import SyntheticSlide

TERMS = [Term("unspecified", "tissue", "gland"), Term("unspecified", "nuclei", "nucleus")]


def test_masks_are_those_of_torch_and_the_form_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slide = SyntheticSlide((2048, 2048), seed=3)
    field = Field(0, 700, 700, 448, 448, (1.0, 1.0))
    picture = slide.read(field)
    queries = [*(TileQuery(term=t) for t in TERMS), TileQuery(points=((224.0, 224.0, True),))]
    plain = load_segmenter_file(model_path(DEFAULT), "cpu")
    wanted = plain.decode(plain.encode(picture), queries)

    monkeypatch.delenv(compiled.RUNTIME_VARIABLE)
    monkeypatch.setattr(compiled.platformdirs, "user_cache_path", lambda *_, **__: tmp_path)
    fast = load_segmenter_file(model_path(DEFAULT), "cpu")
    kept = sorted(p.name for p in (tmp_path / "compiled").iterdir())
    assert [Path(name).suffix for name in kept] == [".bin", ".xml"]
    assert kept[0].startswith(fast.card.sha256[:16])
    found = fast.decode(fast.encode(picture), queries)
    for ours, theirs in zip(found, wanted, strict=True):
        both = (ours.logits > 0) & (theirs.logits > 0)
        either = (ours.logits > 0) | (theirs.logits > 0)
        assert both.sum() >= 0.995 * either.sum()
        assert np.abs(ours.logits - theirs.logits).mean() < 0.02

    monkeypatch.setattr(compiled.torch, "get_num_threads", lambda: 2)
    several, at_once = fast.for_words()
    assert at_once == 2
    with ThreadPoolExecutor(3) as pool:
        made = list(pool.map(several.encode, [picture, picture[::-1], picture]))
    assert fast.encoder_passes == 4
    for embedding in made[::2]:
        for ours, alone in zip(several.decode(embedding, queries[:2]), found, strict=False):
            assert np.abs(ours.logits - alone.logits).max() < 0.02
            assert ours.presence == pytest.approx(alone.presence, abs=1e-3)
    with pytest.raises(TypeError, match="words alone"):
        several.decode(made[0], queries[2:])

    def fail(*_: object) -> None:
        raise AssertionError("it was made again")

    monkeypatch.setattr(compiled, "_convert", fail)
    load_segmenter_file(model_path(DEFAULT), "cpu")

    threads = []
    compile_encoder = segmenter.compile_encoder

    def counted(*args: Any, at_once: int = 1, **kinds: Any) -> compiled.CompiledEncoder | None:
        threads.append(at_once)
        return compile_encoder(*args, at_once=at_once, **kinds)

    monkeypatch.setattr(segmenter, "compile_encoder", counted)
    words = load_segmenter(DEFAULT, "cpu", words_only=True)
    assert isinstance(words, SeveralAtOnce)
    assert not threads, "nothing is compiled that only clicks need"
    for _ in range(2):
        several, at_once = words.for_words()
    assert threads == [at_once] == [2]
    again = several.decode(several.encode(picture), queries[:2])
    for ours, alone in zip(again, found, strict=False):
        assert np.abs(ours.logits - alone.logits).max() < 0.02


def test_who_has_some_of_the_cores_only_is_bound_to_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else workers beside each other would all wait for the first core."""
    network = PathsegNetwork([("tissue", "gland")], ()).eval()
    for spare in (0, 1):
        cores = torch.get_num_threads() + spare
        monkeypatch.setattr(compiled.os, "cpu_count", lambda cores=cores: cores)
        encoder = compiled.CompiledEncoder(network, "0" * 64, tmp_path)
        request = encoder._requests(with_context=False).get()
        assert request.latency > 0  # the first pass is made before there are threads beside
        made = request.get_compiled_model()
        assert made.get_property("ENABLE_CPU_PINNING") == (spare == 0)


def test_without_openvino_torch_does_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(*_: object, **__: object) -> None:
        raise ImportError("No module named 'openvino'")

    monkeypatch.delenv(compiled.RUNTIME_VARIABLE)
    monkeypatch.setattr(compiled, "CompiledEncoder", missing)
    registry._kept.cache_clear()
    words = load_segmenter(DEFAULT, "cpu", words_only=True)
    assert isinstance(words, SeveralAtOnce)
    assert words.for_words() == (words, 1)
    assert "slower" in caplog.text
    caplog.clear()
    model = load_segmenter_file(model_path(DEFAULT), "cpu")
    assert "slower" in caplog.text
    picture = np.full((448, 448, 3), 200, np.uint8)
    assert model.decode(model.encode(picture), [TileQuery(term=TERMS[0])])
