"""From what the user typed to what the model is asked: nothing is guessed in silence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_pathseg.classes import PALETTE, ClassList, LabelClass, Term
from napari_pathseg.errors import PromptError, UnknownTermError
from napari_pathseg.models.base import Segmenter
from napari_pathseg.prompts import TextPrompt
from napari_pathseg.vocabulary.entry import Entry, Match
from napari_pathseg.vocabulary.vocabulary import Vocabulary

OBJECT_COLOR = PALETTE[2]
NEAREST = 3


@dataclass(frozen=True, slots=True)
class Question:
    """One class of a request.

    Attributes
    ----------
    label_class : LabelClass
    asked_as : tuple of Term
        What the model is asked; several where a wide term stands for its parts. Empty when only
        clicks or a box were given.
    working_mpp : float or None
        Micrometres per pixel at which it is looked at; None = as the field is shown.
    note : str
        What the user must know of how it was understood; empty when there is nothing.
    """

    label_class: LabelClass
    asked_as: tuple[Term, ...]
    working_mpp: float | None
    note: str = ""


def understand(
    prompts: Sequence[TextPrompt],
    vocabulary: Vocabulary,
    segmenter: Segmenter,
    working_mpp: float | None = None,
) -> tuple[Question, ...]:
    """The questions of some text prompts, one for each term, in order.

    Parameters
    ----------
    working_mpp : float, optional
        Micrometres per pixel at which all are looked at; by default what the person chose for a
        term, else what suits it.

    Raises
    ------
    PromptError
        When a text is empty, too long, or rules out all it asks for.
    UnknownTermError
        When a word is not in the vocabulary or the model was not taught it.
    """
    matches: dict[Term, tuple[Match, str]] = {}
    for prompt in prompts:
        for match in _matches(prompt, vocabulary, segmenter):
            plain, note = _without_qualifier(match, vocabulary, segmenter)
            matches.setdefault(plain.term, (plain, note))
    questions = []
    for value, (match, note) in enumerate(matches.values(), start=1):
        asked = _asked_as(match, vocabulary, segmenter)
        name = _unique_name(match, [m for m, _ in matches.values()])
        label_class = LabelClass(value, name, match.term, match.entry.color)
        if not note and asked != (match.term,):
            parts = " and ".join(t.object for t in asked)
            note = f"'{match.phrase}' was looked for as {parts}."
        mpp = working_mpp or vocabulary.chosen_mpp(match.entry.name)
        mpp = mpp or _working_mpp(asked, match.entry, segmenter)
        questions.append(Question(label_class, asked, mpp, note))
    return tuple(questions)


def prompt_of_each_class(
    texts: Sequence[str], vocabulary: Vocabulary, segmenter: Segmenter
) -> list[str]:
    """The text that asks for each class, in the order of the classes' values.

    Raises
    ------
    PromptError
        When a text is empty, or asks only for what one before it asks: its value would be missing.
    UnknownTermError
    """
    prompts = [TextPrompt(text) for text in texts]
    owners: list[str] = []
    for last, text in enumerate(texts, start=1):
        count = len(understand(prompts[:last], vocabulary, segmenter))
        if count == len(owners):
            raise PromptError(
                f"The prompt {text!r} asks for what a prompt before it asks.", "Leave one out."
            )
        owners += [text] * (count - len(owners))
    return owners


def clicks_only() -> Question:
    """The question of points and boxes without words."""
    return Question(LabelClass(1, "object", None, OBJECT_COLOR), (), None)


def class_list(questions: Sequence[Question]) -> ClassList:
    """The classes of some questions."""
    return ClassList(tuple(q.label_class for q in questions))


def _matches(prompt: TextPrompt, vocabulary: Vocabulary, segmenter: Segmenter) -> tuple[Match, ...]:
    resolution = vocabulary.resolve(prompt.text)
    if resolution.unknown:
        near = [e.name for e in resolution.suggestions] or _nearest(
            resolution.unknown[0], vocabulary, segmenter
        )
        raise _unknown(resolution.unknown, near, "not in the vocabulary")
    excluded = {m.term.without_region for m in resolution.excluded}
    kept = tuple(m for m in resolution.matches if m.term.without_region not in excluded)
    if not kept:
        raise PromptError(
            f"The prompt '{prompt.text[:80]}' asks for nothing.",
            "Name at least one thing to segment, such as: gland.",
        )
    return kept


def _asked_as(match: Match, vocabulary: Vocabulary, segmenter: Segmenter) -> tuple[Term, ...]:
    """The term itself where taught, else its nearest taught parts."""
    if segmenter.knows(match.term):
        return (match.term,)
    front = list(vocabulary.children(match.entry.name))
    while front:
        taught = [e.term for e in front if segmenter.knows(e.term)]
        if taught:
            return tuple(_in_region(t, match.term.region) for t in taught)
        front = [child for e in front for child in vocabulary.children(e.name)]
    near = _nearest(match.phrase, vocabulary, segmenter)
    raise _unknown((match.phrase,), near, "not among the terms this model was taught")


def _without_qualifier(
    match: Match, vocabulary: Vocabulary, segmenter: Segmenter
) -> tuple[Match, str]:
    """A kind of tissue the model can not tell from its wider term, as that term, and a note.

    "Tumor gland" becomes "gland" and is called so: the head of the words stays, what they add is
    reported. A term with another head, such as "mitotic figure", is not widened.
    """
    name, parent = match.entry.name, match.entry.parent
    if parent is None or not name.endswith(f" {parent}") or match.term.structure != "tissue":
        return match, ""
    wider = vocabulary.entry(parent)
    if segmenter.knows(match.term) or not segmenter.knows(wider.term):
        return match, ""
    plain = Match(
        match.phrase, wider, _in_region(wider.term, match.term.region), match.score, "name"
    )
    note = f"'{match.phrase}' was looked for as {parent}: the model does not tell {name}s apart."
    return plain, note


def _in_region(term: Term, region: str) -> Term:
    return Term(region, term.structure, term.object)


def _nearest(text: str, vocabulary: Vocabulary, segmenter: Segmenter) -> list[str]:
    """Names of taught terms near a text, for the user to choose from."""
    taught = [e for e in vocabulary.entries if segmenter.knows(e.term)]
    names = {e.name for e in taught}
    return [e.name for e in vocabulary.suggest(text[:200], n=NEAREST, among=names)]


def _unknown(words: Sequence[str], near: Sequence[str], why: str) -> UnknownTermError:
    quoted = ", ".join(f"'{w[:60]}'" for w in words[:3])
    are = "is" if len(words) == 1 else "are"
    return UnknownTermError(
        f"{quoted} {are} {why}.",
        f"Near: {', '.join(near)}." if near else "See the list of terms.",
        unknown=tuple(words),
        suggestions=tuple(near),
    )


def _unique_name(match: Match, matches: Sequence[Match]) -> str:
    """The object's name, with the organ where the same object is asked in two."""
    same = [m for m in matches if m.entry.name == match.entry.name]
    return match.entry.name if len(same) == 1 else f"{match.entry.name} ({match.term.region})"


def _working_mpp(asked: Sequence[Term], entry: Entry, segmenter: Segmenter) -> float:
    own = [segmenter.card.working_mpp.get(t.object, entry.mpp) for t in asked]
    return min(own)
