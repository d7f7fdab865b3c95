"""Train the text encoder that ships (src/napari_pathseg/vocabulary/data/words.npz).

    python scripts/train_words.py --ontologies WHEEL --everyday FILE [--epochs N] [--out FILE]

WHEEL is what scripts/ontologies.py reads. FILE lists everyday words, one a line, such as the
vocab.txt of a BERT tokenizer; words that occur in names of tissue, cells or our terms are left
out of it. It takes about ten minutes on one core and the same numbers of threads give the same
file. Each epoch tells how often the right one of 500 terms is chosen for a synonym that was held
out.
"""

from __future__ import annotations

import argparse
import re
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from heldout import held_out
from ontologies import OntologyTerm, read_ontologies

from napari_pathseg.training.words import (
    Concept,
    WordEncoder,
    WordsRecipe,
    encoder_tensors,
    train_words,
)
from napari_pathseg.vocabulary import Vocabulary
from napari_pathseg.vocabulary.features import text_words
from napari_pathseg.vocabulary.lexing import PROMPT_WORDS
from napari_pathseg.vocabulary.matching import compact

OUT = Path(__file__).parents[1] / "src" / "napari_pathseg" / "vocabulary" / "data" / "words.npz"
OWN_WEIGHT, ANATOMY_WEIGHT, DISEASE_WEIGHT = 4.0, 1.0, 0.5


def concepts(terms: dict[str, OntologyTerm], hidden: set[str]) -> list[Concept]:
    """What is learned: our terms and those of the ontologies, without the held-out synonyms."""
    learned = [
        Concept(
            (entry.name, *entry.synonyms),
            entry.definition,
            (entry.parent,) if entry.parent else (),
            OWN_WEIGHT,
        )
        for entry in Vocabulary.load().entries
    ]
    for code, term in terms.items():
        names = [term.label]
        names += [name for name in term.synonyms if compact(name) not in hidden]
        wider = tuple(terms[parent].label for parent in term.parents if parent in terms)
        weight = DISEASE_WEIGHT if code.startswith("MONDO:") else ANATOMY_WEIGHT
        learned.append(Concept(tuple(names), term.definition, wider, weight))
    return [
        Concept(
            tuple(name for name in concept.names if compact(name) not in hidden),
            concept.definition,
            concept.wider,
            concept.weight,
        )
        for concept in learned
    ]


def everyday_words(path: Path, learned: Sequence[Concept]) -> list[str]:
    """Words of a list that no name of a cell, a tissue or a term of ours has."""
    used: Counter[str] = Counter()
    for concept in learned:
        rate = 1 if concept.weight >= ANATOMY_WEIGHT else 0.34
        for name in concept.names:
            used.update(dict.fromkeys(text_words(name), rate))
        used.update(dict.fromkeys(text_words(concept.definition), 0.2))
    lines = path.read_text(encoding="utf-8").splitlines()
    words = [word for word in lines if re.fullmatch("[a-z]{3,}", word)]
    free = [w for w in words if used[text_words(w)[0]] < 1 and w not in PROMPT_WORDS]
    return sorted(set(free))


def choose(encoder: WordEncoder, rows: Sequence[tuple[str, str]]) -> float:
    """How often a synonym is nearest to its own term's name."""
    with torch.no_grad():
        names, synonyms = encoder([name for name, _ in rows]), encoder([s for _, s in rows])
    nearest = (synonyms @ names.T).argmax(1)
    return float((nearest == torch.arange(len(rows))).float().mean())


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ontologies", type=Path, required=True, metavar="WHEEL")
    parser.add_argument("--everyday", type=Path, required=True, metavar="FILE")
    parser.add_argument("--epochs", type=int, default=WordsRecipe().epochs)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    terms = read_ontologies(options.ontologies)
    chosen, kept = held_out(terms)
    learned = concepts(terms, {compact(synonym) for _, synonym in (*chosen, *kept)})
    everyday = everyday_words(options.everyday, learned)
    print(f"{len(learned):,} concepts, {len(everyday):,} everyday words", flush=True)
    started = time.monotonic()

    def told(epoch: int, loss: float, encoder: WordEncoder) -> None:
        figures = f"loss {loss:.3f}, held out {choose(encoder, chosen):.3f}"
        print(f"epoch {epoch}: {figures}, {time.monotonic() - started:.0f} s", flush=True)

    encoder = train_words(learned, everyday, WordsRecipe(epochs=options.epochs), told)
    print(f"kept for the figures: {choose(encoder, kept):.3f}")
    np.savez(options.out, allow_pickle=False, **encoder_tensors(encoder))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
