"""A query's windows: what is found at a place does not depend on the size of the image."""

from __future__ import annotations

import itertools

import pytest
import torch

from napari_pathseg.models.query_decoder import STEP, WINDOW, QueryDecoder, _shares, _starts


@pytest.mark.parametrize(("height", "width"), [(4, 6), (14, 14), (15, 28), (28, 28), (40, 9)])
def test_windows_cover_and_share_every_pixel(height: int, width: int) -> None:
    ys, xs = _starts(height), _starts(width)
    assert ys[0] == 0
    assert ys[-1] == max(height - WINDOW, 0)
    assert all(b - a <= STEP for a, b in itertools.pairwise(ys))
    shares = _shares(ys, xs, torch.zeros(1, 1, height, width))
    assert shares.shape == (len(ys) * len(xs), 4 * height, 4 * width)
    assert torch.allclose(shares.sum(0), torch.ones(4 * height, 4 * width), atol=1e-5)
    assert (shares >= 0).all()


def test_a_place_is_answered_alike_in_a_larger_image() -> None:
    torch.manual_seed(0)
    decoder = QueryDecoder().eval()
    tokens, pixels = torch.randn(1, 256, 42, 42), torch.randn(1, 64, 168, 168)
    query, image = torch.randn(1, 256), torch.tensor([0])
    with torch.no_grad():
        whole = decoder(tokens, pixels, query, image).logits
        part = decoder(tokens[:, :, 7:35, 7:35], pixels[:, :, 28:140, 28:140], query, image).logits
    # Between the middles of the first and last windows that lie in both.
    assert torch.allclose(whole[:, 56:112, 56:112], part[:, 28:84, 28:84], atol=1e-5)


def test_each_image_answers_its_own_terms_in_their_order() -> None:
    torch.manual_seed(0)
    decoder = QueryDecoder().eval()
    tokens, pixels = torch.randn(2, 256, 14, 14), torch.randn(2, 64, 56, 56)
    query, image = torch.randn(5, 256), torch.tensor([1, 0, 1, 1, 0])
    with torch.no_grad():
        together = decoder(tokens, pixels, query, image)
        for n, i in enumerate(image.tolist()):
            alone = decoder(
                tokens[i : i + 1], pixels[i : i + 1], query[n : n + 1], torch.tensor([0])
            )
            assert torch.allclose(together.logits[n], alone.logits[0], atol=1e-5)
            assert torch.allclose(together.presence[n], alone.presence[0], atol=1e-5)
