"""What every segmenter gives: an embedding of a tile, and answers to prompts from it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from napari_pathseg.classes import UNSPECIFIED, Term

FloatMap = npt.NDArray[np.float32]
OUTPUT_STRIDE = 4
EDGE_SHADE = 244  # bare glass: what is over a picture's edge, in training as in use
GATE_STRENGTH = 2.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure of a model: mean Dice of a term on validation images that hold it."""

    dataset: str
    term: str
    prompt: str
    n: int
    dice: float


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is, what it was taught, how good it is and what may be done with it.

    Attributes
    ----------
    objects : tuple of (structure, object)
        The terms it was taught.
    regions : tuple of str
        The organs it was taught.
    working_mpp : mapping of object to float
        Micrometres per pixel at which it sees each object best.
    presence_gate : float
        A term whose presence in a tile is less probable than this is pushed down there.
    offsets : mapping of object to float
        Added to the logits of words: rare objects would else be found too seldom at a half.
    presence_offsets : mapping of object to float
        Added to the logit of their presence, so that one gate does for all objects.
    withheld : tuple of str
        Objects that training showed it but that it does not find well enough to be asked.
    context : bool
        Whether it takes what lies around a tile into account.
    """

    name: str
    version: str
    sha256: str
    license: str
    research_only: bool
    summary: str
    objects: tuple[tuple[str, str], ...]
    regions: tuple[str, ...]
    working_mpp: Mapping[str, float]
    presence_gate: float
    figures: tuple[Figure, ...]
    withheld: tuple[str, ...] = ()
    offsets: Mapping[str, float] = field(default_factory=dict)
    presence_offsets: Mapping[str, float] = field(default_factory=dict)
    context: bool = False

    @property
    def taught(self) -> tuple[Term, ...]:
        """The terms it may be asked, without regions."""
        return tuple(Term(UNSPECIFIED, s, o) for s, o in self.objects if o not in self.withheld)

    @property
    def identity(self) -> str:
        """Name, version and the start of the hash: enough to find it again."""
        return f"{self.name} {self.version} ({self.sha256[:12]})"


@dataclass(frozen=True, slots=True)
class TileQuery:
    """One prompt on a tile: words, places in tile pixels (y, x), a previous answer, or several.

    Attributes
    ----------
    term : Term or None
    points : tuple of (y, x, positive)
    box : (y0, x0, y1, x1) or None
    mask : float32 array (height / 4, width / 4) or None
        Logits of a previous answer.
    """

    term: Term | None = None
    points: tuple[tuple[float, float, bool], ...] = ()
    box: tuple[float, float, float, float] | None = None
    mask: FloatMap | None = None


@dataclass(frozen=True, slots=True)
class TileAnswer:
    """The answer to one query, at a quarter of the tile's resolution.

    Attributes
    ----------
    logits : float32 array (height / 4, width / 4)
        Above 0 = inside.
    candidates : float32 array (3, height / 4, width / 4)
        Whole, part and sub-part for a click without words, the likeliest first; (0, …) for words.
    score : float
        The model's own estimate of the IoU, 0 to 1.
    presence : float
        Probability that the term is in the tile; 1 for a click.
    """

    logits: FloatMap
    candidates: FloatMap
    score: float
    presence: float


def gated(answer: TileAnswer, gate: float) -> FloatMap:
    """Logits pushed down where the term is probably absent from the tile."""
    presence = min(max(answer.presence, 1e-6), 1 - 1e-6)
    excess = math.log(presence / (1 - presence)) - math.log(gate / (1 - gate)) if gate else 0.0
    return answer.logits + np.float32(GATE_STRENGTH * min(excess, 0.0))


def padded(pixels: npt.NDArray[np.uint8], shape: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Pixels (h, w, 3) with bare glass below and to the right, up to `shape`."""
    below, right = shape[0] - pixels.shape[0], shape[1] - pixels.shape[1]
    if not (below or right):
        return pixels
    return np.pad(pixels, ((0, below), (0, right), (0, 0)), constant_values=EDGE_SHADE)


class TileEmbedding(Protocol):
    """Opaque to everyone but the segmenter that made it."""

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the tile in pixels."""
        ...


class Segmenter(Protocol):
    """A model that encodes a tile once and answers any number of prompts from that."""

    @property
    def card(self) -> ModelCard:
        """What it is."""
        ...

    @property
    def encoder_passes(self) -> int:
        """How many tiles it has encoded since it was loaded."""
        ...

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> TileEmbedding:
        """Encode an sRGB tile (height, width, 3); sides are multiples of 32.

        `around` (height / 2, width / 2, 3) is the concentric field twice as wide, at a quarter of
        the resolution; only a model whose card says `context` is given it.
        """
        ...

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        """Answer queries, each independent of the others; no encoder pass."""
        ...

    def pack(self, embedding: TileEmbedding) -> bytes:
        """An embedding as bytes, to be kept."""
        ...

    def unpack(self, data: bytes) -> TileEmbedding:
        """The embedding of :meth:`pack`; ValueError when the bytes are damaged."""
        ...

    def knows(self, term: Term) -> bool:
        """Whether it was taught the term's object in its structure."""
        ...


@runtime_checkable
class SeveralAtOnce(Protocol):
    """A segmenter that can answer words on several tiles at the same time, from several threads."""

    def for_words(self) -> tuple[Segmenter, int]:
        """The same model for words alone, and from how many threads it is best asked at once."""
        ...
