"""`pathseg terms`: what words mean, without a screen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_pathseg.classes import STRUCTURES
from napari_pathseg.cli.console import note, print_json, print_table

if TYPE_CHECKING:
    from napari_pathseg.vocabulary.entry import Entry, Match
    from napari_pathseg.vocabulary.importer import ImportRow
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def terms() -> None:
    """Look up what words mean to the model."""


@terms.command()
@click.argument("text")
@_json_option
def resolve(text: str, as_json: bool) -> None:
    """Tell how TEXT is understood, as the panel does."""
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    found = Vocabulary.of_user().resolve(text)
    suggestions = [entry.name for entry in found.suggestions]
    if as_json:
        print_json(
            {
                "text": found.text,
                "terms": [_match_facts(match) for match in found.matches],
                "excluded": [_match_facts(match) for match in found.excluded],
                "unknown": list(found.unknown),
                "suggestions": suggestions,
            }
        )
        return
    rows = [_match_row("", match) for match in found.matches]
    print_table(rows + [_match_row("not ", match) for match in found.excluded])
    for phrase in found.unknown:
        click.echo(f"unknown: {phrase}")
    if suggestions:
        click.echo(f"near: {', '.join(suggestions)}")


@terms.command()
@click.argument("name")
@click.option("--structure", type=click.Choice(STRUCTURES), required=True)
@click.option("--parent", help="Name of the wider term.")
@click.option("--synonym", "synonyms", multiple=True, help="Another name; may be repeated.")
@click.option("--definition", default="", help="One sentence.")
@click.option("--mpp", type=float, help="µm/px at which it is seen; 1 for tissue, else 0.5.")
@click.option("--color", help="Such as #0072b2; one that lasts by default.")
def add(name: str, structure: str, color: str | None, **facts: Any) -> None:
    """Add a term of your own, called NAME."""
    from napari_pathseg.vocabulary.termfile import entry_of
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    vocabulary = Vocabulary.of_user()
    facts |= {"color": color or "#{:02x}{:02x}{:02x}".format(*vocabulary.color(name))}
    given = {key: list(v) if isinstance(v, tuple) else v for key, v in facts.items() if v}
    entry = entry_of({"name": name, "structure": structure, **given}, "pathseg terms add")
    _keep(vocabulary.add(entry), f"added {entry.term}")


@terms.command()
@click.argument("name")
def remove(name: str) -> None:
    """Remove a term of your own, called NAME."""
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    _keep(Vocabulary.of_user().without(name), f"removed {name}")


@terms.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--add-unknown",
    "structure",
    type=click.Choice(STRUCTURES),
    help="Make terms of your own of the names that mean no term.",
)
@_json_option
def import_file(file: Path, structure: str | None, as_json: bool) -> None:
    """Take over the terms that others share, or tell what a list of classes means.

    FILE is a term file, or a class list as text, CSV, JSON (QuPath, COCO) or Python; a Python file
    is read and not run.
    """
    from napari_pathseg.vocabulary.importer import map_classes, own_terms, read_classes
    from napari_pathseg.vocabulary.termfile import is_term_file, read_terms
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    vocabulary = Vocabulary.of_user()
    if is_term_file(file):
        content = read_terms(file)
        _keep(vocabulary.with_terms(content), f"added {len(content.entries)} terms")
        return
    classes = read_classes(file)
    report = map_classes([item.name for item in classes], vocabulary)
    if as_json:
        print_json([_row_facts(row) for row in report.rows])
    else:
        print_table([_row_cells(row) for row in report.rows])
        click.echo(f"{len(report.mapped)} of {len(report.rows)} names mean a term")
    if structure and report.unmapped:
        colors = {item.name: item.color for item in classes if item.color}
        taken = own_terms(report, structure, colors, vocabulary)
        _keep(vocabulary.with_terms(taken), f"added {len(taken.entries)} terms")


@terms.command()
@click.argument("file", type=click.Path(path_type=Path))
def export(file: Path) -> None:
    """Write your own terms, colours and resolutions to FILE, to share them."""
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    Vocabulary.of_user().save(file)
    note(f"written to {file}")


def _keep(vocabulary: Vocabulary, done: str) -> None:
    """Save what the user has changed."""
    from napari_pathseg.vocabulary.termfile import own_terms_path

    vocabulary.save(own_terms_path())
    note(f"{done}; kept in {own_terms_path()}")


@terms.command(name="list")
@_json_option
def list_terms(as_json: bool) -> None:
    """List all terms."""
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    entries = Vocabulary.of_user().entries
    if as_json:
        print_json([_entry_facts(entry) for entry in entries])
    else:
        print_table([(entry.name, entry.term.structure, entry.definition) for entry in entries])


@terms.command()
@click.argument("name")
@_json_option
def show(name: str, as_json: bool) -> None:
    """Show all that is known of a term by its NAME or a synonym."""
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    vocabulary = Vocabulary.of_user()
    found = vocabulary.resolve(name)
    single = len(found.matches) == 1 and not (found.unknown or found.excluded)
    single = single and found.matches[0].how != "meaning"
    facts = _entry_facts(found.matches[0].entry if single else vocabulary.entry(name))
    if as_json:
        print_json(facts)
        return
    print_table(
        [
            (key, ", ".join(map(str, value)) if isinstance(value, list) else str(value))
            for key, value in facts.items()
            if value not in (None, [])
        ]
    )


def _row_facts(row: ImportRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "term": None if row.match is None else row.match.term.facts,
        "suggestions": [entry.name for entry in row.suggestions],
    }


def _row_cells(row: ImportRow) -> tuple[str, ...]:
    near = ", ".join(entry.name for entry in row.suggestions)
    return row.name, f"-> {row.match.term}" if row.match else f"unknown; near: {near}"


def _match_row(prefix: str, match: Match) -> tuple[str, ...]:
    return (
        f"{prefix}{match.phrase}",
        f"-> {match.term}",
        f"{match.how}, {match.score:.2f}",
        f"looked at with {match.entry.mpp:g} µm/px",
    )


def _match_facts(match: Match) -> dict[str, Any]:
    return {
        **match.term.facts,
        "score": match.score,
        "mpp": match.entry.mpp,
        "phrase": match.phrase,
        "how": match.how,
    }


def _entry_facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        **entry.term.facts,
        "definition": entry.definition,
        "synonyms": list(entry.synonyms),
        "parent": entry.parent,
        "related": list(entry.related),
        "mpp": entry.mpp,
        "color": list(entry.color),
        "codes": [f"{ontology}:{code}" for ontology, code in entry.codes],
    }
