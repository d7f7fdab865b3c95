"""How many places along a scribble the model should be asked at, on images with known masks.

    python scripts/measure_scribbles.py cases.csv

A stroke goes through an object along its long axis, as a hand draws. Printed for each number of
places: the mean Dice of the answer with the object.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage

from napari_pathseg.geometry import Pair, Region
from napari_pathseg.inference import gestures
from napari_pathseg.inference.session import open_session
from napari_pathseg.prompts import ScribblePrompt

PLACES = (1, 2, 3, 4, 6, 10)
TAKEN = {"glas": (6, 3), "wsss4luad": (6, 1), "glomeruli": (5, 1)}
"""Images of each set, and objects of each image."""
SMALLEST_PX, LARGEST = 1500, 0.6
STEPS, SHORTEST = 12, 6
Bool = np.ndarray[Any, np.dtype[np.bool_]]


def stroke(inside: Bool) -> tuple[Pair, ...]:
    """Through the widest places of an object, from a tenth to nine tenths of its length."""
    places = np.argwhere(inside).astype(float)
    center = places.mean(axis=0)
    thinned = places[:: max(1, len(places) // 4000)] - center
    axis = np.linalg.svd(thinned, full_matrices=False)[2][0]
    along = (places - center) @ axis
    width = ndimage.distance_transform_edt(inside)[inside]
    edges = np.linspace(*np.quantile(along, [0.1, 0.9]), STEPS + 1)
    path = []
    for start, stop in pairwise(edges):
        part = np.flatnonzero((along >= start) & (along < stop))
        if part.size:
            y, x = places[part[width[part].argmax()]] + 0.5
            path.append((float(y), float(x)))
    return tuple(path)


def objects(mask: np.ndarray, ignored: set[int], count: int) -> Iterator[Bool]:
    """The largest objects of a mask that are not most of it."""
    found: list[tuple[int, Bool]] = []
    for value in set(np.unique(mask).tolist()) - ignored - {0}:
        labels, many = ndimage.label(ndimage.binary_opening(mask == value, iterations=2))
        sizes = np.bincount(labels.ravel(), minlength=many + 1)
        sizes[0] = 0
        found += [
            (int(sizes[index]), labels == index)
            for index in np.argsort(sizes)[::-1][:count]
            if SMALLEST_PX < sizes[index] < LARGEST * mask.size
        ]
    for _, inside in sorted(found, key=lambda pair: -pair[0])[:count]:
        yield inside


def dice(found: np.ndarray, truth: Bool) -> float:
    """Of an answer on its own pixels with an object on those of the image."""
    mask = (found > 0).astype(np.uint8)
    if mask.shape != truth.shape:
        zoom = [a / b for a, b in zip(truth.shape, mask.shape, strict=True)]
        mask = ndimage.zoom(mask, zoom, order=0)
    inside = mask > 0
    return 2 * float((inside & truth).sum()) / max(int(inside.sum() + truth.sum()), 1)


def measure(root: Path, row: dict[str, str], count: int) -> Iterator[dict[int, float]]:
    """Dice by number of places for the objects of one image."""
    mask = np.asarray(Image.open(root / row["mask"]))
    mpp = float(row["mpp"] or 0.5)
    ignored = {int(value) for value in json.loads(row["ignore"] or "[]")}
    whole = Region(0, 0, *mask.shape[:2])
    session = open_session(root / row["image"], mpp=(mpp, mpp))
    for inside in objects(mask, ignored, count):
        path = stroke(inside)
        if len(path) < SHORTEST:
            continue
        scores = {}
        for places in PLACES:
            gestures.SCRIBBLE_POINTS = places
            answer = session.segment(whole, [ScribblePrompt(path)])
            scores[places] = dice(answer.mask, inside)
        yield scores
    session.slide.close()


def main() -> None:
    """Print the mean Dice for each set and over all objects."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    cases = parser.parse_args().cases
    with cases.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == "val"]
    scores: dict[str, list[dict[int, float]]] = defaultdict(list)
    for name, (images, count) in TAKEN.items():
        of_set = [row for row in rows if row["dataset"] == name]
        for row in of_set[:: max(1, len(of_set) // images)][:images]:
            scores[name] += measure(cases.parent, row, count)
    scores["all"] = [one for name in TAKEN for one in scores[name]]
    for name, found in scores.items():
        means = (f"{n}: {np.mean([one[n] for one in found]):.3f}" for n in PLACES)
        print(f"{name} ({len(found)} objects)  " + "  ".join(means), flush=True)


if __name__ == "__main__":
    main()
