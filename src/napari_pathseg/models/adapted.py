"""A segmenter with adapters on it: known words answered better, new words answered at all."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from napari_pathseg.classes import Term
from napari_pathseg.errors import ModelError
from napari_pathseg.models.adapter import Adapter, TermHead
from napari_pathseg.models.adapter_card import TaughtTerm
from napari_pathseg.models.base import (
    FloatMap,
    ModelCard,
    Segmenter,
    SeveralAtOnce,
    TileAnswer,
    TileEmbedding,
    TileQuery,
    gated,
)

# The most certain share of a tile, and at least so many pixels of stride 4, that say whether a
# term is in it.
PRESENT_SHARE, PRESENT_PX = 0.002, 8


class FeatureEmbedding(TileEmbedding, Protocol):
    """An embedding that heads can read.

    Attributes
    ----------
    tokens : Tensor (1, 256, H/16, W/16)
    pixels : Tensor (1, 64, H/4, W/4)
    """

    @property
    def tokens(self) -> Tensor: ...  # noqa: D102

    @property
    def pixels(self) -> Tensor: ...  # noqa: D102


class AdaptedSegmenter:
    """Segmenter over another one; what no adapter teaches is answered by that one alone.

    Of several adapters that teach the same term the last one answers: each was learned on the
    base, so that their heads can not be added up.

    Parameters
    ----------
    base : Segmenter
        Its embeddings are `FeatureEmbedding`.
    adapters : sequence of Adapter

    Raises
    ------
    ModelError
        When an adapter was learned on another model.
    """

    def __init__(self, base: Segmenter, adapters: Sequence[Adapter]) -> None:
        for adapter in adapters:
            check_base(adapter, base.card)
        self.base = base
        self.adapters = tuple(adapters)
        self._heads: dict[Term, tuple[TaughtTerm, TermHead]] = {}
        for adapter in adapters:
            pairs = zip(adapter.card.terms, adapter.heads, strict=True)
            self._heads |= {taught.term: (taught, head) for taught, head in pairs}
        self._card = _adapted_card(base.card, self.adapters, list(self._heads.values()))

    @property
    def card(self) -> ModelCard:
        """The base's card with the adapters in its version and their terms among those taught."""
        return self._card

    @property
    def encoder_passes(self) -> int:
        """Of the base."""
        return self.base.encoder_passes

    def knows(self, term: Term) -> bool:
        """Whether the base was taught the term, or an adapter teaches it."""
        return term.without_region in self._heads or self.base.knows(term)

    def for_words(self) -> tuple[Segmenter, int]:
        """The same for words alone, and from how many threads it is best asked at once."""
        if not isinstance(self.base, SeveralAtOnce):
            return self, 1
        base, at_once = self.base.for_words()
        return AdaptedSegmenter(base, self.adapters), at_once

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> TileEmbedding:
        """As the base."""
        return self.base.encode(image, around)

    def pack(self, embedding: TileEmbedding) -> bytes:
        """As the base."""
        return self.base.pack(embedding)

    def unpack(self, data: bytes) -> TileEmbedding:
        """As the base."""
        return self.base.unpack(data)

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        """Answer queries, each independent of the others; no encoder pass."""
        taught = {i: found for i, q in enumerate(queries) if (found := self._taught(q))}
        words = self._words(embedding, {i: (queries[i], *found) for i, found in taught.items()})
        # Places correct the words' mask: the base continues from what the head says.
        rest = {
            i: _continued(query, words.get(i), taught.get(i))
            for i, query in enumerate(queries)
            if i not in words or query.points or query.box is not None
        }
        answered = self.base.decode(embedding, list(rest.values())) if rest else []
        answers = words | dict(zip(rest, answered, strict=True))
        return [answers[i] for i in range(len(queries))]

    def _taught(self, query: TileQuery) -> tuple[TaughtTerm, TermHead] | None:
        return None if query.term is None else self._heads.get(query.term.without_region)

    def _words(
        self,
        embedding: TileEmbedding,
        asked: dict[int, tuple[TileQuery, TaughtTerm, TermHead]],
    ) -> dict[int, TileAnswer]:
        """Answers of heads to the words of queries; not of those that bring a mask along."""
        asked = {i: found for i, found in asked.items() if found[0].mask is None}
        added = [i for i, (_, taught, _) in asked.items() if taught.added]
        plain = [TileQuery(term=asked[i][0].term) for i in added]
        base = self.base.decode(embedding, plain) if plain else []
        from_base = dict(zip(added, base, strict=True))
        gate = self.base.card.presence_gate
        answers = {}
        for i, (_, _, head) in asked.items():
            logits = head_logits(head, embedding)
            if i in from_base:
                logits = logits + gated(from_base[i], gate)
            answers[i] = answer_of(logits)
        return answers


def check_base(adapter: Adapter, base: ModelCard) -> None:
    """Refuse an adapter of another model with ModelError."""
    if adapter.card.base_sha256 == base.sha256:
        return
    raise ModelError(
        f"The adapter {adapter.card.name} was learned on {adapter.card.base_name} "
        f"({adapter.card.base_sha256[:12]}), not on {base.identity}.",
        "Choose that model, switch the adapter off, or learn it again from its labels.",
    )


def head_logits(head: TermHead, embedding: TileEmbedding) -> FloatMap:
    """What a head says of a tile (height / 4, width / 4).

    Raises
    ------
    ModelError
        When the embedding has nothing that heads can read.
    """
    tokens, pixels = features_of(embedding)
    with torch.inference_mode():
        head.to(pixels.device)
        logits: FloatMap = head(tokens.float(), pixels.float())[0].cpu().numpy()
    return logits


def features_of(embedding: TileEmbedding) -> tuple[Tensor, Tensor]:
    """Tokens and pixels of an embedding; ModelError when it has none."""
    if not hasattr(embedding, "tokens") or not hasattr(embedding, "pixels"):
        raise ModelError(
            "This model's embeddings can not be learned from.", "Use the model that ships."
        )
    readable = cast(FeatureEmbedding, embedding)
    return readable.tokens, readable.pixels


def answer_of(logits: FloatMap) -> TileAnswer:
    """An answer from logits alone: presence from the most certain pixels, score expected IoU."""
    count = min(max(PRESENT_PX, math.ceil(PRESENT_SHARE * logits.size)), logits.size)
    highest = np.partition(logits.ravel(), -count)[-count:]
    presence = 1 / (1 + math.exp(-min(max(float(highest.mean()), -30.0), 30.0)))
    probability = 1 / (1 + np.exp(-logits))
    inside = probability > 0.5
    # Pixels that are rightly inside, of all that are inside or should be.
    right = float(probability[inside].sum())
    union = float(inside.sum()) + float(probability[~inside].sum())
    score = right / union if inside.any() else 1 - presence
    none = np.empty((0, *logits.shape), dtype=np.float32)
    return TileAnswer(logits.astype(np.float32), none, score, presence)


def _continued(
    query: TileQuery, words: TileAnswer | None, taught: tuple[TaughtTerm, TermHead] | None
) -> TileQuery:
    """A query as the base can answer it: it has no words for a term that only a head knows."""
    if taught is None:
        return query
    mask = query.mask if words is None else words.logits
    return replace(query, mask=mask, term=query.term if taught[0].added else None)


def _adapted_card(
    card: ModelCard, adapters: Sequence[Adapter], heads: Sequence[tuple[TaughtTerm, TermHead]]
) -> ModelCard:
    if not adapters:
        return card
    names = {taught.term.object for taught, _ in heads}
    pairs = [(taught.term.structure, taught.term.object) for taught, _ in heads]
    with_adapters = " + ".join([card.version, *(a.identity for a in adapters)])
    return replace(
        card,
        version=with_adapters,
        objects=tuple(dict.fromkeys((*card.objects, *pairs))),
        working_mpp={
            **card.working_mpp,
            **{taught.term.object: taught.working_mpp for taught, _ in heads},
        },
        withheld=tuple(name for name in card.withheld if name not in names),
        context=False,  # heads learn from fields, beyond which nothing is known
    )
