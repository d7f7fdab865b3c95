"""Prompts that nobody meant: no exception but PromptError, nothing mapped, kept byte for byte."""

from __future__ import annotations

import json
import random
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import PromptError
from napari_pathseg.geometry import Field
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import MAX_TEXT_LENGTH, TextPrompt
from napari_pathseg.vocabulary import Vocabulary
from napari_pathseg.vocabulary.entry import Match

VOCABULARY = Vocabulary.load()
NAMES = [entry.name for entry in VOCABULARY.entries]
PIECES = [
    *NAMES[:40],
    *(" and ", "; ", ", ", " not ", " without ", " in colon", " around ", "of", "\n", "+", "-"),
    *("\u202e", "\x00", "🙂", "腺体", "الغدة", "железа", "non", "'s", "{", "/", "ki67+ ", "(", ")"),
]
ODD = st.one_of(
    st.text(max_size=120),
    st.text(st.characters(categories=("Cc", "Cf", "Co", "Cs", "So", "Mn", "Zs")), max_size=40),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.sampled_from(PIECES), max_size=12).map(" ".join),
)


def described(match: Match) -> tuple[str, float, str]:
    return match.phrase, match.score, match.how


@pytest.mark.parametrize("text", ["", " ", "\n\t \r", "\u00a0\u2003"])
def test_an_empty_prompt_is_refused(text: str) -> None:
    with pytest.raises(PromptError, match="empty"):
        VOCABULARY.resolve(text)


@pytest.mark.parametrize("length", [MAX_TEXT_LENGTH + 1, 100_000])
def test_a_prompt_that_is_too_long_is_refused_with_its_length(length: int) -> None:
    with pytest.raises(PromptError, match=f"{length:,} characters"):
        VOCABULARY.resolve("gland " * (length // 6) + "x" * (length % 6))


def test_the_longest_prompt_is_read() -> None:
    text = ("gland;" * MAX_TEXT_LENGTH)[:MAX_TEXT_LENGTH]
    assert [match.entry.name for match in VOCABULARY.resolve(text).matches] == ["gland"]


@pytest.mark.parametrize(
    "text",
    [
        "\u202eglands",
        "gla\x00nds",
        "nu\u200bclei",
        "\ue000 tumor",
        "\ud800 tumor",
        "🙂🔬",
        "腺体",
        "腺",
        "الغدة",
        "железа",
        '{"prompt": "tumor"}',
        "[tumor] = 1",
        "SELECT * FROM nuclei",
        "'; DROP TABLE nuclei; --",
        "<script>tumor</script>",
        "/home/someone/tumor.svs",
        "../../tumor",
        "C:\\slides\\stroma.tif",
        "https://example.org/gland",
        "tumor.svs",
        "$(gland)",
        "???",
        "...",
        "0",
    ],
)
def test_what_is_no_words_is_unknown(text: str) -> None:
    resolution = VOCABULARY.resolve(text)
    assert resolution.text == text
    assert resolution.unknown
    if "DROP" not in text:  # Three parts, one of which is the word "nuclei".
        assert resolution.matches == ()


def test_a_strange_character_spoils_only_its_own_line() -> None:
    resolution = VOCABULARY.resolve("gla\x07nds\nstroma")
    assert [match.entry.name for match in resolution.matches] == ["stroma"]
    assert resolution.unknown == ("gla\x07nds",)


def hostile_prompts(count: int) -> list[str]:
    """Empty, endless, strange letters and signs, code, paths and mixtures; always the same."""
    chooser = random.Random(11)
    pieces = [
        *(
            "",
            " ",
            "\t\n",
            "\x00",
            "\x1b[31m",
            "\u202e",
            "\u200b",
            "\ufeff",
            "\ud83d",
            "\U0001f52c",
        ),
        *("腺体", "الغدة", "железа", "αδένας", "gländ", "ﬁbrosis", "Ⅳ", "a\u0301" * 5, "🙂" * 9),
        *('{"a": [1, {"b": null}]}', "[" * 50, "'; DROP TABLE labels; --", "SELECT * FROM x"),
        *("../../etc/passwd", "C:\\Windows\\x.exe", "file:///a", "${HOME}", "`rm`", "%s%n", "<b>"),
        *(
            "not",
            "and",
            "of",
            "around",
            "gland",
            "TILs",
            "not not",
            "(",
            ")",
            '"',
            "''",
            "-1",
            "nan",
        ),
        *("tumour " * 60, "x" * 1999, "x" * 2001, "gland;" * 20_000, "of the " * 200),
    ]
    prompts = [*pieces, "y" * 100_000]
    while len(prompts) < count:
        joined = chooser.choice(["", " ", "; ", "\n"])
        prompts.append(joined.join(chooser.choices(pieces[:-4], k=chooser.randint(1, 6))))
    return prompts


def test_a_thousand_hostile_prompts_are_read_or_refused_and_kept_byte_for_byte() -> None:
    field = Field(0, 0, 0, 64, 64, (1.0, 1.0))
    prompts = hostile_prompts(1000)
    for text in prompts:
        try:
            resolution = VOCABULARY.resolve(text)
        except PromptError:
            assert not text.strip() or len(text) > MAX_TEXT_LENGTH
        else:
            assert resolution.text == text
        record = FieldRecord.new(
            field, ClassList(), slide_identity="s", slide_name="s", mpp=None,
            prompts=[TextPrompt(text)],
        )  # fmt: skip
        kept = FieldRecord.from_json(json.loads(json.dumps(record.to_json())))
        assert kept.prompts == (TextPrompt(text),)
    assert len(prompts) == 1000


@settings(deadline=None, max_examples=200)
@given(ODD)
def test_any_text_is_understood_unknown_or_refused(text: str) -> None:
    try:
        resolution = VOCABULARY.resolve(text)
    except PromptError:
        assert not text.strip()
        return
    assert resolution.text == text
    assert resolution.matches or resolution.excluded or resolution.unknown
    assert bool(resolution.suggestions) or not resolution.unknown
    for match in (*resolution.matches, *resolution.excluded):
        assert match.phrase in text
        assert 0 < match.score <= 1
        assert match.term.object == match.entry.name
    for phrase in resolution.unknown:
        assert phrase in text
        assert phrase == phrase.strip() != ""
    assert VOCABULARY.resolve(text) == resolution


@settings(deadline=None, max_examples=150)
@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=6, unique=True), st.data())
def test_a_list_of_names_is_understood_in_its_order(names: list[str], data: st.DataObject) -> None:
    separator = data.draw(st.sampled_from(["; ", ", ", "\n", " + ", " ; "]))
    resolution = VOCABULARY.resolve(separator.join(names))
    assert [match.entry.name for match in resolution.matches] == names
    assert not resolution.unknown


@settings(deadline=None, max_examples=200)
@given(st.text(max_size=60))
def test_suggestions_and_completions_take_any_text(text: str) -> None:
    assert len(VOCABULARY.suggest(text)) == 3
    assert len(VOCABULARY.complete(text)) <= 10
    assert all(0 <= value <= 255 for value in VOCABULARY.color(text))


@settings(deadline=None, max_examples=200)
@given(st.sampled_from([n for n in NAMES if len(n) >= 9 and " " not in n]), st.data())
def test_one_typing_error_in_a_long_name_never_means_another(
    name: str, data: st.DataObject
) -> None:
    at = data.draw(st.integers(1, len(name) - 1))
    letter = data.draw(st.sampled_from("abcdefghijklmnopqrstuvwxyz"))
    resolution = VOCABULARY.resolve(name[:at] + letter + name[at:])
    assert {match.entry.name for match in resolution.matches} <= {name}


@pytest.mark.parametrize(
    "text",
    [
        "lymphocite strma glnad " * 86,
        "asdfgh qwertz yxcvbn " * 95,
        "non " * 500,
        "gland-" * 333,
        "(" * MAX_TEXT_LENGTH,
        "a\u0301" * 1000,
        "of the " * 285,
    ],
)
def test_the_worst_prompts_do_not_hang(text: str) -> None:
    started = time.process_time()
    VOCABULARY.resolve(text[:MAX_TEXT_LENGTH])
    assert time.process_time() - started < 1
