"""The text encoder: a phrase becomes a vector whose neighbours mean the same; plain numpy.

A word is the sum of the vectors of its features (:mod:`.features`); a phrase is the mean of its
words under learned attention, bent by one hidden layer. It is trained by
`napari_pathseg.training.words`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib import resources
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from napari_pathseg.errors import ModelError
from napari_pathseg.vocabulary.features import text_words, word_features, word_pairs

FloatArray = npt.NDArray[np.float32]

# Texts embedded at once, and words whose vectors are kept.
BATCH, MOST_WORDS = 512, 20_000

# Tensors of the file and their axes: features F, width D, hidden H.
_SHAPES = {
    "features": ("F",),
    "table": ("F", "D"),
    "scale": ("F",),
    "attention": ("D",),
    "hidden.weight": ("H", "D"),
    "hidden.bias": ("H",),
    "output.weight": ("D", "H"),
    "output.bias": ("D",),
    "relevance.weight": ("D",),
    "relevance.bias": ("1",),
}


class TextEncoder:
    """Phrases to unit vectors.

    Parameters
    ----------
    tensors : dict of str to array
        `features` are sorted CRC-32 values, `table` their vectors as int8 in units of `scale`.
    source : str
        Named in messages.

    Raises
    ------
    ModelError
        When a tensor is missing or has another shape.
    """

    def __init__(self, tensors: dict[str, npt.NDArray[np.generic]], source: str) -> None:
        _check(tensors, source)
        self._features = tensors["features"].astype(np.uint32)
        self._table, self._scale = tensors["table"], tensors["scale"].astype(np.float32)
        self._rest = {
            name: tensors[name].astype(np.float32)
            for name in _SHAPES
            if name not in ("features", "table", "scale")
        }
        self._known: dict[str, FloatArray | None] = {}

    @classmethod
    def load(cls, path: Path) -> TextEncoder:
        """The encoder in an npz file; ModelError when it can not be read."""
        try:
            with np.load(path, allow_pickle=False) as file:
                return cls(dict(file), str(path))
        except (OSError, ValueError, BadZipFile) as error:
            raise ModelError(
                f"The text encoder {path} can not be read: {error}.",
                "Install napari-pathseg again.",
            ) from error

    @property
    def width(self) -> int:
        """Length D of the vectors."""
        return int(self._table.shape[1])

    def embed(self, texts: Sequence[str]) -> FloatArray:
        """Unit vectors (N, D) of N texts; texts that mean the same have a cosine near 1."""
        pieces = [self._embed(texts[i : i + BATCH]) for i in range(0, len(texts), BATCH)]
        return np.concatenate(pieces)

    def _embed(self, texts: Sequence[str]) -> FloatArray:
        words = [text_words(text) for text in texts]
        pairs = [word_pairs(of_text) for of_text in words]
        vectors = self._vectors(dict.fromkeys(itertools.chain(*words, *pairs)))
        split = [
            [*own, *(pair for pair in near if vectors[pair].any())]
            for own, near in zip(words, pairs, strict=True)
        ]
        rows = {unit: row for row, unit in enumerate(vectors)}
        table = np.stack([*vectors.values(), np.zeros(self.width, np.float32)])  # (U + 1, D)
        index = np.full((len(split), max(map(len, split))), len(rows))
        for row, units in enumerate(split):
            index[row, : len(units)] = [rows[unit] for unit in units]
        logits = np.where(index == len(rows), -1e4, (table @ self._rest["attention"])[index])
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        weights /= weights.sum(axis=1, keepdims=True)
        pooled = np.einsum("nl,nld->nd", weights.astype(np.float32), table[index])  # (N, D)
        hidden = np.maximum(pooled @ self._rest["hidden.weight"].T + self._rest["hidden.bias"], 0)
        bent = pooled + hidden @ self._rest["output.weight"].T + self._rest["output.bias"]
        norms = np.linalg.norm(bent, axis=1, keepdims=True)
        unit: FloatArray = (bent / np.maximum(norms, 1e-12)).astype(np.float32)
        return unit

    def relevance(self, vectors: FloatArray) -> FloatArray:
        """Probability (N,) that texts with these vectors speak of tissue, cells or disease."""
        logits = vectors @ self._rest["relevance.weight"] + self._rest["relevance.bias"][0]
        chance: FloatArray = (1 / (1 + np.exp(-logits))).astype(np.float32)
        return chance

    def _vectors(self, units: Iterable[str]) -> dict[str, FloatArray]:
        """Vectors of words and pairs; 0 for what has no known feature."""
        found = {unit: self._known.get(unit) for unit in units}
        missing = [unit for unit, vector in found.items() if vector is None]
        for start in range(0, len(missing), BATCH):
            batch = missing[start : start + BATCH]
            found |= zip(batch, self._sums([word_features(unit) for unit in batch]), strict=True)
        if len(self._known) < MOST_WORDS:
            self._known |= {unit: found[unit] for unit in missing}
        return found  # type: ignore[return-value]

    def _sums(self, features: Sequence[Sequence[int]]) -> FloatArray:
        """Sums (N, D) of the vectors of known features over the roots of their numbers."""
        owners = np.repeat(np.arange(len(features)), [len(own) for own in features])
        wanted = np.fromiter(itertools.chain(*features), dtype=np.uint32, count=len(owners))
        rows = np.minimum(np.searchsorted(self._features, wanted), len(self._features) - 1)
        known = self._features[rows] == wanted
        rows, owners = rows[known], owners[known]
        sums = np.zeros((len(features), self.width), np.float32)
        if len(rows):
            each = self._table[rows] * self._scale[rows, None]  # (R, D)
            first = np.flatnonzero(np.diff(owners, prepend=-1))
            counts = np.diff(first, append=len(rows))
            sums[owners[first]] = np.add.reduceat(each, first) / np.sqrt(counts)[:, None]
        return sums


def _check(tensors: dict[str, npt.NDArray[np.generic]], source: str) -> None:
    sizes: dict[str, int] = {"1": 1}
    for name, axes in _SHAPES.items():
        shape = tensors[name].shape if name in tensors else ()
        if len(shape) != len(axes) or any(
            sizes.setdefault(axis, size) != size for axis, size in zip(axes, shape, strict=True)
        ):
            raise ModelError(
                f"{source} is no text encoder: {name} is missing or has the shape {shape}.",
                "Use the file that ships with napari-pathseg.",
            )


@lru_cache(maxsize=1)
def shipped_encoder() -> TextEncoder:
    """The text encoder inside the package, read once."""
    file = resources.files("napari_pathseg.vocabulary") / "data" / "words.npz"
    with resources.as_file(file) as path:
        return TextEncoder.load(path)
