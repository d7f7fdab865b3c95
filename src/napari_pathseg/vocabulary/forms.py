"""A term in the form of PathSegmentor's prompts, and back."""

from __future__ import annotations

from napari_pathseg.classes import UNSPECIFIED, Term
from napari_pathseg.vocabulary import grammar


def prompt_text(term: Term) -> str:
    """The term in PathSegmentor's form, such as "nuclei-level lymphocyte in colon pathology".

    Source: PathSegmentor (arXiv 2506.20988); an unspecified region is written "multiple".
    """
    region = grammar.MULTIPLE if term.region == UNSPECIFIED else term.region
    return f"{term.structure}-level {term.object} in {region} pathology"


def parse_prompt_text(text: str) -> Term | None:
    """The inverse of :func:`prompt_text`; None for a text of any other form."""
    parts = grammar.split_form(text)
    return Term(*parts) if parts else None
