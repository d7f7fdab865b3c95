"""Words: what a pathologist types becomes terms; no torch, no napari."""

from napari_pathseg.vocabulary.entry import Entry, Match, Resolution
from napari_pathseg.vocabulary.vocabulary import Vocabulary, parse_prompt_text, prompt_text

__all__ = ["Entry", "Match", "Resolution", "Vocabulary", "parse_prompt_text", "prompt_text"]
