"""Training of the text encoder with the tree of terms, as SAT does it.

Source: SAT (arXiv 2312.17183), section on knowledge injection: pairs of a term and its synonym,
its definition or a relation, drawn together by a symmetric contrastive loss that leaves other
texts of the same concept out of the denominator. The network is ours: features of words
(`vocabulary.features`), attention over words, one hidden layer. Everyday phrases are pushed away.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_pathseg.vocabulary.features import feature, text_words, word_features, word_pairs

# Unit vectors are this long where it is judged whether they speak of tissue.
SHARPNESS = 8.0


@dataclass(frozen=True, slots=True)
class Concept:
    """What the encoder learns of one term.

    Attributes
    ----------
    names : tuple of str
        The term, then its synonyms.
    definition : str
    wider : tuple of str
        Names of its parents.
    weight : float
        How often its pairs are drawn in an epoch.
    """

    names: tuple[str, ...]
    definition: str = ""
    wider: tuple[str, ...] = ()
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class WordsRecipe:
    """How the encoder is trained."""

    features: int = 65_000
    words: int = 22_000
    pairs: int = 8_000
    width: int = 192
    hidden: int = 512
    epochs: int = 6
    batch: int = 1024
    everyday: int = 256
    rate: float = 2e-3
    definition_chance: float = 0.25
    relation_chance: float = 0.1
    noise_chance: float = 0.12
    seed: int = 0


def choose_features(
    concepts: Iterable[Concept], everyday: Iterable[str], recipe: WordsRecipe
) -> npt.NDArray[np.uint32]:
    """The features to learn, sorted.

    Words that occur twice, everyday words, the commonest pairs of words, then the n-grams that the
    most words share.
    """
    uses: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for concept in concepts:
        for text in (*concept.names, concept.definition):
            uses.update(set(text_words(text)))
        for name in concept.names:
            pairs.update(word_pairs(text_words(name)))
    whole = [word for word, n in uses.most_common(recipe.words) if n > 1]
    whole += [word for text in everyday for word in text_words(text)]
    whole += [pair for pair, _ in pairs.most_common(recipe.pairs)]
    chosen = {word_features(word)[0] for word in whole}
    shared = Counter(gram for word in sorted(uses) for gram in set(word_features(word)[1:]))
    ranked = sorted(shared, key=lambda gram: (-shared[gram], gram))
    room = recipe.features - len(chosen)
    chosen |= set(itertools.islice((gram for gram in ranked if gram not in chosen), room))
    return np.array(sorted(chosen), dtype=np.uint32)


class WordEncoder(nn.Module):
    """The network of `vocabulary.encoder.TextEncoder`, to be trained.

    Parameters
    ----------
    features : array (F,)
        Sorted CRC-32 values.
    width, hidden : int
    """

    def __init__(self, features: npt.NDArray[np.uint32], width: int, hidden: int) -> None:
        super().__init__()
        self.features = features
        self._rows = {int(feature): row for row, feature in enumerate(features, start=1)}
        self._known: dict[str, list[int]] = {}
        self._units: dict[str, tuple[str, ...]] = {}
        self.table = nn.EmbeddingBag(len(features) + 1, width, mode="sum", padding_idx=0)
        self.attention = nn.Parameter(torch.zeros(width))
        self.hidden = nn.Linear(width, hidden)
        self.output = nn.Linear(hidden, width)
        self.relevance = nn.Linear(width, 1)
        self.log_scale = nn.Parameter(torch.tensor(3.0))
        with torch.no_grad():
            self.table.weight.normal_(std=0.1)[0] = 0
            self.output.weight.zero_()

    def units(self, text: str) -> tuple[str, ...]:
        """The words of a text and those pairs of them that are known."""
        if text not in self._units:
            words = text_words(text)
            pairs = (pair for pair in word_pairs(words) if feature(f"<{pair}>") in self._rows)
            self._units[text] = (*words, *pairs)
        return self._units[text]

    def _features(self, word: str) -> list[int]:
        if word not in self._known:
            rows = (self._rows.get(feature) for feature in word_features(word))
            self._known[word] = [row for row in rows if row] or [0]
        return self._known[word]

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Unit vectors (N, D) of N texts."""
        split = [self.units(text) for text in texts]
        words = {word: i for i, word in enumerate(sorted(set(itertools.chain(*split))))}
        vectors = self._vectors(list(words))  # (W, D)
        longest = max(map(len, split))
        places = np.full((len(split), longest), len(words))
        for row, text in enumerate(split):
            places[row, : len(text)] = [words[word] for word in text]
        index = torch.from_numpy(places)
        padded = torch.cat([vectors, vectors.new_zeros(1, vectors.shape[1])])[index]  # (N, L, D)
        logits = (padded @ self.attention).masked_fill(index == len(words), -1e4)
        pooled = (logits.softmax(1)[..., None] * padded).sum(1)  # (N, D)
        bent = pooled + self.output(functional.relu(self.hidden(pooled)))
        return functional.normalize(bent, dim=1)

    def _vectors(self, words: Sequence[str]) -> Tensor:
        rows = [self._features(word) for word in words]
        sizes = torch.tensor([len(row) for row in rows])
        starts = sizes.cumsum(0) - sizes
        sums: Tensor = self.table(torch.tensor(list(itertools.chain(*rows))), starts)
        return sums / sizes[:, None].sqrt()


def knowledge_contrast(
    u: Tensor, v: Tensor, concept: Tensor, scale: Tensor, others: Tensor | None = None
) -> Tensor:
    """Symmetric contrastive loss of pairs; other texts of the same concept are no negatives.

    Parameters
    ----------
    u, v : Tensor (N, D)
        Unit vectors of the two texts of each pair.
    concept : Tensor (N,)
        Which concept each pair belongs to.
    scale : Tensor ()
    others : Tensor (M, D), optional
        Texts that mean none of the concepts.

    Returns
    -------
    Tensor ()
        Mean over pairs and directions of -log(exp(S_ii) / sum_j exp(S_ij)), where j runs over i,
        the pairs of other concepts and the others.

    Source: SAT (arXiv 2312.17183), equation of the contrastive loss.
    """
    scores = scale * u @ v.T  # (N, N)
    own = torch.eye(len(u), dtype=torch.bool, device=u.device)
    same = (concept[:, None] == concept[None]) & ~own
    scores = scores.masked_fill(same, -torch.inf)
    target = torch.arange(len(u), device=u.device)
    rows, columns = scores, scores.T
    if others is not None:
        rows = torch.cat([rows, scale * u @ others.T], dim=1)
        columns = torch.cat([columns, scale * v @ others.T], dim=1)
    return (functional.cross_entropy(rows, target) + functional.cross_entropy(columns, target)) / 2


class PairSampler:
    """Draws the pairs of an epoch."""

    def __init__(self, concepts: Sequence[Concept], recipe: WordsRecipe) -> None:
        self._concepts, self._recipe = concepts, recipe
        self._random = random.Random(recipe.seed)
        # Our own terms are few: they are drawn far more often than they are many.
        self._weights = list(itertools.accumulate(concept.weight**4 for concept in concepts))

    def epoch(self) -> list[tuple[int, str, str]]:
        """(concept, text, text) in random order and direction."""
        pairs = [pair for number in range(len(self._concepts)) for pair in self._pairs(number)]
        self._random.shuffle(pairs)
        return pairs

    def _pairs(self, number: int) -> Iterator[tuple[int, str, str]]:
        concept, chance = self._concepts[number], self._random.random
        name, *synonyms = concept.names
        whole, rest = divmod(concept.weight, 1)
        for _ in range(int(whole) + (chance() < rest)):
            for synonym in synonyms:
                other = name if chance() < 0.7 else self._random.choice(concept.names)
                if other != synonym:
                    yield number, *self._turned(self._noisy(other), self._noisy(synonym))
            if concept.definition and chance() < self._recipe.definition_chance:
                yield number, *self._turned(name, self._cut(concept.definition))
            if concept.wider and chance() < self._recipe.relation_chance:
                relation = f"kind of {self._random.choice(concept.wider)}"
                yield number, *self._turned(name, relation)

    def _turned(self, first: str, second: str) -> tuple[str, str]:
        return (first, second) if self._random.random() < 0.5 else (second, first)

    def _cut(self, definition: str) -> str:
        """Half of the time the beginning of a definition only."""
        words = definition.split()
        if self._random.random() < 0.5:
            return definition
        return " ".join(words[: self._random.randint(min(3, len(words)), len(words))])

    def _noisy(self, text: str) -> str:
        """Now and then one letter is lost, doubled, swapped or wrong."""
        if len(text) < 6 or self._random.random() >= self._recipe.noise_chance:
            return text
        i = self._random.randrange(1, len(text) - 1)
        letter = self._random.choice("abcdefghijklmnopqrstuvwxyz")
        changed = ("", text[i] * 2, text[i + 1] + text[i], letter)
        kind = self._random.randrange(4)
        return text[:i] + changed[kind] + text[i + (2 if kind == 2 else 1) :]

    def everyday(self, words: Sequence[str], count: int) -> list[str]:
        """Phrases of one to three everyday words, some after a name ("tumor diary")."""
        return [self._everyday_phrase(words) for _ in range(count)]

    def _everyday_phrase(self, words: Sequence[str]) -> str:
        if self._random.random() < 0.25:
            weights = self._weights
            (concept,) = self._random.choices(self._concepts, cum_weights=weights)
            return f"{self._random.choice(concept.names)} {self._random.choice(words)}"
        return " ".join(self._random.sample(words, self._random.choice((1, 1, 2, 3))))


def train_words(
    concepts: Sequence[Concept],
    everyday: Sequence[str],
    recipe: WordsRecipe,
    told: Callable[[int, float, WordEncoder], None] | None = None,
) -> WordEncoder:
    """Train an encoder.

    Parameters
    ----------
    concepts : sequence of Concept
    everyday : sequence of str
        Words that have nothing to do with tissue.
    recipe : WordsRecipe
    told : callable, optional
        Called after each epoch with its number, mean loss and the encoder.
    """
    torch.manual_seed(recipe.seed)
    features = choose_features(concepts, everyday, recipe)
    encoder = WordEncoder(features, recipe.width, recipe.hidden)
    sampler = PairSampler(concepts, recipe)
    rest = [p for name, p in encoder.named_parameters() if not name.startswith("table")]
    groups: list[dict[str, Any]] = [
        {"params": [encoder.table.weight]},
        {"params": rest, "lr": recipe.rate / 2},
    ]
    optimizer = torch.optim.Adam(groups, lr=recipe.rate, betas=(0.9, 0.98))
    pairs = sampler.epoch()
    steps = recipe.epochs * max(1, len(pairs) // recipe.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, partial(_warm_then_linear, steps=steps))
    for epoch in range(recipe.epochs):
        pairs = sampler.epoch() if epoch else pairs
        count = max(1, len(pairs) // recipe.batch)
        total = 0.0
        for start in range(0, count * recipe.batch, recipe.batch):
            batch = pairs[start : start + recipe.batch]
            loss = _step_loss(encoder, batch, sampler.everyday(everyday, recipe.everyday))
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        if told:
            told(epoch, total / count, encoder)
    return encoder.eval()


def _warm_then_linear(step: int, steps: int) -> float:
    return min((step + 1) / 100, max(0.02, 1 - step / steps))


def _step_loss(
    encoder: WordEncoder, batch: Sequence[tuple[int, str, str]], everyday: Sequence[str]
) -> Tensor:
    """Contrast of the pairs, and how well the everyday phrases are told from them."""
    concept = torch.tensor([number for number, _, _ in batch])
    u, v = encoder([first for _, first, _ in batch]), encoder([second for _, _, second in batch])
    others = encoder(everyday)
    contrast = knowledge_contrast(u, v, concept, encoder.log_scale.clamp(max=4.6).exp(), others)
    logits = encoder.relevance(SHARPNESS * torch.cat([u, v, others]))[:, 0]
    speaks = torch.cat([logits.new_ones(2 * len(batch)), logits.new_zeros(len(everyday))])
    weight = torch.where(speaks > 0, 1 / (2 * len(batch)), 1 / max(1, len(everyday)))
    relevance = functional.binary_cross_entropy_with_logits(logits, speaks, weight, reduction="sum")
    return contrast + 0.5 * relevance


def encoder_tensors(encoder: WordEncoder) -> dict[str, npt.NDArray[np.generic]]:
    """The tensors of a trained encoder as `vocabulary.encoder.TextEncoder` reads them."""
    state = {name: tensor.detach().numpy() for name, tensor in encoder.state_dict().items()}
    table = state["table.weight"][1:]
    scale = (np.abs(table).max(axis=1) / 127).clip(1e-8).astype(np.float16)
    rounded = np.round(table / scale[:, None].astype(np.float32)).clip(-127, 127)
    return {
        "features": encoder.features,
        "table": rounded.astype(np.int8),
        "scale": scale,
        "attention": state["attention"].astype(np.float16),
        "hidden.weight": state["hidden.weight"].astype(np.float16),
        "hidden.bias": state["hidden.bias"].astype(np.float16),
        "output.weight": state["output.weight"].astype(np.float16),
        "output.bias": state["output.bias"].astype(np.float16),
        "relevance.weight": (SHARPNESS * state["relevance.weight"][0]).astype(np.float16),
        "relevance.bias": state["relevance.bias"].astype(np.float16),
    }
