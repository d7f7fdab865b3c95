"""How well a word is learned from a few corrected fields, and what it costs the old words.

Support fields come from cases of the split "val", which no model was trained on; they are counted
on other patients of that split. Every figure is made as a user would get it: learned with
`training.learning.learn`, asked by the word through a session. Examples::

    python scripts/measure_learning.py CASES --dataset ebhi-seg --value 255
        --label Adenocarcinoma --word "adenocarcinoma epithelium"
    python scripts/measure_learning.py CASES --dataset ki67_rouland --split train --value 2
        --word "DAB-stained nucleus" --structure nuclei
"""

from __future__ import annotations

import argparse
import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from napari_pathseg.classes import UNSPECIFIED, Term
from napari_pathseg.inference.adapting import adapted
from napari_pathseg.inference.evaluation import Truth, evaluate
from napari_pathseg.models.adapter import Adapter
from napari_pathseg.models.base import ModelCard, Segmenter, TileAnswer, TileEmbedding, TileQuery
from napari_pathseg.models.registry import load_segmenter
from napari_pathseg.training.cases import ANY_VALUE, Case, read_cases
from napari_pathseg.training.learning import learn
from napari_pathseg.training.lesson import LessonField, adapter_of
from napari_pathseg.vocabulary import Vocabulary

Bool = npt.NDArray[np.bool_]


class Remembering:
    """A segmenter that encodes the same pixels once, so that the runs share their time."""

    def __init__(self, base: Segmenter) -> None:
        self._base = base
        self._known: dict[bytes, TileEmbedding] = {}

    @property
    def card(self) -> ModelCard:
        """As the base."""
        return self._base.card

    @property
    def encoder_passes(self) -> int:
        """As the base."""
        return self._base.encoder_passes

    def encode(
        self, image: npt.NDArray[np.uint8], around: npt.NDArray[np.uint8] | None = None
    ) -> TileEmbedding:
        """Once for the same pixels."""
        seen = (image,) if around is None else (image, around)
        key = b"".join(repr(each.shape).encode() + each.tobytes() for each in seen)
        if key not in self._known:
            self._known[key] = self._base.encode(*seen)
        return self._known[key]

    def pack(self, embedding: TileEmbedding) -> bytes:
        """As the base."""
        return self._base.pack(embedding)

    def unpack(self, data: bytes) -> TileEmbedding:
        """As the base."""
        return self._base.unpack(data)

    def decode(self, embedding: TileEmbedding, queries: Sequence[TileQuery]) -> list[TileAnswer]:
        """As the base."""
        return self._base.decode(embedding, queries)

    def knows(self, term: Term) -> bool:
        """As the base."""
        return self._base.knows(term)


def main() -> None:
    """Learn from k fields, several times, and write the figures."""
    arguments = _arguments()
    labels = _labels(arguments.cases) if arguments.label else {}
    cases = [
        c
        for c in read_cases(arguments.cases)
        if c.dataset == arguments.dataset and c.split == arguments.split
    ]
    base: Segmenter = Remembering(load_segmenter(arguments.model))
    term = Term(UNSPECIFIED, arguments.structure, arguments.word)
    runs = []
    for seed in arguments.seeds:
        for k in arguments.k:
            start = time.perf_counter()
            support, others = _divide(cases, arguments, labels, k, seed)
            fields = [_field(c, _mask(c, arguments, labels)) for c in support]
            lesson = learn(term, fields, base, working_mpp=arguments.mpp)
            adapter = adapter_of([lesson], base.card)
            segmenter, vocabulary = adapted(base, Vocabulary.load(), [adapter])
            truths = [_truth(c, term, _mask(c, arguments, labels)) for c in others]
            found = list(evaluate(truths, segmenter, vocabulary, "text"))
            run = {
                "seed": seed,
                "k": k,
                "support_with_term": lesson.taught.present,
                "working_mpp": lesson.taught.working_mpp,
                "held_out_of_support": lesson.taught.after,
                "n": sum(m.present for m in found),
                "dice": _mean([m.dice for m in found if m.present]),
                "n_absent": sum(not m.present for m in found),
                "false_area": _mean([m.false_area for m in found if not m.present]),
                "learning_s": lesson.seconds,
                "old_terms": _old(arguments, base, adapter),
                "seconds": time.perf_counter() - start,
            }
            runs.append(run)
            print(json.dumps(run), flush=True)
    report = {"model": base.card.identity, "dataset": arguments.dataset, "word": arguments.word}
    report["runs"] = runs
    for k in arguments.k:
        dice = [r["dice"] for r in runs if r["k"] == k]
        print(f"k = {k}: Dice {np.mean(dice):.3f} ({min(dice):.3f} to {max(dice):.3f})")
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", type=Path)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--value", default=ANY_VALUE, help="mask value that is the word, or >0")
    parser.add_argument("--label", help="only in images of this image_label; else it is absent")
    parser.add_argument("--word", required=True, help="what it is called; new to the model")
    parser.add_argument("--structure", default="tissue", choices=("tissue", "cell", "nuclei"))
    parser.add_argument("--mpp", type=float, help="working resolution instead of the automatic")
    parser.add_argument("--k", type=int, nargs="+", default=[5, 20])
    parser.add_argument("--test", type=int, default=24, help="images with the word, at most")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="one draw each")
    parser.add_argument("--old", nargs="*", default=[], metavar="DATASET:OBJECT")
    parser.add_argument("--old-images", type=int, default=6)
    parser.add_argument("--model", default="default")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def _labels(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return {row["id"]: row["image_label"] for row in csv.DictReader(file)}


def _mask(case: Case, arguments: argparse.Namespace, labels: dict[str, str]) -> Bool:
    values = case.read_mask()
    inside = values > 0 if arguments.value == ANY_VALUE else values == int(arguments.value)
    if arguments.label and labels[case.id] != arguments.label:
        inside &= False
    return inside


def _divide(
    cases: Sequence[Case],
    arguments: argparse.Namespace,
    labels: dict[str, str],
    k: int,
    seed: int,
) -> tuple[list[Case], list[Case]]:
    """Support and test cases of different patients; a fifth of the support has not the word."""
    order = np.random.default_rng(seed).permutation(len(cases))
    drawn = [cases[i] for i in order]
    present = {c.id: bool(_mask(c, arguments, labels).sum() >= 50) for c in drawn}
    absent = min(k // 5, sum(not p for p in present.values()))
    support: list[Case] = []
    for wanted, count in ((True, k - absent), (False, absent)):
        patients: set[str] = set()
        own = [c for c in drawn if present[c.id] is wanted]
        # One image a patient as far as there are patients.
        first = [c for c in own if not (c.case in patients or patients.add(c.case))]
        support += [*first, *(c for c in own if c not in first)][:count]
    seen = {c.case for c in support}
    others = [c for c in drawn if c.case not in seen]
    with_it = [c for c in others if present[c.id]][: arguments.test]
    without = [c for c in others if not present[c.id]][: arguments.test // 3]
    if len(support) < k or not with_it:
        raise SystemExit(f"too few cases: {len(support)} to learn from, {len(with_it)} to test")
    return support, with_it + without


def _field(case: Case, target: Bool) -> LessonField:
    mpp = (case.mpp, case.mpp) if case.mpp else None
    return LessonField(case.id, case.case, case.read_image, target, mpp)


def _truth(case: Case, term: Term, mask: Bool) -> Truth:
    objects, _ = ndimage.label(mask)
    known = case.known(case.read_mask())
    return Truth(case.dataset, case.image, case.mpp, term, mask & known, known, objects)


def _old(arguments: argparse.Namespace, base: Segmenter, adapter: Adapter) -> dict[str, float]:
    """Dice of old words with the adapter on, less that without it."""
    lost = {}
    for name in arguments.old:
        dataset, word = name.split(":")
        cases = [
            c for c in read_cases(arguments.cases) if c.dataset == dataset and c.split == "val"
        ][: arguments.old_images]
        truths = [
            _truth(c, t.without_region, c.term_mask(c.read_mask(), t))
            for c in cases
            for _, t in c.terms
            if t.object == word
        ]
        dice = []
        for segmenter, vocabulary in (
            (base, Vocabulary.load()),
            adapted(base, Vocabulary.load(), [adapter]),
        ):
            found = evaluate(truths, segmenter, vocabulary, "text")
            dice.append(_mean([m.dice for m in found if m.present]))
        lost[name] = dice[1] - dice[0]
    return lost


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


if __name__ == "__main__":
    main()
