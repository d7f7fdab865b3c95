"""Colour deconvolution: known dyes come back, and go to the right objects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pathseg.labels.stains import STAINS, dye_amounts, sums_by_object, white_of

WHITE = np.array([240.0, 238.0, 242.0])
AMOUNT = st.floats(0.0, 0.6)


def stained(pair: str, first: float, second: float, side: int = 4) -> np.ndarray:
    """Pixels that hold given amounts of two dyes."""
    vectors = [np.array(v) / np.linalg.norm(v) for v in STAINS[pair].vectors]
    density = first * vectors[0] + second * vectors[1]
    light = np.round(WHITE * 10**-density).clip(1, 255).astype(np.uint8)
    return np.broadcast_to(light, (side, side, 3)).copy()


@pytest.mark.parametrize("pair", STAINS)
@given(first=AMOUNT, second=AMOUNT)
def test_known_amounts_come_back(pair: str, first: float, second: float) -> None:
    found = dye_amounts(stained(pair, first, second), STAINS[pair], WHITE)[0, 0]
    # 8 bits: half a grey value of the darkest channel is the error.
    darkest = stained(pair, first, second)[0, 0].min()
    np.testing.assert_allclose(found, (first, second), atol=2.5 / darkest)


def test_the_same_as_skimage() -> None:
    from skimage.color import separate_stains

    pixels = np.random.default_rng(0).integers(20, 250, (16, 16, 3), dtype=np.uint8)
    pair = STAINS["H&E"]
    basis = np.stack([np.array(v) / np.linalg.norm(v) for v in pair.vectors])
    third = np.cross(*basis)
    matrix = np.linalg.inv(np.vstack([basis, third / np.linalg.norm(third)]))
    # skimage takes logarithms to the base 1e-6 of values from 0 to 1, and cuts below 0.
    theirs = separate_stains(pixels, matrix)[..., :2] * 6
    ours = dye_amounts(pixels, pair, np.full(3, 255.0))
    inside = (ours > 0.01).all(axis=-1) & (theirs > 0).all(axis=-1)
    assert inside.any()
    np.testing.assert_allclose(ours[inside], theirs[inside], atol=1e-3)


def test_each_object_has_its_own_sum() -> None:
    amounts = np.zeros((3, 4, 2), np.float32)
    amounts[0, 0], amounts[0, 1], amounts[2, 2:] = (1, 0), (3, 0), (0.5, 2)
    instances = np.array([[3, 3, 0, 0], [0, 0, 0, 0], [0, 0, 2, 2]])
    sums, pixels = sums_by_object(amounts, instances, 3)
    np.testing.assert_allclose(sums, [[0, 0], [0, 0], [1, 4], [4, 0]])
    assert pixels.tolist() == [0, 0, 2, 2]
    empty, none = sums_by_object(amounts, np.zeros((3, 4), int), 0)
    assert (empty.shape, none.tolist()) == ((1, 2), [0])


def test_glass_is_white_and_tissue_is_not() -> None:
    pixels = stained("H&E", 0.5, 0.4, 20)
    assert (white_of(pixels) == 245).all()
    pixels[:, :6] = WHITE.astype(np.uint8)
    np.testing.assert_allclose(white_of(pixels), WHITE, atol=1)
