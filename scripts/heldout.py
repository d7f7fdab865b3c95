"""Which synonyms of UBERON and CL the text encoder never sees, to be measured on them."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Mapping

from ontologies import OntologyTerm

from napari_pathseg.vocabulary.matching import compact

CHOICES = 500


def held_out(terms: Mapping[str, OntologyTerm]) -> tuple[list[tuple[str, str]], ...]:
    """(name, synonym) of 500 terms for choosing a recipe, and of 500 others for the figures.

    A synonym is held out when it names one term only and differs from the term's other names in
    any spelling; it is left out of training wherever it occurs.
    """
    owners: dict[str, set[str]] = defaultdict(set)
    for code, term in terms.items():
        for name in term.names:
            owners[compact(name)].add(code)
    chooser = random.Random(7)
    rows = []
    for code in sorted(code for code in terms if not code.startswith("MONDO:")):
        term = terms[code]
        unique = [
            synonym
            for synonym in term.synonyms
            if owners[compact(synonym)] == {code}
            and compact(synonym) != compact(term.label)
            and re.search("[a-z]{3}", synonym.lower())
        ]
        if unique:
            rows.append((term.label, chooser.choice(unique)))
    chooser.shuffle(rows)
    return rows[:CHOICES], rows[CHOICES : 2 * CHOICES]
