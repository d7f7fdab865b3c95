"""Write the list of terms into docs/vocabulary.md, or check that it is there and up to date.

    python scripts/build_vocabulary.py [--check] [--ontologies FOLDER]

The same terms.json gives the same bytes. With FOLDER, which holds CL.json and UBERON.json as the
package cellxgene-ontology-guide has them (unpacked), each CL and UBERON code is looked up too.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from napari_pathseg.classes import STRUCTURES
from napari_pathseg.vocabulary import Vocabulary

PAGE = Path(__file__).parents[1] / "docs" / "vocabulary.md"
BEGIN, END = "<!-- terms: begin -->\n", "<!-- terms: end -->\n"


def table(vocabulary: Vocabulary) -> str:
    """Markdown: one table a structure, one line a term."""
    lines = [
        f"{len(vocabulary.entries)} terms in {len(vocabulary.regions)} regions, "
        f"{len(vocabulary.categories)} categories of region x structure x object.",
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
                cells += (", ".join(entry.synonyms), entry.definition, codes)
                lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_table(page: str, text: str) -> str:
    """The page with the text between its two marks."""
    before, rest = page.split(BEGIN)
    return f"{before}{BEGIN}\n{text}\n{END}{rest.split(END)[1]}"


def unknown_codes(vocabulary: Vocabulary, folder: Path) -> Iterator[str]:
    """A line for each code that an ontology does not have or has given up."""
    for name in ("CL", "UBERON"):
        terms = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        for entry in vocabulary.entries:
            for ontology, code in entry.codes:
                term = terms.get(f"{ontology}:{code}") if ontology == name else {}
                if term is None or term.get("deprecated"):
                    yield f"{entry.name}: {ontology}:{code} is not in {name}"


def main() -> int:
    """Write or check; 1 when the page is out of date or a code is unknown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    parser.add_argument("--ontologies", type=Path, help="folder with CL.json and UBERON.json")
    options = parser.parse_args()
    vocabulary = Vocabulary.load()
    old = PAGE.read_text(encoding="utf-8")
    new = with_table(old, table(vocabulary))
    problems = list(unknown_codes(vocabulary, options.ontologies)) if options.ontologies else []
    if options.check and new != old:
        problems.append(f"{PAGE.name} is out of date: run this script without --check")
    elif new != old:
        PAGE.write_text(new, encoding="utf-8", newline="\n")
    print("\n".join(problems) or f"{PAGE.name} is up to date")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
