"""Class colours can be told apart, with any kind of colour vision."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_pathseg.classes import PALETTE, ClassList, Color

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
PLAIN_DIFFERENCE = 10.0
"""CIEDE2000; from about 2 on colours side by side are seen to differ."""


def seen(colors: tuple[Color, ...], matrix: np.ndarray) -> np.ndarray:
    """Lab of colours as an eye sees them."""
    srgb = np.array(colors) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    left = (linear @ matrix.T).clip(0, 1)
    back = np.where(left <= 0.0031308, 12.92 * left, 1.055 * left ** (1 / 2.4) - 0.055)
    return rgb2lab(back[None])[0]


@pytest.mark.parametrize("vision", VISION)
def test_the_palette_is_told_apart(vision: str) -> None:
    lab = seen(PALETTE, VISION[vision])
    assert min(deltaE_ciede2000(a, b) for a, b in combinations(lab, 2)) > PLAIN_DIFFERENCE


def test_classes_of_one_slide_never_share_a_colour() -> None:
    classes = ClassList()
    for name in "abcdefg":
        classes = classes.with_class(name, None, (0, 114, 178))
    assert {c.color for c in classes} == set(PALETTE)
    again = classes.with_class("h", None, (1, 2, 3))
    assert again.named("h").color == (1, 2, 3)
