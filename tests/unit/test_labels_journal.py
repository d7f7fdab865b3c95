"""The journal keeps what it acknowledged, whatever happens to the program or the disk."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pathseg.classes import ClassList
from napari_pathseg.errors import ReadOnlyStoreError, StoreError
from napari_pathseg.geometry import Field
from napari_pathseg.labels.copies import copy_path, last_change, take_up
from napari_pathseg.labels.journal import LabelStore, default_folder, store_path
from napari_pathseg.labels.masks import regridded
from napari_pathseg.labels.record import FieldRecord
from napari_pathseg.prompts import TextPrompt

CLASSES = ClassList.from_names(["gland", "stroma"], [(1, 2, 3), (4, 5, 6)])


def make_record(height: int = 300, width: int = 520, identity: str = "abc") -> FieldRecord:
    return FieldRecord.new(
        Field(1, 10, 20, height, width, (4.0001, 3.9998)),
        CLASSES,
        slide_identity=identity,
        slide_name="a.svs",
        mpp=(0.5, 0.5),
        prompts=[TextPrompt("gland\ud800 é")],
    )


def make_mask(record: FieldRecord) -> np.ndarray:
    mask = np.zeros(record.field.shape, np.uint16)
    mask[100:280, 200:500] = 1
    return mask


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LabelStore]:
    with LabelStore.open("abc", "a.svs", tmp_path) as opened:
        yield opened


def draw(store: LabelStore, field_id: str, y: int, x: int, size: int, value: int) -> None:
    """A square stroke, as a brush reports it."""
    before = store.load(field_id)[1][y : y + size, x : x + size]
    store.record_stroke(field_id, y, x, before, np.full_like(before, value))


def test_a_field_comes_back_after_closing(tmp_path: Path) -> None:
    record = make_record()
    with LabelStore.open("abc", "a.svs", tmp_path) as store:
        store.save_field(record, make_mask(record))
    with LabelStore.open("abc", "renamed \udce9.svs", tmp_path) as store:
        loaded, mask = store.load(record.id)
        assert store.fields() == (record,)
        assert store.undo(record.id) is not None
    assert loaded == record
    assert mask.dtype == np.uint16
    np.testing.assert_array_equal(mask, make_mask(record))


def test_the_users_folder_is_the_default(user_folder: Path) -> None:
    with LabelStore.open("abc", "a.svs") as store:
        assert store.path.parent == default_folder()
    if sys.platform.startswith("linux"):
        assert user_folder in store.path.parents


def test_an_identity_that_is_no_file_name_is_hashed(tmp_path: Path) -> None:
    path = store_path("../../evil:name", tmp_path)
    assert path.parent == tmp_path
    assert store_path("sha256-12", tmp_path).name.startswith("sha256-12")


def test_instances_keep_32_bits(store: LabelStore) -> None:
    record = make_record()
    mask = make_mask(record).astype(np.uint32) * 70_000
    store.save_field(record, mask)
    draw(store, record.id, 0, 0, 3, 4_000_000_000)
    loaded = store.load(record.id)[1]
    assert loaded.dtype == np.uint32
    assert loaded[1, 1] == 4_000_000_000
    assert loaded[150, 300] == 70_000


actions = st.lists(
    st.one_of(
        st.tuples(
            st.just("stroke"),
            st.integers(0, 290),
            st.integers(0, 510),
            st.integers(1, 300),
            st.integers(0, 2),
        ),
        st.tuples(st.just("model"), st.integers(0, 2), st.integers(1, 299)),
        st.tuples(st.sampled_from(["undo", "redo", "accept", "reopen"])),
    ),
    max_size=12,
)


@given(actions)
@settings(deadline=None, max_examples=25)
def test_history_is_that_of_a_list_of_masks(
    tmp_path_factory: pytest.TempPathFactory, actions: list[tuple]
) -> None:
    folder = tmp_path_factory.mktemp("store")
    record = make_record()
    store = LabelStore.open("abc", "a.svs", folder)
    mask = make_mask(record)
    store.save_field(record, mask)
    past = [(np.zeros_like(mask), "proposed"), (mask, "proposed")]
    future: list[tuple[np.ndarray, str]] = []
    for name, *numbers in actions:
        mask, status = past[-1][0].copy(), past[-1][1]
        if name == "stroke":
            y, x, size, value = numbers
            mask[y : y + size, x : x + size] = value
            draw(store, record.id, y, x, size, value)
            past, future = [*past, (mask, "corrected")], []
        elif name == "model":
            mask[: numbers[1]] = numbers[0]
            store.save_field(store.load(record.id)[0], mask)
            if not np.array_equal(mask, past[-1][0]):
                past, future = [*past, (mask, status)], []
        elif name == "accept":
            store.save_field(store.load(record.id)[0].with_status("accepted"), mask)
            past, future = [*past, (mask, "accepted")], []
        elif name == "undo" and (change := store.undo(record.id)):
            future.append(past.pop())
            height, width = change.pixels.shape
            window = np.s_[change.y : change.y + height, change.x : change.x + width]
            np.testing.assert_array_equal(change.pixels, past[-1][0][window])
        elif name == "redo" and (change := store.redo(record.id)):
            past.append(future.pop())
            assert change.record.status == past[-1][1]
        elif name == "reopen":
            store.close()
            store = LabelStore.open("abc", "a.svs", folder)
        loaded, stored = store.load(record.id)
        np.testing.assert_array_equal(stored, past[-1][0])
        assert loaded.status == past[-1][1]
    assert (store.redo(record.id) is None) == (not future)
    store.close()


def test_undo_and_redo_end(store: LabelStore) -> None:
    record = make_record()
    store.save_field(record, make_mask(record))
    assert store.redo(record.id) is None
    change = store.undo(record.id)
    assert change is not None
    assert (change.kind, change.y, change.x, change.pixels.shape) == ("model", 100, 200, (180, 300))
    assert not change.pixels.any()
    assert store.undo(record.id) is None
    assert not store.load(record.id)[1].any()


def test_several_fields_are_stored_together_or_not_at_all(store: LabelStore) -> None:
    good, bad = make_record(), make_record()
    with pytest.raises(StoreError, match="does not belong"):
        store.save_fields([(good, make_mask(good)), (bad, make_mask(bad)[1:])])
    assert store.fields() == ()
    store.save_fields([(good, make_mask(good)), (bad, make_mask(bad))])
    assert store.fields() == (good, bad)


def test_the_proposal_is_the_mask_before_the_first_stroke(store: LabelStore) -> None:
    record = make_record()
    first = make_mask(record)
    store.save_field(record, first)
    second = first.copy()
    second[:50] = 2
    store.save_field(record, second)
    np.testing.assert_array_equal(store.proposal(record.id), second)
    assert not store.corrected(record.id).any()
    draw(store, record.id, 90, 190, 20, 1)
    np.testing.assert_array_equal(store.proposal(record.id), second)
    touched = store.corrected(record.id)
    np.testing.assert_array_equal(touched, store.load(record.id)[1] != second)
    assert 0 < touched.sum() < 400
    store.undo(record.id)
    store.undo(record.id)
    np.testing.assert_array_equal(store.proposal(record.id), first)
    assert not store.corrected(record.id).any()


def test_a_change_the_caller_did_not_report_is_a_step_of_its_own(store: LabelStore) -> None:
    record = make_record()
    store.save_field(record, make_mask(record))
    seen = np.full((5, 5), 2, np.uint16)
    store.record_stroke(record.id, 0, 0, seen, seen * 0 + 1)
    assert (store.load(record.id)[1][:5, :5] == 1).all()
    store.undo(record.id)
    assert (store.load(record.id)[1][:5, :5] == 2).all()
    store.undo(record.id)
    np.testing.assert_array_equal(store.load(record.id)[1], make_mask(record))


def test_saving_the_same_again_is_no_step(store: LabelStore) -> None:
    drawn, asked = make_record(), make_record()
    store.save_field(drawn, make_mask(drawn) * 0)
    assert store.undo(drawn.id) is None
    for _ in range(2):
        store.save_field(asked, make_mask(asked))
    assert store.undo(asked.id) is not None
    assert store.undo(asked.id) is None


def test_deleted_fields_leave_nothing(store: LabelStore) -> None:
    kept, gone = make_record(), make_record()
    for record in (kept, gone):
        store.save_field(record, make_mask(record))
    store.delete(gone.id)
    assert [r.id for r in store.fields()] == [kept.id]
    with pytest.raises(StoreError, match=gone.id):
        store.load(gone.id)
    with sqlite3.connect(store.path) as other:
        for table in ("tiles", "steps"):
            assert other.execute(f"SELECT DISTINCT field FROM {table}").fetchall() == [(kept.id,)]


@pytest.mark.parametrize("window", [(-1, 0), (0, -1), (298, 0), (0, 518)])
def test_a_stroke_outside_the_field_is_refused(store: LabelStore, window: tuple[int, int]) -> None:
    record = make_record()
    store.save_field(record, make_mask(record))
    pixels = np.ones((5, 5), np.uint16)
    with pytest.raises(StoreError, match="leaves its field"):
        store.record_stroke(record.id, *window, pixels, pixels)
    np.testing.assert_array_equal(store.load(record.id)[1], make_mask(record))


def test_masks_that_do_not_fit_are_refused(store: LabelStore) -> None:
    record = make_record()
    with pytest.raises(StoreError, match="shape"):
        store.save_field(record, np.zeros((3, 3), np.uint16))
    with pytest.raises(StoreError, match="65535"):
        store.save_field(record, make_mask(record).astype(np.int64) * 65_536)
    with pytest.raises(StoreError, match="65535"):
        store.save_field(record, -make_mask(record).astype(np.int64))
    store.save_field(record, make_mask(record))
    with pytest.raises(StoreError, match="new id"):
        store.save_field(record, make_mask(record).astype(np.uint32))
    assert len(store.fields()) == 1


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = LabelStore.open("abc", "a.svs", tmp_path)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.fields()


def test_strokes_from_several_threads(store: LabelStore) -> None:
    record = make_record()
    store.save_field(record, np.zeros(record.field.shape, np.uint16))

    def work(row: int) -> None:
        for column in range(10):
            pixels = np.zeros((10, 10), np.uint16)
            store.record_stroke(record.id, row * 10, column * 10, pixels, pixels + row + 1)

    threads = [threading.Thread(target=work, args=(row,)) for row in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = np.repeat(np.arange(1, 5), 10)[:, None] * np.ones(100, int)
    np.testing.assert_array_equal(store.load(record.id)[1][:40, :100], expected)


def test_a_copy_is_a_whole_store(store: LabelStore, tmp_path: Path) -> None:
    record = make_record()
    store.save_field(record, make_mask(record))
    beside = tmp_path / "beside"
    beside.mkdir()
    for value in (1, 2):
        draw(store, record.id, 0, 0, 4, value)
        store.checkpoint(beside / "abc.pathseg.sqlite")
    with LabelStore.open("abc", "a.svs", beside) as copy:
        np.testing.assert_array_equal(copy.load(record.id)[1], store.load(record.id)[1])
    with pytest.raises(StoreError, match="missing"):
        store.checkpoint(tmp_path / "missing" / "x.sqlite")
    assert store.load(record.id)[1][0, 0] == 2


CHILD = """
import sys
from pathlib import Path
import numpy as np
from napari_pathseg.labels.journal import LabelStore
folder, field_id = Path(sys.argv[1]), sys.argv[2]
store = LabelStore.open("abc", "a.svs", folder)
assert not store.read_only, store.reason
mask = store.load(field_id)[1]
number = int(mask.max())
print("open", flush=True)
while True:
    number += 1
    y, x = number * 37 % 200, number * 53 % 400
    store.record_stroke(field_id, y, x, mask[y:y+90, x:x+90], np.full((90, 90), number, np.uint16))
    mask[y:y+90, x:x+90] = number
    print(number, flush=True)
"""


def scripted(count: int, shape: tuple[int, int]) -> np.ndarray:
    """The mask after `count` strokes of the child."""
    mask = np.zeros(shape, np.uint16)
    for number in range(1, count + 1):
        y, x = number * 37 % 200, number * 53 % 400
        mask[y : y + 90, x : x + 90] = number
    return mask


def test_killed_at_any_moment_no_acknowledged_stroke_is_lost(tmp_path: Path) -> None:
    record = make_record()
    with LabelStore.open("abc", "a.svs", tmp_path) as store:
        store.save_field(record, scripted(0, record.field.shape))
    dice = random.Random(4)
    acknowledged = 0
    for _ in range(10):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), record.id], stdout=subprocess.PIPE
        )
        assert child.stdout is not None
        assert child.stdout.readline().strip() == b"open"
        time.sleep(dice.uniform(0.0, 0.1))
        child.kill()
        said = child.stdout.read().split()
        child.wait()
        child.stdout.close()
        acknowledged = int(said[-1]) if said else acknowledged
        with LabelStore.open("abc", "a.svs", tmp_path) as store:
            assert not store.read_only
            mask = store.load(record.id)[1]
        # The stroke that was under way is there as a whole or not at all.
        done = int(mask.max())
        assert acknowledged <= done <= acknowledged + 1
        np.testing.assert_array_equal(mask, scripted(done, record.field.shape))
        acknowledged = done
    assert acknowledged > 10
    with LabelStore.open("abc", "a.svs", tmp_path) as store:
        while store.undo(record.id):
            done -= 1
        assert done == 0
        assert not store.load(record.id)[1].any()


def test_another_process_reads_but_does_not_write(tmp_path: Path) -> None:
    record = make_record()
    with LabelStore.open("abc", "a.svs", tmp_path) as store:
        store.save_field(record, make_mask(record) * 0)
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), record.id], stdout=subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        with LabelStore.open("abc", "a.svs", tmp_path) as store:
            assert store.read_only
            assert f"process {child.pid} on this computer" in store.reason
            assert store.fields()[0].id == record.id
            with pytest.raises(ReadOnlyStoreError, match=str(child.pid)):
                draw(store, record.id, 0, 0, 4, 1)
    finally:
        child.kill()
        child.communicate()


def test_another_window_reads_but_does_not_write(store: LabelStore, tmp_path: Path) -> None:
    with LabelStore.open("abc", "a.svs", tmp_path) as second:
        assert "another window of this napari" in second.reason
        with pytest.raises(ReadOnlyStoreError, match="another window"):
            second.save_field(make_record(), make_mask(make_record()))
        with pytest.raises(ReadOnlyStoreError):
            LabelStore.start_fresh("abc", "a.svs", tmp_path)
    with LabelStore.open("other", "b.svs", tmp_path) as other:
        assert not other.read_only
    store.close()
    with LabelStore.open("abc", "a.svs", tmp_path) as third:
        assert not third.read_only


def test_a_full_disk_keeps_what_was_acknowledged(store: LabelStore) -> None:
    record = make_record()
    store.save_field(record, make_mask(record))
    pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count={pages}")
    noise = np.random.default_rng(0).integers(0, 3, record.field.shape).astype(np.uint16)
    with pytest.raises(StoreError, match=r"Not saved: no space in .*safe.*another folder"):
        store.record_stroke(record.id, 0, 0, make_mask(record), noise)
    np.testing.assert_array_equal(store.load(record.id)[1], make_mask(record))
    assert store.load(record.id)[0].status == "proposed"
    store._connection.execute("PRAGMA max_page_count=1000000")
    store.record_stroke(record.id, 0, 0, make_mask(record), noise)
    np.testing.assert_array_equal(store.load(record.id)[1], noise)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, as pytest's own are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


AS_NOBODY = """
import os, sys
from pathlib import Path
import numpy as np
from napari_pathseg.errors import StoreError
from napari_pathseg.labels.journal import LabelStore
folder, field_id = Path(sys.argv[1]), sys.argv[2]
if os.geteuid() == 0:
    os.setegid(65534); os.seteuid(65534)
with LabelStore.open("abc", "a.svs", folder) as store:
    print(store.read_only, store.reason, len(store.fields()))
    try:
        store.record_stroke(field_id, 0, 0, np.zeros((2, 2), int), np.ones((2, 2), int))
    except StoreError as error:
        print(type(error).__name__, error)
try:
    LabelStore.open("new", "b.svs", folder)
except StoreError as error:
    print(type(error).__name__, error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_folder_that_may_not_be_written(open_folder: Path) -> None:
    record = make_record()
    folder = open_folder / "labels"
    with LabelStore.open("abc", "a.svs", folder) as store:
        store.save_field(record, make_mask(record))
    for place in (*folder.iterdir(), folder):
        place.chmod(0o555 if place.is_dir() else 0o444)
    try:
        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(folder), record.id],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        folder.chmod(0o755)
    first, second, third = done.stdout.splitlines()
    assert first == "True permission denied 1"
    assert second.startswith("ReadOnlyStoreError Not saved:")
    assert "permission denied" in second
    assert third.startswith("StoreError Not opened:")
    assert str(folder) in third
    assert "another folder" in third


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "labels").write_text("")
    with pytest.raises(StoreError, match=r"Not opened: .*labels.*another folder"):
        LabelStore.open("abc", "a.svs", tmp_path / "labels")


@pytest.mark.parametrize("damage", ["header", "foreign"])
def test_a_damaged_store_is_kept_and_a_fresh_one_made(tmp_path: Path, damage: str) -> None:
    path = store_path("abc", tmp_path)
    if damage == "header":
        with LabelStore.open("abc", "a.svs", tmp_path) as store:
            store.save_field(make_record(), make_mask(make_record()))
        content = b"broken" * 20 + path.read_bytes()[120:]
        path.write_bytes(content)
    else:
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE something (else_ TEXT)")
        other.close()
        content = path.read_bytes()
    with pytest.raises(StoreError, match=path.name):
        LabelStore.open("abc", "a.svs", tmp_path)
    with LabelStore.start_fresh("abc", "a.svs", tmp_path) as store:
        assert store.fields() == ()
        store.save_field(make_record(), make_mask(make_record()))
    (kept,) = tmp_path.glob("*.damaged-*")
    assert kept.read_bytes() == content


def test_damaged_pixels_are_an_error_and_no_empty_mask(store: LabelStore) -> None:
    record = make_record()
    store.save_field(record, make_mask(record))
    store._connection.execute("UPDATE tiles SET pixels=substr(pixels, 1, length(pixels) - 3)")
    with pytest.raises(StoreError, match=r"damaged.*fresh one"):
        store.load(record.id)


def test_a_newer_store_is_refused(tmp_path: Path) -> None:
    with LabelStore.open("abc", "a.svs", tmp_path) as store:
        store._connection.execute("PRAGMA user_version=99")
    with pytest.raises(StoreError, match="newer version"):
        LabelStore.open("abc", "a.svs", tmp_path)


def fine_and_coarse() -> tuple[FieldRecord, Field]:
    record = make_record(64, 80)
    record = replace(record, field=Field(0, 40, 80, 64, 80, (1.0, 1.0)))
    return record, Field(1, 20, 40, 32, 40, (2.0, 2.0))


def test_a_field_goes_to_another_level_and_back(store: LabelStore) -> None:
    record, coarse = fine_and_coarse()
    mask = np.zeros((64, 80), np.uint16)
    mask[10:31, 10:31] = 1
    store.save_field(record, mask)
    draw(store, record.id, 40, 40, 8, 2)
    drawn = store.load(record.id)[1]
    moved = regridded(drawn, record.field, coarse)
    assert (moved == 2).sum() == 16
    store.save_field(replace(record, field=coarse), moved)
    loaded, back = store.load(record.id)
    assert loaded.field == coarse
    np.testing.assert_array_equal(back, moved)
    np.testing.assert_array_equal(store.corrected(record.id), moved == 2)
    np.testing.assert_array_equal(store.proposal(record.id), regridded(mask, record.field, coarse))
    draw(store, record.id, 0, 0, 4, 1)
    assert store.corrected(record.id)[:4, :4].all()
    store.undo(record.id)
    change = store.undo(record.id)
    assert (change.kind, change.pixels.shape) == ("grid", (64, 80))
    loaded, back = store.load(record.id)
    assert loaded.field == record.field
    np.testing.assert_array_equal(back, drawn)
    np.testing.assert_array_equal(store.corrected(record.id), drawn == 2)
    change = store.redo(record.id)
    np.testing.assert_array_equal(change.pixels, moved)
    assert store.load(record.id)[1].shape == (32, 40)


def test_the_field_changed_last_is_known(store: LabelStore) -> None:
    assert store.last_changed() is None
    first, second = make_record(), make_record()
    for record in (first, second):
        store.save_field(record, make_mask(record))
    draw(store, first.id, 0, 0, 4, 1)
    assert store.last_changed() == first.id
    store.undo(first.id)
    assert store.last_changed() == second.id
    store.undo(second.id)
    store.undo(first.id)
    assert store.last_changed() is None
    assert store.next_undone() == first.id
    store.redo(first.id)
    assert store.next_undone() == second.id
    store.redo(second.id)
    assert store.next_undone() == first.id, "the stroke came last"
    store.redo(first.id)
    assert store.next_undone() is None


def test_labels_are_taken_up_from_the_copy_beside_the_slide(tmp_path: Path) -> None:
    slide, here, there = tmp_path / "a.svs", tmp_path / "here", tmp_path / "there"
    copy, record = copy_path(slide, "abc"), make_record()
    assert copy == tmp_path / "a.svs.pathseg.sqlite"
    with LabelStore.open("abc", "a.svs", here) as store:
        store.save_field(record, make_mask(record))
        store.checkpoint(copy)
    assert list(tmp_path.glob("*.part")) == []
    assert last_change(copy, "abc") == record.updated
    assert not take_up(copy, store_path("other", there), "other")
    assert take_up(copy, store_path("abc", there), "abc")
    with LabelStore.open("abc", "a.svs", there) as store:
        np.testing.assert_array_equal(store.load(record.id)[1], make_mask(record))
        assert not take_up(copy, store.path, "abc")
        draw(store, record.id, 0, 0, 3, 1)
        assert not take_up(copy, store.path, "abc", instead=True)  # a window has it
    assert take_up(copy, store_path("abc", there), "abc", instead=True)
    assert len(list(there.glob("*.older-*"))) >= 1
    copy.write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="damaged"):
        take_up(copy, store_path("new", there), "new")
    assert last_change(copy, "abc") is None
