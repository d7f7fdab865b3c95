"""A batch: inputs, names, files, failures and going on, with a segmenter that is known exactly."""

from __future__ import annotations

import csv
import json
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner
from marker_segmenter import MarkerSegmenter
from PIL import Image

from napari_pathseg.batch import label_pyramid, one_run, one_slide, run, slide_files
from napari_pathseg.batch.inputs import find_slides, name_slides
from napari_pathseg.batch.label_pyramid import halved_labels
from napari_pathseg.batch.one_run import only_one_at, only_run_in
from napari_pathseg.batch.one_slide import run_slide
from napari_pathseg.batch.run import Batch, prepare, run_batch
from napari_pathseg.batch.settings import BatchSettings, SlideJob
from napari_pathseg.cli.batch import batch as batch_command
from napari_pathseg.errors import (
    ExportError,
    ModelError,
    PathsegError,
    PromptError,
    UnknownTermError,
)
from napari_pathseg.inference.spool import TILE_PX
from napari_pathseg.inference.understanding import understand
from napari_pathseg.slide.open import open_slide
from napari_pathseg.vocabulary.vocabulary import Vocabulary

VOCABULARY = Vocabulary.load()
SETTINGS = BatchSettings(("gland", "nucleus"))


def picture(path: Path, side: int = 200, mpp: float | None = None) -> Path:
    """One red and one blue disk on pink."""
    y, x = np.mgrid[:side, :side]
    pixels = np.full((side, side, 3), (230, 170, 200), np.uint8)
    pixels[(y - side // 3) ** 2 + (x - side // 3) ** 2 < (side // 6) ** 2] = (255, 0, 0)
    pixels[(y - side // 4) ** 2 + (x - 3 * side // 4) ** 2 < (side // 8) ** 2] = (0, 0, 255)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        scale = {} if mpp is None else {"resolution": (1e4 / mpp,) * 2, "resolutionunit": 3}
        tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64), **scale)
    return path


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Slides are done in this process; the names of those that are done."""
    done: list[str] = []

    def in_turn(jobs: list[SlideJob], **_: object) -> object:
        for job in jobs:
            done.append(job.name)
            yield run_slide(job, MarkerSegmenter(), VOCABULARY)

    monkeypatch.setattr(run, "run_jobs", in_turn)
    return done


def batch_of(inputs: list[Path], out: Path, *, resume: bool = False, **options: object) -> Batch:
    settings = BatchSettings(("gland", "nucleus"), **options)  # type: ignore[arg-type]
    names = [str(path) for path in inputs]
    return prepare(names, out, settings, MarkerSegmenter(), VOCABULARY, resume=resume)


def table(out: Path) -> list[dict[str, str]]:
    with (out / "report.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_all_files_of_a_picture_and_what_they_say(tmp_path: Path) -> None:
    path, out = picture(tmp_path / "in" / "a b.png"), tmp_path / "out"
    facts = run_batch(batch_of([path], out, instances=True, formats=("tif", "zarr", "png")))
    labels = tifffile.imread(out / "a b.labels.tif")
    assert labels.shape == (200, 200)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert labels[66, 66] == 1
    assert labels[50, 150] == 2
    features = json.loads((out / "a b.geojson").read_text())["features"]
    assert {f["properties"]["classification"]["name"] for f in features} == {"gland", "nucleus"}
    assert (zarr.open_group(out / "a b.labels.ome.zarr")["0"][...] == labels).all()
    assert (np.asarray(Image.open(out / "a b.labels.png")) == labels).all()
    assert tifffile.imread(out / "a b.instances.tif").max() == 2
    (row,) = table(out)
    assert (row["status"], row["gland objects"], row["nucleus objects"]) == ("done", "1", "1")
    assert facts["counts"]["done"] == 1
    assert facts["model_sha256"] == "0" * 64
    page = (out / "report.html").read_text(encoding="utf-8")
    assert 'width=180 height=180 src="thumbnails/a%20b.jpg"' in page
    assert (out / "thumbnails" / "a b.jpg").exists()
    assert not (out / ".pathseg").exists()
    run_batch(batch_of([path], out))  # what does not belong to the newer labels goes
    assert sorted(file.name for file in out.glob("a b.*")) == [
        "a b.geojson",
        "a b.json",
        "a b.labels.tif",
    ]


def test_how_closely_words_are_looked_for_can_be_said(tmp_path: Path) -> None:
    path, out = picture(tmp_path / "a.tif", mpp=1.0), tmp_path / "out"
    facts = run_batch(batch_of([path], out, working_mpp=2.0))
    assert facts["settings"]["working_mpp"] == 2.0
    assert json.loads((out / "a.json").read_text())["working_mpp"] == [2.0]
    assert not batch_of([path], out, resume=True, working_mpp=2.0).waiting
    assert batch_of([path], out, resume=True).waiting


def test_a_word_for_which_another_resolution_was_chosen_is_other_work(tmp_path: Path) -> None:
    path, out = picture(tmp_path / "a.tif", mpp=1.0), tmp_path / "out"
    batch = batch_of([path], out)
    run_batch(batch)
    settings, names = batch.settings, [str(path)]
    question = understand(settings.texts, VOCABULARY, MarkerSegmenter())[0]
    assert question.working_mpp is not None
    name = question.label_class.name
    same = VOCABULARY.with_mpp(name, question.working_mpp)
    other = VOCABULARY.with_mpp(name, 2 * question.working_mpp)
    assert not prepare(names, out, settings, MarkerSegmenter(), same, resume=True).waiting
    assert prepare(names, out, settings, MarkerSegmenter(), other, resume=True).waiting


def test_bad_slides_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    good = picture(tmp_path / "good.png")
    no_scale = picture(tmp_path / "noscale.tif")
    (tmp_path / "broken.svs").write_bytes(b"II*\0" + bytes(40))
    facts = run_batch(batch_of([tmp_path, tmp_path / "missing.svs"], tmp_path / "out"))
    assert facts["counts"] | {"slides": 4, "done": 1, "failed": 3} == facts["counts"]
    rows = {row["name"]: row for row in table(tmp_path / "out")}
    assert rows["good"]["slide"] == str(good)
    assert "--mpp" in rows["noscale"]["error"]
    assert str(no_scale) in rows["noscale"]["error"]
    assert rows["broken"]["status"] == rows["missing"]["status"] == "failed"
    again = run_batch(batch_of([no_scale], tmp_path / "out2", mpp=0.5))
    assert again["counts"]["done"] == 1


def test_going_on_repeats_nothing_that_is_finished(tmp_path: Path, here: list[str]) -> None:
    paths = [picture(tmp_path / f"{name}.png") for name in "abc"]
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    out = tmp_path / "out"
    run_batch(batch_of(paths, out))
    before = (out / "a.labels.tif").stat().st_mtime_ns
    here.clear()
    facts = run_batch(batch_of(paths, out, resume=True))
    assert here == ["b"]  # it failed, and is tried again
    assert facts["counts"] | {"done": 2, "kept": 2, "segmented": 0} == facts["counts"]
    assert (out / "a.labels.tif").stat().st_mtime_ns == before
    picture(tmp_path / "b.png")
    picture(tmp_path / "c.png", side=220)
    here.clear()
    facts = run_batch(batch_of(paths, out, resume=True))
    assert here == ["b", "c"]  # mended, and another picture by the same name
    assert facts["counts"] | {"done": 3, "failed": 0} == facts["counts"]
    here.clear()
    run_batch(batch_of(paths, out, resume=True, where="all"))
    assert here == ["a", "b", "c"]  # other settings


def test_results_appear_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    path = picture(tmp_path / "a.png")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device", "x")

    monkeypatch.setattr(slide_files, "_write_thumbnail", full)
    facts = run_batch(batch_of([path], out))
    assert facts["counts"]["failed"] == 1
    assert not list(out.glob("a.*"))
    monkeypatch.undo()
    job = SlideJob(path, "a", out, None, SETTINGS)
    segmenter = MarkerSegmenter()
    assert run_slide(job, segmenter, VOCABULARY)["status"] == "done"
    assert segmenter.encoder_passes == 0  # its tiles were kept


def test_two_runs_do_not_write_into_one_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(one_run, "PATIENCE_S", 0.0)
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    left = out / ".pathseg" / "b" / "tiles.log"
    with only_run_in(out):
        left.parent.mkdir()
        left.touch()
        with pytest.raises(ExportError, match="at work there"):
            run_batch(batch_of([path], out))
        assert left.exists()
    assert run_batch(batch_of([path], out, resume=True))["counts"]["done"] == 1
    assert left.exists()  # of a slide that was not asked for again
    with only_one_at(SlideJob(path, "a", out, None, SETTINGS)):  # a worker lives on
        facts = run_batch(batch_of([path], out))
        assert not left.exists()  # begun anew
        assert facts["counts"] | {"failed": 1, "done": 0} == facts["counts"]
        assert "at work there" in facts["failed"][0]["error"]
        assert (out / "a.labels.tif").exists()
    assert run_batch(batch_of([path], out))["counts"]["done"] == 1
    assert not (out / ".pathseg").exists()


def test_a_worker_that_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    job, handed_over = SlideJob(path, "a", out, None, SETTINGS), threading.Event()

    def end_slowly() -> None:
        with only_one_at(job):
            handed_over.set()
            time.sleep(0.5)

    worker = threading.Thread(target=end_slowly)
    worker.start()
    handed_over.wait()
    assert run_slide(job, MarkerSegmenter(), VOCABULARY)["status"] == "done"
    worker.join()


def test_slides_of_one_name_in_runs_of_their_own_do_not_replace_each_other(tmp_path: Path) -> None:
    paths = [picture(tmp_path / where / "x.png") for where in "abc"]
    out = tmp_path / "out"
    for path in paths:
        facts = run_batch(batch_of([path], out))
    assert sorted(path.name for path in out.glob("*.labels.tif")) == [
        "x-2.labels.tif",
        "x-3.labels.tif",
        "x.labels.tif",
    ]
    assert {row["slide"] for row in table(out)} == set(map(str, paths))
    assert facts["counts"] | {"slides": 3, "kept": 2, "segmented": 1} == facts["counts"]
    (out / "x-2.json").unlink()  # thrown away by hand
    run_batch(batch_of([paths[0]], out))
    assert [row["name"] for row in table(out)] == ["x", "x-3"]


def test_names_are_told_apart_and_kept(tmp_path: Path) -> None:
    paths = [picture(tmp_path / where) for where in ("a/x.png", "b/X.png", "b/x.tif", "c/x-2.png")]
    named = name_slides(find_slides([str(p) for p in paths]), {})
    names = [name for _, name in named]
    assert names == ["x", "X-2", "x-3", "x-2-2"]
    before = {str(slide.path): name for slide, name in named}
    back = name_slides(find_slides([str(p) for p in reversed(paths)]), before)
    assert [name for _, name in back] == names[::-1]


def test_inputs_are_files_folders_patterns_and_lists(tmp_path: Path) -> None:
    for name in ("a.png", "b.tif", "deep/c.png", "a.labels.png", ".hidden.png"):
        picture(tmp_path / name)
    (tmp_path / "notes.md").write_text("no slide")
    zarr.open_group(tmp_path / "z.zarr", mode="w")

    def names(*inputs: str) -> list[str]:
        return [found.path.name for found in find_slides(inputs)]

    assert names(str(tmp_path)) == ["a.png", "b.tif", "z.zarr"]
    assert names(str(tmp_path / "a.png"), str(tmp_path)) == ["a.png", "b.tif", "z.zarr"]
    assert names(str(tmp_path / "**" / "*.png")) == ["a.png", "c.png"]
    (tmp_path / "list.txt").write_text("# mine\n\ndeep/c.png\nb.tif\n", encoding="utf-8")
    assert names(str(tmp_path / "list.txt")) == ["c.png", "b.tif"]
    (tmp_path / "list.csv").write_text("slide,mpp\ndeep/c.png,0.25\nb.tif,\n", encoding="utf-8")
    assert [found.mpp for found in find_slides([str(tmp_path / "list.csv")])] == [0.25, None]
    (tmp_path / "bad.csv").write_text("what,mpp\nb.tif,0.5\n", encoding="utf-8")
    with pytest.raises(PathsegError, match="column"):
        find_slides([str(tmp_path / "bad.csv")])


def test_prompts_are_understood_before_anything_is_done(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.png")
    for prompts, error in (
        (("gland", "flux capacitor"), UnknownTermError),
        (("gland", "glands"), PromptError),
        (("",), PromptError),
    ):
        with pytest.raises(error):
            prepare(
                [str(path)],
                tmp_path / "out",
                BatchSettings(prompts),
                MarkerSegmenter(),
                VOCABULARY,
                resume=False,
            )
    assert not (tmp_path / "out").exists()


def test_large_labels_are_a_pyramid_of_tiles(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slide_files, "WHOLE_PX", 500)
    monkeypatch.setattr(label_pyramid, "COARSEST_PX", 330)
    path = picture(tmp_path / "a.tif", side=1300, mpp=1.0)
    run_batch(batch_of([path], tmp_path / "out", instances=True, formats=("tif", "zarr")))
    with tifffile.TiffFile(tmp_path / "out" / "a.labels.tif") as tif:
        levels = tif.series[0].levels
        assert [level.shape for level in levels] == [(1300, 1300), (650, 650), (325, 325)]
        assert tif.pages[0].is_tiled
        fine, coarse = levels[0].asarray(), levels[2].asarray()
    assert fine[433, 433] == coarse[108, 108] == 1
    assert abs(int((fine == 1).sum()) - 16 * int((coarse == 1).sum())) < 0.05 * (fine == 1).sum()
    with open_slide(tmp_path / "out" / "a.labels.tif") as slide:
        assert slide.metadata.mpp == pytest.approx((1.0, 1.0))
    root = zarr.open_group(tmp_path / "out" / "a.labels.ome.zarr")
    assert (root["2"][...] == coarse).all()
    assert root["0"].chunks[0] == TILE_PX
    objects = tifffile.imread(tmp_path / "out" / "a.instances.tif")
    features = json.loads((tmp_path / "out" / "a.geojson").read_text())["features"]
    numbers = {
        feature["properties"]["classification"]["name"]: feature["properties"]["metadata"]["number"]
        for feature in features
    }
    assert numbers == {"gland": str(objects[433, 433]), "nucleus": str(objects[325, 975])}


def test_a_coarse_label_is_what_most_of_its_pixels_are() -> None:
    fine = np.array([[1, 1, 0, 2, 3, 3, 0, 0], [1, 0, 2, 2, 3, 3, 0, 5]])
    assert halved_labels(fine).tolist() == [[1, 2, 3, 0]]


def test_with_another_adapter_a_slide_is_done_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = picture(tmp_path / "a.png"), tmp_path / "out"
    run_batch(batch_of([path], out))
    assert not batch_of([path], out, resume=True).waiting
    assert not batch_of([path], out, resume=True, adapters=()).waiting
    plain = MarkerSegmenter().card

    class Adapted(MarkerSegmenter):
        def __init__(self) -> None:
            super().__init__()
            self.card = replace(plain, version=f"{plain.version} + mine 1")

    monkeypatch.setattr(sys.modules[__name__], "MarkerSegmenter", Adapted)
    assert batch_of([path], out, resume=True, adapters=("mine",)).waiting
    run_batch(batch_of([path], out, resume=True, adapters=("mine",)))
    assert not batch_of([path], out, resume=True, adapters=("moved",)).waiting


def test_facts_of_another_layout_are_not_taken_for_finished(tmp_path: Path) -> None:
    job = SlideJob(picture(tmp_path / "a.png"), "a", tmp_path, None, SETTINGS)
    for text in ("", "[]", "{}", '{"layout": 0}', '{"layout": 1, "files": null}'):
        job.facts_path.write_text(text)
        assert one_slide.finished(job, "") is None


def test_another_model_is_asked_for_by_its_file(tmp_path: Path) -> None:
    slide = tmp_path / "a.png"
    Image.fromarray(np.full((64, 64, 3), 200, np.uint8)).save(slide)
    asked = [str(slide), "--prompt", "gland", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(
        batch_command, [*asked, "--model", str(tmp_path / "my.safetensors")]
    )
    assert isinstance(result.exception, ModelError)
    assert "my.safetensors" in str(result.exception)
    assert not (tmp_path / "out" / "run.json").exists()


def test_workers_are_not_counted_for_a_scheduler_that_has_its_own(tmp_path: Path) -> None:
    asked = ["a.png", "--prompt", "gland", "--out", str(tmp_path / "out"), "--workers", "2"]
    result = CliRunner().invoke(batch_command, [*asked, "--scheduler", "tcp://10.0.0.5:8786"])
    assert result.exit_code == 2
    assert "--workers" in result.stderr
    assert not (tmp_path / "out").exists()
