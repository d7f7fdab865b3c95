"""Class colours can be told apart, with any kind of colour vision."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_pathseg.classes import MORE_COLORS, PALETTE, ClassList, Color
from napari_pathseg.vocabulary import Vocabulary

# Machado, Oliveira and Fernandes, A physiologically-based model for simulation of color vision
# deficiency, IEEE TVCG 15 (2009): severity 1, linear RGB.
VISION = {
    "full": np.eye(3),
    "no long cones": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "no middle cones": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "no short cones": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
TISSUE = np.array(
    [
        [73, 40, 102],
        [123, 87, 126],
        [153, 84, 162],
        [180, 121, 182],
        [194, 166, 198],
        [218, 192, 218],
        [241, 227, 240],
    ]
)
"""From nuclei to slide: seven groups of 84,000 pixels of 14 sets of stained tissue."""

PLAIN_DIFFERENCE = 10.0
"""CIEDE2000; from about 2 on colours side by side are seen to differ."""

OUTLINE, FILL = 0.9, 0.45
"""Opacity of masks in the viewer."""

LEAST = {
    "full": (20.0, 12.0),
    "no long cones": (8.5, 5.0),
    "no middle cones": (8.5, 5.0),
    "no short cones": (8.0, 5.0),
}
"""Of an outline with any tissue beside it, and of a fill with the tissue under it."""


def seen(colors: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Lab of colours (n, 3), 0 to 255, as an eye sees them."""
    srgb = colors / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    left = (linear @ matrix.T).clip(0, 1)
    back = np.where(left <= 0.0031308, 12.92 * left, 1.055 * left ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None])[0]


@pytest.mark.parametrize("vision", VISION)
def test_the_palette_is_told_apart(vision: str) -> None:
    lab = seen(np.array(PALETTE), VISION[vision])
    assert min(deltaE_ciede2000(a, b) for a, b in combinations(lab, 2)) > PLAIN_DIFFERENCE


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("color", [*PALETTE, *MORE_COLORS])
def test_every_colour_stands_out_from_stained_tissue(color: Color, vision: str) -> None:
    tissue = seen(TISSUE, VISION[vision])
    outline = seen(OUTLINE * np.array(color) + (1 - OUTLINE) * TISSUE, VISION[vision])
    fill = seen(FILL * np.array(color) + (1 - FILL) * TISSUE, VISION[vision])
    beside, under = LEAST[vision]
    assert deltaE_ciede2000(outline[:, None], tissue[None]).min() > beside
    assert deltaE_ciede2000(fill, tissue).min() > under


def test_further_colours_are_told_apart_with_full_vision() -> None:
    lab = seen(np.array((*PALETTE, *MORE_COLORS)), VISION["full"])
    assert min(deltaE_ciede2000(a, b) for a, b in combinations(lab, 2)) > PLAIN_DIFFERENCE


def test_the_terms_that_ship_use_these_colours() -> None:
    used = {entry.color for entry in Vocabulary.load().entries}
    assert used <= {*PALETTE, *MORE_COLORS}


def test_classes_of_one_slide_never_share_a_colour() -> None:
    classes = ClassList()
    for name in "abcdefg":
        classes = classes.with_class(name, None, PALETTE[0])
    assert {c.color for c in classes} == set(PALETTE)
    again = classes.with_class("h", None, PALETTE[0])
    assert again.named("h").color == MORE_COLORS[0]
    other = classes.with_class("h", None, (1, 2, 3))
    assert other.named("h").color == (1, 2, 3)
