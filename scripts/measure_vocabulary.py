"""Measure how well prompts are understood: phrases as pathologists write them, off-topic words.

    python scripts/measure_vocabulary.py [--misses]

Two lists of phrases were written before anything was tried on them: phrases.csv before the rules
were mended where it missed, phrases_later.csv after that. A phrase is right at top 1 when the
first term that it is understood as is the listed one, at top 3 when the term is among the first
three of what was understood and suggested, and clean when it is right, nothing else is asked and
nothing in it stays unknown. "n-grams alone" ranks all terms by character n-gram TF-IDF instead.
An off-topic word is refused when no term is understood.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import time
from pathlib import Path

from napari_pathseg.vocabulary import Resolution, Vocabulary
from napari_pathseg.vocabulary.suggesting import GramIndex

DATA = Path(__file__).parents[1] / "tests" / "data"


def ranked(resolution: Resolution) -> list[str]:
    """Names of what was understood, then of what was suggested, each once."""
    entries = [match.entry for match in resolution.matches] + list(resolution.suggestions)
    return list(dict.fromkeys(entry.name for entry in entries))


def by_grams(vocabulary: Vocabulary, rows: list[tuple[str, str]]) -> str:
    """Top 1 and top 3 of ranking by n-grams, without any other rule."""
    index = GramIndex(vocabulary.entries)
    first = third = 0
    for phrase, term in rows:
        scores = index.scores(phrase)
        names = sorted(scores, key=lambda name: (-scores[name], name))
        first += names[:1] == [term]
        third += term in names[:3]
    return f"top-1 {first / len(rows):.3f}, top-3 {third / len(rows):.3f}"


def measure(vocabulary: Vocabulary, path: Path, show: bool) -> list[float]:
    """Print the figures of one list; returns the milliseconds that each phrase took."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [(row["phrase"], row["term"]) for row in csv.DictReader(file)]
    first = third = clean = 0
    times = []
    for phrase, term in rows:
        vocabulary.entry(term)
        started = time.perf_counter()
        resolution = vocabulary.resolve(phrase)
        times.append((time.perf_counter() - started) * 1e3)
        names = ranked(resolution)
        right = bool(resolution.matches) and names[0] == term
        first += right
        third += term in names[:3]
        clean += right and len(resolution.matches) == 1 and not resolution.unknown
        if show and not right:
            understood = [match.entry.name for match in resolution.matches]
            print(f"{phrase!r}: {term}; {understood}, unknown {resolution.unknown}, {names[:3]}")
    count = len(rows)
    figures = f"top-1 {first / count:.3f}, top-3 {third / count:.3f}, clean {clean / count:.3f}"
    print(f"{path.name}: {count} phrases, {figures}; n-grams alone: {by_grams(vocabulary, rows)}")
    return times


def main() -> None:
    """Print the figures that docs/vocabulary.md quotes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--misses", action="store_true", help="list what was not understood")
    show = parser.parse_args().misses
    started = time.perf_counter()
    vocabulary = Vocabulary.load()
    load_ms = (time.perf_counter() - started) * 1e3
    times = measure(vocabulary, DATA / "phrases.csv", show)
    times += measure(vocabulary, DATA / "phrases_later.csv", show)
    words = (DATA / "offtopic.txt").read_text(encoding="utf-8").splitlines()
    taken = [word for word in words if vocabulary.resolve(word).matches]
    print(f"off-topic words refused: {len(words) - len(taken)} of {len(words)}; taken: {taken}")
    print(
        f"load {load_ms:.0f} ms; resolve: median {statistics.median(times):.2f} ms, "
        f"slowest {max(times):.1f} ms"
    )


if __name__ == "__main__":
    main()
