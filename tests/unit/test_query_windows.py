"""A query's windows: what is found at a place does not depend on the size of the image."""

from __future__ import annotations

import itertools

import pytest
import torch

from napari_pathseg.models.query_decoder import (
    HEADS,
    STEP,
    WINDOW,
    QueryDecoder,
    _Layer,
    _shares,
    _starts,
)


@pytest.mark.parametrize(("height", "width"), [(4, 6), (14, 14), (15, 28), (28, 28), (40, 9)])
def test_windows_cover_and_share_every_pixel(height: int, width: int) -> None:
    ys, xs = _starts(height), _starts(width)
    assert ys[0] == 0
    assert ys[-1] == max(height - WINDOW, 0)
    assert all(b - a <= STEP for a, b in itertools.pairwise(ys))
    shares = _shares(height, width, torch.device("cpu"))
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


def test_reading_is_attention_with_keys_and_values_of_each_token() -> None:
    torch.manual_seed(0)
    layer = _Layer().eval()
    query, windows = torch.randn(3, 5, 256), torch.randn(3, 49, 256)
    with torch.no_grad():
        asked, keys, values = (
            part.view(*part.shape[:2], HEADS, -1).transpose(1, 2)
            for part in (
                layer.to_query(layer.query_norm(query)),
                layer.to_key(windows),
                layer.to_value(windows),
            )
        )
        read = torch.nn.functional.scaled_dot_product_attention(asked, keys, values)
        known = query + layer.out(read.transpose(1, 2).flatten(2))
        known = known + layer.feed(layer.feed_norm(known))
        assert torch.allclose(layer(query, windows), known, atol=1e-5)


def test_it_learns_after_it_has_answered() -> None:
    decoder = QueryDecoder()
    tokens, pixels = torch.randn(1, 256, 21, 14), torch.randn(1, 64, 84, 56)
    query, image = torch.randn(1, 256), torch.tensor([0])
    with torch.inference_mode():
        decoder(tokens, pixels, query, image)
    decoder(tokens, pixels.requires_grad_(), query, image).logits.sum().backward()
    assert pixels.grad is not None
