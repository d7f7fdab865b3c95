"""Clicks change what they touch and nothing else; a box keeps what is inside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.classes import Term
from napari_pathseg.geometry import Shape
from napari_pathseg.inference.embeddings import EncodedPicture
from napari_pathseg.inference.tiling import OUTSIDE, FloatMap, Tile, resize_map
from napari_pathseg.models.base import OUTPUT_STRIDE, Segmenter, TileEmbedding, TileQuery

Bool = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Click:
    """A click in model pixels of the picture."""

    y: float
    x: float
    positive: bool


def cut_to_boxes(logits: FloatMap, boxes: Sequence[tuple[float, float, float, float]]) -> FloatMap:
    """Nothing outside the boxes (y0, x0, y1, x1), in pixels of `logits` (H, W)."""
    if not boxes:
        return logits
    inside = np.zeros(logits.shape, dtype=bool)
    for y0, x0, y1, x1 in boxes:
        inside[int(y0) : int(np.ceil(y1)), int(x0) : int(np.ceil(x1))] = True
    return np.where(inside, logits, OUTSIDE)


def correct(
    logits: FloatMap,
    clicks: Sequence[Click],
    terms: tuple[Term, ...],
    picture: EncodedPicture,
    segmenter: Segmenter,
    cut: float = 0.0,
) -> FloatMap:
    """Apply clicks to a word's answer, in order.

    The model sees the words, the click and its own earlier answer together; of what it would
    change only the part under the click is taken. Where it does not follow the click, the object
    that the click alone means is added or taken away.

    Parameters
    ----------
    logits : float32 array (H, W)
        On the picture's grid; not changed.
    cut : float
        Logit above which a pixel is shown as inside.
    """
    out = logits.copy()
    for click in clicks:
        y, x = int(click.y), int(click.x)
        if (out[y, x] > cut) == click.positive:
            continue
        index = _deepest_tile(picture.tiles, click)
        tile, embedding = picture.tiles[index], picture.encoded[index].embedding
        part = out[tile.inside(picture.shape)]
        here = (y - tile.y, x - tile.x)
        place = (click.y - tile.y, click.x - tile.x)
        queries = _together(part, tile, terms, (*place, click.positive))
        together = _asked(queries, tile, embedding, segmenter, part.shape)
        changed = _under((together > cut) != (part > cut), here)
        if not changed.any():
            queries = [TileQuery(points=((*place, True),))]
            alone = _asked(queries, tile, embedding, segmenter, part.shape)
            changed, together = _object_at(alone, here, click.positive, cut)
        part[changed] = together[changed]
    return out


def _together(
    part: FloatMap, tile: Tile, terms: tuple[Term, ...], clicked: tuple[float, float, bool]
) -> list[TileQuery]:
    """Each term with the click and the answer so far."""
    full = np.full((tile.height, tile.width), OUTSIDE, dtype=np.float32)
    full[: part.shape[0], : part.shape[1]] = part
    small = resize_map(full, (tile.height // OUTPUT_STRIDE, tile.width // OUTPUT_STRIDE))
    return [TileQuery(term=term, points=(clicked,), mask=small) for term in terms]


def _asked(
    queries: Sequence[TileQuery],
    tile: Tile,
    embedding: TileEmbedding,
    segmenter: Segmenter,
    shape: Shape,
) -> FloatMap:
    """The highest of the answers on the tile's pixels, as far as the picture goes."""
    highest = np.maximum.reduce([a.logits for a in segmenter.decode(embedding, queries)])
    return resize_map(highest, (tile.height, tile.width))[: shape[0], : shape[1]]


def _object_at(
    alone: FloatMap, here: tuple[int, int], positive: bool, cut: float
) -> tuple[Bool, FloatMap]:
    """The object under a click, and logits that put it in or out for certain."""
    inside = alone > 0
    inside[here] = True
    strength = np.maximum(np.abs(alone), 1.0)
    edge = np.float32(cut)
    return _under(inside, here), edge + strength if positive else edge - strength


def _under(mask: Bool, here: tuple[int, int]) -> Bool:
    """The connected part of a mask that holds a place; empty when the place is outside."""
    if not mask[here]:
        return np.zeros_like(mask)
    parts, _ = ndimage.label(mask)
    under: Bool = parts == parts[here]
    return under


def _deepest_tile(tiles: Sequence[Tile], click: Click) -> int:
    """The tile in which a click lies farthest from the edges."""

    def depth(tile: Tile) -> float:
        return min(
            click.y - tile.y,
            click.x - tile.x,
            tile.y + tile.height - click.y,
            tile.x + tile.width - click.x,
        )

    return max(range(len(tiles)), key=lambda i: depth(tiles[i]))
