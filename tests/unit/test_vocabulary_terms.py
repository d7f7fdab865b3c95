"""The terms that ship: complete, unique, a tree, and the same in every form."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import resources
from itertools import combinations

import pytest

from napari_pathseg.classes import STRUCTURES, UNSPECIFIED, Term
from napari_pathseg.errors import UnknownTermError
from napari_pathseg.vocabulary import Vocabulary, parse_prompt_text, prompt_text

TAUGHT = {
    "tissue": (
        "gland",
        "glandular epithelium",
        "glomerulus",
        "tumor epithelium",
        "tumor-associated stroma",
        "normal tissue",
    ),
    "nuclei": (
        "nucleus",
        "epithelial nucleus",
        "inflammatory nucleus",
        "spindle-shaped nucleus",
        "other nucleus",
        "neutrophil",
        "lymphocyte",
        "plasma cell",
        "eosinophil",
        "connective tissue nucleus",
        "Ki-67-positive nucleus",
        "Ki-67-negative nucleus",
        "neoplastic nucleus",
        "non-neoplastic nucleus",
    ),
}
_PANNUKE = (
    "adrenal gland, bile duct, bladder, breast, cervix, colon, esophagus, head and neck, kidney, "
    "liver, lung, ovary, pancreas, prostate, skin, stomach, testis, thyroid, uterus"
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


def names(entries: object) -> list[str]:
    return [entry.name for entry in entries]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("structure", "name"), [(s, name) for s, group in TAUGHT.items() for name in group]
)
def test_every_taught_term_exists_under_its_exact_name(
    vocabulary: Vocabulary, structure: str, name: str
) -> None:
    region = "kidney" if name == "glomerulus" else UNSPECIFIED
    assert vocabulary.entry(name).term == Term(region, structure, name)


def test_the_vocabulary_is_as_wide_as_promised(vocabulary: Vocabulary) -> None:
    assert {
        *_PANNUKE.split(", "),
        "brain",
        "larynx",
        "lymph node",
        "mediastinum",
        "pleura",
        "thymus",
    } <= set(vocabulary.regions)
    assert vocabulary.regions[0] == UNSPECIFIED
    assert {entry.term.structure for entry in vocabulary.entries} == set(STRUCTURES)
    assert len(vocabulary.entries) >= 61
    assert len(set(vocabulary.categories)) == len(vocabulary.categories) >= 160
    assert {term.region for term in vocabulary.categories} <= set(vocabulary.regions)


def test_every_entry_is_fully_described(vocabulary: Vocabulary) -> None:
    known = set(names(vocabulary.entries))
    for entry in vocabulary.entries:
        assert re.fullmatch(r"[A-Z].+\.", entry.definition), entry.name
        assert entry.synonyms, entry.name
        assert all(s == s.lower() and s.strip() == s for s in entry.synonyms), entry.name
        assert set(entry.related) <= known - {entry.name}, entry.name
        assert entry.mpp == 0.5 or entry.term.structure == "tissue", entry.name
        assert entry.mpp in (0.5, 1.0, 2.0)
        assert all(re.fullmatch(r"C?\d{4,7}|[A-Z]+", code) for _, code in entry.codes), entry.name


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("tumor", "tumor epithelium"),
        ("tumor", "adenocarcinoma"),
        ("stroma", "tumor-associated stroma"),
        ("epithelium", "glandular epithelium"),
        ("gland", "tumor gland"),
        ("inflammatory nucleus", "lymphocyte"),
        ("inflammatory nucleus", "plasma cell"),
        ("inflammatory nucleus", "neutrophil"),
        ("inflammatory nucleus", "eosinophil"),
        ("nucleus", "epithelial nucleus"),
        ("nucleus", "Ki-67-positive nucleus"),
        ("cell", "nucleus"),
        ("blood vessel", "artery"),
    ],
)
def test_the_tree_links_wide_terms_to_narrow_ones(
    vocabulary: Vocabulary, parent: str, child: str
) -> None:
    assert child in names(vocabulary.children(parent))
    assert child in names(vocabulary.descendants(parent))
    assert parent in names(vocabulary.ancestors(child))


def test_descendants_come_nearest_first_and_each_once(vocabulary: Vocabulary) -> None:
    found = names(vocabulary.descendants("cell"))
    assert len(set(found)) == len(found)
    assert found.index("nucleus") < found.index("lymphocyte") < found.index("t cell")
    assert vocabulary.descendants("t cell") == ()


def test_taught_terms_that_are_seen_together_have_colors_apart(vocabulary: Vocabulary) -> None:
    groups = (
        ["gland", "glandular epithelium", "tumor epithelium", "normal tissue"],
        ["tumor", "stroma", "necrosis", "lymphocytic infiltrate", "adipose tissue"],
        ["epithelial nucleus", "inflammatory nucleus", "spindle-shaped nucleus", "other nucleus"],
        ["neutrophil", "lymphocyte", "plasma cell", "eosinophil", "connective tissue nucleus"],
        ["neoplastic nucleus", "non-neoplastic nucleus"],
        ["Ki-67-positive nucleus", "Ki-67-negative nucleus"],
    )
    for group in groups:
        for one, other in combinations(group, 2):
            apart = zip(vocabulary.color(one), vocabulary.color(other), strict=True)
            assert sum(abs(a - b) for a, b in apart) > 90, (one, other)


def test_a_name_without_entry_gets_a_lasting_color(vocabulary: Vocabulary) -> None:
    assert vocabulary.color("my own class") == Vocabulary.load().color("my own class")
    assert vocabulary.color("gland") == vocabulary.entry("gland").color


def test_prompt_and_back_is_the_identity_for_every_entry_and_region(
    vocabulary: Vocabulary,
) -> None:
    for entry in vocabulary.entries:
        for region in vocabulary.regions:
            term = Term(region, entry.term.structure, entry.name)
            assert parse_prompt_text(prompt_text(term)) == term


def test_a_prompt_is_understood_as_the_term_it_was_made_from(vocabulary: Vocabulary) -> None:
    for term in (*vocabulary.categories, *(entry.term for entry in vocabulary.entries)):
        wanted = [vocabulary.entry(term.object).term if term.region == UNSPECIFIED else term]
        for text in (prompt_text(term), str(term)):
            resolution = vocabulary.resolve(text)
            assert [match.term for match in resolution.matches] == wanted, text
            assert not resolution.unknown


def test_an_unspecified_region_is_written_multiple() -> None:
    term = Term(UNSPECIFIED, "tissue", "tumor")
    assert prompt_text(term) == "tissue-level tumor in multiple pathology"
    assert parse_prompt_text("tumor") is None
    assert parse_prompt_text("organ-level tumor in colon pathology") is None


def test_every_name_and_synonym_means_its_entry_in_any_case(vocabulary: Vocabulary) -> None:
    for entry in vocabulary.entries:
        for text in (entry.name, *entry.synonyms):
            for typed in (text, text.upper(), text.capitalize()):
                resolution = vocabulary.resolve(typed)
                assert names(match.entry for match in resolution.matches) == [entry.name], typed
                assert not resolution.unknown


def test_an_unknown_name_raises_with_the_nearest(vocabulary: Vocabulary) -> None:
    with pytest.raises(UnknownTermError) as caught:
        vocabulary.entry("glomeruls")
    assert caught.value.unknown == ("glomeruls",)
    assert caught.value.suggestions[0] == "glomerulus"


def test_loading_is_fast_and_brings_nothing_heavy() -> None:
    code = (
        "import sys; from napari_pathseg.vocabulary import Vocabulary; Vocabulary.load();"
        "print([m for m in ('torch', 'napari', 'qtpy', 'dask', 'numpy') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
    terms = resources.files("napari_pathseg.vocabulary") / "data" / "terms.json"
    text = terms.read_text("utf-8")

    def least(work: Callable[[], object]) -> float:
        times = []
        for _ in range(10):
            started = time.process_time()
            work()
            times.append(time.process_time() - started)
        return min(times)

    # 30 ms where reading the JSON takes one: seconds alone would tell of the machine.
    assert least(Vocabulary.load) < 60 * least(lambda: json.loads(text))


def test_suggestions_can_be_kept_to_what_a_model_was_taught(vocabulary: Vocabulary) -> None:
    taught = [Term(UNSPECIFIED, s, name) for s, group in TAUGHT.items() for name in group]
    near = {"crypt": "gland", "t cell": "lymphocyte", "inflammation": "inflammatory nucleus"}
    for typed, wanted in near.items():
        found = vocabulary.suggest(typed, among=taught)
        assert found[0].name == wanted
        assert len(found) == 3
    assert names(vocabulary.suggest("?!", n=1, among=["lymphocyte", "gland"])) == ["gland"]
    assert vocabulary.suggest("gland", among=[]) == ()


@pytest.mark.parametrize(
    ("prefix", "first"),
    [
        ("glom", "glomerulus"),
        ("Glomeruli", "glomerulus"),
        ("tumour", "tumor"),
        ("tumour gl", "tumor gland"),
        ("til", "lymphocyte"),
        ("ki6", "Ki-67-positive nucleus"),
        ("plas", "plasma cell"),
        ("fat", "adipose tissue"),
    ],
)
def test_completion_finds_names_synonyms_and_spellings(
    vocabulary: Vocabulary, prefix: str, first: str
) -> None:
    assert vocabulary.complete(prefix)[0].entry.name == first


def test_completion_is_bounded_and_empty_for_nothing(vocabulary: Vocabulary) -> None:
    assert len(vocabulary.complete("e", n=4)) == 4
    assert vocabulary.complete("  ") == ()
    assert vocabulary.complete("qqq") == ()
