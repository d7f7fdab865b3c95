"""What a person can vary on one slide, and whether the mask stays the same; with the real model.

``python tests/benchmarks/one_mask.py WORD OTHER SIDE [MPP]`` writes a generated slide of SIDE
pixels a side at MPP micrometres (0.5 by default), does all of it as `pathseg batch` does, and then
in every other way in which it can be asked: its tissue alone, a part after the other as fields in
the viewer, stopped halfway and gone on, with the word OTHER, by two workers, with two threads.
Prints one line of JSON: the intersection over union of each mask with the first one, over all
pixels that both were asked for.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
import torch

from napari_pathseg.batch.one_slide import run_slide
from napari_pathseg.batch.run import prepare, run_batch
from napari_pathseg.batch.settings import BatchSettings, SlideJob
from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Region
from napari_pathseg.inference.scope import tissue_scope
from napari_pathseg.inference.session import Session
from napari_pathseg.models.base import Segmenter
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.synthetic import write_synthetic
from napari_pathseg.vocabulary.vocabulary import Vocabulary

Bools = npt.NDArray[np.bool_]
PARTS = (2, 2), (5, 4)
"""Fields down and across: their borders lie askew to the model's inputs."""


class Asker:
    """One slide, one word, and the folder that results go to."""

    def __init__(self, path: Path, word: str, folder: Path) -> None:
        self.path, self.word, self.folder = path, word, folder
        self.vocabulary = Vocabulary.load()
        self.segmenter: Segmenter = load_segmenter()

    def job(self, name: str, *others: str, where: str = "all") -> SlideJob:
        """A run into a folder of its own."""
        settings = BatchSettings((self.word, *others), where=where)  # type: ignore[arg-type]
        return SlideJob(self.path, "slide", self.folder / name, None, settings)

    def done(self, job: SlideJob, segmenter: Segmenter | None = None) -> npt.NDArray[np.uint16]:
        """The labels of a run."""
        facts = run_slide(job, segmenter or self.segmenter, self.vocabulary)
        assert facts["status"] == "done", facts
        return labels_in(job.out)

    def stopped(self, name: str) -> npt.NDArray[np.uint16]:
        """The labels of a run that was stopped halfway and went on."""
        job, token = self.job(name), CancelToken()

        def stop(progress: Progress) -> None:
            if 2 * progress.done >= progress.total:
                token.cancel()

        try:
            run_slide(job, self.segmenter, self.vocabulary, progress=stop, cancel=token)
        except CancelledError:
            return self.done(job)
        raise AssertionError("nothing was stopped")

    def by_workers(self, name: str, count: int) -> list[npt.NDArray[np.uint16]]:
        """The labels of so many copies of the slide, each done by a worker."""
        paths = [self.path.with_name(f"copy-{i}{self.path.suffix}") for i in range(count)]
        for path in paths:
            path.write_bytes(self.path.read_bytes())
        settings = BatchSettings((self.word,), where="all")
        out = self.folder / name
        out.mkdir()
        inputs = [str(path) for path in paths]
        batch = prepare(inputs, out, settings, self.segmenter, self.vocabulary, resume=False)
        run_batch(batch, workers=count)
        return [labels_in(out, path.stem) for path in paths]

    def fields(
        self, like: npt.NDArray[np.uint16], down: int, across: int
    ) -> npt.NDArray[np.uint16]:
        """The slide part by part, each asked alone as a field is in the viewer."""
        out = np.zeros_like(like)
        with open_slide(self.path) as slide:
            session = Session(slide, self.segmenter, self.vocabulary)
            height, width = slide.shape
            rows = np.linspace(0, height, down + 1).astype(int).tolist()
            columns = np.linspace(0, width, across + 1).astype(int).tolist()
            for top, bottom in itertools.pairwise(rows):
                for left, right in itertools.pairwise(columns):
                    region = Region(top, left, bottom - top, right - left)
                    found = session.segment(region, [TextPrompt(self.word)])
                    y, x = found.field.y, found.field.x
                    out[y : y + found.field.height, x : x + found.field.width] = found.mask
        return out

    def tissue(self, shape: tuple[int, int]) -> Bools:
        """Where tissue alone is looked at, on the pixels of the labels."""
        with open_slide(self.path) as slide:
            scope = tissue_scope(slide, slide.metadata.mpp)
        rows, columns = (
            np.minimum((np.arange(n) + 0.5) * m / n, m - 1).astype(np.intp)
            for n, m in zip(shape, scope.mask.shape, strict=True)
        )
        return scope.mask[np.ix_(rows, columns)]


def labels_in(folder: Path, name: str = "slide") -> npt.NDArray[np.uint16]:
    """The labels of a slide, finest level."""
    labels: npt.NDArray[np.uint16] = tifffile.imread(folder / f"{name}.labels.tif")
    return labels


def iou(a: Bools, b: Bools) -> float:
    """Intersection over union."""
    return round(float(np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1)), 5)


def main(word: str, other: str, side: int, mpp: float) -> dict[str, object]:
    """Ask in every way."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        path = write_synthetic(folder / "slide.svs", (side, side), mpp=mpp, seed=4)
        asker = Asker(path, word, folder)
        first = asker.done(asker.job("first"))
        one, found = first == 1, {}
        inside = asker.tissue(one.shape)
        tissue = asker.done(asker.job("tissue", where="tissue"))
        found["tissue alone"] = iou(one & inside, (tissue == 1) & inside)
        found["outside of it"] = int(np.count_nonzero(tissue[~inside]))
        for down, across in PARTS:
            name = f"in {down * across} fields"
            found[name] = iou(one, asker.fields(first, down, across) == 1)
        found["stopped and gone on"] = iou(one, asker.stopped("stopped") == 1)
        both = asker.done(asker.job("both", other))
        free = both != 2
        found["with another word, where that is not"] = iou(one & free, both == 1)
        found["two workers"] = min(iou(one, x == 1) for x in asker.by_workers("workers", 2))
        torch.set_num_threads(2)
        found["two threads"] = iou(one, asker.done(asker.job("threads"), load_segmenter()) == 1)
        share = round(float(one.mean()), 3)
        return {"word": word, "side": side, "mpp": mpp, "share": share} | found


if __name__ == "__main__":
    asked = sys.argv[1:]
    print(json.dumps(main(*asked[:2], int(asked[2]), float(asked[3]) if asked[3:] else 0.5)))
