"""The model over the tiles of a slide, several at a time, while the next are being read."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from napari_pathseg.closing import Closing
from napari_pathseg.inference.plan import Plan
from napari_pathseg.inference.seeing import read_seen
from napari_pathseg.inference.tile_log import Key, TileLog, TileResult
from napari_pathseg.inference.tiling import Tile
from napari_pathseg.inference.understanding import Question
from napari_pathseg.models.base import Segmenter, SeveralAtOnce, TileQuery, gated
from napari_pathseg.progress import CancelToken
from napari_pathseg.slide.base import RGB, Slide


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


class Askers(Closing):
    """Threads that read tiles and ask the model about them, as many at a time as it takes best.

    There are more of them than that, so that tiles are read while the model works.

    Parameters
    ----------
    segmenter : Segmenter
    """

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter, self.at_once = (
            segmenter.for_words() if isinstance(segmenter, SeveralAtOnce) else (segmenter, 1)
        )
        self._turn = threading.Semaphore(self.at_once)
        count = self.at_once + 1 + self.at_once // 4
        self.ahead = 2 * count
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="pathseg-ask")
        if self.at_once > 1:
            _take_one_thread_each(self._pool, count)

    def ask(self, slide: Slide, look: Look, tile: Tile) -> Future[tuple[TileResult, float]]:
        """What is there of all classes of a look, and the seconds that the model took for it."""
        return self._pool.submit(self._ask, slide, look, tile)

    def close(self) -> None:
        """Wait for the tiles at work; those that were not begun are not done."""
        self._pool.shutdown(cancel_futures=True)

    def _ask(self, slide: Slide, look: Look, tile: Tile) -> tuple[TileResult, float]:
        seen = read_seen(slide, look.plan, tile)
        with self._turn:
            start = time.perf_counter()
            return ask_tile(look, seen, self._segmenter), time.perf_counter() - start


def _take_one_thread_each(pool: ThreadPoolExecutor, count: int) -> None:
    """Torch gives each of its callers all threads; here each tile has one."""
    kept, ready = torch.get_num_threads(), threading.Barrier(count)

    def take(_: int) -> None:
        torch.set_num_threads(1)
        ready.wait()

    list(pool.map(take, range(count)))
    torch.set_num_threads(kept)  # the last who says so speaks for the threads to come


def sweep_rows(
    look: Look,
    slide: Slide,
    askers: Askers,
    log: TileLog,
    clock: Clock,
    cancel: CancelToken,
) -> Generator[Iterator[tuple[Tile, TileResult]]]:
    """For each row of tiles an iterator of its results; each is to be used up before the next.

    Raises
    ------
    DamagedSlideError
    CancelledError
        Between two tiles; what was done stays in the log, and so does what was at work once the
        iterator is closed.
    """
    tiles = [((look.number, index), tile) for row in look.rows for index, tile in row]
    missing = iter([(key, tile) for key, tile in tiles if key not in log])
    waiting: deque[tuple[Key, Future[tuple[TileResult, float]]]] = deque()

    def go_ahead() -> None:
        while len(waiting) < askers.ahead and (following := next(missing, None)) is not None:
            key, tile = following
            waiting.append((key, askers.ask(slide, look, tile)))

    def results(row: tuple[tuple[int, Tile], ...]) -> Iterator[tuple[Tile, TileResult]]:
        for index, tile in row:
            cancel.raise_if_cancelled()
            key = (look.number, index)
            if key in log:
                clock.kept += 1
                yield tile, log.get(key)
                continue
            go_ahead()
            result, seconds = waiting.popleft()[1].result()
            go_ahead()
            clock.seconds += seconds / askers.at_once
            clock.tiles += 1
            log.put(key, result)
            yield tile, result

    try:
        for row in look.rows:
            yield results(row)
    finally:
        begun = [(key, future) for key, future in waiting if not future.cancel()]
        for key, future in begun:
            if future.exception() is None:
                log.put(key, future.result()[0])


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
