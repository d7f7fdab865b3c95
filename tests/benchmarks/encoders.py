"""How fast this computer is: the encoder of MobileSAM as published, and that of the plugin.

``OMP_NUM_THREADS=1 python tests/benchmarks/encoders.py`` compiles both with OpenVINO for 32 bit
floats and prints one line of JSON: seconds by the clock of one pass, all threads on it, median of
nine, MobileSAM's on 1024 x 1024 pixels and ours, for words, on 448 x 448. They take turns, so that
other work on the computer slows both.
"""

from __future__ import annotations

import json
import statistics
import time
import warnings
from typing import Any

import numpy as np
import openvino
import torch
from torch import Tensor, nn

from napari_pathseg.models.adapters.mobile_sam import FRAME, MobileSamSegmenter
from napari_pathseg.models.compiled import COMPILED_TILE_PX, FOR_WORDS, CompiledEncoder
from napari_pathseg.models.registry import load_segmenter

PASSES = 9


class Tokens(nn.Module):
    """An image encoder's tokens alone."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, image: Tensor) -> Tensor:
        return self.encoder(image).tokens


def compiled(encoder: nn.Module, side: int) -> Any:
    """A request that runs an encoder on pictures of one size."""
    shape = [1, 3, side, side]
    with warnings.catch_warnings():  # the tracer's, about sizes, which are fixed here
        warnings.simplefilter("ignore")
        model = openvino.convert_model(
            Tokens(encoder), example_input=(torch.zeros(shape),), input=[shape]
        )
    settings = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
    }
    return openvino.Core().compile_model(model, "CPU", settings).create_infer_request()


def main() -> dict[str, float]:
    """Measure both."""
    random = np.random.default_rng(0)
    published = compiled(MobileSamSegmenter()._network.image_encoder, FRAME)
    large = random.normal(128, 50, (1, 3, FRAME, FRAME)).astype(np.float32)
    segmenter: Any = load_segmenter(words_only=True)
    ours = CompiledEncoder(segmenter._network, segmenter.card.sha256, outputs=FOR_WORDS)
    small = random.integers(0, 255, (COMPILED_TILE_PX, COMPILED_TILE_PX, 3)).astype(np.uint8)
    runs = {
        f"mobile_sam_{FRAME}_s": lambda: published.infer([large]),
        f"ours_{COMPILED_TILE_PX}_s": lambda: ours(small),
    }
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(PASSES + 1):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            times[name].append(time.perf_counter() - start)
    medians = {name: round(statistics.median(own[1:]), 3) for name, own in times.items()}
    return {"threads": torch.get_num_threads()} | medians


if __name__ == "__main__":
    print(json.dumps(main()))
