"""Masks in layers of right: the draft's rules, and stored fields on every level."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari import layers
from napari.layers.labels._labels_utils import get_contours

from napari_pathseg.classes import ClassList, LabelClass, Term
from napari_pathseg.geometry import Field
from napari_pathseg.gui.ask import on_grid
from napari_pathseg.gui.counts import count_classes
from napari_pathseg.gui.draft import Draft
from napari_pathseg.gui.outlined_labels import FINDER, Labels, outlined, with_fast_outlines
from napari_pathseg.gui.overview import PlacedMask, StoredLabels, stored_pyramid
from napari_pathseg.gui.remembered import RECENT, Remembered
from napari_pathseg.inference.segmentation import Answer, Segmentation
from napari_pathseg.labels.cleanup import Cleanup, object_at

TISSUE = LabelClass(1, "gland", Term("unspecified", "tissue", "gland"), (200, 0, 0))
NUCLEI = LabelClass(2, "nucleus", Term("unspecified", "nuclei", "nucleus"), (0, 0, 200))
CLASSES = ClassList((TISSUE, NUCLEI))
SHAPE = (6, 8)


def proposal(
    label_class: LabelClass, inside: np.ndarray, field: Field | None = None
) -> Segmentation:
    return Segmentation(
        field=field or Field(0, 0, 0, *inside.shape, (1.0, 1.0)),
        classes=ClassList((LabelClass(1, label_class.name, label_class.term, (1, 2, 3)),)),
        answers=(Answer(label_class.term, (), 1.0, 1.0),),
        logits=np.where(inside, 5.0, -5.0).astype(np.float32)[None],
        prompts=(),
        model="test",
        mpp=None,
        working_mpp=None,
        seconds=0.0,
    )


masks = st.lists(st.booleans(), min_size=48, max_size=48).map(
    lambda bits: np.array(bits).reshape(SHAPE)
)


@settings(deadline=None, max_examples=60)
@given(masks, masks, masks, masks)
def test_who_wins_a_pixel(first, second, drawn, erased) -> None:
    draft = Draft.empty(SHAPE).with_proposal(proposal(TISSUE, first), (1,), CLASSES)
    draft = draft.accepted(CLASSES)
    shown = draft.mask(CLASSES)
    painted = np.where(drawn, 1, shown).astype(np.uint16)
    painted = np.where(erased, 0, painted).astype(np.uint16)
    by_hand = painted != shown
    draft = draft.with_stroke(shown, painted).with_proposal(proposal(NUCLEI, second), (2,), CLASSES)
    found = draft.mask(CLASSES)
    np.testing.assert_array_equal(found[by_hand], painted[by_hand])
    np.testing.assert_array_equal(found[~by_hand & second], 2)  # finer over coarser
    np.testing.assert_array_equal(found[~by_hand & ~second], painted[~by_hand & ~second])
    np.testing.assert_array_equal(draft.rejected().mask(CLASSES), painted)


@settings(deadline=None, max_examples=40)
@given(masks, masks)
def test_a_coarser_class_goes_around_what_was_kept(first, second) -> None:
    draft = Draft.empty(SHAPE).with_proposal(proposal(NUCLEI, first), (2,), CLASSES)
    draft = draft.with_proposal(proposal(TISSUE, second), (1,), CLASSES)
    found = draft.mask(CLASSES)
    np.testing.assert_array_equal(found == 2, first)
    np.testing.assert_array_equal(found == 1, second & ~first)
    again = draft.with_proposal(proposal(TISSUE, ~second), (1,), CLASSES).mask(CLASSES)
    np.testing.assert_array_equal(again == 1, ~second & ~first)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 30), st.integers(0, 30), st.sampled_from([1.0, 2.0, 4.0]), st.integers(0, 3))
def test_each_level_shows_the_field_under_its_pixels(y, x, downsample, seed) -> None:
    mask = np.random.default_rng(seed).integers(0, 3, (16, 16)).astype(np.uint16)
    field = Field(1, y, x, 16, 16, (downsample, downsample))
    stored = StoredLabels()
    stored.put("a", PlacedMask.of(field, mask, np.zeros(mask.shape, bool), CLASSES))
    full, half = stored_pyramid(
        stored, [((256, 256), (1.0, 1.0)), ((128, 128), (2.0, 2.0))], np.uint8
    )
    truth = np.zeros((256, 256), np.uint8)
    step = int(downsample)
    enlarged = np.kron(mask, np.ones((step, step), np.uint8))
    top, left = int(y * downsample), int(x * downsample)
    truth[top : top + 16 * step, left : left + 16 * step] = enlarged
    np.testing.assert_array_equal(np.asarray(full), truth)
    np.testing.assert_array_equal(full[10:90:3, 5], truth[10:90:3, 5])
    np.testing.assert_array_equal(np.asarray(half), truth[1::2, 1::2])
    assert stored.at(top + 0.5, left + 0.5) == "a"
    stored.remove("a")
    assert not np.asarray(full).any()


def test_of_overlapping_fields_the_finer_structure_is_seen() -> None:
    field, none = Field(0, 0, 0, 4, 4, (1.0, 1.0)), np.zeros((4, 4), bool)
    nuclei, tissue = np.zeros((4, 4), np.uint16), np.full((4, 4), 1, np.uint16)
    nuclei[:2, :2] = 2
    stored = StoredLabels()
    stored.put("nuclei", PlacedMask.of(field, nuclei, none, CLASSES))
    stored.put("tissue", PlacedMask.of(field, tissue, none, CLASSES))
    (shown,) = stored_pyramid(stored, [((4, 4), (1.0, 1.0))], np.uint8)
    np.testing.assert_array_equal(np.asarray(shown), np.where(nuclei > 0, 2, 1))
    assert stored.at(1, 1) == "nuclei"
    assert stored.at(3, 3) == "tissue"
    other = np.where(tissue > 0, 1, 0).astype(np.uint16)
    other[:, 2:] = 0
    stored.put("later", PlacedMask.of(field, other, none, CLASSES))
    assert stored.ids() == ("tissue", "later", "nuclei")
    assert stored.at(3, 3) == "tissue"
    assert stored.at(3, 0) == "later"


def test_what_was_drawn_is_kept_small_and_exact() -> None:
    by_hand = np.random.default_rng(0).random((13, 7)) < 0.3
    field = Field(0, 0, 0, 13, 7, (1.0, 1.0))
    placed = PlacedMask.of(field, by_hand.astype(np.uint16), by_hand, CLASSES)
    np.testing.assert_array_equal(placed.by_hand, by_hand)
    assert placed.packed.nbytes == 12
    assert placed.mask.dtype == np.uint8


def test_locked_classes_and_cleanup_in_the_draft() -> None:
    inside = np.zeros(SHAPE, bool)
    inside[1:5, 1:7] = True
    inside[2, 3] = False
    draft = Draft.of_mask(np.where(np.arange(8) < 3, 1, 0) * np.ones(SHAPE, np.uint16))
    draft = draft.with_proposal(proposal(NUCLEI, inside), (2,), CLASSES, {1})
    assert (draft.mask(CLASSES)[1:5, 1:3] == 2).all()
    assert (draft.mask(CLASSES, {1})[1:5, 1:3] == 1).all()
    assert not (draft.mask(CLASSES, {2}) == 2).any()
    filled = draft.with_cleanup(Cleanup(holes_px=2), ())
    assert filled.mask(CLASSES, {1})[2, 3] == 2
    assert filled.with_cleanup(Cleanup(), ()).mask(CLASSES, {1})[2, 3] == 0
    kept = filled.accepted(CLASSES, {1}).with_cleanup(Cleanup(small_px=99), (2,))
    assert not (kept.mask(CLASSES) == 2).any()
    drawn = kept.with_stroke(kept.mask(CLASSES), np.full(SHAPE, 2, np.uint16))
    assert (drawn.mask(CLASSES) == 2).all()
    assert not drawn.cleanup


def test_an_answer_moves_to_another_grid_without_a_shift() -> None:
    inside = np.zeros((40, 40), bool)
    inside[8:24, 12:32] = True
    coarse = Field(1, 5, 7, 40, 40, (4.0, 4.0))
    fine = Field(0, 30, 40, 120, 120, (1.0, 1.0))
    moved = on_grid(proposal(TISSUE, inside, coarse), fine).mask > 0
    rows, columns = np.flatnonzero(moved.any(axis=1)), np.flatnonzero(moved.any(axis=0))
    top, left = (5 + 8) * 4 - 30, (7 + 12) * 4 - 40
    assert abs(rows[0] - top) <= 1
    assert abs(columns[0] - left) <= 1
    assert abs(rows[-1] + 1 - (top + 64)) <= 1


def test_counts_and_objects() -> None:
    mask = np.zeros((10, 10), np.uint16)
    mask[0:2, 0:2], mask[2, 2], mask[5:8, 5:8] = 1, 1, 3
    counts = count_classes(mask, (0.5, 2.0))
    assert (counts[1].objects, counts[1].area_px, counts[1].area_um2) == (1, 5, 5.0)
    assert counts[3].objects == 1
    assert object_at(mask, 0, 0).sum() == 5
    assert not object_at(mask, 9, 9).any()


def test_what_is_remembered_survives_and_a_broken_file_counts_as_empty(tmp_path) -> None:
    remembered = Remembered(tmp_path / "kept" / "remembered.json")
    for text in [*(f"term {i}" for i in range(RECENT + 3)), "gland", "term 5", "gland"]:
        remembered.add_recent(text)
    remembered.set_scale("abc", (0.25, 0.26))
    again = Remembered(remembered.path)
    assert again.recent[:2] == ("gland", "term 5")
    assert len(again.recent) == RECENT
    assert again.scale("abc") == (0.25, 0.26)
    assert again.scale("other") is None
    remembered.path.write_text("{broken")
    assert Remembered(remembered.path).recent == ()


@pytest.mark.parametrize("rim", [1, 2, 5])
def test_outlines_are_those_of_napari(rim: int) -> None:
    blocks = np.random.default_rng(rim).integers(0, 4, (9, 14))
    labels = np.kron(blocks, np.ones((7, 5), int)).astype(np.uint8)
    for part in (labels, labels[:1, :1], labels[:, ::3]):
        np.testing.assert_array_equal(outlined(part, rim, 0), get_contours(part, rim, 0))


def test_a_painted_part_is_outlined_as_the_whole() -> None:
    labels = np.zeros((40, 60), np.uint8)
    layer = Labels(labels.copy())
    layer.contour = 2
    layer.brush_size = 9
    layer.paint((20, 30), 3)
    assert layer._type_string == "labels"
    whole = layer._calculate_contour(layer.data, (slice(0, 40), slice(0, 60)))
    part = layer._calculate_contour(layer.data, (slice(14, 23), slice(25, 40)))
    np.testing.assert_array_equal(whole, get_contours(layer.data, 2, 0))
    np.testing.assert_array_equal(part, whole[14:23, 25:40])
    assert whole.any()


def test_another_napari_draws_its_own_outlines() -> None:
    assert Labels is not layers.Labels, "this napari is known"
    assert Labels.__name__ == "Labels"

    class Renamed(layers.Labels):
        """Asks for the rims in another way."""

        def _calculate_contour(self, labels: np.ndarray, *, part: slice) -> None:
            """Nothing is found."""

    class Without:
        """Has no such method."""

    assert FINDER in vars(Renamed)
    for other in (Renamed, Without):
        assert with_fast_outlines(other) is other
