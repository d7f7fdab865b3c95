"""`pathseg terms`: what words mean, without a screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from napari_pathseg.cli.console import print_json, print_table

if TYPE_CHECKING:
    from napari_pathseg.classes import Term
    from napari_pathseg.vocabulary.entry import Entry, Match

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

    found = Vocabulary.load().resolve(text)
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


@terms.command(name="list")
@_json_option
def list_terms(as_json: bool) -> None:
    """List all terms."""
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    entries = Vocabulary.load().entries
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

    vocabulary = Vocabulary.load()
    found = vocabulary.resolve(name)
    single = len(found.matches) == 1 and not (found.unknown or found.excluded)
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


def _match_row(prefix: str, match: Match) -> tuple[str, ...]:
    return (
        f"{prefix}{match.phrase}",
        f"-> {match.term}",
        f"{match.how}, {match.score:.2f}",
        f"looked at with {match.entry.mpp:g} µm/px",
    )


def _match_facts(match: Match) -> dict[str, Any]:
    return {
        **_term_facts(match.term),
        "score": match.score,
        "mpp": match.entry.mpp,
        "phrase": match.phrase,
        "how": match.how,
    }


def _entry_facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name,
        **_term_facts(entry.term),
        "definition": entry.definition,
        "synonyms": list(entry.synonyms),
        "parent": entry.parent,
        "related": list(entry.related),
        "mpp": entry.mpp,
        "color": list(entry.color),
        "codes": [f"{ontology}:{code}" for ontology, code in entry.codes],
    }


def _term_facts(term: Term) -> dict[str, str]:
    return {"region": term.region, "structure": term.structure, "object": term.object}
