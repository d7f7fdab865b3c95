"""Words over a whole slide of any size, in the memory of a few rows of tiles."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.closing import Closing
from napari_pathseg.geometry import Field, Pair, Region
from napari_pathseg.inference.answering import RAMP_PX
from napari_pathseg.inference.row_blend import RowBlend
from napari_pathseg.inference.segmentation import Answer, logit
from napari_pathseg.inference.session import Session
from napari_pathseg.inference.slide_plan import SlidePlan
from napari_pathseg.inference.spool import TILE_PX, LabelSpool
from napari_pathseg.inference.sweep import Askers, Clock, Look, sweep_rows
from napari_pathseg.inference.tile_log import TileLog, TileResult, tiles_kept
from napari_pathseg.inference.tiling import FloatMap, Tile
from napari_pathseg.models.base import OUTPUT_STRIDE
from napari_pathseg.progress import CancelToken, Progress, ProgressCallback, no_progress

QUEUED = 64
TILES = "tiles.log"


@dataclass(frozen=True, slots=True, eq=False)
class LiveTile:
    """A tile that was just done, for who watches.

    Attributes
    ----------
    region : Region
        What it covers, cut to the slide.
    labels : uint16 array
        Class mask of the tile alone, at a quarter of the model's resolution.
    """

    region: Region
    labels: npt.NDArray[np.uint16]


@dataclass(frozen=True, slots=True, eq=False)
class SlideLabels(Closing):
    """The class mask of a whole slide and what is known of it.

    Attributes
    ----------
    plan : SlidePlan
    labels : LabelSpool
        On the grid of `plan.field`.
    answers : tuple of Answer
    pixels : tuple of int
        Label pixels of each class.
    mpp : (float, float) or None
        Of a label pixel.
    seconds, model_seconds : float
        In all, and in the model alone.
    tiles_done, tiles_kept : int
        Done now, and taken from the log of work that was stopped.
    """

    plan: SlidePlan
    labels: LabelSpool
    answers: tuple[Answer, ...]
    pixels: tuple[int, ...]
    mpp: Pair | None
    seconds: float
    model_seconds: float
    tiles_done: int
    tiles_kept: int

    def close(self) -> None:
        """Release the file of the labels."""
        self.labels.close()


def segment_slide(
    session: Session,
    plan: SlidePlan,
    folder: Path,
    *,
    threshold: float | None = None,
    live: Callable[[LiveTile], None] | None = None,
    follow: Callable[[LabelSpool, int], None] | None = None,
    progress: ProgressCallback = no_progress,
    cancel: CancelToken | None = None,
) -> SlideLabels:
    """Labels of a whole slide; close them when they are written.

    Tiles that were done when work in the same folder was stopped are not done again.

    Parameters
    ----------
    folder : Path
        For what is needed until the labels are written; made when missing. Remove it then.
    live : callable, optional
        Told of each tile in the thread that calls this.
    follow : callable, optional
        Told of how many rows of the labels are final, beside the model, in the thread that makes
        them.

    Raises
    ------
    DamagedSlideError
    CancelledError
    """
    folder.mkdir(parents=True, exist_ok=True)
    threshold = session.config.threshold if threshold is None else threshold
    work = _Work(session, plan, threshold, follow)
    spool = LabelSpool(folder / "labels.spool", plan.field.shape)
    try:
        with TileLog(folder / TILES, _work_of(session, plan)) as log:
            return work.run(spool, log, live, progress, cancel or CancelToken())
    except BaseException:
        spool.close()
        raise


def tiles_done_before(session: Session, plan: SlidePlan, folder: Path) -> int:
    """How many tiles :func:`segment_slide` would take from the log of work that was stopped."""
    kept = tiles_kept(folder / TILES, _work_of(session, plan))
    return sum(
        (look.number, index) in kept for look in plan.looks for row in look.rows for index, _ in row
    )


def _work_of(session: Session, plan: SlidePlan) -> dict[str, object]:
    """What the answers of the tiles depend on."""
    return {
        "slide": session.slide.metadata.identity,
        "model": session.segmenter.card.identity,
        "looks": [
            {
                "asked": [[str(term) for term in q.asked_as] for _, q in look.questions],
                "level": look.plan.field.level,
                "shape": look.plan.shape,
                "tile": look.plan.tile_px,
                "context": look.plan.context,
                "overlap": session.config.overlap_px,
            }
            for look in plan.looks
        ],
    }


class _Work:
    """One run over a slide: the model in this thread, blending and labels in another."""

    def __init__(
        self,
        session: Session,
        plan: SlidePlan,
        threshold: float,
        follow: Callable[[LabelSpool, int], None] | None,
    ) -> None:
        self._session = session
        self._plan = plan
        self._threshold = threshold
        self._follow = follow
        self._blends = [
            RowBlend(look.plan.shape, len(look.questions), RAMP_PX) for look in plan.looks
        ]
        count = len(plan.questions)
        self._pixels = np.zeros(count + 1, dtype=np.int64)
        self._presence = np.zeros(count)
        self._score, self._area = np.zeros(count), np.zeros(count)

    def run(
        self,
        spool: LabelSpool,
        log: TileLog,
        live: Callable[[LiveTile], None] | None,
        progress: ProgressCallback,
        cancel: CancelToken,
    ) -> SlideLabels:
        start = time.perf_counter()
        session, plan, clock = self._session, self._plan, Clock()
        done = [0] * len(plan.looks)  # rows of tiles
        queue: deque[Future[None]] = deque()
        with ExitStack() as stack:
            askers = stack.enter_context(Askers(session.segmenter))
            pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="pathseg-blend"))
            sweeps = [
                stack.enter_context(
                    closing(sweep_rows(look, session.slide, askers, log, clock, cancel))
                )
                for look in plan.looks
            ]
            for band in range(spool.grid[0]):
                for i, look in enumerate(plan.looks):
                    while done[i] < len(look.rows) and _final(look, done[i]) < self._needed(
                        look, band
                    ):
                        for tile, result in next(sweeps[i]):
                            queue.append(pool.submit(self._take, i, tile, result))
                            _drain(queue, QUEUED)
                            if live is not None:
                                live(self._live(look, tile, result))
                            count = clock.tiles + clock.kept
                            progress(Progress(count, plan.tiles, f"{session.slide.path.name}"))
                        done[i] += 1
                queue.append(pool.submit(self._finish, band, spool))
            _drain(queue, 0)
        return SlideLabels(
            plan,
            spool,
            self._answers(),
            tuple(int(n) for n in self._pixels[1:]),
            plan.field.mpp(session.mpp),
            time.perf_counter() - start,
            clock.seconds,
            clock.tiles,
            clock.kept,
        )

    def _needed(self, look: Look, band: int) -> int:
        """Rows of the answers' grid that the labels of a band of blocks are made of."""
        field = self._plan.field
        stop = min((band + 1) * TILE_PX, field.height)
        last = _place(field.y + stop - 1, field.downsample[0], look.plan.downsample[0])
        rows = -(-look.plan.shape[0] // OUTPUT_STRIDE)
        return min(math.floor(last) + 2, rows)

    def _take(self, i: int, tile: Tile, result: TileResult) -> None:
        """Blend a tile in and remember what it says of its classes."""
        look = self._plan.looks[i]
        self._blends[i].add(tile, result.logits)
        areas = (result.logits > 0).sum(axis=(1, 2)) + 1.0
        for k, (order, _) in enumerate(look.questions):
            self._presence[order] = max(self._presence[order], float(result.presence[k]))
            self._score[order] += float(result.scores[k]) * areas[k]
            self._area[order] += areas[k]

    def _finish(self, band: int, spool: LabelSpool) -> None:
        """The labels of a band of blocks, all of whose tiles are done."""
        self._label(band, spool)
        if self._follow is not None:
            self._follow(spool, min((band + 1) * TILE_PX, self._plan.field.height))

    def _label(self, band: int, spool: LabelSpool) -> None:
        field = self._plan.field
        height = min(TILE_PX, field.height - band * TILE_PX)
        blocks = list(self._blocks(band, height))
        for i, look in enumerate(self._plan.looks):
            first = _place(field.y + band * TILE_PX, field.downsample[0], look.plan.downsample[0])
            self._blends[i].drop(max(math.floor(first), 0))
        if not blocks:
            return
        maps = []
        for i, look in enumerate(self._plan.looks):
            first = _place(field.y + band * TILE_PX, field.downsample[0], look.plan.downsample[0])
            start = max(math.floor(first), 0)
            maps.append((start, self._blends[i].rows(start, self._needed(look, band))))
        for column, block in blocks:
            labels = self._labels(block, maps)
            self._pixels += np.bincount(labels.ravel(), minlength=self._pixels.size)
            spool.put(band, column, labels)

    def _blocks(self, band: int, height: int) -> Iterator[tuple[int, Field]]:
        """The blocks of a band that hold something to look at."""
        field = self._plan.field
        for column in range(-(-field.width // TILE_PX)):
            width = min(TILE_PX, field.width - column * TILE_PX)
            block = field.cropped(band * TILE_PX, column * TILE_PX, height, width)
            top, left = block.origin
            bottom, right = block.to_level0(block.height, block.width)
            if self._plan.scope.touches(top, left, bottom, right):
                yield column, block

    def _labels(self, block: Field, maps: Sequence[tuple[int, FloatMap]]) -> npt.NDArray[np.uint16]:
        """Class mask of a block: where classes overlap the more probable wins."""
        logits = np.empty((len(self._plan.questions), *block.shape), dtype=np.float32)
        for look, (start, rows) in zip(self._plan.looks, maps, strict=True):
            found = _sampled(rows, start, look, block)
            for k, (order, _) in enumerate(look.questions):
                logits[order] = found[k]
        best = logits.argmax(axis=0)
        highest = np.take_along_axis(logits, best[None], axis=0)[0]
        inside = (highest > logit(self._threshold)) & self._plan.scope.over(block)
        return np.where(inside, best + 1, 0).astype(np.uint16)

    def _live(self, look: Look, tile: Tile, result: TileResult) -> LiveTile:
        down_y, down_x = look.plan.downsample
        height, width = (s.stop - s.start for s in tile.inside(look.plan.shape))
        region = Region.from_corners(
            tile.y * down_y,
            tile.x * down_x,
            (tile.y + height) * down_y,
            (tile.x + width) * down_x,
        )
        small = result.logits[:, : -(-height // OUTPUT_STRIDE), : -(-width // OUTPUT_STRIDE)]
        best = small.argmax(axis=0)
        inside = small.max(axis=0) > logit(self._threshold)
        values = np.array([order + 1 for order, _ in look.questions])
        return LiveTile(region, np.where(inside, values[best], 0).astype(np.uint16))

    def _answers(self) -> tuple[Answer, ...]:
        scores = self._score / np.maximum(self._area, 1e-9)
        return tuple(
            Answer(q.label_class.term, q.asked_as, float(self._presence[i]), float(scores[i]))
            for i, q in enumerate(self._plan.questions)
        )


def _final(look: Look, done: int) -> int:
    """Rows of the answers' grid that are final when so many rows of tiles are done."""
    return look.starts[done] // OUTPUT_STRIDE


def _place(pixel: float, down: float, model_down: float) -> float:
    """Index on the answers' grid of the centre of a label pixel along one axis."""
    return (pixel + 0.5) * down / (model_down * OUTPUT_STRIDE) - 0.5


def _places(start: int, count: int, down: float, model_down: float) -> npt.NDArray[np.float64]:
    """:func:`_place` of `count` pixels."""
    first = _place(start, down, model_down)
    step = down / (model_down * OUTPUT_STRIDE)
    return np.asarray(first + step * np.arange(count), dtype=np.float64)


def _sampled(rows: FloatMap, start: int, look: Look, block: Field) -> FloatMap:
    """Bilinear samples (classes, height, width) of blended rows at a block's pixel centres."""
    y = _places(block.y, block.height, block.downsample[0], look.plan.downsample[0])
    x = _places(block.x, block.width, block.downsample[1], look.plan.downsample[1])
    y0, y1, of_y = _neighbours(y - start, rows.shape[1])
    x0, x1, of_x = _neighbours(x, rows.shape[2])
    left = int(x0[0])
    part = rows[:, :, left : int(x1[-1]) + 1]
    tall = part[:, y0] * (1 - of_y)[:, None] + part[:, y1] * of_y[:, None]
    out = tall[:, :, x0 - left] * (1 - of_x) + tall[:, :, x1 - left] * of_x
    return out.astype(np.float32, copy=False)


def _neighbours(
    places: npt.NDArray[np.float64], length: int
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.float32]]:
    """The two grid points around each place, and the weight of the second."""
    inside = np.clip(places, 0.0, float(length - 1))
    first = np.floor(inside).astype(np.intp)
    return first, np.minimum(first + 1, length - 1), (inside - first).astype(np.float32)


def _drain(queue: deque[Future[None]], keep: int) -> None:
    """Wait for the oldest until at most `keep` are left; raises what they raised."""
    while len(queue) > keep:
        queue.popleft().result()
