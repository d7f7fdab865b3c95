"""Favourites, own terms, colours and class lists, without a window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from desk_slides import open_in
from pytestqt.qtbot import QtBot

from napari_pathseg.classes import UNSPECIFIED, Term
from napari_pathseg.gui.controller import PathsegController
from napari_pathseg.gui.widgets.understood import Understood
from napari_pathseg.vocabulary import Entry, Vocabulary

OWN = Entry(
    Term(UNSPECIFIED, "tissue", "elastic lamina"),
    ("elastica",),
    "Elastic sheet.",
    "artery",
    (),
    0.5,
    (1, 2, 3),
)


@pytest.fixture
def controller(
    make_controller: Callable[..., PathsegController], marked_slide: Path, tmp_path: Path
) -> PathsegController:
    """A desk with a slide whose choices are kept in a file."""
    made = make_controller()
    made.words.load(tmp_path / "terms.json")
    open_in(made, marked_slide)
    return made


def test_a_colour_holds_for_the_class_and_for_all_to_come(
    controller: PathsegController, tmp_path: Path
) -> None:
    controller.classing.add("gland")
    controller.words.set_color("gland", (9, 8, 7))
    desk = controller.desk
    assert desk is not None
    found = desk.classes.named("gland")
    assert found is not None
    assert found.color == (9, 8, 7)
    assert Vocabulary.load(tmp_path / "terms.json").color("gland") == (9, 8, 7)
    # The other way round: the class list changes it for the term.
    controller.classing.recolor(found, (10, 20, 30))
    assert controller.vocabulary.color("gland") == (10, 20, 30)
    controller.classing.add("a class of my own")
    controller.words.set_color("a class of my own", (4, 4, 4))
    assert Vocabulary.load(tmp_path / "terms.json").color("a class of my own") == (4, 4, 4)


def test_a_resolution_is_chosen_kept_and_used(
    controller: PathsegController, tmp_path: Path
) -> None:
    entry = controller.vocabulary.entry("lymphocyte")
    assert controller.words.mpp(entry) == entry.mpp
    controller.words.set_mpp("lymphocyte", 0.25)
    assert controller.words.mpp(controller.vocabulary.entry("lymphocyte")) == 0.25
    assert Vocabulary.load(tmp_path / "terms.json").chosen_mpp("lymphocyte") == 0.25


def test_own_terms_are_added_asked_shared_taken_and_removed(
    controller: PathsegController, tmp_path: Path
) -> None:
    assert controller.words.add(OWN)
    resolution = controller.understand("elastica")
    assert resolution is not None
    assert resolution.matches[0].entry == OWN
    assert not controller.words.add(
        OWN.__class__(OWN.term, ("gland",), "", None, (), 1.0, (0, 0, 0))
    )
    assert "already means" in controller.message.text
    controller.words.share(tmp_path / "shared.json")
    controller.words.remove("elastic lamina")
    assert "elastic lamina" not in {e.name for e in controller.vocabulary.entries}
    controller.words.take(tmp_path / "shared.json")
    assert controller.vocabulary.entry("elastic lamina") == OWN


def test_stars_and_prompts_are_remembered(controller: PathsegController) -> None:
    controller.words.star("gland; nucleus", True)
    controller.words.star("stroma", True)
    controller.words.star("gland; nucleus", False)
    assert controller.words.favourites == ("stroma",)


def test_a_class_list_comes_with_its_colours_and_goes_out_for_qupath(
    controller: PathsegController, tmp_path: Path
) -> None:
    listed = {
        "pathClasses": [
            {"name": "Tumour", "color": (255 << 24 | 1 << 16 | 2 << 8 | 3) - (1 << 32)},
            {"name": "Blorb", "color": (255 << 24 | 9) - (1 << 32)},
        ]
    }
    (tmp_path / "classes.json").write_text(json.dumps(listed), encoding="utf-8")
    controller.words.take(tmp_path / "classes.json")
    desk = controller.desk
    assert desk is not None
    assert [(c.name, c.color) for c in desk.classes] == [
        ("tumor", (1, 2, 3)),
        ("Blorb", (0, 0, 9)),
    ]
    assert desk.classes[1].term == Term(UNSPECIFIED, "tissue", "tumor")
    assert "Blorb" in controller.message.text
    controller.words.export_classes(tmp_path / "out.json")
    written = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert [item["name"] for item in written["pathClasses"]] == ["tumor", "Blorb"]
    assert written["pathClasses"][1]["color"] == listed["pathClasses"][1]["color"]


def test_a_damaged_file_is_told_and_left_alone(
    make_controller: Callable[..., PathsegController], tmp_path: Path
) -> None:
    path = tmp_path / "terms.json"
    path.write_text("{", encoding="utf-8")
    controller = make_controller()
    controller.words.load(path)
    assert "terms.json" in controller.message.text
    controller.words.set_mpp("gland", 0.5)
    assert path.read_text(encoding="utf-8") == "{"


def test_the_chosen_resolution_is_what_the_model_is_asked_at(
    controller: PathsegController,
) -> None:
    from napari_pathseg.inference.understanding import understand
    from napari_pathseg.prompts import TextPrompt

    segmenter = controller.model.get()
    controller.words.set_mpp("gland", 2.0)
    (question,) = understand((TextPrompt("glands"),), controller.vocabulary, segmenter)
    assert question.working_mpp == 2.0


def test_a_chip_has_the_colour_in_which_its_class_is_drawn(
    controller: PathsegController, qtbot: QtBot
) -> None:
    words = "gland; lymphocyte"
    shown = Understood(controller)
    qtbot.addWidget(shown)
    resolution = controller.understand(words)
    assert resolution is not None
    gland, lymphocyte = (match.entry.color for match in resolution.matches)
    assert gland == lymphocyte, "two terms that share a colour"
    shown.show_resolution(resolution)
    first, second = (chip.color for chip in shown.chips())
    assert first == gland
    assert second != gland
    controller.classing.add("lymphocyte")
    first, second = (chip.color for chip in shown.chips())
    assert second == controller.desk.classes.named("lymphocyte").color == lymphocyte
    assert first != gland, "it is taken now"
    controller.classing.add("gland")
    assert shown.chips()[0].color == controller.desk.classes.named("gland").color
