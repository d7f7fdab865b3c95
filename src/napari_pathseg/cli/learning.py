"""`pathseg train --from`: a training bundle becomes an adapter, or a whole model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from napari_pathseg.cli.console import interrupted_code, note, print_table, progress_line
from napari_pathseg.errors import PathsegError, describe_os_error

if TYPE_CHECKING:
    from napari_pathseg.classes import ClassList, Term
    from napari_pathseg.models.base import Figure
    from napari_pathseg.progress import ProgressCallback
    from napari_pathseg.training.cases import Case
    from napari_pathseg.training.lesson import Lesson, LessonField
    from napari_pathseg.vocabulary.vocabulary import Vocabulary


HELD_OUT = "corrected fields kept for validation"


def learn_bundle(
    bundle: Path, texts: Sequence[str], out: Path, model: str, name: str | None, author: str
) -> None:
    """Learn terms of a bundle; writes the adapter, its card and a report into a folder.

    Raises
    ------
    PathsegError
        When there is too little to learn from, or a file can not be read or written.
    """
    from napari_pathseg.cli.results import check_writable
    from napari_pathseg.models.adapter import save_adapter
    from napari_pathseg.models.adapter_card import SUFFIX
    from napari_pathseg.models.adapter_folder import file_stem
    from napari_pathseg.models.registry import fetch_base, load_segmenter
    from napari_pathseg.training.learning import learn
    from napari_pathseg.training.lesson import adapter_of
    from napari_pathseg.training.lesson_page import lesson_facts, lesson_page
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    check_writable(out)
    vocabulary = Vocabulary.of_user()
    subjects = _subjects(bundle, texts, vocabulary)
    with progress_line() as progress:
        fetch_base(model, progress)
        segmenter = load_segmenter(model)
        lessons = [
            learn(term, fields, segmenter, progress=progress) for term, fields in subjects.items()
        ]
    adapter = adapter_of(lessons, segmenter.card, name=name or "", author=author)
    title = adapter.card.name
    path = out / f"{file_stem(title)}{SUFFIX}"
    save_adapter(adapter, path)
    facts = {
        "adapter": path.name,
        "card": adapter.card.to_json(),
        "terms": [lesson_facts(lesson) for lesson in lessons],
    }
    _write(out / "card.json", json.dumps(adapter.card.to_json(), indent=2) + "\n")
    _write(out / "report.json", json.dumps(facts, indent=2) + "\n")
    _write(out / "report.html", lesson_page(lessons, f"Adapter: {title}"))
    _print(lessons)
    click.echo(path)


def _print(lessons: Sequence[Lesson]) -> None:
    from napari_pathseg.training.lesson_page import figure

    rows = []
    for lesson in lessons:
        taught = lesson.taught
        before = figure(taught.before) if taught.added else "not known"
        fields = f"{taught.fields} fields of {taught.slides} slides"
        after = f"Dice {before} -> {figure(taught.after)} on held-out fields"
        rows.append((taught.term.object, fields, after, f"{lesson.seconds:.0f} s"))
    print_table(rows)
    for lesson in lessons:
        if not lesson.better:
            note(f"{lesson.taught.term.object} is not answered better than before.")


def _subjects(
    bundle: Path, texts: Sequence[str], vocabulary: Vocabulary
) -> dict[Term, list[LessonField]]:
    """The terms to learn and their fields: those asked for, else all with enough fields."""
    from napari_pathseg.export.bundle import read_bundle_lines
    from napari_pathseg.labels.record import FieldRecord
    from napari_pathseg.training.lesson import check_enough, term_of

    lines = read_bundle_lines(bundle)
    classes: list[ClassList] = [FieldRecord.from_json(line).classes for line in lines]
    offered = {term_of(c, vocabulary): c.name for own in classes for c in own}
    asked = [_asked(text, offered, vocabulary) for text in texts] or list(offered)
    subjects = {term: _fields(bundle, lines, term, vocabulary) for term in dict.fromkeys(asked)}
    enough = {}
    for term, fields in subjects.items():
        try:
            check_enough(fields, term.object)
        except PathsegError as error:
            if texts or len(subjects) == 1:
                raise
            note(f"{error.what} It is left out.")
        else:
            enough[term] = fields
    if not enough:
        raise PathsegError(
            f"{bundle}: no class has enough reviewed fields to learn from.",
            "Correct and accept more fields, and export them again.",
        )
    return enough


def _asked(text: str, offered: dict[Term, str], vocabulary: Vocabulary) -> Term:
    wanted = text.strip().lower()
    for term, name in offered.items():
        if wanted in (name.lower(), term.object.lower()):
            return term
    found = vocabulary.resolve(text)
    if len(found.matches) == 1 and found.matches[0].term.without_region in offered:
        return found.matches[0].term.without_region
    raise PathsegError(
        f"The bundle has no class '{text}'.", f"It has: {', '.join(sorted(offered.values()))}."
    )


def _fields(
    bundle: Path, lines: Sequence[dict[str, Any]], term: Term, vocabulary: Vocabulary
) -> list[LessonField]:
    from napari_pathseg.export.bundle import read_bundle_field
    from napari_pathseg.slide.base import RGB
    from napari_pathseg.training.lesson import lesson_fields

    def read(line: dict[str, Any]) -> RGB:
        image = read_bundle_field(bundle, line).image
        assert image is not None
        return image

    fields = ((line, read_bundle_field(bundle, line, image=False)) for line in lines)
    given = ((field.record, field.mask, partial(read, line)) for line, field in fields)
    return lesson_fields(given, term, vocabulary)


def cases_of_bundle(bundle: Path) -> list[Case]:
    """The reviewed fields of a bundle as cases to train on and to measure."""
    from napari_pathseg.export.bundle import read_bundle_lines, read_splits
    from napari_pathseg.training.bundle_cases import bundle_cases
    from napari_pathseg.vocabulary.vocabulary import Vocabulary

    lines = [line for line in read_bundle_lines(bundle) if line["status"] != "proposed"]
    return bundle_cases(bundle, lines, read_splits(bundle), Vocabulary.of_user())


def fine_tune_bundle(bundle: Path, out: Path, start: Path | None, minutes: float) -> None:
    """Train the whole model further on a bundle; a stopped run goes on from its checkpoint.

    The fields kept for validation are asked of both models afterwards; the card gets the figures.

    Raises
    ------
    PathsegError
        When there is nothing to train on, or a file can not be read or written.
    """
    from napari_pathseg.cli.results import check_writable
    from napari_pathseg.models.registry import DEFAULT, load_card, model_path
    from napari_pathseg.training.bundle_cases import bundle_recipe
    from napari_pathseg.training.finish import write_model
    from napari_pathseg.training.loop import Trainer, build_network

    start = start or model_path(DEFAULT)
    check_writable(out)
    cases = cases_of_bundle(bundle)
    recipe = replace(bundle_recipe(cases, load_card(start)), minutes=minutes)
    path, checkpoint = out / "model.safetensors", out / "checkpoint.pt"
    if checkpoint.exists():
        note(f"goes on from {checkpoint}; remove it to begin anew.")
    try:
        with progress_line() as progress, _write_errors(out):
            network = Trainer(build_network(cases, recipe, start), recipe, cases, out).run(progress)
    except KeyboardInterrupt:
        note(f"stopped; the same command goes on from {checkpoint}.")
        raise SystemExit(interrupted_code()) from None
    with progress_line() as progress, _write_errors(out):
        write_model(network, path, recipe)
        before, after = (_figures(cases, model, progress) for model in (start, path))
        write_model(network, path, recipe, after)
    _compare(before, after)
    click.echo(path)


def _figures(cases: Sequence[Case], model: Path, progress: ProgressCallback) -> list[Figure]:
    """Mean Dice of each term over the fields kept for validation that hold it."""
    from napari_pathseg.cli.evaluate import truths_of
    from napari_pathseg.inference.adapting import load_adapted
    from napari_pathseg.inference.evaluation import evaluate
    from napari_pathseg.models.base import Figure
    from napari_pathseg.progress import Progress

    segmenter, vocabulary = load_adapted(str(model), [])
    held_out = [case for case in cases if case.split == "val"]
    found: dict[str, list[float]] = {}
    for number, case in enumerate(held_out):
        progress(Progress(number, len(held_out), f"Measuring {model.name}"))
        for one in evaluate(truths_of(case), segmenter, vocabulary, "text"):
            if one.present:
                found.setdefault(one.term, []).append(one.dice)
    return [
        Figure(HELD_OUT, term, "text", len(dice), sum(dice) / len(dice))
        for term, dice in sorted(found.items())
    ]


def _compare(before: Sequence[Figure], after: Sequence[Figure]) -> None:
    if not after:
        note("no field is kept for validation: measure the model before you use it.")
        return
    old = {figure.term: f"{figure.dice:.3f}" for figure in before}
    rows = [("term", "fields", "Dice before", "Dice after")]
    rows += [(f.term, str(f.n), old.get(f.term, "not known"), f"{f.dice:.3f}") for f in after]
    print_table(rows)


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    with _write_errors(path):
        part.write_text(text, encoding="utf-8")
        part.replace(path)


@contextmanager
def _write_errors(path: Path) -> Iterator[None]:
    """Say which place could not be written."""
    try:
        yield
    except OSError as error:
        raise PathsegError(describe_os_error(error, path), "Make room there.") from error
