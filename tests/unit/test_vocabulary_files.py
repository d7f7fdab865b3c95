"""The user's own terms and other people's class lists: read, written, checked, never run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import UNSPECIFIED, Term
from napari_pathseg.errors import PromptError
from napari_pathseg.vocabulary import Entry, Vocabulary
from napari_pathseg.vocabulary.importer import (
    NamedColor,
    format_qupath_classes,
    map_classes,
    own_terms,
    read_classes,
)
from napari_pathseg.vocabulary.termfile import format_terms, parse_terms, read_terms

OWN = Entry(
    Term(UNSPECIFIED, "tissue", "elastic lamina"),
    ("lamina elastica", "elastic layer"),
    "Elastic sheet of an artery.",
    "artery",
    ("collagen",),
    0.5,
    (10, 20, 30),
    (("UBERON", "0000000"),),
)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary.load()


def test_own_terms_are_added_saved_and_loaded(vocabulary: Vocabulary, tmp_path: Path) -> None:
    larger = vocabulary.add(OWN)
    assert larger.resolve("laminae elasticae").matches[0].entry == OWN
    assert larger.resolve("Elastic-Lamina").matches[0].entry == OWN
    assert vocabulary.resolve("elastic lamina").unknown
    assert [entry.name for entry in larger.children("artery")] == ["elastic lamina"]
    path = tmp_path / "own terms é.json"
    larger.save(path)
    loaded = Vocabulary.load(path)
    assert loaded.entries == larger.entries
    again = tmp_path / "again.json"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()


def test_the_file_that_ships_is_written_back_byte_for_byte(vocabulary: Vocabulary) -> None:
    import napari_pathseg.vocabulary as package

    path = Path(package.__file__).parent / "data" / "terms.json"
    text = path.read_text(encoding="utf-8")
    content = parse_terms(text, "terms.json")
    assert format_terms(content) == text


@pytest.mark.parametrize("name", ["gland", "Glands", "tumour", "TIL"])
def test_a_name_that_is_taken_is_refused(vocabulary: Vocabulary, name: str) -> None:
    taken = Entry(Term(UNSPECIFIED, "tissue", name), (), "", None, (), 1.0, (0, 0, 0))
    with pytest.raises(PromptError, match="already means"):
        vocabulary.add(taken)


def test_a_tree_that_bites_its_tail_is_refused(vocabulary: Vocabulary) -> None:
    def entry(name: str, parent: str) -> dict[str, str]:
        return {"name": name, "structure": "tissue", "parent": parent}

    def load(*entries: dict[str, str]) -> None:
        text = json.dumps({"format": "napari-pathseg terms", "version": 1, "entries": entries})
        vocabulary.with_terms(parse_terms(text, "own.json"))

    load(entry("alpha body", "gland"), entry("beta body", "alpha body"))
    with pytest.raises(PromptError, match="own parent"):
        load(entry("alpha body", "beta body"), entry("beta body", "alpha body"))
    with pytest.raises(PromptError, match=r"'nowhere'.*does not exist"):
        load(entry("alpha body", "nowhere"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name is missing"),
        ({"structure": "organ"}, "structure must be one of tissue, cell, nuclei"),
        ({"mpp": 0}, "mpp must lie between"),
        ({"mpp": True}, "mpp has the wrong type"),
        ({"color": "red"}, "color must be like #0072b2"),
        ({"synonyms": "gland"}, "synonyms has the wrong type"),
        ({"synonyms": [1]}, "synonyms: must be a list of words"),
        ({"codes": {"CL": 1}}, "codes must be like"),
        ({"colour": "#000000"}, "unknown key 'colour'"),
    ],
)
def test_a_bad_term_is_named_with_its_fault(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    term = {"name": "alpha body", "structure": "tissue"} | change
    path = tmp_path / "own.json"
    path.write_text(
        json.dumps({"format": "napari-pathseg terms", "version": 1, "entries": [term]}),
        encoding="utf-8",
    )
    with pytest.raises(PromptError, match=message) as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "is no term file"),
        (b'{"format": "napari-pathseg terms", "version": 9}', "has version 9"),
        (b'{"format": "napari-pathseg terms", "version": 1, "entries": {}}', "wrong type"),
        (b'{"format": "napari-pathseg terms", "version": 1, "entries": [3]}', "must be an object"),
    ],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "own.json"
    path.write_bytes(content)
    with pytest.raises(PromptError, match=message):
        Vocabulary.load(path)


def test_a_missing_or_unwritable_file_is_named(vocabulary: Vocabulary, tmp_path: Path) -> None:
    missing = tmp_path / "no" / "own.json"
    for act in (Vocabulary.load, read_classes):
        with pytest.raises(PromptError, match="no such file"):
            act(missing)
    (tmp_path / "file").touch()
    with pytest.raises(PromptError, match="Choose another folder"):
        vocabulary.save(tmp_path / "file" / "own.json")


def test_chosen_colors_and_resolutions_are_kept_and_shared(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    path = tmp_path / "own.json"
    chosen = vocabulary.with_color("gland", (1, 2, 3)).with_color("my class", (4, 5, 6))
    chosen.with_mpp("gland", 0.75).add(OWN).save(path)
    loaded = Vocabulary.load(path)
    (match,) = loaded.resolve("glands").matches
    assert (match.entry.color, match.entry.mpp) == ((1, 2, 3), 0.75)
    assert (loaded.chosen_mpp("gland"), loaded.chosen_mpp("nucleus")) == (0.75, None)
    assert loaded.color("my class") == (4, 5, 6)
    assert [entry.name for entry in loaded.own.entries] == ["elastic lamina"]
    # Taken over twice, or by one who has the term already, nothing is doubled.
    assert loaded.with_terms(read_terms(path)).entries == loaded.entries


def test_only_own_terms_are_removed(vocabulary: Vocabulary) -> None:
    larger = vocabulary.add(OWN)
    assert larger.without("elastic lamina").entries == vocabulary.entries
    with pytest.raises(PromptError, match="no term of your own"):
        larger.without("gland")
    below = larger.add(
        replace(
            OWN,
            synonyms=(),
            term=Term("unspecified", "tissue", "fenestra"),
            parent="elastic lamina",
        )
    )
    with pytest.raises(PromptError, match="does not exist"):
        below.without("elastic lamina")


def test_a_class_is_never_mapped_by_its_meaning_only_offered(vocabulary: Vocabulary) -> None:
    (row,) = map_classes(["Mucinous_lakes"], vocabulary).rows
    assert row.match is None
    assert row.suggestions[0].name == "mucus"


def test_unknown_classes_become_own_terms_in_their_colors(vocabulary: Vocabulary) -> None:
    report = map_classes(["Tumour", "Blorb"], vocabulary)
    larger = vocabulary.with_terms(own_terms(report, "cell", {"Blorb": (9, 8, 7)}, vocabulary))
    entry = larger.entry("Blorb")
    assert (entry.term.structure, entry.color, entry.mpp) == ("cell", (9, 8, 7), 0.5)
    assert larger.own.entries == (entry,)


# Class lists.

PATHSEG = """
import os, nowhere_to_be_found
open({marker!r}, "w").write("was run")
OTHER = [str(i) for i in range(3)]
NUMBERS = [1, 2]
COLORS = ["red", "green"]
PATHSEG_CLASSES = {classes!r}
"""


def test_pathsegmentors_constants_are_parsed_and_not_run(
    vocabulary: Vocabulary, tmp_path: Path
) -> None:
    known = [f"{t.region}-{t.structure}-{t.object}" for t in vocabulary.categories[:150]]
    strange = [f"breast-tissue-sparkle {i}" for i in range(10)]
    marker = tmp_path / "marker"
    path = tmp_path / "constants.py"
    text = PATHSEG.format(marker=str(marker), classes=known + strange)
    path.write_text(text, encoding="utf-8")
    classes = read_classes(path)
    assert [item.name for item in classes] == known + strange
    report = map_classes([item.name for item in classes], vocabulary)
    assert not marker.exists()
    assert len(report.rows) == 160
    assert [row.name for row in report.unmapped] == strange
    for row, term in zip(report.mapped, vocabulary.categories, strict=False):
        assert row.match is not None
        assert row.match.term.object == term.object
    places = {name.split("-")[0] for name in known if not name.startswith(UNSPECIFIED)}
    assert report.regions == len(places)
    assert report.structures == 1
    assert report.objects == len({name.split("-", 2)[2] for name in known + strange})


@pytest.mark.parametrize(
    ("name", "term"),
    [
        ("breast-tissue-tumor", ("breast", "tissue", "tumor")),
        ("colon-nuclei-epithelial", ("colon", "nuclei", "epithelial nucleus")),
        ("unspecified-nuclei-inflammatory", ("unspecified", "nuclei", "inflammatory nucleus")),
        ("TumorEpithelium", ("unspecified", "tissue", "tumor epithelium")),
        ("blood_vessel", ("unspecified", "tissue", "blood vessel")),
        ("Plasma cells", ("unspecified", "nuclei", "plasma cell")),
    ],
)
def test_class_names_are_mapped(
    vocabulary: Vocabulary, name: str, term: tuple[str, str, str]
) -> None:
    (row,) = map_classes([name], vocabulary).rows
    assert row.match is not None
    assert row.match.term == Term(*term)


@pytest.mark.parametrize("name", ["sparkle", "tumor and stroma", "not stroma", "", "x" * 3000])
def test_a_class_name_that_means_no_single_term_stays_unmapped(
    vocabulary: Vocabulary, name: str
) -> None:
    (row,) = map_classes([name], vocabulary).unmapped
    assert row.match is None


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("a.txt", "gland\n# a remark\n\nstroma # inner\ngland\n"),
        ("a.csv", "id,name\n1,gland\n2,stroma\n"),
        ("b.csv", "gland;1\nstroma;2\n"),
        ("a.tsv", "label\tvalue\ngland\t1\nstroma\t2\n"),
        ("a.json", '["gland", "stroma"]'),
        ("b.json", '{"0": "gland", "1": "stroma"}'),
        ("c.json", '{"gland": 1, "stroma": 2}'),
        ("d.json", '{"categories": [{"id": 1, "name": "gland"}, {"id": 2, "name": "stroma"}]}'),
        ("a.py", "LABELS: tuple = ('gland', 'stroma')\n"),
        ("b.py", "LABELS = {0: 'gland', 1: 'stroma'}\n"),
    ],
)
def test_class_lists_are_read_from_many_files(tmp_path: Path, file: str, content: str) -> None:
    path = tmp_path / file
    path.write_text(content, encoding="utf-8-sig")
    assert [item.name for item in read_classes(path)] == ["gland", "stroma"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("a.xlsx", "", "can not be read from .xlsx"),
        ("a.txt", "# nothing\n", "holds no class names"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "7", "holds no class names"),
        ("a.py", "def", "is not Python"),
        ("a.py", "A = ['x']\nB = ['y']\n", "assigns 2 lists"),
        ("a.py", "A = make()\n", "assigns 0 lists"),
        ("a.py", "(" * 5000, "is not Python"),
    ],
)
def test_files_without_a_class_list_are_refused(
    tmp_path: Path, file: str, content: str, message: str
) -> None:
    path = tmp_path / file
    path.write_text(content, encoding="utf-8")
    with pytest.raises(PromptError, match=message):
        read_classes(path)


COLORS = st.tuples(*[st.integers(0, 255)] * 3)
CLASSES = st.lists(
    st.builds(
        NamedColor,
        st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(
            lambda name: name == name.strip() != ""
        ),
        st.none() | COLORS,
    ),
    min_size=1,
    unique_by=lambda item: item.name,
)


@settings(deadline=None)
@given(classes=CLASSES)
def test_qupath_classes_go_out_and_in_unchanged(
    tmp_path_factory: pytest.TempPathFactory, classes: list[NamedColor]
) -> None:
    text = format_qupath_classes(classes)
    for item in json.loads(text)["pathClasses"]:
        assert -(2**31) <= item.get("color", 0) < 2**31
    path = tmp_path_factory.getbasetemp() / "classes.json"
    path.write_text(text, encoding="utf-8")
    assert list(read_classes(path)) == classes


def test_qupath_colors_are_packed_as_java_does(tmp_path: Path) -> None:
    text = format_qupath_classes([NamedColor("Tumor", (200, 0, 0))])
    assert json.loads(text)["pathClasses"] == [{"name": "Tumor", "color": -3670016}]
    path = tmp_path / "classes.json"
    path.write_text('{"pathClasses": [{"name": "Tumor", "color": [200, 0, 0]}]}', encoding="utf-8")
    assert read_classes(path) == (NamedColor("Tumor", (200, 0, 0)),)
