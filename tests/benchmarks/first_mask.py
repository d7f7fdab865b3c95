"""One contender in a process of its own: from a slide file to masks of one field.

Run ``python tests/benchmarks/first_mask.py {pathseg|sam} SLIDE``; prints one line of JSON with
seconds and the peak memory of the process. Both take the same 1024 x 1024 pixels of the file.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from peak_memory import peak_mb

SIDE = 1024
POINTS = ((512.0, 512.0), (300.0, 700.0), (800.0, 200.0), (150.0, 150.0), (900.0, 900.0))


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def pathseg(path: Path) -> dict[str, float]:
    """Words at one resolution, clicks on them and alone, and a word at another resolution."""
    from napari_pathseg.geometry import Field, Region
    from napari_pathseg.inference.session import open_session
    from napari_pathseg.prompts import PointPrompt, TextPrompt
    from napari_pathseg.slide.open import open_slide

    field = Field(0, 0, 0, SIDE, SIDE, (1.0, 1.0))
    pixels = _seconds(lambda: open_slide(path).read(field))
    start = time.perf_counter()
    session = open_session(path)
    loaded = time.perf_counter() - start
    # At this scale a pixel of the field is a pixel of the model.
    first_word, alike, other = map(TextPrompt, ("tumor epithelium", "stroma", "gland"))
    mpp = session.understand([first_word])[0].working_mpp
    session.mpp = (mpp, mpp)
    region = Region(0, 0, SIDE, SIDE)

    def ask(*prompts: TextPrompt | PointPrompt) -> float:
        return _seconds(lambda: session.segment(region, prompts).mask)

    first = ask(first_word)
    word = ask(alike)
    passes = session.segmenter.encoder_passes
    on_words = [ask(first_word, PointPrompt(y, x)) for y, x in POINTS]
    assert session.segmenter.encoder_passes == passes
    clicks = [ask(PointPrompt(y, x)) for y, x in POINTS]
    peak = peak_mb()
    another = ask(other)
    return {
        "first_pixels_s": pixels,
        "load_s": loaded,
        "first_mask_s": first,
        "on_words_s": statistics.median(on_words),
        "click_s": statistics.median(clicks[1:]),
        "word_s": word,
        "other_word_s": another,
        "peak_mb": peak,
        "peak_other_mb": peak_mb(),
    }


def sam(path: Path) -> dict[str, float]:
    """SAM with a ViT-B encoder and random weights: as fast as with trained ones."""
    import numpy as np
    import tifffile
    import torch
    from transformers import SamConfig, SamModel

    torch.manual_seed(0)
    start = time.perf_counter()
    model = SamModel(SamConfig()).eval()
    loaded = time.perf_counter() - start
    picture = np.asarray(tifffile.imread(path)[:SIDE, :SIDE], dtype=np.float32)
    tensor = torch.from_numpy((picture - 127) / 60).permute(2, 0, 1)[None]

    def ask(embedding: torch.Tensor, y: float, x: float) -> object:
        points = torch.tensor([[[[x, y]]]])
        answer = model(image_embeddings=embedding, input_points=points)
        return torch.nn.functional.interpolate(answer.pred_masks[0], (SIDE, SIDE)) > 0

    with torch.inference_mode():
        start = time.perf_counter()
        embedding = model.get_image_embeddings(tensor)
        ask(embedding, *POINTS[0])
        first = time.perf_counter() - start
        clicks = [_seconds(lambda y=y, x=x: ask(embedding, y, x)) for y, x in POINTS]
    return {
        "load_s": loaded,
        "first_mask_s": first,
        "click_s": statistics.median(clicks[1:]),
        "peak_mb": peak_mb(),
    }


if __name__ == "__main__":
    print(json.dumps({"pathseg": pathseg, "sam": sam}[sys.argv[1]](Path(sys.argv[2]))))
