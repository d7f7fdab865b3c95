"""Completion: the entries of which a name begins with what was typed so far."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from napari_pathseg.vocabulary.entry import Entry
from napari_pathseg.vocabulary.matching import normal_words


@dataclass(frozen=True, slots=True)
class Completion:
    """An entry and the one of its names that fits what was typed."""

    entry: Entry
    text: str


class Completer:
    """Finds completions among the names and synonyms of entries."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        # Entry, a text that means it, and the text in normal form.
        self._texts = [
            (entry, text.lower(), " ".join(normal_words(text)))
            for entry in entries
            for text in (entry.name, *entry.synonyms)
        ]

    def complete(self, prefix: str, n: int) -> tuple[Completion, ...]:
        """The entries of which a name, a synonym or a word in one begins like this, best first."""
        typed = " ".join(prefix.lower().split())
        if not typed:
            return ()
        wanted = " ".join(normal_words(prefix)) or typed
        best: dict[str, tuple[tuple[int, int], Completion]] = {}
        for entry, written, normal in self._texts:
            rank = _rank(typed, wanted, written, normal)
            if rank is None:
                continue
            found = ((rank, len(written)), Completion(entry, written))
            if entry.name not in best or found[0] < best[entry.name][0]:
                best[entry.name] = found
        # Sorting is stable: of equals the first in the file comes first.
        ranked = sorted(best.values(), key=lambda pair: pair[0])
        return tuple(completion for _, completion in ranked[:n])


def _rank(typed: str, wanted: str, written: str, normal: str) -> int | None:
    """0 for the beginning as typed, 1 in normal form, 2 for a later word, None for neither."""
    if written.startswith(typed):
        return 0
    if normal.startswith(wanted):
        return 1
    if f" {typed}" in written or f" {wanted}" in normal:
        return 2
    return None
