"""A model and a vocabulary with adapters: what they teach can be asked by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_pathseg.classes import UNSPECIFIED, Term
from napari_pathseg.models.adapted import AdaptedSegmenter
from napari_pathseg.models.adapter import Adapter, load_adapter
from napari_pathseg.models.adapter_card import AdapterCard
from napari_pathseg.models.base import ModelCard, Segmenter
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.vocabulary.entry import Entry
from napari_pathseg.vocabulary.vocabulary import Vocabulary

# Where a card does not say how its model looks at a word.
UNTOLD_MPP = 0.5


def adapted(
    segmenter: Segmenter, vocabulary: Vocabulary, adapters: Sequence[Adapter]
) -> tuple[Segmenter, Vocabulary]:
    """A segmenter that uses adapters, and a vocabulary that finds what it and they were taught.

    Parameters
    ----------
    segmenter : Segmenter
        The base model itself.
    adapters : sequence of Adapter
        The last one counts where several teach the same term; none gives both back as they are.

    Raises
    ------
    ModelError
        When an adapter was learned on another model.
    PromptError
        When a new word is a synonym of another term.
    """
    vocabulary = with_words_of(vocabulary, segmenter.card)
    if not adapters:
        return segmenter, vocabulary
    cards = [adapter.card for adapter in adapters]
    return AdaptedSegmenter(segmenter, adapters), with_taught(vocabulary, cards)


def load_adapted(
    model: str, files: Sequence[Path], *, words_only: bool = False
) -> tuple[Segmenter, Vocabulary]:
    """A model by its name and the person's vocabulary, with the adapters in some files.

    Parameters
    ----------
    words_only : bool
        As :func:`~napari_pathseg.models.registry.load_segmenter`.

    Raises
    ------
    ModelError
        When there is no such model or adapter, a file is damaged, or an adapter was learned on
        another model.
    PromptError
        As :func:`adapted`.
    """
    loaded = [load_adapter(file) for file in files]
    segmenter = load_segmenter(model, words_only=words_only)
    return adapted(segmenter, Vocabulary.of_user(), loaded)


def with_taught(vocabulary: Vocabulary, cards: Sequence[AdapterCard]) -> Vocabulary:
    """The vocabulary and the words of adapters that are not in it; PromptError when one clashes."""
    for card in cards:
        for taught in card.terms:
            if all(entry.name != taught.term.object for entry in vocabulary.entries):
                by = f"the adapter {card.name}"
                new = _entry(taught.term, taught.working_mpp, by, vocabulary)
                vocabulary = vocabulary.add(new)
    return vocabulary


def with_words_of(vocabulary: Vocabulary, card: ModelCard) -> Vocabulary:
    """The vocabulary and the words that a model was taught and that are not in it, such as those
    of a person who trained it further.
    """
    known = {entry.name for entry in vocabulary.entries}
    for structure, name in card.objects:
        if name not in known:
            term = Term(UNSPECIFIED, structure, name)
            mpp = card.working_mpp.get(name, UNTOLD_MPP)
            vocabulary = vocabulary.add(_entry(term, mpp, f"the model {card.name}", vocabulary))
    return vocabulary


def _entry(term: Term, mpp: float, teacher: str, vocabulary: Vocabulary) -> Entry:
    return Entry(
        term=term,
        synonyms=(),
        definition=f"Taught by {teacher}.",
        parent=None,
        related=(),
        mpp=mpp,
        color=vocabulary.color(term.object),
    )
