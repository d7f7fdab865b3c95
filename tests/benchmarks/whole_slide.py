"""A whole slide in a process of its own: what the engine costs, alone and beside the model.

``python tests/benchmarks/whole_slide.py engine SIDE SHARE`` runs a slide of SIDE x SIDE pixels
at 0.25 micrometres, of which SHARE is tissue, with a segmenter that takes no time.
``python tests/benchmarks/whole_slide.py model SIDE`` runs the real model on a generated slide of
SIDE x SIDE pixels at 1 micrometre.
``python tests/benchmarks/whole_slide.py real WORD MPP HEIGHT WIDTH SHARE`` runs it with the threads
that OMP_NUM_THREADS gives on a slide at 0.25 micrometres, SHARE of it repeated tissue, looked at
with MPP; ``whole_slide.py worker`` does so with the model as a worker of a batch has it, for words
alone, and does not time the encoder. ``python tests/benchmarks/whole_slide.py tilings SIDE WORD…``
cuts the slide of `model` in two ways and tells how much the masks agree, ``whole_slide.py cuts WORD
SLIDE Y X SIDE`` does so with that part, level-0 pixels, of a slide of yours. The others write all
files. Each prints one line of JSON. Seconds of the processor are counted, so that other work on the
machine changes little (the encoder's with one thread alone, as several are not the caller's own),
and `of_encoder_by_clock` is what part of its throughput alone, one input after the other, the
encoder keeps.
"""

from __future__ import annotations

import copy
import functools
import json
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from peak_memory import peak_mb

from napari_pathseg.batch.one_slide import segment_to_files
from napari_pathseg.batch.settings import BatchSettings, SlideJob
from napari_pathseg.classes import Term
from napari_pathseg.config import SegmentConfig
from napari_pathseg.geometry import Field, exact_downsample
from napari_pathseg.inference.session import Session
from napari_pathseg.models.base import ModelCard, Segmenter, SeveralAtOnce, TileAnswer, TileQuery
from napari_pathseg.slide.base import RGB, Level, Slide, SlideMetadata
from napari_pathseg.vocabulary.vocabulary import Vocabulary

PATTERN_PX, STEP_PX = 4096, 512
SEEDS = range(3)
ALONE = 9
CARD = ModelCard(
    name="none",
    version="0",
    sha256="0" * 64,
    license="BSD-3-Clause",
    research_only=False,
    summary="Takes no time.",
    objects=(("tissue", "gland"),),
    regions=(),
    working_mpp={"gland": 1.0},
    presence_gate=0.001,
    figures=(),
)


class Patterned(Slide):
    """Purple disks on pink in the left part of a slide of any size, glass on the right."""

    def __init__(self, side: int, share: float) -> None:
        self.path = Path(f"patterned-{side}.svs")
        shapes = [(side // down, side // down) for down in (1, 4, 16, 64)]
        self.levels = tuple(Level(s, exact_downsample(shapes[0], s), (512, 512)) for s in shapes)
        self.metadata = SlideMetadata("patterned", "test", (0.25, 0.25), None, f"{side}-{share}")
        self._tissue = int(side * share)
        y, x = np.mgrid[:PATTERN_PX:4, :PATTERN_PX:4] % STEP_PX - STEP_PX // 2
        self._pattern = np.full((*y.shape, 3), (230, 170, 200), np.uint8)
        self._pattern[y**2 + x**2 < (STEP_PX // 3) ** 2] = (110, 60, 150)

    def read(self, field: Field) -> RGB:
        down_y, down_x = field.downsample
        y = ((np.arange(field.y, field.y + field.height) + 0.5) * down_y).astype(np.intp)
        x = ((np.arange(field.x, field.x + field.width) + 0.5) * down_x).astype(np.intp)
        out = self._pattern[np.ix_(y % PATTERN_PX // 4, x % PATTERN_PX // 4)]
        out[:, x >= self._tissue] = 255
        return out

    def close(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True)
class Small:
    """A tile at a quarter of its resolution."""

    image: RGB

    @property
    def shape(self) -> tuple[int, int]:
        return self.image.shape[0] * 4, self.image.shape[1] * 4


class Instant:
    """Finds what is purple, at once."""

    card = CARD
    encoder_passes = 0

    def knows(self, term: Term) -> bool:
        return term.object == "gland"

    def encode(self, image: npt.NDArray[np.uint8]) -> Small:
        self.encoder_passes += 1
        return Small(image[::4, ::4])

    def decode(self, embedding: Small, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        logits = (115 - embedding.image[..., 1].astype(np.float32)) / 8
        return [TileAnswer(logits, logits[None, :0], 0.9, 0.99) for _ in queries]


def measure(session: Session, folder: Path, word: str = "gland") -> dict[str, float]:
    """Seconds, tiles and memory of one slide, with all files."""
    settings = BatchSettings((word,))
    job = SlideJob(session.slide.path, "slide", folder, None, settings)
    wall, cpu = time.perf_counter(), time.process_time()
    facts = segment_to_files(job, session)
    cpu = time.process_time() - cpu
    return {
        "tiles": facts["tiles"],
        "looked_at_mm2": facts["looked_at_mm2"],
        "objects": facts["terms"][0]["objects"],
        "cpu_s": round(cpu, 2),
        "wall_s": round(time.perf_counter() - wall, 2),
        "segment_s": facts["segment_seconds"],
        "model_s": facts["model_seconds"],
        "cpu_ms_per_tile": round(1e3 * cpu / max(facts["tiles"], 1), 2),
        "peak_mb": round(peak_mb()),
    }


def engine(side: str, share: str) -> dict[str, float]:
    """Everything but the model."""
    segmenter: Segmenter = Instant()  # type: ignore[assignment]
    slide = Patterned(int(side), float(share))
    with tempfile.TemporaryDirectory() as folder:
        session = Session(slide, segmenter, Vocabulary.load())
        return {"side": int(side), "share": float(share)} | measure(session, Path(folder))


class Timed:
    """A segmenter whose encoder's and decoder's seconds of the processor are counted."""

    def __init__(self, segmenter: Segmenter, mpp: float | None = None) -> None:
        self._segmenter = segmenter
        card = segmenter.card
        self.card = (
            card if mpp is None else replace(card, working_mpp=dict.fromkeys(card.working_mpp, mpp))
        )
        self.knows = segmenter.knows
        self._lock = threading.Lock()
        self.encode_s = self.decode_s = 0.0

    @property
    def encoder_passes(self) -> int:
        return self._segmenter.encoder_passes

    def for_words(self) -> tuple[Timed, int]:
        assert isinstance(self._segmenter, SeveralAtOnce)
        beside = copy.copy(self)
        beside._segmenter, at_once = self._segmenter.for_words()
        beside.encode = functools.partial(self._encode, beside._segmenter)  # type: ignore[method-assign]
        beside.decode = functools.partial(self._decode, beside._segmenter)  # type: ignore[method-assign]
        return beside, at_once

    def encode(self, *seen: npt.NDArray[np.uint8]) -> object:
        return self._encode(self._segmenter, *seen)

    def decode(self, embedding: object, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        return self._decode(self._segmenter, embedding, queries)

    def _encode(self, segmenter: Segmenter, *seen: npt.NDArray[np.uint8]) -> object:
        start = time.thread_time()
        embedding = segmenter.encode(*seen)
        with self._lock:
            self.encode_s += time.thread_time() - start
        return embedding

    def _decode(
        self, segmenter: Segmenter, embedding: object, queries: Sequence[TileQuery]
    ) -> list[TileAnswer]:
        start = time.thread_time()
        answers = segmenter.decode(embedding, queries)  # type: ignore[arg-type]
        with self._lock:
            self.decode_s += time.thread_time() - start
        return answers


def model(side: str) -> dict[str, float]:
    """The real model with one thread on a generated slide that is read from a file."""
    import torch

    from napari_pathseg.models.registry import load_segmenter
    from napari_pathseg.slide.synthetic import write_synthetic

    torch.set_num_threads(1)
    timed = Timed(load_segmenter())
    with tempfile.TemporaryDirectory() as folder:
        path = write_synthetic(Path(folder) / "slide.svs", (int(side), int(side)), mpp=1.0)
        return _with_model(path, timed, "gland")


def tilings(side: str, *words: str) -> dict[str, float]:
    """Agreement of the masks of the real model when slides are cut with another overlap."""
    from napari_pathseg.slide.synthetic import SyntheticSlide

    shape = int(side), int(side)
    slides = [SyntheticSlide(shape, mpp=1.0, seed=seed) for seed in SEEDS]
    found: dict[str, float] = {}
    for word in words:
        found |= _agreement(word, slides)
    return found


def cuts(word: str, slide: str, *place: str) -> dict[str, float]:
    """The same with a part of a real slide."""
    from one_mask import cut

    from napari_pathseg.slide.open import open_slide

    with (
        tempfile.TemporaryDirectory() as folder,
        open_slide(cut(Path(folder), slide, *place)) as part,
    ):
        return _agreement(word, [part])


def _agreement(word: str, slides: Sequence[Slide]) -> dict[str, float]:
    from napari_pathseg.models.registry import load_segmenter

    segmenter, found = load_segmenter(), dict[str, float]()
    both = either = 0
    for number, slide in enumerate(slides):
        masks = []
        for overlap in (SegmentConfig().overlap_px, 224):
            config = SegmentConfig(overlap_px=overlap)
            session = Session(slide, segmenter, Vocabulary.load(), config=config)
            tiles, mask = _mask(session, word)
            found[f"{word} inputs at {overlap}"] = tiles
            masks.append(mask)
        either += np.count_nonzero(masks[0] | masks[1])
        both += np.count_nonzero(masks[0] & masks[1])
        found[f"{word} share {number}"] = round(float(masks[0].mean()), 3)
    return found | {f"{word} IoU": round(both / max(either, 1), 4)}


def _mask(session: Session, word: str) -> tuple[int, npt.NDArray[np.bool_]]:
    """Inputs and mask of a whole slide."""
    from napari_pathseg.inference.slide_plan import plan_slide
    from napari_pathseg.inference.whole_slide import segment_slide
    from napari_pathseg.prompts import TextPrompt

    plan = plan_slide(session, [TextPrompt(word)], "all")
    with (
        tempfile.TemporaryDirectory() as folder,
        segment_slide(session, plan, Path(folder)) as result,
    ):
        return plan.tiles, result.labels.read(0, 0, *result.labels.shape) > 0


def real(word: str, mpp: str, height: str, width: str, share: str) -> dict[str, float]:
    """The real model on a slide of the size that scanners write."""
    from big_slides import write_big

    from napari_pathseg.models.registry import load_segmenter

    timed = Timed(load_segmenter(), float(mpp))
    with tempfile.TemporaryDirectory() as folder:
        shape = (int(height), int(width))
        path = write_big(Path(folder) / "slide.svs", shape, mpp=0.25, share=float(share))
        return _with_model(path, timed, word)


def worker(word: str, mpp: str, height: str, width: str, share: str) -> dict[str, float]:
    """The same slide as a worker of a batch does it: what that takes of memory."""
    from big_slides import write_big

    from napari_pathseg.models.registry import load_segmenter
    from napari_pathseg.slide.open import open_slide

    segmenter = load_segmenter(words_only=True)
    with tempfile.TemporaryDirectory() as folder:
        shape = (int(height), int(width))
        path = write_big(Path(folder) / "slide.svs", shape, mpp=0.25, share=float(share))
        config = SegmentConfig(working_mpp=float(mpp))
        with open_slide(path) as slide:
            session = Session(slide, segmenter, Vocabulary.load(), config=config)
            return measure(session, Path(folder), word)


def _with_model(path: Path, timed: Timed, word: str) -> dict[str, float]:
    from napari_pathseg.slide.open import open_slide

    alone = _encoder_alone(timed)
    timed.encode_s = 0.0
    with open_slide(path) as slide:
        session = Session(slide, timed, Vocabulary.load())  # type: ignore[arg-type]
        found = measure(session, path.parent, word)
    found |= {"encoder_cpu_s": round(timed.encode_s, 2), "decoder_cpu_s": round(timed.decode_s, 2)}
    work = timed.encode_s + timed.decode_s
    return found | {
        "encoder_share": round(timed.encode_s / found["cpu_s"], 3),
        "model_share": round(work / found["cpu_s"], 3),
        "encoder_alone_ms": round(1e3 * alone),
        "of_encoder_by_clock": round(alone * found["tiles"] / found["wall_s"], 3),
    }


def _encoder_alone(timed: Timed) -> float:
    """Seconds by the clock of one pass with nothing beside it; the first of a size are slower."""
    blank = np.zeros((448, 448, 3), np.uint8)
    times = []
    for _ in range(ALONE):
        start = time.perf_counter()
        timed.encode(*((blank, blank[::2, ::2]) if timed.card.context else (blank,)))
        times.append(time.perf_counter() - start)
    return statistics.median(times)


if __name__ == "__main__":
    kinds = (engine, model, real, worker, tilings, cuts)
    chosen = {kind.__name__: kind for kind in kinds}[sys.argv[1]]
    print(json.dumps(chosen(*sys.argv[2:])))
