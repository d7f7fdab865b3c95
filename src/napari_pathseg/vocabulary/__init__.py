"""Words: what a pathologist types becomes terms; no torch, no napari."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pathseg.vocabulary.entry import Entry, Match, Resolution
from napari_pathseg.vocabulary.forms import parse_prompt_text, prompt_text
from napari_pathseg.vocabulary.vocabulary import Vocabulary

if TYPE_CHECKING:
    from napari_pathseg.vocabulary.encoder import FloatArray

__all__ = [
    "Entry",
    "Match",
    "Resolution",
    "Vocabulary",
    "embed",
    "parse_prompt_text",
    "prompt_text",
]


def embed(text: str) -> FloatArray:
    """The unit vector (D,) of a text by the encoder that ships; near for texts of like meaning."""
    from napari_pathseg.vocabulary.encoder import shipped_encoder

    vector: FloatArray = shipped_encoder().embed([text])[0]
    return vector
