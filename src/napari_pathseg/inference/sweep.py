"""The model over the tiles of a slide, row by row, while the next tiles are being read."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from napari_pathseg.inference.plan import Plan
from napari_pathseg.inference.seeing import read_seen
from napari_pathseg.inference.tile_log import TileLog, TileResult
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.inference.understanding import Question
from napari_pathseg.models.base import Segmenter, TileQuery, gated
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide.base import RGB, Slide

AHEAD = 4
"""Tiles that are read while the model works, 0.6 MB each."""


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """All classes of a slide that are looked at with one resolution.

    Attributes
    ----------
    number : int
    plan : Plan
        Of the whole slide.
    questions : tuple of (int, Question)
        With their place among all classes.
    rows : tuple of tuples of (int, Tile)
        The tiles to look at, row by row, with their number; rows without any are empty.
    starts : tuple of int
        First model row of each row of tiles.
    """

    number: int
    plan: Plan
    questions: tuple[tuple[int, Question], ...]
    rows: tuple[tuple[tuple[int, Tile], ...], ...]
    starts: tuple[int, ...]

    @property
    def tiles(self) -> int:
        """How many tiles are looked at."""
        return sum(map(len, self.rows))


@dataclass(slots=True)
class Clock:
    """Seconds that the model worked, and tiles that it did; those taken from the log apart."""

    seconds: float = 0.0
    tiles: int = 0
    kept: int = 0


def sweep_rows(
    look: Look,
    slide: Slide,
    segmenter: Segmenter,
    log: TileLog,
    clock: Clock,
    cancel: CancelToken,
) -> Iterator[Iterator[tuple[Tile, TileResult]]]:
    """For each row of tiles an iterator of its results; each is to be used up before the next.

    Raises
    ------
    DamagedSlideError
    CancelledError
        Between two tiles; what was done stays in the log.
    """
    tiles = [pair for row in look.rows for pair in row]
    missing = iter([tile for index, tile in tiles if (look.number, index) not in log])
    waiting: deque[Future[tuple[RGB, ...]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="pathseg-read") as pool:

        def read_ahead() -> None:
            while len(waiting) < AHEAD and (tile := next(missing, None)) is not None:
                waiting.append(pool.submit(read_seen, slide, look.plan, tile))

        def results(row: tuple[tuple[int, Tile], ...]) -> Iterator[tuple[Tile, TileResult]]:
            for index, tile in row:
                cancel.raise_if_cancelled()
                key = (look.number, index)
                if key in log:
                    clock.kept += 1
                    yield tile, log.get(key)
                    continue
                read_ahead()
                seen = waiting.popleft().result()
                read_ahead()
                start = time.perf_counter()
                result = ask_tile(look, seen, segmenter)
                clock.seconds += time.perf_counter() - start
                clock.tiles += 1
                log.put(key, result)
                yield tile, result

        try:
            for row in look.rows:
                yield results(row)
        finally:
            for future in waiting:
                future.cancel()


def ask_tile(look: Look, seen: tuple[RGB, ...], segmenter: Segmenter) -> TileResult:
    """All classes of a look in one tile, as :func:`read_seen` gives it; a term that several
    classes share is asked once.
    """
    asked = [question.asked_as for _, question in look.questions]
    terms = list(dict.fromkeys(term for own in asked for term in own))
    embedding = segmenter.encode(*seen)
    answers = dict(
        zip(terms, segmenter.decode(embedding, [TileQuery(term=t) for t in terms]), strict=True)
    )
    gate = segmenter.card.presence_gate
    logits, presence, scores = [], [], []
    for own in asked:
        of_class = [answers[term] for term in own]
        best = max(of_class, key=lambda answer: answer.presence)
        logits.append(np.maximum.reduce([gated(answer, gate) for answer in of_class]))
        presence.append(best.presence)
        scores.append(best.score)
    return TileResult(
        np.stack(logits).astype(np.float16),
        np.array(presence, dtype=np.float32),
        np.array(scores, dtype=np.float32),
    )
