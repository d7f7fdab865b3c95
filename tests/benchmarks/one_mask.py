"""What a person can vary on one slide, and whether the mask stays the same; with the real model.

``python tests/benchmarks/one_mask.py WORD OTHER SIDE [MPP]`` writes a generated slide of SIDE
pixels a side at MPP micrometres (0.5 by default); ``one_mask.py WORD OTHER SLIDE Y X SIDE`` cuts
that part, level-0 pixels, out of a slide of yours. It does all of it as `pathseg batch` does, and
then in every other way in which it can be asked: its tissue alone, a part after the other as fields
in the viewer, fields at random places and zooms, stopped halfway and gone on, with the word OTHER,
by two workers, with two threads. With a part of a slide it also does what shows the model other
pixels of the same place: a scale that is told wrong, the first pixels left out, so that all inputs
begin elsewhere, and a picture that was made 2 % larger and small again. Prints one line of JSON:
the intersection over union of each mask with the first one, over all pixels that both were asked
for.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from PIL import Image

from napari_pathseg.batch.one_slide import run_slide
from napari_pathseg.batch.run import prepare, run_batch
from napari_pathseg.batch.settings import BatchSettings, SlideJob
from napari_pathseg.errors import CancelledError
from napari_pathseg.geometry import Field, Pair, Region
from napari_pathseg.inference.scope import tissue_scope
from napari_pathseg.inference.session import Session
from napari_pathseg.models.base import Segmenter
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.progress import CancelToken, Progress
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.synthetic import write_synthetic
from napari_pathseg.vocabulary.vocabulary import Vocabulary

Bools = npt.NDArray[np.bool_]
LANCZOS = Image.Resampling.LANCZOS
PARTS = (2, 2), (5, 4)
"""Fields down and across: their borders lie askew to the model's inputs."""

RANDOM_FIELDS, SMALLEST_UM = 24, 100.0
SCALES_OFF = 1.002, 1.02
SHIFTS = 1, 8, 16
LARGER = 1.02


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

    def random_fields(self, first: npt.NDArray[np.uint16]) -> dict[str, float]:
        """Fields of any place and size, each asked alone: of all their pixels, and of the worst."""
        random = np.random.default_rng(0)
        both, either, each = 0, 0, []
        with open_slide(self.path) as slide:
            session = Session(slide, self.segmenter, self.vocabulary)
            assert slide.metadata.mpp is not None
            smallest = int(SMALLEST_UM / slide.metadata.mpp[0])
            for _ in range(RANDOM_FIELDS):
                sides = [int(random.triangular(smallest, smallest, n)) for n in slide.shape]
                y, x = (
                    int(random.integers(n - side + 1))
                    for n, side in zip(slide.shape, sides, strict=True)
                )
                found = session.segment(Region(y, x, *sides), [TextPrompt(self.word)])
                at = found.field
                part = first[at.y : at.y + at.height, at.x : at.x + at.width] == 1
                mask = found.mask == 1
                each.append(iou(part, mask) if part.any() or mask.any() else 1.0)
                both += np.count_nonzero(part & mask)
                either += np.count_nonzero(part | mask)
        return {"random fields": round(both / max(either, 1), 5), "the worst of them": min(each)}

    def at_scale(self, off: float) -> npt.NDArray[np.uint16]:
        """The labels of a run in which the slide's scale is told wrong."""
        with open_slide(self.path) as slide:
            assert slide.metadata.mpp is not None
            mpp = slide.metadata.mpp[0] * off
        return self.done(replace(self.job("scale"), mpp=mpp))

    def seen_otherwise(self, one: Bools) -> dict[str, float]:
        """What other pixels of the same place make of the mask; the slide has one level."""
        found = {f"a scale {off:g} x": iou(one, self.at_scale(off) == 1) for off in SCALES_OFF}
        with open_slide(self.path) as slide:
            pixels = slide.read(Field(0, 0, 0, *slide.shape, (1.0, 1.0)))
            mpp = slide.metadata.mpp
        assert mpp is not None
        for by in SHIFTS:
            path = write_flat(self.folder / f"shift-{by}.tif", pixels[by:, by:], mpp)
            found[f"without its first {by} px"] = iou(one[by:, by:], self.of_file(path) == 1)
        picture = Image.fromarray(pixels)
        size = picture.width, picture.height
        larger = picture.resize((round(size[0] * LARGER), round(size[1] * LARGER)), LANCZOS)
        again = np.asarray(larger.resize(size, LANCZOS))
        path = write_flat(self.folder / "again.tif", again, mpp)
        return found | {"2 % larger and small again": iou(one, self.of_file(path) == 1)}

    def of_file(self, path: Path) -> npt.NDArray[np.uint16]:
        """The labels of another slide."""
        return self.done(replace(self.job(path.stem), path=path))

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


def generated(folder: Path, side: str, mpp: str = "0.5") -> Path:
    """A generated slide."""
    return write_synthetic(folder / "slide.svs", (int(side),) * 2, mpp=float(mpp), seed=4)


def cut(folder: Path, slide: str, *place: str) -> Path:
    """A part of a slide, level 0, as a slide of its own."""
    y, x, side = map(int, place)
    with open_slide(slide) as whole:
        pixels = whole.read(Field(0, y, x, side, side, (1.0, 1.0)))
        mpp = whole.metadata.mpp
    assert mpp is not None
    return write_flat(folder / "slide.tif", pixels, mpp)


def write_flat(path: Path, pixels: RGB, mpp: Pair) -> Path:
    """A slide of one level."""
    each_cm = [1e4 / um for um in mpp[::-1]]
    tifffile.imwrite(path, pixels, tile=(256, 256), resolution=each_cm, resolutionunit="CENTIMETER")
    return path


def main(word: str, other: str, *asked: str) -> dict[str, object]:
    """Ask in every way."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = asked[0].isdigit()
        path = generated(folder, *asked) if made else cut(folder, *asked)
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
        found |= asker.random_fields(first)
        found["stopped and gone on"] = iou(one, asker.stopped("stopped") == 1)
        both = asker.done(asker.job("both", other))
        free = both != 2
        found["with another word, where that is not"] = iou(one & free, both == 1)
        found["two workers"] = min(iou(one, x == 1) for x in asker.by_workers("workers", 2))
        torch.set_num_threads(2)
        found["two threads"] = iou(one, asker.done(asker.job("threads")) == 1)
        torch.set_num_threads(1)
        found |= {} if made else asker.seen_otherwise(one)
        share = round(float(one.mean()), 3)
        return {"word": word, "slide": list(asked), "share": share} | found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
