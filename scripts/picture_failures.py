"""Draw what the model that ships is known to do wrong, on the samples that anyone can fetch.

Run ``python scripts/picture_failures.py`` and look whether each picture still shows what is written
under it. It writes the picture that lies beside the model, shown in the panel, and the one of
docs/model.md, which are the same.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from napari_pathseg.geometry import Pair, Region
from napari_pathseg.inference.segmentation import Logits
from napari_pathseg.inference.session import Session
from napari_pathseg.models.registry import FAILURES_SUFFIX, SHIPPED, load_segmenter
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.slide.base import RGB
from napari_pathseg.slide.open import open_slide
from napari_pathseg.slide.samples import fetch_sample
from napari_pathseg.vocabulary.vocabulary import Vocabulary

SIDE_PX, LINE_PX, GAP_PX, EDGE_PX = 420, 18, 8, 2
SHADE = (255, 221, 0)
PAGE = Path("docs/images/failures.jpg")


@dataclass(frozen=True, slots=True)
class Failure:
    """A word asked of a square of a sample, and what is wrong with the answer."""

    sample: str
    mpp: Pair | None
    word: str
    square: Region
    told: tuple[str, ...]


FAILURES = (
    Failure(
        "kidney",
        (0.33, 0.33),
        "glomerulus",
        Region(150, 0, 1900, 1900),
        (
            "glomerulus, H&E (it was taught silver and trichrome",
            "stains): tubules and vessels are taken, too",
        ),
    ),
    Failure(
        "cmu-region",
        None,
        "gland",
        Region(600, 650, 900, 900),
        ("gland, skin: squamous epithelium, which it was never", "taught, is taken for a gland"),
    ),
    Failure(
        "cmu-region",
        None,
        "lymphocyte",
        Region(700, 950, 450, 450),
        ("lymphocyte, skin: small dark nuclei of other cells", "are taken for lymphocytes"),
    ),
)


def main() -> None:
    """Write both pictures."""
    segmenter, vocabulary = load_segmenter(), Vocabulary.load()
    panels = []
    for failure in FAILURES:
        with open_slide(fetch_sample(failure.sample)) as slide:
            session = Session(slide, segmenter, vocabulary, mpp=failure.mpp)
            found = session.segment(failure.square, [TextPrompt(failure.word)])
            panels.append(_panel(slide.read(found.field), found.logits[0], failure.told))
    gap = np.full((panels[0].shape[0], GAP_PX, 3), 255, np.uint8)
    row = np.hstack([part for panel in panels for part in (panel, gap)][:-1])
    beside = SHIPPED.with_suffix(FAILURES_SUFFIX)
    Image.fromarray(row).save(beside, quality=80)
    shutil.copyfile(beside, PAGE)
    print(f"{beside} and {PAGE}: {beside.stat().st_size / 1000:.0f} KB")


def _panel(pixels: RGB, logits: Logits, told: tuple[str, ...]) -> RGB:
    """A picture with what was found outlined, and what is wrong with it below."""
    side = (SIDE_PX, SIDE_PX)
    picture = np.array(Image.fromarray(pixels).resize(side))
    inside = np.asarray(Image.fromarray(logits).resize(side, Image.Resampling.BILINEAR)) > 0
    picture[inside & ~ndimage.binary_erosion(inside, iterations=EDGE_PX)] = SHADE
    below = Image.new("RGB", (SIDE_PX, LINE_PX * (len(told) + 1)), "white")
    for i, line in enumerate(told):
        place = (2, LINE_PX // 3 + LINE_PX * i)
        ImageDraw.Draw(below).text(place, line, "black", ImageFont.load_default(15))
    return np.vstack([picture, np.asarray(below)])


if __name__ == "__main__":
    main()
