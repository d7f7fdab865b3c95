"""Kill a working desk at random moments and look at what is left of its labels.

A child process opens a slide, asks, clicks, draws, cleans up, cuts, accepts, rejects, undoes,
redoes, changes the level and goes from field to field, and writes a line for every step that the
label store has acknowledged. It is killed (SIGKILL, TerminateProcess) at a random moment. Then
the store is opened as the next start would: the last acknowledged mask of every field must be
there, or at most the one step beyond it that was under way; and every mask must be whole.

    python scripts/kills.py --kills 200
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import random
import sqlite3
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SHARED = Path(__file__).resolve().parents[1] / "tests" / "shared"
sys.path.insert(0, str(SHARED))

PRELOADED = (
    "napari_pathseg.inference.session",
    "napari.components",
    "napari.layers",
    "napari.utils.colormaps.colormap",
    "desk_slides",
    "warm_desk",
    "dask.array",
    "distributed",
    "numba.typed",
    "openslide",
    "pandas",
    "tifffile",
    "skimage.measure",
    "zarr",
)
"""Imported once; children are forked from there, which saves each of them seconds."""
START_S = 180.0
STEPS_UNDER_WAY = 3
EMPTY = "empty"
"""A field in which nothing is goes away when another one is worked on."""


def digest(mask: Any) -> str:
    """A short hash of a mask's shape and values; `EMPTY` where nothing is in it."""
    if not np.any(mask):
        return EMPTY
    values = np.ascontiguousarray(mask, dtype=np.uint16)
    return hashlib.sha256(f"{values.shape}".encode() + values.tobytes()).hexdigest()[:16]


def work(slide: Path, labels: Path, log: Path, seed: int) -> None:
    """Work at a desk until killed; runs in the child."""
    from desk_slides import open_in
    from marker_segmenter import MarkerSegmenter
    from napari.components import ViewerModel

    from napari_pathseg.gui.controller import PathsegController
    from napari_pathseg.gui.jobs import ImmediateRunner
    from napari_pathseg.gui.models import SharedModel
    from napari_pathseg.gui.remembered import Remembered
    from napari_pathseg.vocabulary import Vocabulary

    controller = PathsegController(
        ViewerModel(),
        runner=ImmediateRunner(),
        writer=ImmediateRunner(),
        model=SharedModel(MarkerSegmenter),
        vocabulary=Vocabulary.load(),
        labels_folder=labels,
        remembered=Remembered(labels / "remembered.json"),
    )
    open_in(controller, slide)
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    dice = random.Random(seed)
    while True:
        act(controller, dice)
        desk = controller.desk
        state = {record.id: digest(mask) for record, mask in desk.fields()}
        os.write(handle, (json.dumps(state) + "\n").encode())


def act(controller: Any, dice: random.Random) -> None:
    """One thing that a person does."""
    from desk_slides import GLANDS, NUCLEI, look_at

    from napari_pathseg.geometry import Region
    from napari_pathseg.gui.tools import Tool
    from napari_pathseg.labels.cleanup import Cleanup
    from napari_pathseg.prompts import PointPrompt

    if controller.desk.work is None or dice.random() < 0.08:
        look_at(controller, Region(dice.randrange(300), dice.randrange(500), 400, 700))
        controller.segment_field(dice.choice(["gland", "nuclei", "gland; nuclei"]))
        return
    place = dice.choice([*GLANDS, *NUCLEI]).center
    layer = controller.desk.field_layer
    height, width = layer.data.shape
    actions = (
        lambda: controller.add(PointPrompt(*place, dice.random() < 0.7)),
        lambda: layer.paint((dice.randrange(height), dice.randrange(width)), dice.randrange(3)),
        lambda: layer.fill((dice.randrange(height), dice.randrange(width)), 1),
        lambda: controller.refining.set_threshold(dice.uniform(0.1, 0.9), True),
        lambda: controller.refining.set_cleanup(Cleanup(small_px=dice.randrange(3000)), True),
        lambda: controller.refining.next_candidate(),
        lambda: controller.drew_line(Tool.SPLIT, ((place[0] - 60, place[1]), place), True),
        lambda: controller.fields.change_level(dice.randrange(3)),
        controller.editing.accept,
        controller.editing.reject,
        controller.editing.undo,
        controller.editing.undo,
        controller.editing.redo,
    )
    layer.brush_size = dice.choice([3, 20, 60])
    dice.choice(actions)()


@dataclass
class Tally:
    """What was found after the kills."""

    kills: int = 0
    steps: int = 0
    beyond: int = 0
    lost: int = 0
    torn: int = 0


def look_at_what_is_left(labels: Path, identity: str, log: Path, tally: Tally) -> None:
    """Compare the store with the last acknowledged state."""
    from napari_pathseg.errors import StoreError
    from napari_pathseg.labels.journal import LabelStore, store_path

    lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
    tally.steps += len(lines)
    state: dict[str, str] = json.loads(lines[-1]) if lines else {}
    with LabelStore.open(identity, "slide", labels) as store:
        if store.read_only:
            raise SystemExit(f"the lock of a killed process holds: {store.reason}")
        known = {record.id for record in store.fields()}
        for field_id, wanted in state.items():
            if wanted == EMPTY and field_id not in known:
                tally.beyond += 1
                continue
            try:
                found = field_id in known and reach(store, field_id, wanted, tally)
            except (StoreError, ValueError, KeyError) as error:
                print(f"torn: {error}")
                tally.torn += 1
                continue
            if not found:
                print(f"lost: field {field_id}")
                tally.lost += 1
    with sqlite3.connect(store_path(identity, labels)) as database:
        if database.execute("PRAGMA integrity_check").fetchone() != ("ok",):
            tally.torn += 1


def reach(store: Any, field_id: str, wanted: str, tally: Tally) -> bool:
    """Whether a field's mask is the acknowledged one, or a step that was under way beyond it."""
    record, mask = store.load(field_id)
    if mask.shape != record.field.shape:
        raise ValueError(f"a mask of {mask.shape} on a field of {record.field.shape}")
    if digest(mask) == wanted:
        return True
    tally.beyond += 1
    for walk, back in ((store.undo, store.redo), (store.redo, store.undo)):
        done = 0
        while done < STEPS_UNDER_WAY and walk(field_id) is not None:
            done += 1
            if digest(store.load(field_id)[1]) == wanted:
                return True
        for _ in range(done):
            back(field_id)
    return False


def run(kills: int, seed: int, folder: Path, longest_s: float) -> Tally:
    """Kill and look, again and again, on one label store."""
    from desk_slides import write_slide

    from napari_pathseg.slide.open import open_slide

    slide = write_slide(folder / "marked.ome.tif", 0.5)
    with open_slide(slide) as opened:
        identity = opened.metadata.identity
    labels, dice, tally = folder / "labels", random.Random(seed), Tally()
    labels.mkdir()
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        os.environ["PYTHONPATH"] = str(SHARED)
        context.set_forkserver_preload(list(PRELOADED))
    for number in range(kills):
        log = folder / f"{number}.log"
        child = context.Process(target=work, args=(slide, labels, log, seed + number), daemon=True)
        child.start()
        end = time.monotonic() + START_S
        while not has_begun(log) and child.is_alive() and time.monotonic() < end:
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, longest_s))
        if not child.is_alive():
            raise SystemExit("the child ended by itself")
        child.kill()
        child.join()
        tally.kills += 1
        look_at_what_is_left(labels, identity, log, tally)
        print(f"{tally}", flush=True)
    return tally


def has_begun(log: Path) -> bool:
    """Whether the first step was acknowledged."""
    return log.exists() and log.stat().st_size > 0


def main() -> int:
    """Report how many acknowledged steps were lost and masks torn; 1 when there are any."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--longest", type=float, default=1.5, help="seconds a child works at most")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pathseg-kills-") as folder:
        tally = run(options.kills, options.seed, Path(folder), options.longest)
    print(
        f"{tally.kills} kills, {tally.steps} acknowledged steps: {tally.lost} lost, "
        f"{tally.torn} torn masks; {tally.beyond} times one step more was there."
    )
    return int(bool(tally.lost or tally.torn))


if __name__ == "__main__":
    sys.exit(main())
